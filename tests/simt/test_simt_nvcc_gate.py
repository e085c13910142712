"""nvcc over every shipped kernel: no warning, no spill, no local memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from simt_build import CSRC, LAUNCHERS, run

pytestmark = pytest.mark.cuda_gate

STRICT = ["-std=c++17", "-O3", "-Werror", "all-warnings", f"-I{CSRC}"]
PTXAS = ["-Xptxas", "-v,-warn-spills,-warn-lmem-usage"]
TARGETS = [
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=sm_90",
    "-gencode=arch=compute_90,code=compute_90",
]
GATES = sorted(CSRC.glob("*/all_kernels.cu"))
SPILLS = """
extern "C" __global__ void __launch_bounds__(1024, 2) spills(float* x) {
  float keep[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) keep[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) x[i * 1024 + threadIdx.x] = keep[i] * keep[63 - i];
}
"""
LOCAL = """
extern "C" __global__ void indexes(float* x, int i) {
  float local[400];
  for (int k = 0; k < 400; ++k) local[k] = x[k];
  x[threadIdx.x] = local[i];
}
"""


@pytest.fixture(scope="module")
def nvcc() -> str:
    home = os.environ.get("CUDA_HOME")
    found = shutil.which("nvcc", path=f"{home}/bin" if home else None) or shutil.which("nvcc")
    if found is None and os.environ.get("GANDETECT_EXPECT_NVCC") == "1":
        pytest.fail("GANDETECT_EXPECT_NVCC=1, but there is no nvcc in CUDA_HOME/bin or on PATH")
    if found is None:
        pytest.skip(
            "no nvcc in CUDA_HOME/bin or on PATH; GANDETECT_EXPECT_NVCC=1 makes this a failure"
        )
    return found


def cubin(nvcc: str, source: Path, architecture: str, folder: Path):
    out = str(folder / "kernels.cubin")
    return run([nvcc, *STRICT, *PTXAS, f"-arch={architecture}", "-cubin", "-o", out, str(source)])


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(
    "source", sorted(CSRC.glob("*/all_kernels.cu")), ids=lambda p: p.parent.name
)
def test_kernels_fit_in_registers(
    nvcc: str, tmp_path: Path, architecture: str, source: Path
) -> None:
    done = cubin(nvcc, source, architecture, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Compiling entry function" in done.stdout + done.stderr


@pytest.mark.parametrize("source", LAUNCHERS, ids=lambda path: path.parent.name)
def test_launchers_build_for_every_target(nvcc: str, tmp_path: Path, source: Path) -> None:
    command = [
        nvcc,
        *STRICT,
        *TARGETS,
        "-lineinfo",
        "-Xcompiler",
        "-fPIC,-fvisibility=hidden,-Wall",
    ]
    done = run([*command, "-c", str(source), "-o", str(tmp_path / "launchers.o")])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(
    ("planted", "words"),
    [(SPILLS, "Registers are spilled"), (LOCAL, "Local memory used")],
    ids=["spills", "local"],
)
def test_the_gate_stops_a_planted_fault(
    nvcc: str, tmp_path: Path, architecture: str, planted: str, words: str
) -> None:
    source = tmp_path / "planted.cu"
    source.write_text(planted)
    done = cubin(nvcc, source, architecture, tmp_path)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
