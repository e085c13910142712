// Builds the kernels once per instruction set and picks one table at run time.
//
// Every header comes before the first target pragma: an inline function first compiled inside one
// could be kept by the linker for the whole program, and would then need that instruction set.
//
// g++ does not define a target's macros inside its pragma, and pocketfft takes its vector length
// from them: they are defined by hand around it.
#include "spectrum/kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
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

#define POCKETFFT_NO_MULTITHREADING
#define POCKETFFT_CACHE_SIZE 16

#define GD_ISA baseline
#define pocketfft pocketfft_baseline
#include "pocketfft_hdronly.h"
#include "spectrum/kernels.inc"
#undef GD_ISA
#undef pocketfft
#undef POCKETFFT_HDRONLY_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GD_LEVELS
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#pragma push_macro("__AVX__")
#undef __AVX__
#define __AVX__ 1
#define GD_ISA avx2
#define pocketfft pocketfft_avx2
#include "pocketfft_hdronly.h"
#include "spectrum/kernels.inc"
#undef GD_ISA
#undef pocketfft
#undef POCKETFFT_HDRONLY_H
#pragma pop_macro("__AVX__")
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#pragma push_macro("__AVX512F__")
#undef __AVX512F__
#define __AVX512F__ 1
#define GD_ISA avx512
#define pocketfft pocketfft_avx512
#include "pocketfft_hdronly.h"
#include "spectrum/kernels.inc"
#undef GD_ISA
#undef pocketfft
#pragma pop_macro("__AVX512F__")
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
