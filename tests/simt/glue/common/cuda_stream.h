// Stands in for csrc/common/cuda_stream.h where the glue is built over the SIMT shim: its device is
// the CPU, which needs no guard and has no streams.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>

namespace gandetect {

struct DeviceGuard {
  explicit DeviceGuard(int32_t) {}
};

inline bool is_on_device(const torch::stable::Tensor&, int32_t) { return true; }
inline void* current_cuda_stream(int32_t) { return nullptr; }

}  // namespace gandetect
