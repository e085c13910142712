// CPU implementations of the styled layers: checks and allocation around kSame3 of winograd.inc and
// the filter of styled.inc.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "common/torch_threads.h"
#include "upsample/packed.h"
#include "upsample/tensors.h"

namespace gandetect::upsample {
namespace {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// A contiguous float32 tensor of this many elements.
Tensor values_of(const Tensor& given, int64_t count, const char* name) {
  check_type(given, ScalarType::Float, name, "float32");
  STD_TORCH_CHECK(given.numel() == count, name, " must have ", count, " elements, not ",
                  given.numel());
  return torch::stable::contiguous(given);
}

// What both ops end with; the tensors keep alive what the structs point to.
struct StyledEnding {
  Tensor factors, noise, strength, bias;
  Styles styles;
  Ending end;

  StyledEnding(const Tensor& given_factors, const Tensor& given_noise, const Tensor& given_strength,
               const Tensor& given_bias, double slope, int64_t n, const Result& y)
      : factors(values_of(given_factors, n * y.channels, "factors")),
        noise(values_of(given_noise, n * y.height * y.width, "noise")),
        strength(values_of(given_strength, 1, "strength")),
        bias(values_of(given_bias, y.channels, "bias")) {
    STD_TORCH_CHECK(slope >= 0, "slope must not be negative");
    styles = {nullptr, factors.const_data_ptr<float>(), noise.const_data_ptr<float>(),
              *strength.const_data_ptr<float>()};
    end = {bias.const_data_ptr(), Activation::kLeakyRelu, slope};
  }
};

Tensor styled_conv2d(const Tensor& x, const Tensor& weight, const Tensor& styles,
                     const Tensor& factors, const Tensor& noise, const Tensor& strength,
                     const Tensor& bias, double slope) {
  check_dims(x, 4, "x");
  check_type(x, ScalarType::Float, "x", "float32");
  check_dims(weight, 4, "weight");
  check_type(weight, ScalarType::Float, "weight", "float32");
  STD_TORCH_CHECK(weight.size(1) == x.size(1) && weight.size(2) == 3 && weight.size(3) == 3,
                  "weight must be (O, ", x.size(1), ", 3, 3)");
  STD_TORCH_CHECK(x.numel() > 0, "x must not be empty");
  const int64_t cout = weight.size(0), cin = weight.size(1);
  Convolution job{};
  Tensor y = new_result(x, cout, x.size(2), x.size(3), job.y);
  job.x = planes_of(x);
  job.kernel_height = job.kernel_width = 3;
  StyledEnding ending(factors, noise, strength, bias, slope, x.size(0), job.y);
  const Tensor inputs = values_of(styles, x.size(0) * cin, "styles");
  ending.styles.inputs = inputs.const_data_ptr<float>();
  job.end = ending.end;
  job.styles = &ending.styles;
  if (y.numel() == 0) return y;
  const Tensor taps = torch::stable::contiguous(weight);
  const Weight shape{taps.const_data_ptr(), cin, cout, 9, 9, 9 * cin, 1};
  const Parallel threads = torch_threads();
  const auto packed = cached(Winograd::kSame3, shape, threads);
  kernels().winograd(Winograd::kSame3, job, packed->data(), threads);
  return y;
}

Tensor styled_filter(const Tensor& given, const Tensor& factors, const Tensor& noise,
                     const Tensor& strength, const Tensor& bias, double slope) {
  check_dims(given, 4, "x");
  check_type(given, ScalarType::Float, "x", "float32");
  const Tensor x = torch::stable::contiguous(given, MemoryFormat::ChannelsLast);
  Filter job{};
  Tensor y = new_result(x, true, x.size(1), x.size(2) - 1, x.size(3) - 1, job.y);
  job.x = planes_of(x);
  const StyledEnding ending(factors, noise, strength, bias, slope, x.size(0), job.y);
  job.end = ending.end;
  job.styles = ending.styles;
  if (y.numel() > 0) kernels().styled_filter(job, torch_threads());
  return is_channels_last(given) ? y : torch::stable::contiguous(y);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(gandetect, CPU, m) {
  m.impl("styled_conv2d", TORCH_BOX(&styled_conv2d));
  m.impl("styled_filter", TORCH_BOX(&styled_filter));
}

}  // namespace gandetect::upsample
