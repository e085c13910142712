// CPU implementations of the up-sampling ops: checks, allocation, tables, packed weights and
// torch's thread pool around the kernels of kernels.h.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "common/checks.h"
#include "common/layout.h"
#include "common/torch_threads.h"
#include "upsample/kernels.h"
#include "upsample/packed.h"
#include "upsample/tensors.h"

namespace gandetect::upsample {
namespace {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Lengths = std::vector<int64_t>;

// Few output channels: pixels, not channels, fill the vectors.
constexpr int64_t kThinChannels = 8;
// Pixels of an image from which on that pays.
constexpr int64_t kThinPixels = 16;
// Tiles of 2 x 2 from which on Winograd's products pay for a weight that is 2.25 times larger.
constexpr int64_t kWinogradTiles = 16;

// `kept` keeps what contiguous() may have made alive.
Ending make_ending(const std::optional<Tensor>& bias, const Tensor& x, int64_t channels,
                   int64_t activation, double slope, Tensor& kept) {
  STD_TORCH_CHECK(activation >= 0 && activation <= 4, "activation must be 0 to 4");
  const auto chosen = static_cast<Activation>(activation);
  STD_TORCH_CHECK(chosen != Activation::kLeakyRelu || slope >= 0, "slope must not be negative");
  if (!bias.has_value()) return {nullptr, chosen, slope};
  STD_TORCH_CHECK(bias->dim() == 1 && bias->size(0) == channels, "bias must have ", channels,
                  " elements");
  STD_TORCH_CHECK(bias->scalar_type() == x.scalar_type(), "bias must have the type of x");
  kept = torch::stable::contiguous(*bias);
  return {kept.const_data_ptr(), chosen, slope};
}

bool is_single(const Tensor& x) { return x.scalar_type() == ScalarType::Float; }

// Tables of the geometries that this thread used last.
struct AxisKey {
  Axis axis;
  int64_t enlarged;
  double scale;
  int64_t mode;  // of interpolation, or -1 for a transposed convolution
  bool align_corners;

  bool operator==(const AxisKey& other) const {
    const auto parts = [](const AxisKey& k) {
      return std::make_tuple(k.axis.input, k.axis.output, k.axis.taps, k.axis.stride,
                             k.axis.padding, k.axis.dilation, k.enlarged, k.scale, k.mode,
                             k.align_corners);
    };
    return parts(*this) == parts(other);
  }
};

std::shared_ptr<const Gather> gather_of(const AxisKey& key) {
  constexpr size_t kKeptTables = 32;
  static thread_local std::vector<std::pair<AxisKey, std::shared_ptr<const Gather>>> kept;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (!(kept[i].first == key)) continue;
    std::rotate(kept.begin(), kept.begin() + i, kept.begin() + i + 1);
    return kept[0].second;
  }
  auto made = std::make_shared<const Gather>(
      key.mode < 0 ? transposed_gather(key.axis)
                   : interpolated_gather(key.axis, key.enlarged, key.scale,
                                         static_cast<Mode>(key.mode), key.align_corners));
  if (kept.size() == kKeptTables) kept.pop_back();
  kept.insert(kept.begin(), {key, made});
  return made;
}

void check_pair(const Lengths& values, int64_t least, const char* name) {
  STD_TORCH_CHECK(values.size() == 2 && values[0] >= least && values[1] >= least, name,
                  " must be two numbers of at least ", least);
}

// A weight, and which of the two convolutions it belongs to.
struct Matrix {
  Tensor tensor;  // contiguous
  Weight shape;
  bool transposed;
};

// What a handle says of itself, once it is known to be of this weight's shape and of this build.
HandleHeader read_handle(const Tensor& handle, const Matrix& matrix) {
  STD_TORCH_CHECK(handle.scalar_type() == ScalarType::Byte && handle.dim() == 1 &&
                      handle.stride(0) == 1 && handle.numel() >= kHandleHeaderBytes,
                  "packed is not what pack_conv_transpose2d or pack_upsample_conv2d returned");
  HandleHeader header;
  std::memcpy(&header, handle.const_data_ptr(), sizeof header);
  STD_TORCH_CHECK(header.magic == kHandleMagic && header.block == kernels().block,
                  "packed was not made by this build of the kernels; pack the weight again");
  STD_TORCH_CHECK(header.transposed == matrix.transposed,
                  "packed belongs to the other convolution; pack the weight with pack_",
                  matrix.transposed ? "conv_transpose2d" : "upsample_conv2d");
  STD_TORCH_CHECK(header.cin == matrix.shape.cin && header.cout == matrix.shape.cout &&
                      header.kernel_height == matrix.tensor.size(2) &&
                      header.kernel_width == matrix.tensor.size(3) &&
                      header.taps_floats == packed_size(std::nullopt, matrix.shape),
                  "packed belongs to a weight of another shape; pack this one");
  const int64_t floats = header.taps_floats + header.winograd_floats;
  STD_TORCH_CHECK(handle.numel() == kHandleHeaderBytes + 4 * floats,
                  "packed is incomplete; pack the weight again");
  return header;
}

bool is_handle(const std::optional<Tensor>& packed) {
  return packed.has_value() && packed->numel() > 0;
}

// The packed weight of a call: from a handle, for this call alone, or from the cache.
class PackedWeight {
 public:
  PackedWeight(const Matrix& matrix, Packing packing, const Weight& shape,
               const std::optional<Tensor>& handle, const Parallel& parallel)
      : packing_(packing) {
    if (is_handle(handle)) {
      take(matrix, shape, *handle);
    } else if (handle.has_value()) {
      data_ = transient(packing, shape, parallel);
    } else {
      cached_ = cached(packing, shape, parallel);
      data_ = cached_->data();
    }
  }

  // As asked for, or, where a handle has no such packing, none: for `taps`, which any geometry has.
  Packing packing() const { return packing_; }
  const float* data() const { return data_; }

 private:
  void take(const Matrix& matrix, const Weight& shape, const Tensor& handle) {
    const HandleHeader header = read_handle(handle, matrix);
    if (packing_ && header.scheme != static_cast<int64_t>(*packing_)) packing_.reset();
    STD_TORCH_CHECK(!packing_ || header.winograd_floats == packed_size(packing_, shape),
                    "packed is incomplete; pack the weight again");
    const auto* bytes = static_cast<const unsigned char*>(handle.const_data_ptr());
    data_ = reinterpret_cast<const float*>(bytes + kHandleHeaderBytes);
    if (packing_) data_ += header.taps_floats;
  }

  Packing packing_;
  std::shared_ptr<const Floats> cached_;
  const float* data_;
};

Tensor new_handle(const Matrix& matrix, Packing scheme, const Weight& scheme_shape) {
  const Weight& shape = matrix.shape;
  HandleHeader header{kHandleMagic,
                      kernels().block,
                      shape.cin,
                      shape.cout,
                      matrix.tensor.size(2),
                      matrix.tensor.size(3),
                      packed_size(std::nullopt, shape),
                      scheme ? static_cast<int64_t>(*scheme) : kNoScheme,
                      scheme ? packed_size(scheme, shape) : 0,
                      matrix.transposed,
                      {}};
  const int64_t bytes = kHandleHeaderBytes + 4 * (header.taps_floats + header.winograd_floats);
  Tensor handle = torch::stable::new_empty(matrix.tensor, {bytes}, ScalarType::Byte);
  unsigned char* data = static_cast<unsigned char*>(handle.mutable_data_ptr());
  std::memcpy(data, &header, sizeof header);
  float* floats = reinterpret_cast<float*>(data + kHandleHeaderBytes);
  pack(std::nullopt, shape, floats, torch_threads());
  if (scheme) pack(scheme, scheme_shape, floats + header.taps_floats, torch_threads());
  return handle;
}

// Of (Cin, Cout, kH, kW).
Matrix transposed_matrix(const Tensor& weight) {
  Matrix m{torch::stable::contiguous(weight), {}, true};
  const int64_t taps = weight.size(2) * weight.size(3);
  m.shape = {m.tensor.const_data_ptr(),
             weight.size(0),
             weight.size(1),
             taps,
             weight.size(1) * taps,
             taps,
             1};
  return m;
}

// Of (Cout, Cin, kH, kW).
Matrix convolution_matrix(const Tensor& weight) {
  Matrix m{torch::stable::contiguous(weight), {}, false};
  const int64_t taps = weight.size(2) * weight.size(3);
  m.shape = {m.tensor.const_data_ptr(),
             weight.size(1),
             weight.size(0),
             taps,
             taps,
             weight.size(1) * taps,
             1};
  return m;
}

// The same with its taps in the other order: a transposed convolution of stride 2 is a convolution
// of a bed of nails with the turned kernel.
Weight turned(Weight weight) {
  weight.data = static_cast<const float*>(weight.data) + weight.taps - 1;
  weight.stride_tap = -1;
  return weight;
}

bool are(const Lengths& pair, int64_t value) { return pair[0] == value && pair[1] == value; }

// Of a transposed convolution.
Packing transposed_scheme(const Tensor& weight, const Lengths& stride, const Lengths& padding,
                          const Lengths& dilation) {
  const int64_t kernel = weight.size(2);
  if (kernel != weight.size(3) || !are(stride, 2) || !are(dilation, 1)) return std::nullopt;
  if (kernel == 4 && are(padding, 1)) return Winograd::kKernel4;
  if (kernel == 3 && are(padding, 1)) return Winograd::kNails3;
  if (kernel == 5 && are(padding, 2)) return Winograd::kNails5;
  return std::nullopt;
}

// Of a bed of nails, twice as large, and a convolution.
Packing nails_scheme(const Tensor& weight) {
  const int64_t kernel = weight.size(2);
  if (kernel != weight.size(3)) return std::nullopt;
  if (kernel == 3) return Winograd::kNails3;
  if (kernel == 5) return Winograd::kNails5;
  return std::nullopt;
}

bool has_tiles(const Planes& x) {
  return (x.height + 1) / 2 * ((x.width + 1) / 2) * x.n >= kWinogradTiles;
}

void check_weight(const Tensor& x, const Tensor& weight, int64_t channels) {
  check_planes(x, "x");
  check_dims(weight, 4, "weight");
  STD_TORCH_CHECK(weight.scalar_type() == x.scalar_type(), "weight must have the type of x");
  STD_TORCH_CHECK(channels == x.size(1), "weight takes ", channels, " channels, x has ", x.size(1));
}

// Nothing to read: the plain kernel fills in what an empty sum is.
bool is_trivial(const Convolution& job) {
  return job.x.channels == 0 || job.x.height == 0 || job.x.width == 0 || job.kernel_height == 0 ||
         job.kernel_width == 0;
}

// By `taps`, or by the scheme where there is one; `scheme_shape` as the scheme wants the weight.
void run_packed(const Convolution& job, const Matrix& matrix, Packing scheme,
                const Weight& scheme_shape, const std::optional<Tensor>& handle) {
  const Parallel threads = torch_threads();
  const PackedWeight found(matrix, scheme, scheme ? scheme_shape : matrix.shape, handle, threads);
  if (found.packing()) {
    kernels().winograd(*found.packing(), job, found.data(), threads);
  } else {
    kernels().taps(job, found.data(), threads);
  }
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, std::optional<Tensor> bias,
                        Lengths stride, Lengths padding, Lengths output_padding, Lengths dilation,
                        int64_t activation, double slope, std::optional<Tensor> packed) {
  check_weight(x, weight, weight.dim() == 4 ? weight.size(0) : 0);
  check_pair(stride, 1, "stride");
  check_pair(padding, 0, "padding");
  check_pair(output_padding, 0, "output_padding");
  check_pair(dilation, 1, "dilation");
  const Matrix matrix = transposed_matrix(weight);
  const Weight& shape = matrix.shape;
  int64_t sides[2];
  std::shared_ptr<const Gather> tables[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t side = x.size(2 + i), taps = weight.size(2 + i);
    sides[i] =
        (side - 1) * stride[i] - 2 * padding[i] + dilation[i] * (taps - 1) + output_padding[i] + 1;
    STD_TORCH_CHECK(sides[i] > 0, "the result would have a side of ", sides[i]);
    const Axis axis{side, sides[i], taps, stride[i], padding[i], dilation[i]};
    tables[i] = gather_of({axis, 0, 0.0, -1, false});
  }
  Convolution job;
  Tensor kept;
  Tensor y = new_result(x, shape.cout, sides[0], sides[1], job.y);
  job.x = planes_of(x);
  job.end = make_ending(bias, x, shape.cout, activation, slope, kept);
  job.kernel_height = weight.size(2);
  job.kernel_width = weight.size(3);
  job.rows = tables[0].get();
  job.columns = tables[1].get();
  job.stride = stride[1];
  job.padding = padding[1];
  job.dilation = dilation[1];
  if (y.numel() == 0) return y;
  const int64_t pixels = job.x.height * job.x.width;
  if (!is_single(x)) {
    kernels().plain_f64(job, shape, torch_threads());
  } else if (is_trivial(job)) {
    kernels().plain_f32(job, shape, torch_threads());
  } else if (shape.cout <= kThinChannels && pixels >= kThinPixels) {
    if (is_handle(packed))
      read_handle(*packed, matrix);  // not needed, but it must be the right one
    kernels().thin(job, static_cast<const float*>(shape.data), torch_threads());
  } else {
    Packing scheme = transposed_scheme(weight, stride, padding, dilation);
    // Kernel 4 makes whole tiles of outputs; the others end one short of them without padding.
    const int64_t most = scheme == Winograd::kKernel4 ? 0 : 1;
    const bool fits = output_padding[0] <= most && output_padding[1] <= most;
    if (!fits || !has_tiles(job.x)) scheme.reset();
    run_packed(job, matrix, scheme, scheme == Winograd::kKernel4 ? shape : turned(shape), packed);
  }
  return y;
}

// x[i, j] = sum over o, ky, kx of w[., o, ky, kx] g[o, 2 i - 1 + ky, 2 j - 1 + kx], in double.
template <typename T>
void plain_adjoint(const Convolution& job, const Weight& weight, const Parallel& parallel) {
  const Result& y = job.y;
  const T *g = static_cast<const T*>(job.x.data), *w = static_cast<const T*>(weight.data);
  auto some = [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t n = at / y.channels, c = at % y.channels, plane = y.height * y.width;
      for (int64_t p = 0; p < plane; ++p) {
        double sum = 0;
        for (int64_t k = 0; k < 16 * weight.cout; ++k) {
          const int64_t o = k / 16, row = 2 * (p / y.width) - 1 + k % 16 / 4;
          const int64_t column = 2 * (p % y.width) - 1 + k % 4;
          if (row < 0 || row >= job.x.height || column < 0 || column >= job.x.width) continue;
          sum += static_cast<double>(w[c * weight.stride_cin + o * 16 + k % 16]) *
                 g[n * job.x.stride_n + o * job.x.stride_c + row * job.x.stride_y +
                   column * job.x.stride_x];
        }
        const int64_t to = y.channels_last ? (n * plane + p) * y.channels + c : at * plane + p;
        static_cast<T*>(y.data)[to] = static_cast<T>(sum);
      }
    }
  };
  over(parallel, job.x.n * y.channels, some);
}

Tensor conv_transpose2d_adjoint(const Tensor& gradient, const Tensor& weight) {
  check_weight(gradient, weight, weight.dim() == 4 ? weight.size(1) : 0);
  STD_TORCH_CHECK(weight.size(2) == 4 && weight.size(3) == 4, "weight must have 4x4 taps");
  STD_TORCH_CHECK(gradient.size(2) % 2 == 0 && gradient.size(3) % 2 == 0,
                  "the sides of the gradient must be even");
  const Matrix matrix = transposed_matrix(weight);
  Convolution job{};
  Tensor x =
      new_result(gradient, matrix.shape.cin, gradient.size(2) / 2, gradient.size(3) / 2, job.y);
  job.x = planes_of(gradient);
  if (x.numel() == 0) return x;
  const Parallel threads = torch_threads();
  if (!is_single(gradient)) {
    plain_adjoint<double>(job, matrix.shape, threads);
  } else if (matrix.shape.cout == 0) {
    plain_adjoint<float>(job, matrix.shape, threads);
  } else {
    float* packed = scratch(kernels().adjoint_size(matrix.shape));
    kernels().pack_adjoint(matrix.shape, packed, threads);
    kernels().adjoint(job, packed, threads);
  }
  return x;
}

Tensor upsample_conv2d(const Tensor& x, const Tensor& weight, std::optional<Tensor> bias,
                       int64_t height, int64_t width, double scale_height, double scale_width,
                       int64_t mode, bool align_corners, Lengths stride, Lengths padding,
                       Lengths dilation, int64_t activation, double slope,
                       std::optional<Tensor> packed) {
  check_weight(x, weight, weight.dim() == 4 ? weight.size(1) : 0);
  check_pair(stride, 1, "stride");
  check_pair(padding, 0, "padding");
  check_pair(dilation, 1, "dilation");
  STD_TORCH_CHECK(mode >= 0 && mode <= 3, "mode must be 0 to 3");
  const Matrix matrix = convolution_matrix(weight);
  const Weight& shape = matrix.shape;
  const int64_t enlarged[] = {height, width};
  const double scales[] = {scale_height, scale_width};
  int64_t sides[2];
  std::shared_ptr<const Gather> tables[2];
  for (int i = 0; i < 2; ++i) {
    const int64_t side = x.size(2 + i), taps = weight.size(2 + i);
    STD_TORCH_CHECK(side > 0 && enlarged[i] > 0, "sides of ", side, " cannot become ", enlarged[i]);
    STD_TORCH_CHECK(static_cast<Mode>(mode) != Mode::kBedOfNails || enlarged[i] % side == 0,
                    "bed of nails needs whole scales");
    const int64_t reach = enlarged[i] + 2 * padding[i] - dilation[i] * (taps - 1) - 1;
    STD_TORCH_CHECK(taps > 0 && reach >= 0, "the kernel is larger than the up-sampled image");
    sides[i] = reach / stride[i] + 1;
    const Axis axis{side, sides[i], taps, stride[i], padding[i], dilation[i]};
    tables[i] = gather_of({axis, enlarged[i], scales[i], mode, align_corners});
  }
  Convolution job;
  Tensor kept;
  Tensor y = new_result(x, shape.cout, sides[0], sides[1], job.y);
  job.x = planes_of(x);
  job.end = make_ending(bias, x, shape.cout, activation, slope, kept);
  job.kernel_height = weight.size(2);
  job.kernel_width = weight.size(3);
  job.rows = tables[0].get();
  job.columns = tables[1].get();
  job.stride = job.padding = job.dilation = 0;
  if (y.numel() == 0) return y;
  if (!is_single(x)) {
    kernels().plain_f64(job, shape, torch_threads());
  } else if (is_trivial(job)) {
    kernels().plain_f32(job, shape, torch_threads());
  } else {
    const bool is_nails = static_cast<Mode>(mode) == Mode::kBedOfNails && height == 2 * x.size(2) &&
                          width == 2 * x.size(3);
    Packing scheme = is_nails ? nails_scheme(weight) : std::nullopt;
    const bool fits = are(stride, 1) && are(dilation, 1) && are(padding, weight.size(2) / 2);
    if (!fits || !has_tiles(job.x)) scheme.reset();
    run_packed(job, matrix, scheme, shape, packed);
  }
  return y;
}

Tensor pack_conv_transpose2d(const Tensor& weight, Lengths stride, Lengths padding,
                             Lengths dilation) {
  check_dims(weight, 4, "weight");
  check_type(weight, ScalarType::Float, "weight", "float32");
  check_pair(stride, 1, "stride");
  check_pair(padding, 0, "padding");
  check_pair(dilation, 1, "dilation");
  if (weight.numel() == 0) return torch::stable::new_empty(weight, {0}, ScalarType::Byte);
  const Matrix matrix = transposed_matrix(weight);
  const Packing scheme = transposed_scheme(weight, stride, padding, dilation);
  return new_handle(matrix, scheme,
                    scheme == Winograd::kKernel4 ? matrix.shape : turned(matrix.shape));
}

Tensor pack_upsample_conv2d(const Tensor& weight, bool bed_of_nails) {
  check_dims(weight, 4, "weight");
  check_type(weight, ScalarType::Float, "weight", "float32");
  if (weight.numel() == 0) return torch::stable::new_empty(weight, {0}, ScalarType::Byte);
  const Matrix matrix = convolution_matrix(weight);
  return new_handle(matrix, bed_of_nails ? nails_scheme(weight) : std::nullopt, matrix.shape);
}

// An op that moves pixels: x as a dense tensor, the result, the ending.
struct Moved {
  Tensor x, y, bias;
  Scatter job;
};

Moved make_move(const Tensor& given, int64_t channels, int64_t height, int64_t width,
                const std::optional<Tensor>& bias, int64_t activation, double slope) {
  check_planes(given, "x");
  Moved moved;
  moved.x = is_channels_last(given) ? given : torch::stable::contiguous(given);
  moved.y = new_result(given, channels, height, width, moved.job.y);
  moved.job.x = planes_of(moved.x);
  moved.job.end = make_ending(bias, given, given.size(1), activation, slope, moved.bias);
  moved.job.scale_height = moved.job.scale_width = 1;
  moved.job.indices = nullptr;
  return moved;
}

Tensor bed_of_nails(const Tensor& x, int64_t scale_height, int64_t scale_width,
                    std::optional<Tensor> bias, int64_t activation, double slope) {
  check_planes(x, "x");
  STD_TORCH_CHECK(scale_height >= 1 && scale_width >= 1, "scales must be at least 1");
  Moved moved = make_move(x, x.size(1), scale_height * x.size(2), scale_width * x.size(3), bias,
                          activation, slope);
  moved.job.scale_height = scale_height;
  moved.job.scale_width = scale_width;
  if (moved.y.numel() == 0) return moved.y;
  (is_single(x) ? kernels().nails_f32 : kernels().nails_f64)(moved.job, torch_threads());
  return moved.y;
}

Tensor pixel_shuffle(const Tensor& x, int64_t scale, std::optional<Tensor> bias, int64_t activation,
                     double slope) {
  check_planes(x, "x");
  STD_TORCH_CHECK(scale >= 1 && x.size(1) % (scale * scale) == 0,
                  "scale must be at least 1, and its square divide the channels");
  Moved moved = make_move(x, x.size(1) / (scale * scale), scale * x.size(2), scale * x.size(3),
                          bias, activation, slope);
  moved.job.scale_height = moved.job.scale_width = scale;
  if (moved.y.numel() == 0) return moved.y;
  (is_single(x) ? kernels().shuffle_f32 : kernels().shuffle_f64)(moved.job, torch_threads());
  return moved.y;
}

Tensor max_unpool2d(const Tensor& x, const Tensor& indices, int64_t height, int64_t width,
                    std::optional<Tensor> bias, int64_t activation, double slope) {
  check_planes(x, "x");
  check_dims(indices, 4, "indices");
  check_type(indices, ScalarType::Long, "indices", "int64");
  for (int i = 0; i < 4; ++i) {
    STD_TORCH_CHECK(indices.size(i) == x.size(i), "indices must have the shape of x");
  }
  Moved moved = make_move(x, x.size(1), height, width, bias, activation, slope);
  const auto format =
      moved.job.y.channels_last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
  const Tensor places = torch::stable::contiguous(indices, format);
  moved.job.indices = places.const_data_ptr<int64_t>();
  const bool inside =
      x.size(0) * x.size(1) == 0 ||
      (is_single(x) ? kernels().unpool_f32 : kernels().unpool_f64)(moved.job, torch_threads());
  STD_TORCH_CHECK(inside, "an index lies outside of the output of ", height, "x", width);
  return moved.y;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gandetect, CPU, m) {
  m.impl("conv_transpose2d", TORCH_BOX(&conv_transpose2d));
  m.impl("conv_transpose2d_adjoint", TORCH_BOX(&conv_transpose2d_adjoint));
  m.impl("upsample_conv2d", TORCH_BOX(&upsample_conv2d));
  m.impl("pack_conv_transpose2d", TORCH_BOX(&pack_conv_transpose2d));
  m.impl("pack_upsample_conv2d", TORCH_BOX(&pack_upsample_conv2d));
  m.impl("bed_of_nails", TORCH_BOX(&bed_of_nails));
  m.impl("pixel_shuffle", TORCH_BOX(&pixel_shuffle));
  m.impl("max_unpool2d", TORCH_BOX(&max_unpool2d));
}

}  // namespace gandetect::upsample
