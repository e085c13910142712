// The Python module: importing it runs the static registrations of the other files. It holds no
// ops of its own, because a function bound with pybind11 has neither schema nor dispatch.
#include <pybind11/pybind11.h>
#include <torch/headeronly/version.h>

#include "common/isa.h"

namespace py = pybind11;

PYBIND11_MODULE(_C, m) {
  m.doc() = "Compiled kernels of gandetect, registered as torch.ops.gandetect.*";
  m.def(
      "build_info",
      [] {
        py::dict info;
        info["built_for_torch"] = TORCH_VERSION;
        info["stable_abi_target"] = "2.11";
        info["compiler"] = GANDETECT_COMPILER;
#ifdef GANDETECT_WITH_CUDA
        info["cuda"] = true;
#else
        info["cuda"] = false;
#endif
        return info;
      },
      "How this module was built.");
  m.def(
      "cpu_isa", [] { return gandetect::isa_name(gandetect::cpu_isa()); },
      "Instruction set of the CPU kernels in use: baseline, avx2 or avx512.");
}
