// Builds the kernels once per instruction set and picks one table at run time.
//
// Every header comes before the first target pragma: an inline function first compiled inside one
// could be kept by the linker for the whole program, and would then need that instruction set.
#include "traces/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "common/isa.h"

#define GD_ISA baseline
#define GD_VECTOR_BYTES 16
#include "traces/kernels.inc"
#undef GD_ISA
#undef GD_VECTOR_BYTES

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GD_LEVELS
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define GD_ISA avx2
#define GD_VECTOR_BYTES 32
#include "traces/kernels.inc"
#undef GD_ISA
#undef GD_VECTOR_BYTES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define GD_ISA avx512
#define GD_VECTOR_BYTES 64
#include "traces/kernels.inc"
#undef GD_ISA
#undef GD_VECTOR_BYTES
#pragma GCC pop_options
#endif

namespace gandetect::traces {

const Kernels& kernels() {
#ifdef GD_LEVELS
  if (cpu_isa() == Isa::kAvx512) return avx512::kKernels;
  if (cpu_isa() == Isa::kAvx2) return avx2::kKernels;
#endif
  return baseline::kKernels;
}

}  // namespace gandetect::traces
