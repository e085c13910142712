"""Builds CPU kernels and their fuzz drivers under the sanitizers, each once a session."""

from __future__ import annotations

import fcntl
import os
import platform
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
LEVELS = ("baseline", "avx2", "avx512") if platform.machine() == "x86_64" else ("baseline",)
# What each driver is made of, the slowest to compile first.
PROGRAMS = {
    "fuzz": (CSRC / "spectrum/kernels.cpp", HERE / "fuzz.cpp", CSRC / "common/isa.cpp"),
    "upsample_fuzz": (
        CSRC / "upsample/kernels.cpp",
        HERE / "upsample_fuzz.cpp",
        CSRC / "upsample/gather.cpp",
        CSRC / "upsample/packed.cpp",
        CSRC / "common/isa.cpp",
    ),
    "traces_fuzz": (
        CSRC / "traces/kernels.cpp",
        HERE / "traces_fuzz.cpp",
        CSRC / "common/isa.cpp",
    ),
}
# Checks of memory as calls: inlined into the unrolled kernels they take twice as long to build.
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
    def built_in(cls, session: Path, name: str) -> Fuzz:
        """The driver in its own folder, built by whichever worker comes first."""
        command, folder = compiler(), session / name
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / name
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                build(command, PROGRAMS[name], target)
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

    def check_cases(self, level: str, cases: int, seed: int) -> None:
        """All of these pass, or the processor has no such instruction set."""
        done = self.run(level, "--cases", str(cases), "--seed", str(seed))
        said = f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
        if not done.stdout.startswith(f"{level},"):
            pytest.skip(f"this processor has no {level}")
        assert done.returncode == 0, said
        assert f"{cases} cases, 0 failures" in done.stdout, said

    def check_fault(self, words: tuple[str, ...], *arguments: str) -> None:
        """What is planted is reported in these words, and how to see it again."""
        done = self.run("avx512", "--seed", "1", *arguments)
        assert done.returncode != 0
        for part in (*words, "replay: "):
            assert part in done.stdout + done.stderr


def build(command: list[str], sources: tuple[Path, ...], target: Path) -> None:
    def compile_one(source: Path) -> str:
        made = target.parent / f"{source.stem}.o"
        run([*command, *FLAGS, f"-I{CSRC}", "-c", str(source), "-o", str(made)])
        return str(made)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    unfinished = target.with_suffix(".unfinished")
    run([*command, *FLAGS, *objects, "-o", str(unfinished), "-lpthread"])
    unfinished.rename(target)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr[-4000:]}"
