// Kernel launches: always on a stream that the caller names, always with a status that it reads.
#pragma once

#include "common/device.h"
#include "common/names.h"

// Parentheses around a template kernel keep its commas out of the macro's argument list.
// The shim predefines both macros; nothing else in the project writes a launch by hand.
#ifndef GD_LAUNCH
#define GD_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define GD_STATUS() static_cast<int>(cudaGetLastError())
#define GD_STATUS_TEXT(status) cudaGetErrorString(static_cast<cudaError_t>(status))
#endif

namespace gandetect {

constexpr int64_t kMaxGridX = 2147483647;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace gandetect
