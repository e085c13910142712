// Memory formats: torch::stable has no is_contiguous(memory_format).
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <array>

namespace gandetect {

// Whether (N, C, H, W) lies dense in the order of these dimensions, outermost first.
inline bool is_dense(const torch::stable::Tensor& x, const std::array<int, 4>& order) {
  int64_t wanted = 1;
  for (int i = 3; i >= 0; --i) {
    const int64_t size = x.size(order[i]);
    if (size == 1) continue;
    if (x.stride(order[i]) != wanted) return false;
    wanted *= size;
  }
  return true;
}

// Where a result of (N, C, H, W) is channels_last: where x is that, and not contiguous as well.
// gandetect/ops/upsampling_reference.py says the same.
inline bool is_channels_last(const torch::stable::Tensor& x) {
  return x.numel() > 0 && !is_dense(x, {0, 1, 2, 3}) && is_dense(x, {0, 2, 3, 1});
}

}  // namespace gandetect
