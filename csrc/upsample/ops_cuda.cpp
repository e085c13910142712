// CUDA implementations of the up-sampling ops: checks, allocation and the launchers, on torch's
// current stream. Convolutions begin in torch's own kernels and end in `bias_activation_` and
// `tap_gather_`: gandetect/ops/_upsampling_cuda.py puts them together.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>

#include "common/checks.h"
#include "common/cuda_stream.h"
#include "common/layout.h"
#include "upsample/launchers.cuh"

namespace gandetect::upsample::device {
namespace {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

RealType real_type(const Tensor& tensor, const char* name) {
  const ScalarType type = tensor.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, name,
                  " must be float32 or float64");
  return type == ScalarType::Double ? RealType::kFloat64 : RealType::kFloat32;
}

void check_status(int status, const char* what) {
  STD_TORCH_CHECK(status != kInvalidValue, "gandetect: ", what,
                  " got arguments beyond its kernels: an unknown activation, an extent below 1, or "
                  "2^31 numbers in one image");
  STD_TORCH_CHECK(status == kSuccess, "gandetect: launching ", what,
                  " failed: ", GD_NS(status_text)(status));
}

Tensor laid_out(const Tensor& tensor, bool interleaved) {
  return torch::stable::contiguous(
      tensor, interleaved ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
}

Tensor new_output(const Tensor& x, int64_t channels, int64_t height, int64_t width,
                  bool interleaved) {
  return torch::stable::empty({x.size(0), channels, height, width}, x.scalar_type(), std::nullopt,
                              x.device(), std::nullopt,
                              interleaved ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
}

// Bias, activation and slope as a kernel takes them; keeps the bias alive.
struct CheckedEnding {
  std::optional<Tensor> bias;
  int64_t activation;
  double slope;

  CheckedEnding(const Tensor& x, int64_t channels, const std::optional<Tensor>& given,
                int64_t activation_, double slope_)
      : activation(activation_), slope(slope_) {
    STD_TORCH_CHECK(activation >= 0 && activation <= 4, "activation must be 0, 1, 2, 3 or 4");
    if (!given.has_value()) return;
    check_dims(*given, 1, "bias");
    check_type(*given, x.scalar_type(), "bias", "of the type of x");
    STD_TORCH_CHECK(given->size(0) == channels, "bias must have one number for each channel");
    STD_TORCH_CHECK(is_on_device(*given, x.get_device()), "bias must be on the CUDA device of x");
    bias = torch::stable::contiguous(*given);
  }

  EndingArgs args() const {
    return {bias.has_value() ? bias->const_data_ptr() : nullptr, static_cast<int>(activation),
            slope};
  }
};

Tensor bed_of_nails(const Tensor& x, int64_t scale_height, int64_t scale_width,
                    const std::optional<Tensor>& bias, int64_t activation, double slope) {
  check_dims(x, 4, "x");
  const RealType type = real_type(x, "x");
  STD_TORCH_CHECK(scale_height > 0 && scale_width > 0, "scales must be at least 1");
  const DeviceGuard guard(x.get_device());
  const CheckedEnding ending(x, x.size(1), bias, activation, slope);
  const bool interleaved = is_channels_last(x);
  const Tensor input = laid_out(x, interleaved);
  Tensor output =
      new_output(x, x.size(1), scale_height * x.size(2), scale_width * x.size(3), interleaved);
  const NailsArgs args{type,
                       input.const_data_ptr(),
                       x.size(0),
                       x.size(1),
                       x.size(2),
                       x.size(3),
                       scale_height,
                       scale_width,
                       interleaved,
                       ending.args(),
                       output.mutable_data_ptr(),
                       {}};
  check_status(GD_NS(bed_of_nails)(args, current_cuda_stream(x.get_device())), "bed_of_nails");
  return output;
}

Tensor pixel_shuffle(const Tensor& x, int64_t scale, const std::optional<Tensor>& bias,
                     int64_t activation, double slope) {
  check_dims(x, 4, "x");
  const RealType type = real_type(x, "x");
  STD_TORCH_CHECK(scale > 0 && scale < 65536 && x.size(1) % (scale * scale) == 0,
                  "x must have a multiple of scale^2 channels");
  const DeviceGuard guard(x.get_device());
  const CheckedEnding ending(x, x.size(1), bias, activation, slope);
  const bool interleaved = is_channels_last(x);
  const Tensor input = laid_out(x, interleaved);
  const int64_t channels = x.size(1) / (scale * scale);
  Tensor output = new_output(x, channels, scale * x.size(2), scale * x.size(3), interleaved);
  const ShuffleArgs args{type,
                         input.const_data_ptr(),
                         x.size(0),
                         channels,
                         x.size(2),
                         x.size(3),
                         scale,
                         interleaved,
                         ending.args(),
                         output.mutable_data_ptr(),
                         {}};
  check_status(GD_NS(pixel_shuffle)(args, current_cuda_stream(x.get_device())), "pixel_shuffle");
  return output;
}

// Of an input that is contiguous or channels_last; the output, which may be the input, lies alike.
void finish_all(const Tensor& input, const CheckedEnding& ending, bool interleaved, void* output) {
  const BiasActivationArgs args{real_type(input, "x"),
                                input.const_data_ptr(),
                                input.size(0),
                                input.size(1),
                                input.size(2) * input.size(3),
                                interleaved,
                                ending.args(),
                                output,
                                {}};
  check_status(GD_NS(bias_activation)(args, current_cuda_stream(input.get_device())),
               "bias_activation");
}

Tensor bias_activation(const Tensor& x, const std::optional<Tensor>& bias, int64_t activation,
                       double slope) {
  check_dims(x, 4, "x");
  real_type(x, "x");
  const DeviceGuard guard(x.get_device());
  const CheckedEnding ending(x, x.size(1), bias, activation, slope);
  const bool interleaved = is_channels_last(x);
  const Tensor input = laid_out(x, interleaved);
  Tensor output = new_output(x, x.size(1), x.size(2), x.size(3), interleaved);
  finish_all(input, ending, interleaved, output.mutable_data_ptr());
  if (interleaved || x.is_contiguous()) return output;
  Tensor like = torch::stable::empty_like(x);  // any other layout is kept, as torch does
  torch::stable::copy_(like, output);
  return like;
}

void bias_activation_in_place(Tensor x, const std::optional<Tensor>& bias, int64_t activation,
                              double slope) {
  check_dims(x, 4, "x");
  real_type(x, "x");
  const bool interleaved = is_channels_last(x);
  STD_TORCH_CHECK(interleaved || x.is_contiguous(), "x must be contiguous or channels_last");
  const DeviceGuard guard(x.get_device());
  const CheckedEnding ending(x, x.size(1), bias, activation, slope);
  finish_all(x, ending, interleaved, x.mutable_data_ptr());
}

Tensor max_unpool2d(const Tensor& x, const Tensor& indices, int64_t height, int64_t width,
                    const std::optional<Tensor>& bias, int64_t activation, double slope) {
  check_dims(x, 4, "x");
  check_dims(indices, 4, "indices");
  check_type(indices, ScalarType::Long, "indices", "int64");
  const RealType type = real_type(x, "x");
  for (int d = 0; d < 4; ++d)
    STD_TORCH_CHECK(indices.size(d) == x.size(d), "indices must have the shape of x");
  STD_TORCH_CHECK(is_on_device(indices, x.get_device()), "indices must be on the CUDA device of x");
  STD_TORCH_CHECK(height >= 0 && width >= 0, "height and width must not be negative");
  const DeviceGuard guard(x.get_device());
  const CheckedEnding ending(x, x.size(1), bias, activation, slope);
  const bool interleaved = is_channels_last(x);
  const Tensor input = laid_out(x, interleaved), places = laid_out(indices, interleaved);
  Tensor output = new_output(x, x.size(1), height, width, interleaved);
  Tensor faults = torch::stable::new_empty(x, {x.size(0) * x.size(1)}, ScalarType::Int);
  const UnpoolArgs args{type,
                        input.const_data_ptr(),
                        places.const_data_ptr<int64_t>(),
                        x.size(0),
                        x.size(1),
                        x.size(2) * x.size(3),
                        height * width,
                        interleaved,
                        ending.args(),
                        faults.mutable_data_ptr<int32_t>(),
                        output.mutable_data_ptr(),
                        {}};
  check_status(GD_NS(max_unpool2d)(args, current_cuda_stream(x.get_device())), "max_unpool2d");
  return output;
}

// A table's (2, L, n) places beside its (L, n) weights.
void check_table(const Tensor& places, const Tensor& weights, const Tensor& z, int64_t n,
                 const char* name) {
  check_dims(places, 3, name);
  check_dims(weights, 2, name);
  check_type(places, ScalarType::Int, name, "int32");
  check_type(weights, z.scalar_type(), name, "weighted in the type of z");
  STD_TORCH_CHECK(places.size(0) == 2 && places.size(1) == weights.size(0) && places.size(2) == n &&
                      weights.size(1) == n,
                  name, " must be (2, L, n) places and (L, n) weights of the n outputs");
  STD_TORCH_CHECK(places.is_contiguous() && weights.is_contiguous(), name, " must be contiguous");
  STD_TORCH_CHECK(is_on_device(places, z.get_device()) && is_on_device(weights, z.get_device()),
                  name, " must be on the CUDA device of z");
}

void tap_gather(Tensor out, const Tensor& z, const Tensor& rows, const Tensor& row_weights,
                const Tensor& columns, const Tensor& column_weights, const Tensor& span,
                const std::optional<Tensor>& bias, int64_t activation, double slope) {
  check_dims(out, 4, "out");
  check_dims(z, 6, "z");
  const RealType type = real_type(z, "z");
  check_type(out, z.scalar_type(), "out", "of the type of z");
  STD_TORCH_CHECK(is_on_device(out, z.get_device()), "out must be on the CUDA device of z");
  STD_TORCH_CHECK(out.size(0) == z.size(0) && out.size(1) == z.size(3),
                  "out must have the images and channels of z");
  const int64_t height = out.size(2), width = out.size(3);
  check_table(rows, row_weights, z, height, "rows");
  check_table(columns, column_weights, z, width, "columns");
  check_dims(span, 2, "span");
  check_type(span, ScalarType::Int, "span", "int32");
  STD_TORCH_CHECK(span.size(0) == 2 && span.size(1) == width && span.is_contiguous() &&
                      is_on_device(span, z.get_device()),
                  "span must be (2, OW), contiguous, on the CUDA device of z");
  const bool interleaved = is_channels_last(out);
  STD_TORCH_CHECK(interleaved || out.is_contiguous(), "out must be contiguous or channels_last");
  const DeviceGuard guard(z.get_device());
  const CheckedEnding ending(z, z.size(3), bias, activation, slope);
  TapGatherArgs args{};
  args.type = type;
  args.z = z.const_data_ptr();
  for (int d = 0; d < 6; ++d) {
    args.sizes[d] = z.size(d);
    args.strides[d] = z.stride(d);
  }
  args.out_height = height;
  args.out_width = width;
  args.row_length = rows.size(1);
  args.column_length = columns.size(1);
  args.rows = rows.const_data_ptr<int32_t>();
  args.row_weights = row_weights.const_data_ptr();
  args.columns = columns.const_data_ptr<int32_t>();
  args.column_weights = column_weights.const_data_ptr();
  args.span = span.const_data_ptr<int32_t>();
  args.interleaved = interleaved;
  args.ending = ending.args();
  args.out = out.mutable_data_ptr();
  check_status(GD_NS(tap_gather)(args, current_cuda_stream(z.get_device())), "tap_gather");
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gandetect, CUDA, m) {
  m.impl("bed_of_nails", TORCH_BOX(&bed_of_nails));
  m.impl("pixel_shuffle", TORCH_BOX(&pixel_shuffle));
  m.impl("bias_activation", TORCH_BOX(&bias_activation));
  m.impl("bias_activation_", TORCH_BOX(&bias_activation_in_place));
  m.impl("max_unpool2d", TORCH_BOX(&max_unpool2d));
  m.impl("tap_gather_", TORCH_BOX(&tap_gather));
}

}  // namespace gandetect::upsample::device
