"""The CPU kernels under the address and undefined-behavior sanitizers, over random calls.

fuzz.cpp calls them without torch, with every buffer a heap block of exactly its size, and compares
each result with a direct transform in double, and three threads with one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("tests/kernels/fuzz.cpp", "csrc/spectrum/kernels.cpp", "csrc/common/isa.cpp")
FLAGS = (
    "-std=c++20",
    "-O1",
    "-g",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
LEVELS = ("baseline", "avx2", "avx512")
CASES = 4000


@pytest.fixture
def fuzz(tmp_path) -> Path:
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ to build the kernels with sanitizers")

    def compile_one(source: str) -> str:
        target = tmp_path / (Path(source).stem + ".o")
        command = [compiler, *FLAGS, f"-I{ROOT / 'csrc'}", "-c", str(ROOT / source), "-o", target]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, SOURCES))
    program = tmp_path / "fuzz"
    subprocess.run([compiler, *FLAGS, *objects, "-o", program, "-lpthread"], check=True)
    return program


def run(program: Path, level: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GANDETECT_CPU_ISA": level}
    # Preloaded libraries would come before the sanitizer's, which it does not allow.
    environment.pop("LD_PRELOAD", None)
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, env=environment, timeout=300
    )


# One test, so that the workers of a run do not build the program twice.
def test_random_calls_and_known_faults(fuzz):
    for seed, level in enumerate(LEVELS, start=1):
        result = run(fuzz, level, "--cases", str(CASES), "--seed", str(seed))
        said = f"{level}: {result.stdout[-2000:]}{result.stderr[-4000:]}"
        assert result.returncode == 0, said
        assert f"{CASES} cases, 0 failures" in result.stdout, said
    for fault, sign in (("read", "AddressSanitizer"), ("value", "off by")):
        result = run(fuzz, "avx512", "--cases", "50", "--fault", fault)
        assert result.returncode != 0, f"the fault {fault!r} went unseen"
        assert sign in result.stdout + result.stderr
