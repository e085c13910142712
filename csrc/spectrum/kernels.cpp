// Builds the kernels once per instruction set and picks one table at run time.
//
// Every header comes before the first target pragma: an inline function first compiled inside one
// could be kept by the linker for the whole program, and would then need that instruction set.
#include "spectrum/kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/isa.h"

namespace gandetect::spectrum {
constexpr double kPi = 3.14159265358979323846;
}

#define GD_ISA baseline
#define GD_VECTOR_BYTES 16
#include "spectrum/kernels.inc"
#undef GD_ISA
#undef GD_VECTOR_BYTES

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GD_LEVELS
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define GD_ISA avx2
#define GD_VECTOR_BYTES 32
#include "spectrum/kernels.inc"
#undef GD_ISA
#undef GD_VECTOR_BYTES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define GD_ISA avx512
#define GD_VECTOR_BYTES 64
#include "spectrum/kernels.inc"
#undef GD_ISA
#undef GD_VECTOR_BYTES
#pragma GCC pop_options
#endif

namespace gandetect::spectrum {

const Kernels& kernels() {
#ifdef GD_LEVELS
  if (cpu_isa() == Isa::kAvx512) return avx512::kKernels;
  if (cpu_isa() == Isa::kAvx2) return avx2::kKernels;
#endif
  return baseline::kKernels;
}

}  // namespace gandetect::spectrum
