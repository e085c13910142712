// Runs every launcher over shapes that reach every branch of the kernels, in three schedules, and
// wants the same bits from each. Built plain and under the sanitizers, which look for what results
// hide. Correctness of the values is the business of test_simt_kernels.py.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "simt.h"

extern "C" {
void simt_set_schedule(int, uint64_t);
const char* simt_error(int);
int simt_hann_table(int, int64_t, int64_t, void*);
int simt_mean(int, const void*, const int64_t*, const void*, double*, int64_t, int64_t, int64_t,
              int, int, int);
int simt_gray(int, const void*, const int64_t*, const double*, const void*, void*, int64_t, int64_t,
              int64_t, int, int, int);
int simt_gray_adjoint(int, const void*, const double*, const void*, int64_t, int64_t, int64_t, int,
                      void*);
int simt_dc(int, const double*, void*, double, int64_t, int64_t, int64_t);
int simt_means(int, const void*, int, int, double, double, double, const int32_t*, const double*,
               int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, void*, void*, void*,
               void*);
int simt_backward(int, void*, int, double, double, double, const int32_t*, const double*, int64_t,
                  int64_t, int64_t, int64_t, int64_t, int64_t, int, const void*, const void*,
                  const void*, const void*);
int simt_spread(int, const void*, const int32_t*, const double*, int64_t, int64_t, int64_t, int64_t,
                int64_t, int64_t, int, void*);
}

namespace {

struct Shape {
  int64_t n, height, width;
  int n_maps;
};

// In order: one element; a block of four groups of lanes; of two; of one; several tiles and two
// maps; more columns than a chunk and more bins than shared memory hold.
constexpr Shape kShapes[] = {{2, 1, 1, 1},   {3, 8, 9, 1},   {1, 9, 130, 2},
                             {1, 5, 200, 1}, {2, 70, 20, 2}, {1, 3, 4200, 1}};

uint32_t g_seed = 1;
double random_value() {
  g_seed = g_seed * 1664525u + 1013904223u;
  return g_seed / 4294967296.0 - 0.5;
}

template <typename Real>
std::vector<Real> random_values(size_t n) {
  std::vector<Real> values(n);
  for (Real& value : values) value = static_cast<Real>(random_value());
  return values;
}

void require(int status, const char* what) {
  if (status == 0) return;
  std::printf("%s: status %d: %s\n", what, status, simt_error(status));
  std::exit(1);
}

// Radii about DC; with two maps the second holds the mirror elements as ops/conventions.py lays it
// out: dropped in the columns that have none.
std::vector<int32_t> radius_maps(const Shape& s, int64_t columns, int64_t n_bins) {
  std::vector<int32_t> maps(s.n_maps * s.height * columns);
  for (int64_t i = 0; i < static_cast<int64_t>(maps.size()); ++i) {
    const int64_t v = i % columns, u = i / columns % s.height;
    const int64_t su = std::min(u, s.height - u), sv = std::min(v, s.width - v);
    maps[i] = static_cast<int32_t>(std::sqrt(static_cast<double>(su * su + sv * sv)));
    const bool is_mirror = i >= s.height * columns;
    if (is_mirror && v == 0) maps[i] = -1;
    if (is_mirror && 2 * v == s.width) maps[i] = static_cast<int32_t>(n_bins);
  }
  return maps;
}

template <typename Real>
using Results = std::vector<std::vector<Real>>;

// Images to gray planes, planar and interleaved, with the window and without, and back.
template <typename Real>
void run_gray(const Shape& s, int type, Results<Real>& results) {
  const int64_t pixels = s.height * s.width;
  const int64_t planar[] = {3 * pixels, pixels, s.width, 1};
  const int64_t interleaved[] = {3 * pixels, 1, 3 * s.width, 3};
  std::vector<Real> table(s.height + s.width), gray(s.n * pixels), back(s.n * 3 * pixels);
  require(simt_hann_table(type, s.height, s.width, table.data()), "hann_table");
  std::vector<double> means(s.n);
  const auto make_gray = [&](const void* images, const int64_t* strides, bool is_uint8, int rounded,
                             const Real* window) {
    require(simt_mean(type, images, strides, nullptr, means.data(), s.n, s.height, s.width, 3,
                      is_uint8, rounded),
            "mean");
    const bool shifted = is_uint8 || window != nullptr;
    require(simt_gray(type, images, strides, shifted ? means.data() : nullptr, window, gray.data(),
                      s.n, s.height, s.width, 3, is_uint8, rounded),
            "gray");
    results.push_back(gray);
  };
  std::vector<uint8_t> bytes(s.n * 3 * pixels);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random_value() * 255 + 128);
  if (type == 0) {
    make_gray(bytes.data(), planar, true, 0, nullptr);
    make_gray(bytes.data(), interleaved, true, 1, nullptr);
    make_gray(bytes.data(), interleaved, true, 0, table.data());
  }
  const std::vector<Real> reals = random_values<Real>(s.n * 3 * pixels);
  make_gray(reals.data(), planar, false, 0, nullptr);
  make_gray(reals.data(), planar, false, 0, table.data());

  const int64_t plane[] = {pixels, pixels, s.width, 1};
  require(simt_mean(type, gray.data(), plane, table.data(), means.data(), s.n, s.height, s.width, 1,
                    0, 0),
          "mean of windowed planes");
  for (int channels = 1; channels <= 3; channels += 2) {
    require(simt_gray_adjoint(type, gray.data(), means.data(), table.data(), s.n, s.height, s.width,
                              channels, back.data()),
            "gray_adjoint");
    results.push_back(back);
  }
}

// Spectra to means and back.
template <typename Real>
void run_spectra(const Shape& s, int type, Results<Real>& results) {
  const int64_t pixels = s.height * s.width, columns = s.width / 2 + 1;
  const int64_t n_bins = s.height / 2 + s.width / 2 + 1;
  std::vector<Real> spectra = random_values<Real>(2 * s.n * s.height * columns);
  const std::vector<double> means(s.n, 0.5);
  require(simt_dc(type, means.data(), spectra.data(), 3.0, s.n, s.height, s.width), "dc");

  const std::vector<int32_t> maps = radius_maps(s, columns, n_bins);
  const std::vector<double> counts(n_bins, 0.25);
  const int values = pixels > 1000 ? 1 : 4;
  for (int value = 0; value < values; ++value) {
    std::vector<Real> bins(s.n * n_bins), rows(s.n * (s.height / 2 + 1)), cols(s.n * columns),
        dc(s.n);
    require(simt_means(type, spectra.data(), 0, value, 10, 1e-8, 0.5, maps.data(), counts.data(),
                       s.n, s.height, columns, s.width, n_bins, s.n_maps, 1, bins.data(),
                       rows.data(), cols.data(), dc.data()),
            "means");
    std::vector<Real> gradient = spectra;
    require(simt_backward(type, gradient.data(), value, 10, 1e-8, 0.5, maps.data(), counts.data(),
                          s.n, s.height, columns, s.width, n_bins, s.n_maps, 1, bins.data(),
                          rows.data(), cols.data(), dc.data()),
            "backward");
    results.insert(results.end(), {bins, rows, cols, dc, gradient});
  }
  std::vector<Real> bins(s.n * n_bins), spread(s.n * s.height * columns);
  require(simt_means(type, spectra.data(), 1, 0, 1, 0, 1, maps.data(), counts.data(), s.n, s.height,
                     columns, s.width, n_bins, s.n_maps, 1, bins.data(), nullptr, nullptr, nullptr),
          "average");
  require(simt_spread(type, bins.data(), maps.data(), counts.data(), s.n, s.height, columns,
                      s.width, n_bins, s.n_maps, 1, spread.data()),
          "spread");
  results.insert(results.end(), {bins, spread});
}

template <typename Real>
Results<Real> run_all(const Shape& s, int type) {
  g_seed = 7;
  Results<Real> results;
  run_gray(s, type, results);
  run_spectra(s, type, results);
  return results;
}

template <typename Real>
bool check(const Shape& s, int type) {
  Results<Real> expected;
  for (int schedule = 0; schedule < 3; ++schedule) {
    simt_set_schedule(schedule, 11);
    Results<Real> results = run_all<Real>(s, type);
    if (schedule == 0) expected = results;
    for (size_t r = 0; r < results.size(); ++r) {
      if (std::memcmp(results[r].data(), expected[r].data(), results[r].size() * sizeof(Real)) == 0)
        continue;
      std::printf("%lld x %lld: result %zu differs in schedule %d\n",
                  static_cast<long long>(s.height), static_cast<long long>(s.width), r, schedule);
      return false;
    }
  }
  return true;
}

}  // namespace

int main() {
  bool same = true;
  for (const Shape& shape : kShapes)
    same = check<float>(shape, 0) && check<double>(shape, 1) && same;
  std::puts(same ? "ok" : "schedules differ");
  return same ? 0 : 1;
}
