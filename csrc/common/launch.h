// Kernel launches: always on a stream that the caller names, always with a status that it reads.
#pragma once

#include "device.h"

// Parentheses around a template kernel keep its commas out of the macro's argument list.
// The shim predefines both macros; nothing else in the project writes a launch by hand.
#ifndef GD_LAUNCH
#define GD_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define GD_STATUS() static_cast<int>(cudaGetLastError())
#define GD_STATUS_TEXT(status) cudaGetErrorString(static_cast<cudaError_t>(status))
#endif

// launchers.cu is built twice, by nvcc for the extension and by g++ over the shim for the tests:
// a build that defines GD_NS itself gets other symbols, so that both may live in one process.
#ifndef GD_NS
#define GD_NS(name) gandetect_cuda_##name
#endif

namespace gandetect {

// Values of cudaError_t that launchers return without launching.
constexpr int kSuccess = 0;
constexpr int kInvalidValue = 1;
constexpr int kInvalidConfiguration = 9;

constexpr int64_t kMaxGridX = 2147483647;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace gandetect
