// Random calls of the up-sampling CPU kernels, without torch, for the sanitizers and against
// upsample_oracle.h. Every buffer is a heap block of exactly its size, so that one element too far
// is an error of the address sanitizer. Results begin as a pattern, so that what is never written
// shows; what lies between the elements of an input is NaN, so that what is read in vain shows too.
//
// Faults, of the kernel that --kernel names, prove that the harness sees what it looks for. One
// element short: read (the input), write (the result), weight (packed or not, or indices), bias.
// styled_cases.h has more. value: one input is off. threads: the last share of the work is left
// out.
#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "harness.h"
#include "upsample/packed.h"
#include "upsample_oracle.h"

namespace {

using namespace gandetect::upsample;
using gandetect::Parallel;

bool is_fault(const char* name) { return options.fault == name; }
bool is_wanted(const char* kernel) { return options.kernel.empty() || options.kernel == kernel; }

// Kernels called, over all cases.
int64_t calls = 0;

const Parallel kLastLeftOut = {
    3, [](int64_t count, void (*body)(void*, int64_t, int64_t), void* context) {
      if (count > 1) body(context, 0, count - 1);
    }};

// Two ways of sharing work, one of which may be at fault.
std::array<const Parallel*, 2> two_ways(Random& random) {
  const int64_t first = random.below(std::size(kParallels));
  const int64_t second = (first + 1 + random.below(std::size(kParallels) - 1)) % 4;
  return {kParallels[first], is_fault("threads") ? &kLastLeftOut : kParallels[second]};
}

struct Shape {
  int64_t n, channels, height, width;

  int64_t count() const { return n * channels * height * width; }
  std::array<int64_t, 4> sides() const { return {n, channels, height, width}; }
};

using Strides = std::array<int64_t, 4>;

Strides dense_strides(const Shape& s, bool channels_last) {
  const int64_t plane = s.height * s.width;
  if (channels_last) return {plane * s.channels, 1, s.width * s.channels, s.channels};
  return {plane * s.channels, plane, s.width, 1};
}

// Values in the order (N, C, H, W); along an `even` side all of them are equal.
struct Values {
  Shape shape;
  std::array<bool, 4> even{};
  std::vector<double> data;
};

// The stride of a side of one means nothing.
void hide_strides(const Shape& s, Strides& strides, Random& random) {
  const std::array<int64_t, 4> sides = s.sides();
  for (int k = 0; k < 4; ++k) {
    if (sides[k] == 1 && random.one_in(3)) strides[k] = random.one_in(2) ? 1 : int64_t{1} << 40;
  }
}

// What torch can give: views of every kind, but no negative stride.
Strides random_strides(const Values& values, Random& random) {
  const Shape& s = values.shape;
  const int64_t gap = random.below(9), kind = random.below(8);
  Strides strides = dense_strides(s, kind < 3);
  auto& [along_n, along_c, along_y, along_x] = strides;
  if (kind == 1) {  // some of the channels, in longer rows
    along_x = s.channels + gap, along_y = s.width * along_x + random.below(20);
    along_n = s.height * along_y;
  } else if (kind == 2) {  // channels last, images apart
    along_n += gap;
  } else if (kind == 4) {  // rows longer than the image
    along_y = s.width + 1 + gap, along_c = s.height * along_y, along_n = s.channels * along_c;
  } else if (kind == 5) {  // every second column
    along_x = 2, along_y = 2 * s.width, along_c = s.height * along_y + gap;
    along_n = s.channels * along_c;
  } else if (kind == 6) {  // transposed
    along_y = 1, along_x = s.height;
  } else if (kind == 7) {  // some of the channels, planes apart
    along_c += gap, along_n = s.channels * along_c + random.below(50);
  }
  for (int k = 0; k < 4; ++k) {
    if (values.even[k] && random.one_in(2)) strides[k] = 0;  // expanded
  }
  hide_strides(s, strides, random);
  return strides;
}

int64_t random_lead(Type type, Random& random) {
  return random.one_in(2) ? 0 : random.below(16) * size_of(type);
}

class Input {
 public:
  Input(const Values& values, Type type, const Strides& strides, bool is_short, Random& random)
      : shape_(values.shape),
        strides_(strides),
        block_((span() - is_short) * size_of(type), random_lead(type, random)) {
    std::memset(block_.data, 0xff, block_.bytes);  // NaN
    const int64_t end = block_.bytes / size_of(type);
    int64_t i = 0;
    for (int64_t n = 0; n < shape_.n; ++n) {
      for (int64_t c = 0; c < shape_.channels; ++c) {
        for (int64_t y = 0; y < shape_.height; ++y) {
          for (int64_t x = 0; x < shape_.width; ++x, ++i) {
            const int64_t at =
                n * strides_[0] + c * strides_[1] + y * strides_[2] + x * strides_[3];
            if (at < end) set_element(block_.data, type, at, values.data[i]);
          }
        }
      }
    }
  }

  Planes planes() const {
    return {block_.data, shape_.n,    shape_.channels, shape_.height, shape_.width,
            strides_[0], strides_[1], strides_[2],     strides_[3]};
  }
  std::string description() const {
    std::string text = " strides";
    for (const int64_t stride : strides_) text += " " + std::to_string(stride);
    return text;
  }

 private:
  int64_t span() const {
    if (shape_.count() == 0) return 0;
    const std::array<int64_t, 4> sides = shape_.sides();
    int64_t last = 0;
    for (int k = 0; k < 4; ++k) last += (sides[k] - 1) * strides_[k];
    return last + 1;
  }

  Shape shape_;
  Strides strides_;
  Block block_;
};

// A NaN that no arithmetic makes.
constexpr uint32_t kPattern32 = 0x7fa5c3e1;
constexpr uint64_t kPattern64 = 0x7ff5a5c3e1f00d55;

void fill_with_pattern(Block& block, Type type) {
  for (int64_t i = 0; i < block.bytes / size_of(type); ++i) {
    if (type == Type::kFloat) std::memcpy(block.data + 4 * i, &kPattern32, 4);
    if (type == Type::kDouble) std::memcpy(block.data + 8 * i, &kPattern64, 8);
  }
}

GD_UNWATCHED bool has_pattern(const Block& block, Type type) {
  for (int64_t i = 0; i < block.bytes / size_of(type); ++i) {
    const bool unwritten = type == Type::kFloat
                               ? std::memcmp(block.data + 4 * i, &kPattern32, 4) == 0
                               : std::memcmp(block.data + 8 * i, &kPattern64, 8) == 0;
    if (unwritten) return true;
  }
  return false;
}

class Output {
 public:
  Output(const Shape& shape, Type type, bool channels_last, Random& random)
      : shape_(shape),
        type_(type),
        strides_(dense_strides(shape, channels_last)),
        channels_last_(channels_last),
        block_((shape.count() - is_fault("write")) * size_of(type), lead(random), tail(random)) {
    refill();
  }

  void refill() { fill_with_pattern(block_, type_); }
  Result result() {
    return {block_.data, shape_.channels, shape_.height, shape_.width, channels_last_};
  }
  double at(int64_t n, int64_t c, int64_t y, int64_t x) const {
    return element(block_.data, type_,
                   n * strides_[0] + c * strides_[1] + y * strides_[2] + x * strides_[3]);
  }
  bool is_written() const { return !has_pattern(block_, type_); }
  bool is_intact() const { return block_.is_intact(); }
  std::string bytes() const { return std::string(block_.data, block_.bytes); }
  Type type() const { return type_; }

 private:
  // Large results are mostly aligned, and stored around the caches, where the sanitizer sees
  // nothing.
  bool is_large() const { return shape_.count() > 1 << 20; }
  int64_t lead(Random& random) const {
    return is_large() && !random.one_in(4) ? 0 : random_lead(type_, random);
  }
  int64_t tail(Random& random) const { return is_large() || random.one_in(4) ? 256 : 0; }

  Shape shape_;
  Type type_;
  Strides strides_;
  bool channels_last_;
  Block block_;
};

// Calls run(result, parallel) in two ways and keeps the second result.
template <typename Case, typename F>
bool run_twice(const Case& c, const char* kernel, Output& y, Random& random, const F& run) {
  const auto [first, second] = two_ways(random);
  run(y.result(), *first);
  const std::string once = y.bytes();
  y.refill();
  run(y.result(), *second);
  calls += 2;
  const std::string name = kernel;
  return holds(c, (name + " over threads").c_str(), once == y.bytes()) &&
         holds(c, (name + " writes all").c_str(), y.is_written()) &&
         holds(c, (name + " writes no more").c_str(), y.is_intact());
}

struct Finish {
  Activation activation;
  double slope;
  bool has_bias;
};

Finish random_finish(Random& random) {
  return {static_cast<Activation>(random.below(5)), random.one_in(3) ? 1.25 : 0.2,
          !random.one_in(3)};
}

// A bias of exactly its size, or none.
class Bias {
 public:
  Bias(const Finish& finish, const std::vector<double>& values, Type type, Random& random)
      : finish_(finish),
        block_((static_cast<int64_t>(values.size()) - is_fault("bias")) * size_of(type),
               random_lead(type, random)) {
    for (int64_t i = 0; i < block_.bytes / size_of(type); ++i) {
      set_element(block_.data, type, i, values[i]);
    }
  }
  Ending ending() const {
    return {finish_.has_bias ? block_.data : nullptr, finish_.activation, finish_.slope};
  }

 private:
  Finish finish_;
  Block block_;
};

// Values of float32, of one of several kinds.
std::vector<double> random_values(int64_t count, Random& random) {
  std::vector<double> values(count);
  const int64_t kind = random.below(6);
  for (double& value : values) {
    value = random.normal();
    if (kind == 0) value = random.unit();
    if (kind == 1) value *= std::ldexp(1.0, static_cast<int>(random.below(17)) - 8);
    if (kind == 2 && random.one_in(2)) value = 0;
    value = static_cast<float>(value);
  }
  return values;
}

Values random_image(const Shape& shape, Random& random) {
  Values image{shape, {}, random_values(shape.count(), random)};
  const std::array<int64_t, 4> sides = shape.sides();
  int64_t step = shape.count();
  for (int k = 0; k < 4; ++k) {
    if (shape.count() == 0) break;
    step /= sides[k];
    image.even[k] = random.one_in(16);
    for (int64_t i = 0; image.even[k] && i < shape.count(); ++i) {
      if (i / step % sides[k] > 0) image.data[i] = image.data[i - step];
    }
  }
  return image;
}

// One value is not what the oracle is told.
Values spoiled(Values image, Random& random) {
  if (is_fault("value") && !image.data.empty()) {
    image.even = {};
    double& value = image.data[random.below(image.shape.count())];
    value += 1e-3 * (1 + std::abs(value));
  }
  return image;
}

// Convolutions

struct ConvolutionCase {
  Shape shape;
  int64_t cout, out_height, out_width;
  std::array<Axis, 2> axes;
  std::array<Enlarged, 2> enlarged;
  bool transposed;
  bool adjoint;  // of a transposed convolution: `shape` is that of a gradient, cout that one's Cin
  std::optional<Winograd> scheme;
  Finish finish;
  int64_t kind;  // of a trivial convolution, or 0
  mutable std::string strides;

  int64_t taps() const { return axes[0].taps * axes[1].taps; }
  bool is_interpolated() const { return !transposed && !adjoint; }
  // Whether weights depend on the rounding of a position.
  bool has_positions() const {
    const Mode mode = enlarged[0].mode;
    return is_interpolated() && (mode == Mode::kBilinear || mode == Mode::kBicubic);
  }
  Shape result() const { return {shape.n, cout, out_height, out_width}; }
  std::string description() const;
};

std::string ConvolutionCase::description() const {
  std::string text = transposed ? "transposed" : adjoint ? "adjoint" : "interpolated by mode ";
  if (is_interpolated()) text += std::to_string(static_cast<int>(enlarged[0].mode));
  const auto add = [&](const char* name, int64_t value) {
    text += std::string(" ") + name + " " + std::to_string(value);
  };
  add("n", shape.n), add("cin", shape.channels), add("cout", cout);
  for (int k = 0; k < 2; ++k) {
    const Axis& a = axes[k];
    text += k == 0 ? "; rows" : "; columns";
    add("input", a.input), add("output", a.output), add("taps", a.taps), add("stride", a.stride);
    add("padding", a.padding), add("dilation", a.dilation);
    if (!is_interpolated()) continue;
    add("enlarged", enlarged[k].size), add("align", enlarged[k].align_corners);
    text += " scale " + std::to_string(enlarged[k].scale);
  }
  text += ";";
  if (scheme) add("scheme", static_cast<int64_t>(*scheme));
  add("activation", static_cast<int64_t>(finish.activation)), add("bias", finish.has_bias);
  return text + strides;
}

int64_t random_side(Random& random) {
  if (random.one_in(12)) return 1;
  return 1 + random.below(random.one_in(8) ? 40 : 13);
}

// Around the numbers of lanes of every level too.
int64_t random_channels(Random& random) {
  constexpr int64_t kEdges[] = {4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65};
  if (random.one_in(4)) return kEdges[random.below(std::size(kEdges))];
  return 1 + random.below(random.one_in(3) ? 70 : 9);
}

constexpr int64_t kLarge[][2] = {{33, 65}, {65, 33}, {1, 257}, {131, 3}, {48, 64}, {127, 17}};

Shape random_shape(Random& random) {
  Shape s{1 + random.below(random.one_in(2) ? 5 : 2), random_channels(random), random_side(random),
          random_side(random)};
  if (random.one_in(25)) {
    const auto& large = kLarge[random.below(std::size(kLarge))];
    s.height = large[0], s.width = large[1], s.n = 1 + random.below(2);
    s.channels = 1 + random.below(9);
  }
  return s;
}

// By winograd's three schemes, as ops_cpu.cpp hands them out.
void random_scheme(ConvolutionCase& c, Random& random) {
  c.scheme = static_cast<Winograd>(random.below(3));
  const bool is_kernel4 = c.scheme == Winograd::kKernel4;
  c.transposed = is_kernel4 || random.one_in(2);
  const int64_t taps = is_kernel4 ? 4 : c.scheme == Winograd::kNails3 ? 3 : 5;
  for (int k = 0; k < 2; ++k) {
    const int64_t input = c.axes[k].input, padding = is_kernel4 ? 1 : taps / 2;
    const int64_t missing = c.transposed && !is_kernel4 ? random.below(2) : 0;
    c.axes[k] = {input, 2 * input - missing, taps, c.transposed ? 2 : 1, padding, 1};
    c.enlarged[k] = {2 * input, 0, Mode::kBedOfNails, false};
  }
}

bool random_transposed_axis(Axis& a, Random& random) {
  a.taps = 1 + random.below(7), a.stride = 1 + random.below(random.one_in(3) ? 4 : 2);
  a.dilation = random.one_in(3) ? 1 + random.below(3) : 1;
  const int64_t reach = a.dilation * (a.taps - 1);
  a.padding = random.below(reach + 2);
  const int64_t more = random.below(random.one_in(9) ? 6 : std::max(a.stride, a.dilation));
  a.output = (a.input - 1) * a.stride - 2 * a.padding + reach + more + 1;
  return a.output > 0;
}

// Enlargements where float32, in which torch looks for the nearest, names another than double.
constexpr int64_t kUnlike[][2] = {{6, 74}, {12, 74}, {14, 46}, {21, 69}, {18, 66}, {9, 111}};

void random_enlargement(ConvolutionCase& c, Random& random) {
  const Mode mode = static_cast<Mode>(random.below(4));
  const bool align_corners =
      random.one_in(3) && (mode == Mode::kBilinear || mode == Mode::kBicubic);
  const bool is_scaled = random.one_in(3), is_double = random.one_in(2);
  for (int k = 0; k < 2; ++k) {
    const int64_t input = c.axes[k].input;
    Enlarged to{2 * input, 0, mode, align_corners};
    if (mode == Mode::kBedOfNails) {
      to.size = (1 + random.below(4)) * input;
    } else if (is_scaled) {
      to.scale = is_double ? 2 : 0.3 + 3 * random.unit();
      to.size = static_cast<int64_t>(std::floor(static_cast<double>(input) * to.scale));
    } else if (!is_double) {
      to.size = 1 + random.below(3 * input + 2);
    }
    c.enlarged[k] = to;
  }
  if (mode != Mode::kNearest || !random.one_in(5)) return;
  const auto& unlike = kUnlike[random.below(std::size(kUnlike))];
  c.shape.width = c.axes[1].input = unlike[0];
  c.enlarged[1] = {unlike[1], 0, mode, false};
}

bool random_interpolated_axis(Axis& a, const Enlarged& to, Random& random) {
  a.taps = 1 + random.below(random.one_in(3) ? 7 : 3);
  a.stride = random.one_in(4) ? 1 + random.below(3) : 1;
  a.dilation = random.one_in(4) ? 1 + random.below(3) : 1;
  const int64_t span = a.dilation * (a.taps - 1);
  a.padding = random.one_in(2) ? span / 2 : random.below(span + 2);
  const int64_t reach = to.size + 2 * a.padding - span - 1;
  a.output = reach / a.stride + 1;
  return to.size > 0 && reach >= 0;
}

// An empty sum: no channel, no row, no tap.
void make_trivial(ConvolutionCase& c, Random& random) {
  c.kind = 1 + random.below(3);
  c.transposed = true;
  for (int k = 0; k < 2; ++k) c.axes[k] = {c.axes[k].input, 1 + random.below(9), 3, 2, 1, 1};
  if (c.kind == 1) c.shape.channels = 0;
  if (c.kind == 2) c.shape.height = c.axes[0].input = 0;
  if (c.kind == 3) c.axes[1].taps = 0;
}

// Sums that the oracle adds up for a case, about.
int64_t work_of(const ConvolutionCase& c) {
  int64_t terms = 1;
  for (const Axis& a : c.axes) terms *= c.transposed ? (a.taps + a.stride - 1) / a.stride : a.taps;
  const bool is_cubic = !c.transposed && c.enlarged[0].mode == Mode::kBicubic;
  return c.shape.n * c.out_height * c.out_width * terms * c.shape.channels *
         (c.cout + (is_cubic ? 50 : 8));
}

bool random_geometry(ConvolutionCase& c, Random& random) {
  c.axes[0].input = c.shape.height, c.axes[1].input = c.shape.width;
  if (random.one_in(40)) {
    make_trivial(c, random);
    return true;
  }
  if (random.one_in(3)) {
    random_scheme(c, random);
    return true;
  }
  c.transposed = random.one_in(2);
  if (c.transposed) {
    return random_transposed_axis(c.axes[0], random) && random_transposed_axis(c.axes[1], random);
  }
  random_enlargement(c, random);
  return random_interpolated_axis(c.axes[0], c.enlarged[0], random) &&
         random_interpolated_axis(c.axes[1], c.enlarged[1], random);
}

ConvolutionCase random_convolution(Random& random) {
  const int64_t most = random.one_in(80) ? 12'000'000 : 900'000;
  for (;;) {
    ConvolutionCase c{};
    c.shape = random_shape(random);
    c.cout = random_channels(random);
    if (!random_geometry(c, random)) continue;
    c.out_height = c.axes[0].output, c.out_width = c.axes[1].output;
    c.finish = random_finish(random);
    if (work_of(c) <= most && c.result().count() < 200'000) return c;
  }
}

ConvolutionCase random_adjoint(Random& random) {
  const int64_t most = random.one_in(20) ? 12'000'000 : 1'500'000;
  const auto side = [&] { return 1 + random.below(random.one_in(8) ? 40 : 17); };
  for (;;) {
    ConvolutionCase c{};
    c.adjoint = true;
    c.out_height = side(), c.out_width = side();
    c.shape = {1 + random.below(4), random_channels(random), 2 * c.out_height, 2 * c.out_width};
    c.cout = random_channels(random);
    c.axes[0] = {c.shape.height, c.out_height, 4, 2, 1, 1};
    c.axes[1] = {c.shape.width, c.out_width, 4, 2, 1, 1};
    if (work_of(c) <= most) return c;
  }
}

// A weight (taps, Cout, Cin) in one of the orders of ops_cpu.cpp, its taps perhaps backwards.
class StoredWeight {
 public:
  StoredWeight(const ConvolutionCase& c, const std::vector<double>& values, Type type,
               bool cout_first, bool turned, bool is_short, Random& random)
      : block_((static_cast<int64_t>(values.size()) - is_short) * size_of(type),
               random_lead(type, random)) {
    const int64_t cin = c.shape.channels, cout = c.cout, taps = c.taps();
    weight_ = {block_.data, cin, cout, taps, cout * taps, taps, 1};
    if (cout_first) weight_.stride_cin = taps, weight_.stride_cout = cin * taps;
    const int64_t first = turned ? taps - 1 : 0;
    if (turned) weight_.stride_tap = -1;
    const int64_t end = block_.bytes / size_of(type);
    for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
      const int64_t at = first + i % cin * weight_.stride_cin +
                         i / cin % cout * weight_.stride_cout + i / cin / cout * weight_.stride_tap;
      if (at < end) set_element(block_.data, type, at, values[i]);
    }
    weight_.data = block_.data + first * size_of(type);
  }
  const Weight& weight() const { return weight_; }
  // Of the transposed convolution whose adjoint the case is: the same numbers, the other way.
  Weight swapped() const {
    const Weight& w = weight_;
    return {w.data, w.cout, w.cin, w.taps, w.stride_cout, w.stride_cin, w.stride_tap};
  }

 private:
  Block block_;
  Weight weight_;
};

// Kernels that take a packed weight, and what packs it.
struct PackedKernel {
  const char *kernel, *packer;
  bool adjoint;
  Packing packing;  // of the others

  int64_t size(const Weight& weight) const {
    return adjoint ? kernels().adjoint_size(weight) : packed_size(packing, weight);
  }
  void pack(const Weight& weight, float* out, const Parallel& parallel) const {
    if (adjoint) return kernels().pack_adjoint(weight, out, parallel);
    gandetect::upsample::pack(packing, weight, out, parallel);
  }
  void call(const Convolution& job, const float* data, const Parallel& parallel) const {
    if (adjoint) return kernels().adjoint(job, data, parallel);
    if (packing) return kernels().winograd(*packing, job, data, parallel);
    kernels().taps(job, data, parallel);
  }
};

class Convolutions {
 public:
  Convolutions(const ConvolutionCase& c, Random& random)
      : c_(c),
        random_(random),
        image_(random_image(c.shape, random)),
        weights_(random_values(c.taps() * c.cout * c.shape.channels, random)),
        bias_(random_values(c.cout, random)) {
    spread_nan();
    for (int k = 0; k < 2; ++k) {
      const Axis& axis = c.axes[k];
      const Enlarged& to = c.enlarged[k];
      if (c.adjoint) {
        lines_[k] = adjoint_line(axis);
        continue;
      }
      gathers_[k] = c.transposed
                        ? transposed_gather(axis)
                        : interpolated_gather(axis, to.size, to.scale, to.mode, to.align_corners);
      lines_[k] = c.transposed ? transposed_line(axis) : interpolated_line(axis, to, interpolation);
    }
    const Problem problem = this->problem();
    wanted_ = convolved(problem, image_.data, weights_, lines_[0], lines_[1]);
    sizes_ = convolved(problem, absolute(image_.data), absolute(weights_), absolute(lines_[0]),
                       absolute(lines_[1]));
  }

  bool check() {
    if (c_.adjoint) return adjoint();
    const bool is_trivial = c_.kind > 0;
    bool passed = true;
    const bool is_small = work_of(c_) < 60'000;
    if (is_small || is_trivial || random_.one_in(12)) {
      passed &= plain(Type::kFloat) && plain(Type::kDouble);
    }
    if (is_trivial) return passed;
    passed &= taps();
    if (c_.scheme) passed &= winograd();
    if (c_.transposed && c_.cout <= 8) passed &= thin();
    return passed;
  }

 private:
  // Where rounding may name another neighbor, it may also name one that is NaN.
  void spread_nan() {
    if (c_.has_positions() || image_.data.empty() || !random_.one_in(10)) return;
    image_.even = {};
    image_.data[random_.below(c_.shape.count())] = std::nan("");
  }

  Problem problem() const {
    const Shape& s = c_.shape;
    return {s.n, s.channels, c_.cout, s.height, s.width, c_.axes[1].taps};
  }

  // Runs a kernel over fresh blocks and compares.
  bool run(const char* kernel, Type type, const std::vector<double>& sizes, double roundings,
           const std::function<void(const Convolution&, const Parallel&)>& call) {
    const Values given = spoiled(image_, random_);
    const Input x(given, type, random_strides(given, random_), is_fault("read"), random_);
    c_.strides = x.description();
    const Bias bias(c_.finish, bias_, type, random_);
    Output y(c_.result(), type, random_.one_in(2), random_);
    Convolution job{x.planes(),
                    {},
                    bias.ending(),
                    c_.axes[0].taps,
                    c_.axes[1].taps,
                    &gathers_[0],
                    &gathers_[1],
                    0,
                    0,
                    0};
    if (c_.transposed) {
      job.stride = c_.axes[1].stride, job.padding = c_.axes[1].padding;
      job.dilation = c_.axes[1].dilation;
    }
    if (c_.adjoint) {
      job.kernel_height = job.kernel_width = 0;
      job.rows = job.columns = nullptr;
    }
    const bool passed =
        run_twice(c_, kernel, y, random_, [&](const Result& result, const Parallel& parallel) {
          job.y = result;
          call(job, parallel);
        });
    return passed && within(c_, kernel, compare(y, sizes, roundings));
  }

  double compare(const Output& y, const std::vector<double>& sizes, double roundings) const {
    double worst = 0;
    int64_t i = 0;
    for (int64_t n = 0; n < c_.shape.n; ++n) {
      for (int64_t v = 0; v < c_.out_height; ++v) {
        for (int64_t h = 0; h < c_.out_width; ++h) {
          for (int64_t o = 0; o < c_.cout; ++o, ++i) {
            worst = worse(error(y.at(n, o, v, h), y.type(), i, o, sizes[i], roundings), worst);
          }
        }
      }
    }
    return worst;
  }

  // Error of an output beside what is allowed: `roundings` of its sum, and some of the activation.
  double error(double actual, Type type, int64_t i, int64_t o, double size,
               double roundings) const {
    const bool single = type == Type::kFloat;
    const double unit = single ? 0x1p-24 : 0x1p-53;
    const double slope =
        single ? static_cast<double>(static_cast<float>(c_.finish.slope)) : c_.finish.slope;
    const double bias = c_.finish.has_bias ? bias_[o] : 0;
    const auto after = [&](double z) { return activated(z, c_.finish.activation, slope); };
    const double z = wanted_[i] + bias, wanted = after(z);
    if (std::isnan(size) && !std::isnan(wanted)) return 0;
    // Some kernels add to the bias, others add the bias.
    const double off = unit * (roundings * (size + std::abs(bias)) + std::abs(z));
    const double above = after(z + off) - wanted, below = wanted - after(z - off);
    const double least = single ? 3e-38 : 1e-307;
    return excess(actual, wanted, std::max(above, below) + 4 * unit * std::abs(wanted) + least);
  }

  // Sums in float32 are chains over the channels, then over the terms of a row and a column.
  double roundings() const {
    int64_t terms = c_.shape.channels;
    for (const Gather& gather : gathers_) {
      int64_t most = 0;
      for (int64_t o = 0; o < gather.outputs(); ++o) {
        most = std::max<int64_t>(most, gather.begin[o + 1] - gather.begin[o]);
      }
      terms += most;
    }
    return 2 + std::sqrt(static_cast<double>(terms));
  }

  // How far roundings of positions, and thus of weights, in double move a sum, in units of these.
  std::vector<double> sizes_of_positions() const {
    if (!c_.has_positions()) return std::vector<double>(sizes_.size());
    std::array<Line, 2> lines;
    for (int k = 0; k < 2; ++k) {
      lines[k] = interpolated_line(c_.axes[k], c_.enlarged[k], neighborhood);
    }
    std::vector<double> sizes =
        convolved(problem(), absolute(image_.data), absolute(weights_), lines[0], lines[1]);
    const int64_t furthest = std::max(c_.shape.height, c_.shape.width);
    // The cubics cancel terms of up to 20.
    for (double& size : sizes) size *= 32 + 4 * static_cast<double>(furthest);
    return sizes;
  }

  bool plain(Type type) {
    const bool single = type == Type::kFloat;
    const char* const kernel = single ? "plain_f32" : "plain_f64";
    if (!is_wanted(kernel)) return true;
    const bool turned = c_.taps() > 0 && random_.one_in(3);
    const StoredWeight stored(c_, weights_, type, random_.one_in(2), turned, is_fault("weight"),
                              random_);
    // Sums in double, whose roundings are those of the oracle too.
    const double terms = static_cast<double>(c_.taps() * c_.shape.channels);
    std::vector<double> sizes = sizes_of_positions();
    for (size_t i = 0; i < sizes.size(); ++i) sizes[i] += (8 + 2 * std::sqrt(terms)) * sizes_[i];
    return run(kernel, type, sizes, single ? 0x1p-29 : 1,
               [&](const Convolution& job, const Parallel& parallel) {
                 (single ? kernels().plain_f32 : kernels().plain_f64)(job, stored.weight(),
                                                                      parallel);
               });
  }

  bool thin() {
    if (!is_wanted("thin")) return true;
    const StoredWeight stored(c_, weights_, Type::kFloat, false, false, is_fault("weight"),
                              random_);
    return run("thin", Type::kFloat, sizes_, roundings(),
               [&](const Convolution& job, const Parallel& parallel) {
                 kernels().thin(job, static_cast<const float*>(stored.weight().data), parallel);
               });
  }

  bool taps() {
    if (!is_wanted("taps") && !is_wanted("pack_taps")) return true;
    return packed({"taps", "pack_taps", false, {}}, weights_, sizes_, roundings());
  }

  // A transposed convolution is one of a bed of nails with the turned kernel.
  bool winograd() {
    if (!is_wanted("winograd") && !is_wanted("pack_winograd")) return true;
    std::vector<double> turned = weights_;
    const int64_t matrix = c_.cout * c_.shape.channels;
    if (c_.transposed && c_.scheme != Winograd::kKernel4) {
      for (int64_t t = 0; t < c_.taps(); ++t) {
        std::copy_n(weights_.begin() + t * matrix, matrix,
                    turned.begin() + (c_.taps() - 1 - t) * matrix);
      }
    }
    const WinogradLine rows(*c_.scheme, c_.shape.height, c_.out_height);
    const WinogradLine columns(*c_.scheme, c_.shape.width, c_.out_width);
    const std::vector<double> sizes =
        convolved(problem(), absolute(image_.data), absolute(turned), rows.line(), columns.line());
    return packed({"winograd", "pack_winograd", false, c_.scheme}, turned, sizes,
                  4 + std::sqrt(static_cast<double>(c_.shape.channels)));
  }

  // Four phases of every channel in a sum.
  bool adjoint() {
    const std::vector<double> sizes =
        convolved(problem(), absolute(image_.data), absolute(weights_),
                  adjoint_scheme_line(c_.axes[0]), adjoint_scheme_line(c_.axes[1]));
    return packed({"adjoint", "pack_adjoint", true, {}}, weights_, sizes,
                  4 + std::sqrt(4 * static_cast<double>(c_.shape.channels)));
  }

  // Packs in two ways, then convolves with what came out. A fault is the packing's, where it is
  // that which was asked for.
  bool packed(const PackedKernel& kernel, const std::vector<double>& weights,
              const std::vector<double>& sizes, double roundings) {
    const std::string fault = options.fault;
    const bool packs_badly = options.kernel == kernel.packer;
    if (!packs_badly) options.fault.clear();
    std::vector<double> given = weights;
    if (is_fault("value")) given[random_.below(given.size())] += 1e-2;
    const StoredWeight stored(c_, given, Type::kFloat, random_.one_in(2), random_.one_in(3),
                              is_fault("read"), random_);
    const Weight weight = kernel.adjoint ? stored.swapped() : stored.weight();
    const int64_t count = kernel.size(weight) - is_fault("write");
    Block once(4 * count, random_lead(Type::kFloat, random_));
    Block twice(4 * (count - (fault == "weight")), 0);
    bool passed = pack_twice(kernel, weight, once, random_);
    std::memcpy(twice.data, once.data, twice.bytes);
    options.fault = packs_badly ? "" : fault;
    passed = passed && run(kernel.kernel, Type::kFloat, sizes, roundings,
                           [&](const Convolution& job, const Parallel& parallel) {
                             kernel.call(job, reinterpret_cast<const float*>(twice.data), parallel);
                           });
    options.fault = fault;
    return passed;
  }

  // Bit for bit the same whoever packs, every float of it, and from the cache.
  bool pack_twice(const PackedKernel& kernel, const Weight& weight, Block& packed, Random& random) {
    const auto [first, second] = two_ways(random);
    const auto fill = [&](const Parallel& parallel) {
      fill_with_pattern(packed, Type::kFloat);
      kernel.pack(weight, reinterpret_cast<float*>(packed.data), parallel);
      return std::string(packed.data, packed.bytes);
    };
    const std::string once = fill(*first), twice = fill(*second);
    calls += 2;
    const std::string name = kernel.packer;
    bool passed = holds(c_, (name + " over threads").c_str(), once == twice) &&
                  holds(c_, (name + " writes all").c_str(), !has_pattern(packed, Type::kFloat));
    if (!passed || !options.fault.empty() || kernel.adjoint || !random.one_in(4)) return passed;
    const Packing packing = kernel.packing;
    passed &= holds(c_, "cached", is_cached(packing, weight, once, random));
    // The same contents, read the other way round, are another weight.
    Weight turned = weight;
    turned.data = static_cast<const float*>(weight.data) + (weight.taps - 1) * weight.stride_tap;
    turned.stride_tap = -weight.stride_tap;
    pack(packing, turned, reinterpret_cast<float*>(packed.data), any_parallel(random));
    const std::string other(packed.data, packed.bytes);
    passed &= holds(c_, "cached backwards", is_cached(packing, turned, other, random));
    std::memcpy(packed.data, once.data(), once.size());
    const float* alone = transient(packing, weight, any_parallel(random));
    return passed & holds(c_, "transient", std::memcmp(alone, once.data(), once.size()) == 0);
  }

  static bool is_cached(Packing packing, const Weight& weight, const std::string& wanted,
                        Random& random) {
    const auto kept = cached(packing, weight, any_parallel(random));
    return std::memcmp(kept->data(), wanted.data(), wanted.size()) == 0;
  }

  const ConvolutionCase& c_;
  Random& random_;
  Values image_;
  std::vector<double> weights_, bias_;
  std::array<Gather, 2> gathers_;
  std::array<Line, 2> lines_;
  std::vector<double> wanted_, sizes_;
};

// Pixels that move

enum class Move { kNails, kShuffle, kUnpool };

struct MoveCase {
  Move move;
  Type type;
  Shape shape, result;
  int64_t scale_height, scale_width;
  bool channels_last;
  Finish finish;
  mutable std::string strides;

  const char* kernel() const {
    constexpr const char* kNames[][2] = {
        {"nails_f32", "nails_f64"}, {"shuffle_f32", "shuffle_f64"}, {"unpool_f32", "unpool_f64"}};
    return kNames[static_cast<int>(move)][type == Type::kDouble];
  }
  std::string description() const {
    std::string text;
    for (const int64_t side : shape.sides()) text += std::to_string(side) + " ";
    text += "to";
    for (const int64_t side : result.sides()) text += " " + std::to_string(side);
    text += " activation " + std::to_string(static_cast<int64_t>(finish.activation));
    text += finish.has_bias ? " bias" : "";
    return text + (channels_last ? " channels last" : "") + strides;
  }
};

// Results of more than 4 MiB, whose rows mostly fill vectors: those are stored around the caches.
void make_large(MoveCase& c, Random& random) {
  c.type = Type::kFloat;
  c.shape = {1 + random.below(2), c.move == Move::kShuffle ? 4 : 2, 0, 16 * (10 + random.below(3))};
  if (random.one_in(4)) c.shape.width += 1 + random.below(7);
  c.shape.height = 1'060'000 / (c.shape.width * c.shape.n * c.shape.channels * 4) + 1;
  c.scale_height = c.scale_width = 2;
}

MoveCase random_move(Random& random) {
  MoveCase c{};
  c.move = static_cast<Move>(random.below(3));
  c.type = random.one_in(3) ? Type::kDouble : Type::kFloat;
  c.shape = random_shape(random);
  c.scale_height = 1 + random.below(4), c.scale_width = random.one_in(2) ? 2 : 1 + random.below(4);
  Shape& s = c.shape;
  const bool is_large = random.one_in(60);
  if (is_large) {
    make_large(c, random);
  } else if (s.count() > 20'000) {
    s.n = 1, s.channels = 1 + s.channels % 4;
  }
  if (c.move == Move::kShuffle) {
    const int64_t scale = is_large || random.one_in(2) ? 2 : c.scale_height;
    c.scale_height = c.scale_width = scale;
    if (!is_large) s.channels = scale * scale * (1 + s.channels % 9);
    c.result = {s.n, s.channels / (scale * scale), scale * s.height, scale * s.width};
  } else {
    c.result = {s.n, s.channels, c.scale_height * s.height, c.scale_width * s.width};
  }
  // Of whole windows mostly, many of which are of 2 x 2 and fill vectors.
  if (c.move == Move::kUnpool && !random.one_in(3)) {
    if (!is_large && random.one_in(2)) s.width = (1 + random.below(3)) * (4 << random.below(3));
    if (random.one_in(2)) c.scale_height = c.scale_width = 2;
    c.result = {s.n, s.channels, c.scale_height * s.height, c.scale_width * s.width};
  } else if (c.move == Move::kUnpool) {
    c.result.height += random.below(3), c.result.width += random.below(2);
    if (random.one_in(40)) s.height = 0;
    if (random.one_in(40)) c.result.width = 0;
  }
  c.channels_last = random.one_in(is_large ? 8 : 2);
  c.finish = random_finish(random);
  return c;
}

class Moves {
 public:
  Moves(const MoveCase& c, Random& random)
      : c_(c),
        random_(random),
        image_(random_image(c.shape, random)),
        bias_(random_values(c.shape.channels, random)),
        indices_((c.shape.count() - is_fault("weight")) * (c.move == Move::kUnpool ? 8 : 0)) {
    for (double& value : image_.data) {
      if (random.one_in(60)) value = random.one_in(2) ? not_finite(random) : 1e30 * random.normal();
      if (c.type == Type::kFloat) value = static_cast<float>(value);
    }
    image_.even = {};
    if (c.move == Move::kUnpool) choose_indices();
  }

  bool check() {
    const Values given = spoiled(image_, random_);
    Strides strides = dense_strides(c_.shape, c_.channels_last);
    hide_strides(c_.shape, strides, random_);
    const Input x(given, c_.type, strides, is_fault("read"), random_);
    c_.strides = x.description();
    const Bias bias(c_.finish, bias_, c_.type, random_);
    Output y(c_.result, c_.type, c_.channels_last, random_);
    Scatter job{
        x.planes(),
        {},
        bias.ending(),
        c_.scale_height,
        c_.scale_width,
        c_.move == Move::kUnpool ? reinterpret_cast<const int64_t*>(indices_.data) : nullptr};
    bool accepted = true;
    const auto run = [&](const Result& result, const Parallel& parallel) {
      job.y = result;
      return accepted = call(job, parallel);
    };
    if (!inside_) return refuses(run, y);
    return run_twice(c_, c_.kernel(), y, random_, run) && holds(c_, "indices accepted", accepted) &&
           within(c_, c_.kernel(), compare(y));
  }

 private:
  bool call(const Scatter& job, const Parallel& parallel) const {
    const Kernels& table = kernels();
    const bool single = c_.type == Type::kFloat;
    switch (c_.move) {
      case Move::kNails:
        (single ? table.nails_f32 : table.nails_f64)(job, parallel);
        return true;
      case Move::kShuffle:
        (single ? table.shuffle_f32 : table.shuffle_f64)(job, parallel);
        return true;
      case Move::kUnpool:
        return (single ? table.unpool_f32 : table.unpool_f64)(job, parallel);
    }
    return true;
  }

  // Nothing beyond the result is written, whatever becomes of the result.
  template <typename F>
  bool refuses(const F& run, Output& y) {
    bool accepted = false;
    for (const Parallel* parallel : two_ways(random_)) {
      accepted |= run(y.result(), *parallel);
      ++calls;
    }
    return holds(c_, "bad indices refused", !accepted) &&
           holds(c_, "bad indices write nothing", y.is_intact());
  }

  // Where the index of element i of (N, C, H, W) lies: they are in the order of the result.
  int64_t place_of(int64_t i) const {
    if (!c_.channels_last) return i;
    const int64_t plane = c_.shape.height * c_.shape.width, channels = c_.shape.channels;
    return (i / (plane * channels) * plane + i % plane) * channels + i / plane % channels;
  }

  // Anywhere, or each in its own window, or all but one in their own windows.
  void choose_indices() {
    const Shape &s = c_.shape, &r = c_.result;
    const int64_t plane = r.height * r.width, count = indices_.bytes / 8, kind = random_.below(4);
    int64_t* at = reinterpret_cast<int64_t*>(indices_.data);
    for (int64_t i = 0; i < s.count(); ++i) {
      const int64_t y = i / s.width % s.height * c_.scale_height + random_.below(c_.scale_height);
      const int64_t x = i % s.width * c_.scale_width + random_.below(c_.scale_width);
      const int64_t place = plane == 0 ? 0 : kind == 0 ? random_.below(plane) : y * r.width + x;
      if (place_of(i) < count) at[place_of(i)] = place;
    }
    inside_ = plane > 0 || count == 0;
    if (count == 0 || plane == 0) return;
    int64_t& one = at[random_.below(count)];
    if (kind == 1) one = random_.below(plane);
    if (!random_.one_in(4)) return;
    // Some of them are right in their lower halves.
    const int64_t whole = int64_t{1} << 32;
    const int64_t bad[] = {-1,
                           plane,
                           plane + random_.below(100),
                           whole / 2,
                           INT64_MIN,
                           INT64_MAX,
                           one + INT64_MIN,
                           one + whole,
                           one - whole,
                           one + whole,
                           one - whole,
                           one + 5 * whole};
    one = bad[random_.below(std::size(bad))];
    inside_ = false;
  }

  double compare(const Output& y) const {
    const Shape& s = c_.result;
    const std::vector<double> wanted = this->wanted();
    double worst = 0;
    int64_t i = 0;
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t c = 0; c < s.channels; ++c) {
        for (int64_t v = 0; v < s.height; ++v) {
          for (int64_t h = 0; h < s.width; ++h, ++i) {
            worst = worse(excess(y.at(n, c, v, h), wanted[i], allowed(wanted[i])), worst);
          }
        }
      }
    }
    return worst;
  }

  // What is added, compared or multiplied once is exact; torch's own exp and tanh are not either.
  double allowed(double wanted) const {
    const bool single = c_.type == Type::kFloat;
    if (c_.finish.activation < Activation::kTanh) return 0;
    return 4 * std::abs(wanted) * (single ? 0x1p-24 : 0x1p-53) + (single ? 3e-38 : 1e-307);
  }

  std::vector<double> wanted() const {
    const Shape &s = c_.shape, &r = c_.result;
    std::vector<double> all(r.count());
    for (int64_t i = 0; i < r.count(); ++i)
      all[i] = ended(0, i / (r.height * r.width) % r.channels);
    for (int64_t i = 0; i < s.count(); ++i) {
      const int64_t x = i % s.width, y = i / s.width % s.height;
      const int64_t plane = i / (s.width * s.height), channel = plane % s.channels;
      int64_t at = (y * c_.scale_height * r.width) + x * c_.scale_width, to = plane;
      if (c_.move == Move::kUnpool) {
        at = reinterpret_cast<const int64_t*>(indices_.data)[place_of(i)];
      }
      if (c_.move == Move::kShuffle) {
        const int64_t scale = c_.scale_height, part = channel % (scale * scale);
        to = plane / (scale * scale);
        at = (y * scale + part / scale) * r.width + x * scale + part % scale;
      }
      all[to * r.height * r.width + at] = ended(image_.data[i], channel);
    }
    return all;
  }

  double ended(double value, int64_t channel) const {
    const Finish& f = c_.finish;
    const double bias = f.has_bias ? bias_[channel] : 0;
    if (c_.type == Type::kDouble) return activated(value + bias, f.activation, f.slope);
    const float z = static_cast<float>(value) + static_cast<float>(bias);
    const float slope = static_cast<float>(f.slope);
    if (f.activation == Activation::kLeakyRelu) return z < 0 ? z * slope : z;
    return activated(z, f.activation, slope);
  }

  const MoveCase& c_;
  Random& random_;
  Values image_;
  std::vector<double> bias_;
  Block indices_;
  bool inside_ = true;
};

// Fingerprints

struct FingerprintCase {
  int64_t count;
  std::string description() const { return std::to_string(count) + " bytes"; }
};

class Fingerprints {
 public:
  Fingerprints(const FingerprintCase& c, Random& random)
      : c_(c), random_(random), contents_(c.count, '\0') {
    const bool is_constant = random.one_in(5);
    for (char& byte : contents_) byte = is_constant ? 0 : static_cast<char>(random.below(256));
  }

  bool check() {
    const Digest digest = of(contents_);
    std::string again = contents_;
    if (is_fault("value") && c_.count > 0) again[random_.below(c_.count)] ^= 1;
    bool passed = holds(c_, "fingerprint of the same", digest == of(again));
    passed &= holds(c_, "fingerprint of one byte more", digest != of(contents_ + '\0'));
    if (c_.count == 0) return passed;
    passed &=
        holds(c_, "fingerprint of one byte less", digest != of(contents_.substr(0, c_.count - 1)));
    for (int i = 0; i < 4; ++i) {
      std::string changed = contents_;
      changed[random_.below(c_.count)] ^= static_cast<char>(1 << random_.below(8));
      passed &= holds(c_, "fingerprint of one bit changed", digest != of(changed));
    }
    return passed & pairs(digest);
  }

 private:
  using Digest = std::array<uint64_t, 2>;

  // Two changes that might undo each other: signs of two floats, two floats exchanged.
  bool pairs(const Digest& digest) {
    const int64_t floats = c_.count / 4;
    bool passed = true;
    for (int i = 0; floats > 1 && i < 4; ++i) {
      const int64_t a = random_.below(floats);
      // Some of them 2^k floats apart: what is mixed lane by lane has them in one.
      const int64_t away =
          random_.one_in(2) ? int64_t{1} << random_.below(9) : random_.below(floats);
      const int64_t b = (a + away) % floats;
      if (a == b) continue;
      std::string signs = contents_, exchanged = contents_;
      signs[4 * a + 3] ^= '\x80', signs[4 * b + 3] ^= '\x80';
      for (int k = 0; k < 4; ++k) std::swap(exchanged[4 * a + k], exchanged[4 * b + k]);
      passed &= holds(c_, "fingerprint of two signs changed", digest != of(signs));
      passed &= holds(c_, "fingerprint of two floats exchanged",
                      exchanged == contents_ || digest != of(exchanged));
    }
    return passed;
  }

  Digest of(const std::string& contents) {
    const int64_t count = static_cast<int64_t>(contents.size());
    Block block(count - is_fault("read"), random_.below(20));
    std::memcpy(block.data, contents.data(), block.bytes);
    uint64_t digest[2] = {random_.engine(), random_.engine()};
    kernels().fingerprint(block.data, count, digest);
    ++calls;
    return {digest[0], digest[1]};
  }

  const FingerprintCase& c_;
  Random& random_;
  std::string contents_;
};

// StyleGAN2's layers

#include "styled_cases.h"

// Cases

bool is_of_moves(const std::string& kernel) {
  for (const char* name : {"nails", "shuffle", "unpool"}) {
    if (kernel.rfind(name, 0) == 0) return true;
  }
  return false;
}

// False where the kernel that was asked for has no part in the case.
bool run_case(Random& random, bool& passed) {
  const int64_t before = calls, kind = random.below(24);
  const bool is_any = options.kernel.empty();
  if (is_any ? kind == 0 : is_wanted("fingerprint")) {
    const FingerprintCase c{random.one_in(3) ? random.below(9) : random.below(1500)};
    passed = Fingerprints(c, random).check();
  } else if (is_any ? kind < 8 : is_of_moves(options.kernel)) {
    const MoveCase c = random_move(random);
    if (is_wanted(c.kernel())) passed = Moves(c, random).check();
  } else if (is_any ? kind < 10 : is_wanted("adjoint") || is_wanted("pack_adjoint")) {
    const ConvolutionCase c = random_adjoint(random);
    passed = Convolutions(c, random).check();
  } else if (is_any ? kind >= 22 : options.kernel.rfind("styled", 0) == 0) {
    const StyledCase c = random_styled(random);
    if (is_wanted(c.kernel())) passed = StyledLayers(c, random).check();
  } else {
    const ConvolutionCase c = random_convolution(random);
    passed = Convolutions(c, random).check();
  }
  return calls > before;
}

}  // namespace

int main(int argc, char** argv) {
  setenv("GANDETECT_WEIGHT_CACHE_MB", "1", 0);  // small enough to be full
  start(argc, argv);
  const int code = run_cases(0, run_case);
  std::printf("%lld kernel calls\n", static_cast<long long>(calls));
  return code;
}
