#include "common/isa.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace gandetect {
namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};

Isa best_available() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  if (__builtin_cpu_supports("x86-64-v4")) return Isa::kAvx512;
  if (__builtin_cpu_supports("x86-64-v3")) return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

// An unknown name asks for nothing, as an empty one does.
Isa requested() {
  const char* name = std::getenv("GANDETECT_CPU_ISA");
  for (int level = 0; name != nullptr && level < 3; ++level) {
    if (std::strcmp(name, kNames[level]) == 0) return static_cast<Isa>(level);
  }
  return Isa::kAvx512;
}

}  // namespace

Isa cpu_isa() {
  static const Isa chosen = std::min(best_available(), requested());
  return chosen;
}

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

}  // namespace gandetect
