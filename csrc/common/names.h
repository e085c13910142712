// Names and statuses that launchers share with their callers, which read no CUDA header.
#pragma once

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

}  // namespace gandetect
