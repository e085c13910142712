// Which build of the CPU kernels runs: the best the processor has, clipped by GANDETECT_CPU_ISA.
#pragma once

namespace gandetect {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// Decided once per process. A level that the processor lacks is never returned.
Isa cpu_isa();
const char* isa_name(Isa isa);

}  // namespace gandetect
