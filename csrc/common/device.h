// The one place where a kernel file learns whether it is CUDA or plain C++.
//
// nvcc reads the CUDA runtime; any other compiler reads simt.h (tests/simt), a shim that runs the
// same source with one fiber per CUDA thread. Kernels therefore use only what both offer:
// __global__ functions, one dynamic shared array, and the intrinsics that the shim has.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#include <cuda_runtime.h>
// Every kernel names the same extern array, since CUDA has only one; 16 bytes suit any vector type.
#define GD_DYN_SHARED(name)                                      \
  extern __shared__ __align__(16) unsigned char gd_dyn_shared[]; \
  unsigned char* const name = gd_dyn_shared
// Before a loop whose arrays are to stay in registers.
#define GD_UNROLL _Pragma("unroll")
#else
#include "simt.h"
#define GD_UNROLL
#endif
