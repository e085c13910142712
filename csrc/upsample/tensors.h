// Tensors as the CPU kernels of this family take them.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <optional>

#include "common/checks.h"
#include "common/layout.h"
#include "upsample/kernels.h"

namespace gandetect::upsample {

inline void check_planes(const torch::stable::Tensor& x, const char* name) {
  using torch::headeronly::ScalarType;
  check_dims(x, 4, name);
  const ScalarType type = x.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, name,
                  " must be float32 or float64");
}

inline Planes planes_of(const torch::stable::Tensor& x) {
  return {x.const_data_ptr(), x.size(0),   x.size(1),   x.size(2),  x.size(3),
          x.stride(0),        x.stride(1), x.stride(2), x.stride(3)};
}

// An uninitialized result for x, of its type; channels_last where `last` says so.
inline torch::stable::Tensor new_result(const torch::stable::Tensor& x, bool last, int64_t channels,
                                        int64_t height, int64_t width, Result& result) {
  using torch::headeronly::MemoryFormat;
  STD_TORCH_CHECK(channels >= 0 && height >= 0 && width >= 0, "the result would be ", height, "x",
                  width);
  const int64_t size[] = {x.size(0), channels, height, width};
  const auto format = last ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous;
  torch::stable::Tensor y = torch::stable::empty({size, 4}, x.scalar_type(), std::nullopt,
                                                 x.device(), std::nullopt, format);
  result = {y.mutable_data_ptr(), channels, height, width, last};
  return y;
}

// The same in the layout of x.
inline torch::stable::Tensor new_result(const torch::stable::Tensor& x, int64_t channels,
                                        int64_t height, int64_t width, Result& result) {
  return new_result(x, is_channels_last(x), channels, height, width, result);
}

}  // namespace gandetect::upsample
