"""Builds the CPU kernels and their fuzz driver under the sanitizers, once a session."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
SOURCES = (CSRC / "spectrum/kernels.cpp", HERE / "fuzz.cpp", CSRC / "common/isa.cpp")
# Checks of memory as calls: inlined into the unrolled transforms they take twice as long to build.
FLAGS = (
    *("-std=c++20", "-O1", "-g1", "-Wall", "-Wextra", "-fno-math-errno", "-fno-trapping-math"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    *("--param", "asan-instrumentation-with-call-threshold=0"),
)


def compiler() -> list[str]:
    """g++, or what CXX names; the other instruction sets are built by GCC alone."""
    command = shlex.split(os.environ.get("CXX", "g++"))
    if not CSRC.is_dir():
        pytest.skip("installed without sources")
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} to build the kernels with sanitizers")
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    if "clang" in version.stdout:
        pytest.skip(f"{command[0]} is clang; the sanitized kernels are built with g++")
    return command


@dataclass
class Fuzz:
    program: Path

    @classmethod
    def built_in(cls, folder: Path) -> Fuzz:
        """The program in this folder, built by whichever worker comes first."""
        command, target = compiler(), folder / "fuzz"
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                build(command, target)
        return cls(target)

    def run(self, level: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GANDETECT_CPU_ISA": level}
        # Preloaded libraries would come before the sanitizer's, which it does not allow.
        environment.pop("LD_PRELOAD", None)
        return subprocess.run(
            [self.program, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=600,
            check=False,
        )


def build(command: list[str], target: Path) -> None:
    def compile_one(source: Path) -> str:
        made = target.parent / f"{source.stem}.o"
        run([*command, *FLAGS, f"-I{CSRC}", "-c", str(source), "-o", str(made)])
        return str(made)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, SOURCES))
    unfinished = target.with_suffix(".unfinished")
    run([*command, *FLAGS, *objects, "-o", str(unfinished), "-lpthread"])
    unfinished.rename(target)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr[-4000:]}"
