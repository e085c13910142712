// What the glue asks of torch about a CUDA device: where a tensor lives, a guard, the current
// stream.
//
// aoti_torch_get_current_cuda_stream lives in libtorch_cuda alone. A direct reference would make
// the extension unloadable beside a CPU-only torch, and a weak one stays null even beside a CUDA
// torch, because torch's libraries are not in the global symbol scope. So the loaded library is
// asked.
#pragma once

#include <dlfcn.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>

namespace gandetect {

using DeviceGuard = torch::stable::accelerator::DeviceGuard;

inline bool is_on_device(const torch::stable::Tensor& tensor, int32_t device_index) {
  return tensor.is_cuda() && tensor.get_device() == device_index;
}

using CurrentStreamGetter = int32_t (*)(int32_t device_index, void** stream);

inline CurrentStreamGetter find_current_stream_getter() {
  void* library = dlopen("libtorch_cuda.so", RTLD_NOLOAD | RTLD_LAZY);
  if (library == nullptr) return nullptr;
  return reinterpret_cast<CurrentStreamGetter>(
      dlsym(library, "aoti_torch_get_current_cuda_stream"));
}

inline void* current_cuda_stream(int32_t device_index) {
  static const CurrentStreamGetter getter = find_current_stream_getter();
  STD_TORCH_CHECK(getter != nullptr,
                  "gandetect: this torch has no libtorch_cuda that names a current stream; "
                  "install a CUDA build of torch>=2.11 to run on CUDA tensors");
  void* stream = nullptr;
  STD_TORCH_CHECK(getter(device_index, &stream) == 0,
                  "gandetect: torch could not name the current stream of CUDA device ",
                  device_index);
  return stream;
}

}  // namespace gandetect
