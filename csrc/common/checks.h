// Argument checks shared by the op families. Arguments were validated in Python with the caller's
// words; these guard the kernels against direct calls.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

namespace gandetect {

inline void check_dims(const torch::stable::Tensor& tensor, int64_t dims, const char* name) {
  STD_TORCH_CHECK(tensor.dim() == dims, name, " must have ", dims, " dimensions, not ",
                  tensor.dim());
}

inline void check_type(const torch::stable::Tensor& tensor, torch::headeronly::ScalarType type,
                       const char* name, const char* wanted) {
  STD_TORCH_CHECK(tensor.scalar_type() == type, name, " must be ", wanted);
}

}  // namespace gandetect
