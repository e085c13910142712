// Random calls of the CPU kernels, without torch, for the sanitizers and against oracle.h. Every
// buffer is a heap block of exactly its size, so that one element too far is an error of the
// address sanitizer, and fresh memory is filled with NaN, so that what is read before it is written
// shows in the results.
//
// The faults (read, write, value, bin) prove that the harness sees what it looks for: an image or
// an output one element short, a value that is off, one coefficient in the bin beside its own.
#include <memory>

#include "golden.h"
#include "harness.h"
#include "oracle.h"

namespace {

using namespace gandetect::spectrum;
using gandetect::Parallel;

// Precisions that the oracle's estimates start from. That of double also covers the oracle's own
// sums, which are direct.
constexpr double kFloat = 8 * 0x1p-24, kDouble = 64 * 0x1p-53;

Type output_type(Type images) { return images == Type::kDouble ? images : Type::kFloat; }

struct Case {
  Geometry geometry;
  Type type;
  int64_t images, channels;
  int64_t stride_n, stride_c, stride_y, stride_x, lead;
  bool round_gray, hann;
  double gain, offset, value_gain, eps;
  Value value;
  bool azimuthal, rows, columns;
  const char* bins;

  int64_t pixels() const { return channels * geometry.height * geometry.width; }
  int64_t position(int64_t n, int64_t pixel) const {
    const int64_t x = pixel % geometry.width, row = pixel / geometry.width;
    const int64_t y = row % geometry.height, c = row / geometry.height;
    return n * stride_n + c * stride_c + y * stride_y + x * stride_x;
  }
  int64_t elements() const { return images == 0 ? 0 : position(images - 1, pixels() - 1) + 1; }
  double precision() const { return type == Type::kDouble ? kDouble : kFloat; }
  std::string description() const;
};

std::string Case::description() const {
  char text[256];
  std::snprintf(text, sizeof text,
                "%lldx%lld %s, type %d, images %lld, channels %lld, value %d, hann %d, strides "
                "%lld %lld %lld %lld",
                static_cast<long long>(geometry.height), static_cast<long long>(geometry.width),
                bins, static_cast<int>(type), static_cast<long long>(images),
                static_cast<long long>(channels), static_cast<int>(value), hann,
                static_cast<long long>(stride_n), static_cast<long long>(stride_c),
                static_cast<long long>(stride_y), static_cast<long long>(stride_x));
  return text;
}

// Wide enough to be split among threads in every type and level, primes, powers of two.
constexpr int64_t kLarge[][2] = {{131, 257}, {256, 256}, {33, 1024}, {1024, 33}, {5, 1100},
                                 {3, 2048},  {7, 1021},  {1021, 7},  {64, 640},  {1, 4099},
                                 {2048, 2},  {100, 521}, {17, 1155}, {48, 1200}, {521, 40}};

void random_sides(Random& random, Geometry& g) {
  const auto side = [&] {
    if (random.one_in(30)) return 1 + random.below(144);
    return 1 + random.below(random.one_in(4) ? 80 : 18);
  };
  if (random.one_in(250)) {
    const auto& large = kLarge[random.below(std::size(kLarge))];
    g.height = large[0], g.width = large[1];
    return;
  }
  g.height = side(), g.width = side();
  if (g.height * g.width > 4000) g.height = 1 + random.below(20);
}

const char* random_bins(Random& random, Geometry& g) {
  const int64_t kind = random.below(5);
  if (kind == 4) {
    make_arbitrary_bins(g, random);
    return "arbitrary";
  }
  g.half_pixel = kind == 1;
  g.half_plane = kind == 2;
  if (!make_geometry(g, random.one_in(3))) return nullptr;
  return g.half_pixel ? "half pixel" : g.half_plane ? "half plane" : "about DC";
}

// What torch can give: views of every kind, but no negative stride.
void random_strides(Random& random, Case& c) {
  const int64_t height = c.geometry.height, width = c.geometry.width;
  c.stride_x = 1, c.stride_y = width, c.stride_c = width * height;
  switch (random.below(7)) {
    case 0:  // interleaved
      c.stride_c = 1, c.stride_x = c.channels, c.stride_y = c.channels * width;
      break;
    case 1:  // rows longer than the image
      c.stride_y = width + 1 + random.below(70), c.stride_c = c.stride_y * height;
      break;
    case 2:  // every second column
      c.stride_x = 2, c.stride_y = 2 * width, c.stride_c = c.stride_y * height;
      break;
    case 3:  // transposed
      c.stride_y = 1, c.stride_x = height;
      break;
    case 4:  // interleaved with a fourth channel, in longer rows
      c.stride_c = 1, c.stride_x = 4, c.stride_y = 4 * width + random.below(9);
      break;
    default:
      break;
  }
  c.stride_n = c.channels * std::max({c.stride_c, c.stride_y * height, c.stride_x * width});
  for (int64_t* stride : {&c.stride_n, &c.stride_c, &c.stride_y, &c.stride_x}) {
    if (random.one_in(12)) *stride = random.below(2);  // expanded, or overlapping
  }
  // The stride of a side of one means nothing.
  if (height == 1 && random.one_in(3)) c.stride_y = int64_t{1} << 40;
  if (width == 1 && random.one_in(3)) c.stride_x = int64_t{1} << 40;
  if (c.channels == 1 && random.one_in(3)) c.stride_c = int64_t{1} << 40;
}

bool random_case(Random& random, Case& c) {
  random_sides(random, c.geometry);
  c.bins = random_bins(random, c.geometry);
  if (c.bins == nullptr) return false;
  c.type = static_cast<Type>(random.below(3));
  const bool is_large = c.geometry.height * c.geometry.width > 4000;
  c.images = is_large ? 1 : random.one_in(60) ? 0 : 1 + random.below(random.one_in(16) ? 9 : 3);
  c.channels = random.one_in(2) ? 1 : 3;
  random_strides(random, c);
  c.lead = random.below(4) * size_of(c.type);
  c.round_gray = c.type == Type::kByte && random.one_in(2);
  c.hann = random.one_in(3);
  c.gain = random.one_in(2) ? 1.0 : 1 / 127.5;
  c.offset = random.one_in(2) ? 0.0 : -1.0;
  c.value = static_cast<Value>(random.below(4));
  c.value_gain = random.one_in(2) ? 1.0 : 10.0;
  c.eps = random.one_in(2) ? 1e-3 : 1e-8;
  const int64_t outputs = random.below(8);
  c.azimuthal = outputs & 1, c.rows = outputs & 2, c.columns = outputs & 4;
  return true;
}

// Noise, a ramp with a little noise, or one level with a single other pixel.
void fill(char* data, const Case& c, int64_t count, Random& random) {
  const int64_t kind = random.below(4);
  const double level = std::floor(255 * random.unit()), slope = 200 * random.unit();
  for (int64_t i = 0; i < count; ++i) {
    const double noise = random.unit();
    const double ramp = 20 + slope * static_cast<double>(i % 97) / 97 + 3 * noise;
    set_element(data, c.type, i, kind < 2 ? 255 * noise : kind == 2 ? ramp : level);
  }
  if (kind == 3 && count > 0) set_element(data, c.type, random.below(count), 255);
}

std::vector<double> pixels_of(const Case& c, const char* images, int64_t n) {
  std::vector<double> pixels(c.pixels());
  for (int64_t i = 0; i < c.pixels(); ++i) pixels[i] = element(images, c.type, c.position(n, i));
  return pixels;
}

Question question(const Case& c, const std::vector<double>& pixels) {
  return {c.geometry,   pixels, c.channels, c.type == Type::kByte,
          c.round_gray, c.hann, c.gain,     c.offset,
          c.value_gain, c.eps,  c.value,    c.precision()};
}

// The bins of a case as a kernel takes them.
struct BinBlocks {
  BinBlocks(const Geometry& g, bool misplaced)
      : maps(static_cast<int64_t>(g.maps.size()) * g.height * g.columns * 4),
        inverse_counts(g.count * 8) {
    const int64_t plane = g.height * g.columns;
    int32_t* entries = reinterpret_cast<int32_t*>(maps.data);
    for (size_t m = 0; m < g.maps.size(); ++m) {
      std::copy_n(g.maps[m].begin(), plane, entries + m * plane);
    }
    if (misplaced) entries[0] += entries[0] < g.count ? 1 : -1;
    std::memcpy(inverse_counts.data, g.inverse_counts.data(), g.count * 8);
    bins.maps = entries;
    bins.inverse_counts = reinterpret_cast<const double*>(inverse_counts.data);
    bins.maps_count = static_cast<int64_t>(g.maps.size());
    bins.height = g.height, bins.columns = g.columns, bins.bins = g.count;
    bins.width = g.width, bins.folded = g.folded;
    accepted = kernels().inspect(bins);
  }

  Block maps, inverse_counts;
  Bins bins{};
  bool accepted;
};

enum Output { kAzimuthal, kRows, kColumns, kAtDc, kOutputs };

std::array<int64_t, kOutputs> lengths_of(const Case& c) {
  return {c.azimuthal ? c.geometry.count : 0, c.rows ? c.geometry.height / 2 + 1 : 0,
          c.columns ? c.geometry.columns : 0, 1};
}

// A call of `means` and its outputs.
class Call {
 public:
  Call(const Case& c, const char* images, const std::string& fault)
      : case_(c), bins_(c.geometry, fault == "bin"), lengths_(lengths_of(c)) {
    for (int k = 0; k < kOutputs; ++k) {
      const int64_t count = c.images * lengths_[k] - (fault == "write" && k == kAtDc ? 1 : 0);
      outputs_[k] = std::make_unique<Block>(count * size_of(output_type(c.type)));
    }
    job_ = {images,       c.stride_n,   c.stride_c,     c.stride_y, c.stride_x,   c.channels,
            bins_.bins,   c.round_gray, c.hann,         c.gain,     c.offset,     c.value,
            c.value_gain, c.eps,        at(kAzimuthal), at(kRows),  at(kColumns), at(kAtDc)};
  }

  void run(const Parallel& parallel) {
    const Kernels& table = kernels();
    const auto kernel = case_.type == Type::kByte    ? table.means_u8
                        : case_.type == Type::kFloat ? table.means_f32
                                                     : table.means_f64;
    kernel(job_, case_.images, parallel);
  }

  bool accepted() const { return bins_.accepted; }
  const Means& job() const { return job_; }
  const Bins& bins() const { return bins_.bins; }
  double output(int k, int64_t i) const {
    return element(outputs_[k]->data, output_type(case_.type), i);
  }
  int64_t length(int k) const { return lengths_[k]; }

  // Outputs of image n, byte by byte.
  std::string bytes(int64_t n) const {
    std::string all;
    for (int k = 0; k < kOutputs; ++k) {
      const int64_t row = lengths_[k] * size_of(output_type(case_.type));
      all.append(outputs_[k]->data + n * row, row);
    }
    return all;
  }
  std::string bytes() const {
    std::string all;
    for (int64_t n = 0; n < case_.images; ++n) all += bytes(n);
    return all;
  }

 private:
  void* at(int k) const { return lengths_[k] == 0 ? nullptr : outputs_[k]->data; }

  const Case& case_;
  BinBlocks bins_;
  std::array<int64_t, kOutputs> lengths_;
  std::array<std::unique_ptr<Block>, kOutputs> outputs_;
  Means job_;
};

double check_means(const Oracle& oracle, const Call& call, int64_t n, double spoil) {
  const Answers answers = oracle.means();
  const Estimate* const all[] = {&answers.azimuthal, &answers.rows, &answers.columns,
                                 &answers.at_dc};
  double worst = 0;
  for (int k = 0; k < kOutputs; ++k) {
    for (int64_t i = 0; i < call.length(k); ++i) {
      const double actual = call.output(k, n * call.length(k) + i) * (1 + spoil);
      worst = worse(excess(actual, all[k]->wanted[i], all[k]->allowed[i]), worst);
    }
  }
  return worst;
}

class GradientCall {
 public:
  GradientCall(const Case& c, const Call& call, Random& random)
      : case_(c), images_(c.images * c.pixels() * size_of(c.type)) {
    job_ = {call.job(), nullptr, nullptr, nullptr, nullptr, images_.data};
    const void** const targets[] = {&job_.azimuthal, &job_.rows, &job_.columns, &job_.at_dc};
    for (int k = 0; k < kOutputs; ++k) {
      lengths_[k] = random.one_in(6) ? 0 : call.length(k);
      reaching_[k] = std::make_unique<Block>(c.images * lengths_[k] * size_of(c.type));
      for (int64_t i = 0; i < c.images * lengths_[k]; ++i) {
        set_element(reaching_[k]->data, c.type, i, random.normal());
      }
      if (lengths_[k] > 0) *targets[k] = reaching_[k]->data;
    }
  }

  void run(const Parallel& parallel) {
    (case_.type == Type::kFloat ? kernels().gradient_f32 : kernels().gradient_f64)(
        job_, case_.images, parallel);
  }

  double check(const Oracle& oracle, int64_t n) const {
    std::array<std::vector<double>, kOutputs> reaching;
    for (int k = 0; k < kOutputs; ++k) {
      for (int64_t i = 0; i < lengths_[k]; ++i) {
        reaching[k].push_back(element(reaching_[k]->data, case_.type, n * lengths_[k] + i));
      }
    }
    const Estimate wanted = oracle.gradient(reaching);
    double worst = 0;
    for (int64_t i = 0; i < case_.pixels(); ++i) {
      const double actual = element(images_.data, case_.type, n * case_.pixels() + i);
      worst = worse(excess(actual, wanted.wanted[i], wanted.allowed[i]), worst);
    }
    return worst;
  }

  std::string bytes() const {
    return std::string(images_.data, case_.images * case_.pixels() * size_of(case_.type));
  }

 private:
  const Case& case_;
  Block images_;
  std::array<int64_t, kOutputs> lengths_;
  std::array<std::unique_ptr<Block>, kOutputs> reaching_;
  MeansGradient job_;
};

// The azimuthal pair over random planes; what is not finite there stays in its own bins.
double check_planes(const Case& c, const Bins& bins, const Parallel& parallel, Random& random) {
  const Geometry& g = c.geometry;
  const int64_t plane = g.height * g.columns, size = size_of(c.type);
  Block values(c.images * plane * size), means(c.images * g.count * size),
      profile(c.images * g.count * size), spread(c.images * plane * size);
  for (int64_t i = 0; i < c.images * plane; ++i) {
    set_element(values.data, c.type, i, random.one_in(200) ? not_finite(random) : random.normal());
  }
  for (int64_t k = 0; k < c.images * g.count; ++k) {
    set_element(profile.data, c.type, k, random.normal());
  }
  const Kernels& table = kernels();
  const bool single = c.type == Type::kFloat;
  (single ? table.average_f32 : table.average_f64)({values.data, means.data, bins}, c.images,
                                                   parallel);
  (single ? table.spread_f32 : table.spread_f64)({profile.data, spread.data, bins}, c.images,
                                                 parallel);
  double worst = 0;
  for (int64_t n = 0; n < c.images; ++n) {
    Estimate average(g.count);
    for (int64_t i = 0; i < plane; ++i) {
      const double value = element(values.data, c.type, n * plane + i);
      double wanted = 0, allowed = 0;
      for (const std::vector<int32_t>& map : g.maps) {
        if (!g.is_kept(map[i])) continue;
        const double weight =
            (g.folded && g.is_inner(i % g.columns) ? 2 : 1) * g.inverse_counts[map[i]];
        average.wanted[map[i]] += value * weight;
        average.allowed[map[i]] += std::abs(value) * weight * c.precision();
        const double level = element(profile.data, c.type, n * g.count + map[i]) * weight;
        wanted += level;
        allowed += std::abs(level) * 4 * c.precision();
      }
      const double actual = element(spread.data, c.type, n * plane + i);
      worst = worse(excess(actual, wanted, allowed), worst);
    }
    for (int64_t k = 0; k < g.count; ++k) {
      const double actual = element(means.data, c.type, n * g.count + k);
      worst = worse(excess(actual, average.wanted[k], average.allowed[k]), worst);
    }
  }
  return worst;
}

// A pixel that is no number, or infinite, leaves no finite number in a mean of its image that has
// any coefficient, nor in its gradient, and changes no bit of the others.
bool spoils_only_its_image(const Case& c, Block& images, Call& call, Random& random) {
  std::vector<std::string> clean;
  for (int64_t n = 0; n < c.images; ++n) clean.push_back(call.bytes(n));
  const int64_t spoiled = random.below(c.images);
  const int64_t place = c.position(spoiled, random.below(c.pixels()));
  set_element(images.data, c.type, place, not_finite(random));
  call.run(*kParallels[random.below(std::size(kParallels))]);
  std::vector<bool> is_hit(c.images);
  for (int64_t n = 0; n < c.images; ++n) {
    for (int64_t i = 0; i < c.pixels(); ++i) is_hit[n] = is_hit[n] || c.position(n, i) == place;
    if (!is_hit[n] && call.bytes(n) != clean[n]) return false;
  }
  std::vector<bool> is_empty(c.geometry.count, true);
  for (const std::vector<int32_t>& map : c.geometry.maps) {
    for (const int32_t bin : map) {
      if (c.geometry.is_kept(bin)) is_empty[bin] = false;
    }
  }
  for (int k = 0; k < kOutputs; ++k) {
    for (int64_t i = 0; i < call.length(k); ++i) {
      const bool finite = std::isfinite(call.output(k, spoiled * call.length(k) + i));
      if (finite && !(k == kAzimuthal && is_empty[i])) return false;
    }
  }
  return true;
}

// A map with an entry out of its range is refused.
bool refuses_bad_bins(Geometry g, Random& random) {
  std::vector<int32_t>& map = g.maps[random.below(static_cast<int64_t>(g.maps.size()))];
  map[random.below(static_cast<int64_t>(map.size()))] =
      random.one_in(2) ? -2 : static_cast<int32_t>(g.count + 1);
  return !BinBlocks(g, false).accepted;
}

bool check_case(const Case& c, Random& random) {
  const int64_t count = c.elements() - (options.fault == "read" ? 1 : 0);
  Block images(count * size_of(c.type), c.lead);
  fill(images.data, c, count, random);
  Call call(c, images.data, options.fault);
  bool passed = holds(c, "bins accepted", call.accepted()) &&
                holds(c, "bad bins refused", refuses_bad_bins(c.geometry, random));
  if (!passed) return false;
  call.run(any_parallel(random));
  const std::string first = call.bytes();
  call.run(any_parallel(random));
  passed &= holds(c, "means over threads", first == call.bytes());
  std::unique_ptr<GradientCall> gradient;
  if (c.type != Type::kByte) {
    passed &= within(c, "planes", check_planes(c, call.bins(), any_parallel(random), random));
    gradient = std::make_unique<GradientCall>(c, call, random);
    gradient->run(any_parallel(random));
    const std::string once = gradient->bytes();
    gradient->run(any_parallel(random));
    passed &= holds(c, "gradient over threads", once == gradient->bytes());
  }
  for (int64_t n = 0; n < c.images; ++n) {
    const std::vector<double> pixels = pixels_of(c, images.data, n);
    const Question asked = question(c, pixels);
    const Oracle oracle(asked);
    const double spoil = options.fault == "value" ? 1e-4 : 0;
    passed &= within(c, "means", check_means(oracle, call, n, spoil));
    if (gradient) passed &= within(c, "gradient", gradient->check(oracle, n));
  }
  if (c.type != Type::kByte && c.images > 0 && random.one_in(4)) {
    passed &= holds(c, "not finite", spoils_only_its_image(c, images, call, random));
  }
  return passed;
}

}  // namespace

int main(int argc, char** argv) {
  start(argc, argv);
  // No case where an image has no bin.
  return run_cases(golden_failures(), [](Random& random, bool& passed) {
    Case c{};
    if (!random_case(random, c)) return false;
    passed = check_case(c, random);
    return true;
  });
}
