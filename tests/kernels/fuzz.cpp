// Random calls of the CPU kernels, without torch, for the sanitizers and against a direct transform
// in double. Every buffer is a heap block of exactly its size, so that one element too far is an
// error of the address sanitizer.
//
//   fuzz --cases N --seed S [--one CASE] [--fault read|value]
//
// Prints one line per failure and the number of cases; exit code 1 where one failed. The faults
// prove that the harness sees what it looks for: an image one element short, and a value that is
// off.
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "spectrum/kernels.h"

namespace {

using namespace gandetect::spectrum;
using Complex = std::complex<double>;

constexpr double kPi = 3.14159265358979323846;

const Parallel kOneThread = {
    1, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      if (count > 0) body(context, 0, count);
    }};
const Parallel kThreeThreads = {
    3, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      std::vector<std::thread> threads;
      for (int64_t t = 0; t < 3; ++t) {
        const int64_t begin = t * count / 3, end = (t + 1) * count / 3;
        if (begin < end) threads.emplace_back(body, context, begin, end);
      }
      for (std::thread& thread : threads) thread.join();
    }};

struct Random {
  std::mt19937_64 engine;
  int64_t below(int64_t n) { return static_cast<int64_t>(engine() % static_cast<uint64_t>(n)); }
  bool one_in(int64_t n) { return below(n) == 0; }
  double unit() { return static_cast<double>(engine() >> 11) * 0x1p-53; }
  double normal() { return unit() + unit() + unit() + unit() - 2; }
};

enum class Type { kByte, kFloat, kDouble };

int64_t size_of(Type type) { return type == Type::kByte ? 1 : type == Type::kFloat ? 4 : 8; }

// Bins from exact integers, independent of the Python code.
struct Geometry {
  int64_t height, width, columns, count;
  bool half_pixel, half_plane, folded;
  std::vector<std::vector<int32_t>> maps;
  std::vector<double> inverse_counts;
};

int64_t root(int64_t x) {
  int64_t r = static_cast<int64_t>(std::sqrt(static_cast<double>(x)));
  while (r * r > x) --r;
  while ((r + 1) * (r + 1) <= x) ++r;
  return r;
}

int64_t signed_frequency(int64_t k, int64_t n) { return (k + n / 2) % n - n / 2; }

int64_t radius(int64_t u, int64_t v, const Geometry& g) {
  const int64_t su = signed_frequency(u, g.height), sv = signed_frequency(v, g.width);
  if (!g.half_pixel) return root(su * su + sv * sv);
  const int64_t dy = 2 * (su + g.height / 2) - (g.height - 1);
  const int64_t dx = 2 * (sv + g.width / 2) - (g.width - 1);
  return root((dy * dy + dx * dx) / 4);
}

// Maps of the half plane; false where no bin is left.
bool make_geometry(Geometry& g, bool nyquist) {
  g.columns = g.width / 2 + 1;
  int64_t highest = 0;
  for (int64_t u = 0; u < g.height; ++u) {
    for (int64_t v = 0; v < g.width; ++v) highest = std::max(highest, radius(u, v, g));
  }
  const int64_t first = g.half_pixel ? 1 : 0;
  int64_t stop = g.half_pixel ? highest : highest + 1;
  if (nyquist) stop = std::min(stop, (std::min(g.height, g.width) + 1) / 2);
  g.count = stop - first;
  if (g.count < 1) return false;
  const bool two = g.half_pixel && (g.height % 2 == 0 || g.width % 2 == 0);
  g.folded = !two && !g.half_plane;
  g.maps.assign(two ? 2 : 1, std::vector<int32_t>(g.height * g.columns));
  std::vector<double> counts(g.count, 0.0);
  for (int64_t u = 0; u < g.height; ++u) {
    for (int64_t v = 0; v < g.columns; ++v) {
      const bool inner = v > 0 && 2 * v < g.width;
      const auto bin = [&](int64_t r) {
        return static_cast<int32_t>(std::clamp<int64_t>(r - first, -1, g.count));
      };
      const int32_t own = bin(radius(u, v, g));
      g.maps[0][u * g.columns + v] = own;
      if (own >= 0 && own < g.count) counts[own] += g.folded && inner ? 2 : 1;
      if (!two) continue;
      const int64_t mu = (g.height - u) % g.height, mv = (g.width - v) % g.width;
      const int32_t other = inner ? bin(radius(mu, mv, g)) : v == 0 ? -1 : int32_t(g.count);
      g.maps[1][u * g.columns + v] = other;
      if (other >= 0 && other < g.count) counts[other] += 1;
    }
  }
  for (const double n : counts) g.inverse_counts.push_back(1 / std::max(n, 1.0));
  return true;
}

struct Case {
  Geometry geometry;
  Type type;
  int64_t images, channels;
  int64_t stride_n, stride_c, stride_y, stride_x;
  bool round_grey, hann;
  double gain, offset, value_gain, eps;
  Value value;
  bool azimuthal, rows, columns;
};

int64_t random_side(Random& random) {
  if (random.one_in(40)) return 64 + random.below(80);
  return 1 + random.below(random.one_in(4) ? 40 : 18);
}

void random_strides(Random& random, Case& c) {
  const int64_t height = c.geometry.height, width = c.geometry.width;
  switch (random.below(5)) {
    case 0:  // interleaved
      c.stride_c = 1, c.stride_x = c.channels, c.stride_y = c.channels * width;
      break;
    case 1:  // rows longer than the image
      c.stride_x = 1, c.stride_y = width + 1 + random.below(5), c.stride_c = c.stride_y * height;
      break;
    case 2:  // every second column
      c.stride_x = 2, c.stride_y = 2 * width, c.stride_c = c.stride_y * height;
      break;
    case 3:  // transposed
      c.stride_y = 1, c.stride_x = height, c.stride_c = width * height;
      break;
    default:
      c.stride_x = 1, c.stride_y = width, c.stride_c = width * height;
  }
  c.stride_n = c.channels * std::max({c.stride_c, c.stride_y * height, c.stride_x * width});
  if (random.one_in(8)) c.stride_c = 0;
  if (random.one_in(8)) c.stride_n = 0;
}

bool random_case(Random& random, Case& c) {
  c.geometry = {};
  c.geometry.height = random_side(random);
  c.geometry.width = random_side(random);
  if (c.geometry.height * c.geometry.width > 6000) c.geometry.height = 1 + random.below(20);
  const int64_t convention = random.below(3);
  c.geometry.half_pixel = convention == 1;
  c.geometry.half_plane = convention == 2;
  if (!make_geometry(c.geometry, random.one_in(3))) return false;
  c.type = static_cast<Type>(random.below(3));
  c.images = 1 + random.below(3);
  c.channels = random.one_in(2) ? 1 : 3;
  random_strides(random, c);
  c.round_grey = c.type == Type::kByte && c.channels == 3 && random.one_in(2);
  c.hann = random.one_in(3);
  c.gain = random.one_in(2) ? 1.0 : 1 / 127.5;
  c.offset = random.one_in(2) ? 0.0 : -1.0;
  c.value = static_cast<Value>(random.below(4));
  c.value_gain = random.one_in(2) ? 1.0 : 10.0;
  c.eps = 1e-3;
  const int64_t outputs = 1 + random.below(7);
  c.azimuthal = outputs & 1, c.rows = outputs & 2, c.columns = outputs & 4;
  return true;
}

int64_t elements(const Case& c) {
  return (c.images - 1) * c.stride_n + (c.channels - 1) * c.stride_c +
         (c.geometry.height - 1) * c.stride_y + (c.geometry.width - 1) * c.stride_x + 1;
}

// A block of exactly this many bytes.
struct Block {
  explicit Block(int64_t bytes) : data(static_cast<char*>(std::malloc(bytes > 0 ? bytes : 1))) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { std::free(data); }
  char* data;
};

double element(const Block& block, Type type, int64_t i) {
  if (type == Type::kByte) return static_cast<uint8_t>(block.data[i]);
  if (type == Type::kDouble) return reinterpret_cast<const double*>(block.data)[i];
  return reinterpret_cast<const float*>(block.data)[i];
}

void fill(Block& block, Type type, int64_t count, Random& random) {
  for (int64_t i = 0; i < count; ++i) {
    const double level = 255 * random.unit();
    if (type == Type::kByte) {
      block.data[i] = static_cast<char>(static_cast<uint8_t>(level));
    } else if (type == Type::kFloat) {
      reinterpret_cast<float*>(block.data)[i] = static_cast<float>(level);
    } else {
      reinterpret_cast<double*>(block.data)[i] = level;
    }
  }
}

std::vector<double> grey_plane(const Case& c, const Block& images, int64_t n) {
  const int64_t height = c.geometry.height, width = c.geometry.width;
  std::vector<double> grey(height * width);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const int64_t at = n * c.stride_n + y * c.stride_y + x * c.stride_x;
      std::array<double, 3> p;
      for (int64_t k = 0; k < 3; ++k) {
        p[k] = element(images, c.type, at + std::min(k, c.channels - 1) * c.stride_c);
      }
      double g = c.channels == 1 ? p[0] : 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
      if (c.round_grey) {
        g = (19595 * int64_t(p[0]) + 38470 * int64_t(p[1]) + 7471 * int64_t(p[2]) + 32768) >> 16;
      }
      grey[y * width + x] = g * c.gain + (c.hann ? 0.0 : c.offset);
    }
  }
  return grey;
}

double hann(int64_t n, int64_t k) { return 0.5 - 0.5 * std::cos(2 * kPi * k / n); }

void apply_window(const Case& c, std::vector<double>& grey) {
  const int64_t height = c.geometry.height, width = c.geometry.width;
  double mean = 0, rows = 0, columns = 0;
  for (const double g : grey) mean += g / (height * width);
  for (int64_t y = 0; y < height; ++y) rows += hann(height, y) * hann(height, y) / height;
  for (int64_t x = 0; x < width; ++x) columns += hann(width, x) * hann(width, x) / width;
  const double scale = rows * columns > 0 ? 1 / std::sqrt(rows * columns) : 0;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      double& g = grey[y * width + x];
      g = (g - mean) * hann(height, y) * hann(width, x) * scale;
    }
  }
}

// F by definition, (H, W/2+1).
std::vector<Complex> transform(const Case& c, const std::vector<double>& grey) {
  const int64_t height = c.geometry.height, width = c.geometry.width, columns = c.geometry.columns;
  const auto twiddles = [](int64_t n) {
    std::vector<Complex> w(n);
    for (int64_t k = 0; k < n; ++k) w[k] = std::polar(1.0, -2 * kPi * k / n);
    return w;
  };
  const std::vector<Complex> along_x = twiddles(width), along_y = twiddles(height);
  std::vector<Complex> rows(height * columns), result(height * columns);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t v = 0; v < columns; ++v) {
      for (int64_t x = 0; x < width; ++x) {
        rows[y * columns + v] += grey[y * width + x] * along_x[v * x % width];
      }
    }
  }
  for (int64_t u = 0; u < height; ++u) {
    for (int64_t y = 0; y < height; ++y) {
      const Complex w = along_y[u * y % height];
      for (int64_t v = 0; v < columns; ++v) result[u * columns + v] += rows[y * columns + v] * w;
    }
  }
  return result;
}

double value_of(const Case& c, const Complex& f) {
  switch (c.value) {
    case Value::kPower:
      return c.value_gain * std::norm(f);
    case Value::kMagnitude:
      return c.value_gain * std::abs(f);
    case Value::kLog:
      return c.value_gain * std::log(std::norm(f) + c.eps);
    default:
      return c.value_gain * std::log(std::norm(f + c.eps));
  }
}

struct Outputs {
  std::vector<double> azimuthal, rows, columns, at_dc;
};

Outputs expected(const Case& c, const Block& images, int64_t n) {
  const Geometry& g = c.geometry;
  std::vector<double> grey = grey_plane(c, images, n);
  if (c.hann) apply_window(c, grey);
  const std::vector<Complex> spectrum = transform(c, grey);
  Outputs out{std::vector<double>(g.count),
              std::vector<double>(g.height / 2 + 1),
              std::vector<double>(g.columns),
              {value_of(c, spectrum[0])}};
  std::vector<double> rows(g.height);
  for (int64_t u = 0; u < g.height; ++u) {
    for (int64_t v = 0; v < g.columns; ++v) {
      const double value = value_of(c, spectrum[u * g.columns + v]);
      const bool inner = v > 0 && 2 * v < g.width;
      for (const std::vector<int32_t>& map : g.maps) {
        const int32_t bin = map[u * g.columns + v];
        if (bin < 0 || bin >= g.count) continue;
        out.azimuthal[bin] += value * g.inverse_counts[bin] * (g.folded && inner ? 2 : 1);
      }
      rows[u] += value * (inner ? 2 : 1) / g.width;
      out.columns[v] += value / g.height;
    }
  }
  for (int64_t u = 0; u <= g.height / 2; ++u) {
    out.rows[u] = (rows[u] + rows[(g.height - u) % g.height]) / 2;
  }
  return out;
}

// What a kernel call needs, in blocks of exact size.
struct Call {
  Call(const Case& c, const Block& images)
      : maps(c.geometry.maps.size() * c.geometry.maps[0].size() * 4),
        counts(c.geometry.count * 8),
        azimuthal(bytes(c, c.geometry.count)),
        rows(bytes(c, c.geometry.height / 2 + 1)),
        columns(bytes(c, c.geometry.columns)),
        at_dc(bytes(c, 1)) {
    const Geometry& g = c.geometry;
    const int64_t plane = g.height * g.columns;
    for (size_t m = 0; m < g.maps.size(); ++m) {
      std::memcpy(maps.data + m * plane * 4, g.maps[m].data(), plane * 4);
    }
    std::memcpy(counts.data, g.inverse_counts.data(), g.count * 8);
    Bins bins{};
    bins.maps = reinterpret_cast<const int32_t*>(maps.data);
    bins.inverse_counts = reinterpret_cast<const double*>(counts.data);
    bins.maps_count = static_cast<int64_t>(g.maps.size());
    bins.height = g.height, bins.columns = g.columns, bins.bins = g.count;
    bins.width = g.width, bins.folded = g.folded;
    good = kernels().inspect(bins);
    job = {images.data,
           c.stride_n,
           c.stride_c,
           c.stride_y,
           c.stride_x,
           c.channels,
           bins,
           c.round_grey,
           c.hann,
           c.gain,
           c.offset,
           c.value,
           c.value_gain,
           c.eps,
           c.azimuthal ? azimuthal.data : nullptr,
           c.rows ? rows.data : nullptr,
           c.columns ? columns.data : nullptr,
           at_dc.data};
  }

  static int64_t bytes(const Case& c, int64_t length) {
    return c.images * length * (c.type == Type::kDouble ? 8 : 4);
  }

  void run(const Case& c, const Parallel& parallel) {
    const Kernels& table = kernels();
    const auto kernel = c.type == Type::kByte    ? table.means_u8
                        : c.type == Type::kFloat ? table.means_f32
                                                 : table.means_f64;
    kernel(job, c.images, parallel);
  }

  Block maps, counts, azimuthal, rows, columns, at_dc;
  Means job;
  bool good;
};

Type output_type(const Case& c) { return c.type == Type::kDouble ? c.type : Type::kFloat; }

// Largest difference of row n of a block from what is expected, beside the largest expected value.
double difference(const Case& c, const Block& block, int64_t n, const std::vector<double>& wanted,
                  double scale) {
  double worst = 0;
  for (size_t k = 0; k < wanted.size(); ++k) {
    const double actual = element(block, output_type(c), n * int64_t(wanted.size()) + int64_t(k));
    const double off = std::abs(actual - wanted[k]) / scale;
    worst = off <= worst ? worst : off;  // a NaN stays
    if (std::isnan(off)) return off;
  }
  return worst;
}

double largest(const std::vector<double>& values) {
  double most = 1e-300;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

// In float the logarithm of what cancels to nothing is all rounding.
bool comparable(const Case& c) {
  return c.type == Type::kDouble || c.value == Value::kPower || c.value == Value::kMagnitude;
}

double check_means(const Case& c, const Block& images, Call& call, double spoil) {
  double worst = 0;
  const auto take = [&](double off) { worst = off <= worst ? worst : off; };
  for (int64_t n = 0; n < c.images; ++n) {
    Outputs wanted = expected(c, images, n);
    for (double& value : wanted.rows) value *= 1 + spoil;
    for (double& value : wanted.columns) value *= 1 + spoil;
    for (double& value : wanted.azimuthal) value *= 1 + spoil;
    // Under a window, or with few bins kept, all of an output may be differences of large numbers.
    const double scale = std::max({largest(wanted.azimuthal), largest(wanted.rows),
                                   largest(wanted.columns), largest(wanted.at_dc), 1e-2});
    take(difference(c, call.at_dc, n, wanted.at_dc, scale));
    if (c.azimuthal) take(difference(c, call.azimuthal, n, wanted.azimuthal, scale));
    if (c.rows) take(difference(c, call.rows, n, wanted.rows, scale));
    if (c.columns) take(difference(c, call.columns, n, wanted.columns, scale));
  }
  return worst;
}

std::string bits(const Case& c, const Call& call) {
  std::string all(call.at_dc.data, Call::bytes(c, 1));
  if (c.azimuthal) all.append(call.azimuthal.data, Call::bytes(c, c.geometry.count));
  if (c.rows) all.append(call.rows.data, Call::bytes(c, c.geometry.height / 2 + 1));
  if (c.columns) all.append(call.columns.data, Call::bytes(c, c.geometry.columns));
  return all;
}

template <typename T>
double dot(const Block& block, const std::vector<double>& weights) {
  double total = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    total += static_cast<double>(reinterpret_cast<const T*>(block.data)[i]) * weights[i];
  }
  return total;
}

// Weighted sum of every output of a call on images moved by `step` along `direction`.
double loss(const Case& c, const Block& images, const std::vector<double>& direction, double step,
            const std::array<std::vector<double>, 4>& weights) {
  Block moved(elements(c) * 8);
  for (int64_t i = 0; i < elements(c); ++i) {
    reinterpret_cast<double*>(moved.data)[i] = element(images, c.type, i) + step * direction[i];
  }
  Call call(c, moved);
  call.run(c, kOneThread);
  double total = dot<double>(call.at_dc, weights[3]);
  if (c.azimuthal) total += dot<double>(call.azimuthal, weights[0]);
  if (c.rows) total += dot<double>(call.rows, weights[1]);
  if (c.columns) total += dot<double>(call.columns, weights[2]);
  return total;
}

// The gradient against central differences along a random direction, exact for powers.
double check_gradient(const Case& c, const Block& images, Random& random) {
  const Geometry& g = c.geometry;
  const std::array<int64_t, 4> lengths = {g.count, g.height / 2 + 1, g.columns, 1};
  std::array<std::vector<double>, 4> weights;
  std::vector<std::unique_ptr<Block>> blocks;
  for (int k = 0; k < 4; ++k) {
    blocks.push_back(std::make_unique<Block>(c.images * lengths[k] * 8));
    for (int64_t i = 0; i < c.images * lengths[k]; ++i) {
      weights[k].push_back(random.normal());
      reinterpret_cast<double*>(blocks[k]->data)[i] = weights[k].back();
    }
  }
  Call call(c, images);
  const int64_t pixels = c.channels * g.height * g.width;
  Block gradient(c.images * pixels * 8);
  MeansGradient job{call.job,
                    c.azimuthal ? blocks[0]->data : nullptr,
                    c.rows ? blocks[1]->data : nullptr,
                    c.columns ? blocks[2]->data : nullptr,
                    blocks[3]->data,
                    gradient.data};
  kernels().gradient_f64(job, c.images, kThreeThreads);
  std::vector<double> direction(elements(c));
  for (double& d : direction) d = random.normal();
  double along = 0;
  for (int64_t n = 0; n < c.images; ++n) {
    for (int64_t i = 0; i < pixels; ++i) {
      const int64_t x = i % g.width, y = i / g.width % g.height, k = i / g.width / g.height;
      const int64_t at = n * c.stride_n + k * c.stride_c + y * c.stride_y + x * c.stride_x;
      along += reinterpret_cast<double*>(gradient.data)[n * pixels + i] * direction[at];
    }
  }
  const double step = c.value == Value::kPower ? 1.0 : 1e-5;
  const double up = loss(c, images, direction, step, weights);
  const double down = loss(c, images, direction, -step, weights);
  const double rounding = 1e-14 * (std::abs(up) + std::abs(down)) / step;
  return std::abs(along - (up - down) / (2 * step)) / (std::abs(along) + rounding + 1e-3);
}

template <typename T>
double check_planes(const Case& c, Random& random) {
  const Geometry& g = c.geometry;
  const int64_t plane = g.height * g.columns;
  Case floating = c;
  Block none(1);
  Call call(floating, none);
  Block values(plane * sizeof(T)), profile(g.count * sizeof(T)), means(g.count * sizeof(T)),
      spread(plane * sizeof(T));
  for (int64_t i = 0; i < plane; ++i) reinterpret_cast<T*>(values.data)[i] = T(random.normal());
  for (int64_t k = 0; k < g.count; ++k) reinterpret_cast<T*>(profile.data)[k] = T(random.normal());
  const Kernels& table = kernels();
  constexpr bool single = sizeof(T) == 4;
  (single ? table.average_f32 : table.average_f64)({values.data, means.data, call.job.bins}, 1,
                                                   kOneThread);
  (single ? table.spread_f32 : table.spread_f64)({profile.data, spread.data, call.job.bins}, 1,
                                                 kOneThread);
  std::vector<double> wanted(g.count), size(g.count, 1e-300);
  double worst = 0;
  for (int64_t u = 0; u < g.height; ++u) {
    for (int64_t v = 0; v < g.columns; ++v) {
      const int64_t i = u * g.columns + v;
      const double weight = g.folded && v > 0 && 2 * v < g.width ? 2 : 1;
      double expected_spread = 0;
      for (const std::vector<int32_t>& map : g.maps) {
        const int32_t bin = map[i];
        if (bin < 0 || bin >= g.count) continue;
        const double value = reinterpret_cast<T*>(values.data)[i] * weight * g.inverse_counts[bin];
        wanted[bin] += value;
        size[bin] += std::abs(value);
        expected_spread += reinterpret_cast<T*>(profile.data)[bin] * weight * g.inverse_counts[bin];
      }
      worst = std::max(worst, std::abs(reinterpret_cast<T*>(spread.data)[i] - expected_spread) /
                                  (std::abs(expected_spread) + 1e-3));
    }
  }
  for (int64_t k = 0; k < g.count; ++k) {
    worst = std::max(worst, std::abs(reinterpret_cast<T*>(means.data)[k] - wanted[k]) / size[k]);
  }
  return worst;
}

struct Options {
  int64_t cases = 1000, only = -1;
  uint64_t seed = 1;
  std::string fault;
};

bool report(int64_t number, const Case& c, const char* what, double off, double tolerance) {
  if (off <= tolerance) return true;
  std::printf(
      "case %lld: %s off by %.3g > %.3g; %lldx%lld, type %d, channels %lld, value %d, "
      "hann %d, half pixel %d, half plane %d, strides %lld %lld %lld %lld\n",
      static_cast<long long>(number), what, off, tolerance,
      static_cast<long long>(c.geometry.height), static_cast<long long>(c.geometry.width),
      static_cast<int>(c.type), static_cast<long long>(c.channels), static_cast<int>(c.value),
      c.hann, c.geometry.half_pixel, c.geometry.half_plane, static_cast<long long>(c.stride_n),
      static_cast<long long>(c.stride_c), static_cast<long long>(c.stride_y),
      static_cast<long long>(c.stride_x));
  return false;
}

bool run_case(int64_t number, const Options& options, bool& ran) {
  Random random{std::mt19937_64(options.seed * 1000003 + static_cast<uint64_t>(number))};
  Case c;
  ran = random_case(random, c);
  if (!ran) return true;
  const int64_t count = elements(c) - (options.fault == "read" ? 1 : 0);
  Block images(count * size_of(c.type));
  fill(images, c.type, count, random);
  Call call(c, images);
  if (!call.good) return report(number, c, "inspect", 1, 0);
  call.run(c, kOneThread);
  const double spoil = options.fault == "value" ? 1e-3 : 0;
  bool passed = true;
  if (comparable(c)) {
    const double off = check_means(c, images, call, spoil);
    passed &= report(number, c, "means", off, c.type == Type::kDouble ? 1e-10 : 1e-5);
  }
  const std::string one = bits(c, call);
  call.run(c, kThreeThreads);
  passed &= report(number, c, "threads", one == bits(c, call) ? 0 : 1, 0);
  if (c.type == Type::kDouble) {
    passed &= report(number, c, "gradient", check_gradient(c, images, random),
                     c.value == Value::kPower ? 1e-7 : 1e-3);
    passed &= report(number, c, "planes", check_planes<double>(c, random), 1e-12);
  } else if (c.type == Type::kFloat) {
    passed &= report(number, c, "planes", check_planes<float>(c, random), 1e-6);
  }
  return passed;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--cases") options.cases = std::atoll(argv[i + 1]);
    if (name == "--seed") options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--one") options.only = std::atoll(argv[i + 1]);
    if (name == "--fault") options.fault = argv[i + 1];
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  int64_t failures = 0, ran = 0;
  const int64_t first = options.only < 0 ? 0 : options.only;
  for (int64_t number = first; options.only < 0 ? ran < options.cases : number == first; ++number) {
    bool counted = false;
    failures += !run_case(number, options, counted);
    ran += counted;
    if (failures == 20) break;
  }
  std::printf("%lld cases, %lld failures\n", static_cast<long long>(ran),
              static_cast<long long>(failures));
  return failures == 0 ? 0 : 1;
}
