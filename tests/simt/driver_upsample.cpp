// As driver.cpp, over the up-sampling launchers: shapes that reach every branch of the kernels, in
// three schedules, for the sanitizers. Arrays have exactly the size that a launcher may touch.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "simt.h"

extern "C" {
void simt_set_schedule(int, uint64_t);
const char* simt_upsample_error(int);
int simt_bed_of_nails(int, const void*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int,
                      const void*, int, double, int64_t, void*);
int simt_pixel_shuffle(int, const void*, int64_t, int64_t, int64_t, int64_t, int64_t, int,
                       const void*, int, double, int64_t, void*);
int simt_bias_activation(int, const void*, int64_t, int64_t, int64_t, int, const void*, int, double,
                         int64_t, void*);
int simt_max_unpool2d(int, const void*, const int64_t*, int64_t, int64_t, int64_t, int64_t, int,
                      const void*, int, double, int64_t, void*);
int simt_tap_gather(int, const void*, const int64_t*, const int64_t*, int64_t, int64_t, int64_t,
                    int64_t, const int32_t*, const void*, const int32_t*, const void*,
                    const int32_t*, int, const void*, int, double, int64_t, void*);
}

namespace {

struct Shape {
  int64_t n, channels, height, width;
};

// One element; odd extents, and so a tail; whole vectors; several blocks; more channels than a
// piece of the gather; a long row, and so several pieces.
constexpr Shape kShapes[] = {{1, 1, 1, 1},  {2, 3, 5, 7},  {2, 4, 4, 8},
                             {3, 5, 9, 11}, {1, 37, 2, 3}, {1, 2, 2, 80}};
constexpr int kTanh = 3;

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
  std::printf("%s: status %d: %s\n", what, status, simt_upsample_error(status));
  std::exit(1);
}

template <typename Real>
using Results = std::vector<std::vector<Real>>;

template <typename Real>
void run_sweeps(const Shape& s, int type, int interleaved, Results<Real>& results) {
  const int64_t plane = s.height * s.width, numbers = s.n * s.channels * plane;
  const std::vector<Real> x = random_values<Real>(4 * numbers), bias = random_values<Real>(4 * 40);
  // A limit of one image, so that the batch takes a launch for each.
  for (const int64_t limit : {int64_t{0}, 6 * s.channels * plane}) {
    std::vector<Real> nails(6 * numbers), shuffled(4 * numbers), unpooled(6 * numbers);
    require(simt_bed_of_nails(type, x.data(), s.n, s.channels, s.height, s.width, 3, 2, interleaved,
                              bias.data(), kTanh, 0, limit, nails.data()),
            "bed_of_nails");
    require(simt_pixel_shuffle(type, x.data(), s.n, s.channels, s.height, s.width, 2, interleaved,
                               bias.data(), kTanh, 0, limit, shuffled.data()),
            "pixel_shuffle");
    std::vector<Real> ended = x;
    require(simt_bias_activation(type, ended.data(), s.n, s.channels, 4 * plane, interleaved,
                                 bias.data(), kTanh, 0, limit, ended.data()),
            "bias_activation in place");
    // Places that repeat, and now and then one outside.
    std::vector<int64_t> indices(numbers);
    for (int64_t& index : indices)
      index = static_cast<int64_t>((random_value() + 0.5) * (6.0 * plane + 0.2));
    require(simt_max_unpool2d(type, x.data(), indices.data(), s.n, s.channels, plane, 6 * plane,
                              interleaved, bias.data(), kTanh, 0, limit, unpooled.data()),
            "max_unpool2d");
    results.insert(results.end(), {nails, shuffled, ended, unpooled});
  }
}

// A 3 x 3 convolution with padding 1 after nearest up-sampling by 2, as lists of each output.
template <typename Real>
struct Axis {
  explicit Axis(int64_t size) : outputs(2 * size) {
    places.assign(2 * 3 * outputs, 0);
    weights.assign(3 * outputs, 0);
    span.assign(2 * outputs, 0);
    for (int64_t i = 0; i < outputs; ++i) {
      int entry = 0;
      for (int tap = 0; tap < 3; ++tap) {
        const int64_t high = i + tap - 1;
        if (high < 0 || high >= outputs) continue;
        places[entry * outputs + i] = tap;
        places[(3 + entry) * outputs + i] = static_cast<int32_t>(high / 2);
        weights[entry++ * outputs + i] = static_cast<Real>(random_value());
      }
      for (; entry < 3; ++entry) places[entry * outputs + i] = -1;
      span[i] = static_cast<int32_t>(i > 0 ? (i - 1) / 2 : 0);
      span[outputs + i] = static_cast<int32_t>(i + 1 < outputs ? (i + 1) / 2 : size - 1);
    }
  }
  int64_t outputs;
  std::vector<int32_t> places, span;
  std::vector<Real> weights;
};

template <typename Real>
void run_gather(const Shape& s, int type, int interleaved, Results<Real>& results) {
  const int64_t plane = s.height * s.width;
  const Axis<Real> rows(s.height), columns(s.width);
  const std::vector<Real> z = random_values<Real>(s.n * 9 * s.channels * plane);
  const std::vector<Real> bias = random_values<Real>(s.channels);
  const int64_t sizes[] = {s.n, 3, 3, s.channels, s.height, s.width};
  const int64_t c = s.channels, w = s.width;
  const int64_t planar[] = {9 * c * plane, 3 * c * plane, c * plane, plane, w, 1};
  const int64_t mixed[] = {9 * c * plane, 3 * c, c, 1, 9 * c * w, 9 * c};
  for (const int64_t window : {0, 1}) {
    std::vector<Real> out(s.n * c * 4 * plane);
    require(simt_tap_gather(type, z.data(), sizes, interleaved ? mixed : planar, rows.outputs,
                            columns.outputs, 3, 3, rows.places.data(), rows.weights.data(),
                            columns.places.data(), columns.weights.data(), columns.span.data(),
                            interleaved, bias.data(), kTanh, 0, window, out.data()),
            "tap_gather");
    results.push_back(out);
  }
}

template <typename Real>
Results<Real> run_all(const Shape& s, int type) {
  g_seed = 7;
  Results<Real> results;
  for (int interleaved = 0; interleaved < 2; ++interleaved) {
    run_sweeps(s, type, interleaved, results);
    run_gather(s, type, interleaved, results);
  }
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
