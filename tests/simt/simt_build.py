"""Builds the SIMT programs with the C++ compiler at hand and calls the launchers by ctypes."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
LAUNCHERS = sorted(CSRC.glob("*/launchers.cu"))
CXX = shlex.split(os.environ.get("CXX", "c++"))
COMMON = ["-Wall", "-Wextra", "-Werror", f"-I{HERE}", f"-I{CSRC}"]
RENAMED = ["-DGD_NS(x)=simt_##x"]
PIC = ["-O2", "-fPIC"]
# The launchers as C functions, and programs that call them all.
EXPORTS = ("ops_simt.cpp", "ops_simt_upsample.cpp")
DRIVERS = ("driver", "driver_upsample")

# Flags of the shim, and of everything else: TSan must not see into the shim (simt.cpp says why).
VARIANTS: dict[str, tuple[list[str], list[str]]] = {
    "plain": (["-O2"], ["-O2"]),
    "ucontext": (["-O2", "-DSIMT_UCONTEXT"], ["-O2"]),
    "asan": (
        ["-O1", "-g", "-DSIMT_ASAN", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        ["-O1", "-g", "-DSIMT_ASAN", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    ),
    "tsan": (["-O1", "-g", "-DSIMT_TSAN"], ["-O1", "-g", "-fsanitize=thread"]),
}


def run(command: list[str], timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


def compile_or_fail(command: list[str]) -> None:
    result = run(command)
    assert result.returncode == 0, f"{shlex.join(command)}\n{result.stderr[-4000:]}"


@dataclass
class Builder:
    """Objects and programs in one folder, each built once, also by tests that run in parallel."""

    folder: Path

    def once(self, name: str, build: Callable[[Path], None]) -> Path:
        target = self.folder / name
        with open(self.folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                build(target)
        return target

    def compile(self, source: Path, flags: list[str], tag: str, csrc: Path = CSRC) -> Path:
        kernels = ["-x", "c++"] if source.suffix == ".cu" else []
        include = [f"-I{csrc}"] if csrc != CSRC else []
        # The last standard and the first include folder win: both may be the caller's.
        command = [*CXX, "-std=c++17", *include, *flags, *COMMON, *RENAMED, *kernels]

        def build(target: Path) -> None:
            compile_or_fail([*command, "-c", str(source), "-o", str(target)])

        return self.once(f"{source.parent.name}_{source.stem}_{tag}.o", build)

    def compile_all(self, jobs: list[tuple[Path, list[str], str]], csrc: Path = CSRC) -> list[Path]:
        """Objects of (source, flags, tag), two compilers at a time."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda job: self.compile(*job, csrc), jobs))

    def shim(self, variant: str, *extra: str) -> list[tuple[Path, list[str], str]]:
        """Jobs for compile_all."""
        tag = variant + "".join(extra).replace("-", "_")
        flags = [*VARIANTS[variant][0], *extra]
        return [(HERE / f"{name}.cpp", flags, tag) for name in ("simt", "fiber")]

    def program(self, name: str, variant: str, csrc: Path = CSRC) -> Path:
        """`faults` or a driver; the latter over the launchers of `csrc`, a tree like ours
        whose parent folder has a name of its own."""
        flags = VARIANTS[variant][1]
        tag = variant if csrc == CSRC else f"{variant}_{csrc.parent.name}"

        def build(target: Path) -> None:
            ours = ["faults.cu"] if name == "faults" else [f"{name}.cpp", *EXPORTS]
            jobs = [(HERE / source, flags, variant) for source in ours]
            objects = self.compile_all([*jobs, *self.shim(variant)])
            if name in DRIVERS:
                launchers = sorted(csrc.glob("*/launchers.cu"))
                objects += self.compile_all([(s, flags, tag) for s in launchers], csrc)
            link = [flag for flag in flags if flag.startswith("-f")]
            compile_or_fail([*CXX, *link, *map(str, objects), "-o", str(target)])

        return self.once(f"{name}_{tag}", build)

    def launchers(self) -> list[tuple[Path, list[str], str]]:
        """Jobs for compile_all: the launchers over the shim, for a shared library."""
        return [*((s, PIC, "pic") for s in LAUNCHERS), *self.shim("plain", "-fPIC")]

    def library(self) -> Path:
        """The launchers as a shared library for ctypes."""

        def build(target: Path) -> None:
            exports = [(HERE / name, PIC, "pic") for name in EXPORTS]
            objects = self.compile_all([*exports, *self.launchers()])
            command = [*CXX, "-shared", "-Wl,--no-undefined", *map(str, objects)]
            compile_or_fail([*command, "-o", str(target)])

        return self.once("libops_simt.so", build)


def session_builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """One folder for the whole session: workers of pytest-xdist have their own inside it."""
    session = tmp_path_factory.getbasetemp()
    folder = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / "simt"
    folder.mkdir(exist_ok=True)
    return Builder(folder)


def execute(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program; TSan needs the address space where it looks for it."""
    command = [str(program), *arguments]
    if "tsan" in program.name and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    return run(command)


class SimtError(RuntimeError):
    """A launch failed; the text is the shim's."""


class Simt:
    """The launchers over numpy arrays."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.simt_error.restype = ctypes.c_char_p

    def schedule(self, kind: int, seed: int = 1) -> None:
        """0 forward, 1 reverse, 2 random."""
        self._library.simt_set_schedule(kind, ctypes.c_uint64(seed))

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*map(_convert, arguments))
        if status != 0:
            raise SimtError(f"status {status}: {self._library.simt_error(status).decode()}")

    def window(self, height: int, width: int, real: np.dtype) -> np.ndarray:
        """The table of the Hann window, (H + W,)."""
        table = np.full(height + width, 7, real)
        self._call("simt_hann_table", _type(table), height, width, table)
        return table

    def mean(
        self, images: np.ndarray, rounded: bool = False, table: np.ndarray | None = None
    ) -> np.ndarray:
        """Means of the gray planes, windowed where there is a table, (N,) float64."""
        means = np.empty(len(images))
        kind = _type(np.empty(0, _real(images)))
        where = (_Strided(images), _strides(images))
        self._call("simt_mean", kind, *where, table, means, *_gray_sizes(images, rounded))
        return means

    def gray(
        self,
        images: np.ndarray,
        rounded: bool = False,
        means: np.ndarray | None = None,
        table: np.ndarray | None = None,
    ) -> np.ndarray:
        n, _, height, width = images.shape
        gray = np.empty((n, height, width), _real(images))
        where = (_Strided(images), _strides(images))
        sizes = _gray_sizes(images, rounded)
        self._call("simt_gray", _type(gray), *where, means, table, gray, *sizes)
        return gray

    def gray_adjoint(
        self, planes: np.ndarray, channels: int, table: np.ndarray | None = None
    ) -> np.ndarray:
        """Gradients (N, H, W) of gray planes to those of images, (N, C, H, W)."""
        n, height, width = planes.shape
        means = None if table is None else self.mean(planes[:, None], table=table)
        out = np.full((n, channels, height, width), 7, planes.dtype)
        sizes = (n, height, width, _Int(channels))
        self._call("simt_gray_adjoint", _type(planes), planes, means, table, *sizes, out)
        return out

    def dc(
        self, means: np.ndarray | None, spectra: np.ndarray, constant: float, width: int
    ) -> np.ndarray:
        n, height, _ = spectra.shape
        result = spectra.copy()
        kind = _type(spectra.real)
        self._call("simt_dc", kind, means, result, float(constant), n, height, width)
        return result

    def means(
        self,
        source: np.ndarray,
        maps: np.ndarray,
        inverse_counts: np.ndarray,
        width: int,
        folded: bool,
        value: tuple[int, float, float] = (0, 1.0, 0.0),
        amplitude: float = 1.0,
        wanted: tuple[bool, bool, bool, bool] = (True, True, True, True),
    ) -> list[np.ndarray | None]:
        """Bins, rows, columns and DC of spectra, or of real planes; None where not wanted."""
        n, height, columns = source.shape
        n_bins, real = len(inverse_counts), source.real.dtype
        lengths = (n_bins, height // 2 + 1, columns, 1)
        results = [
            np.full((n, length), 7, real) if want else None
            for length, want in zip(lengths, wanted, strict=True)
        ]
        mode, gain, eps = value
        plan_bins, plan_maps = (n_bins, len(maps)) if wanted[0] else (0, 0)
        plan = (height, columns, width, plan_bins, plan_maps, _Int(folded))
        is_plane = _Int(not np.iscomplexobj(source))
        scalars = (_Int(mode), float(gain), float(eps), float(amplitude))
        kind = _type(source.real)
        name = "simt_means"
        self._call(name, kind, source, is_plane, *scalars, maps, inverse_counts, n, *plan, *results)
        return results

    def backward(
        self,
        spectra: np.ndarray,
        maps: np.ndarray,
        inverse_counts: np.ndarray,
        width: int,
        folded: bool,
        gradients: list[np.ndarray | None],
        value: tuple[int, float, float] = (0, 1.0, 0.0),
        amplitude: float = 1.0,
    ) -> np.ndarray:
        """What a complex-to-real transform turns into the gradient of the planes."""
        n, height, columns = spectra.shape
        result = spectra.copy()
        mode, gain, eps = value
        plan = (height, columns, width, len(inverse_counts), len(maps), _Int(folded))
        scalars = (_Int(mode), float(gain), float(eps), float(amplitude))
        kind, where = _type(spectra.real), (maps, inverse_counts)
        self._call("simt_backward", kind, result, *scalars, *where, n, *plan, *gradients)
        return result

    def spread(
        self,
        q: np.ndarray,
        maps: np.ndarray,
        inverse_counts: np.ndarray,
        width: int,
        folded: bool,
    ) -> np.ndarray:
        n_maps, height, columns = maps.shape
        out = np.full((len(q), height, columns), 7, q.dtype)
        plan = (height, columns, width, len(inverse_counts), n_maps, _Int(folded))
        self._call("simt_spread", _type(q), q, maps, inverse_counts, len(q), *plan, out)
        return out


class _Int(int):
    """An argument the C side declares as int; plain integers go as int64_t."""


class _Strided(ctypes.c_void_p):
    """Where an array begins; its strides go beside it."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array.ctypes.data)


def _strides(images: np.ndarray) -> np.ndarray:
    return np.array(images.strides, np.int64) // images.itemsize


def _real(images: np.ndarray) -> np.dtype:
    return np.dtype(np.float32) if images.dtype == np.uint8 else images.dtype


def _gray_sizes(images: np.ndarray, rounded: bool) -> tuple[int, ...]:
    n, channels, height, width = images.shape
    return n, height, width, _Int(channels), _Int(images.dtype == np.uint8), _Int(rounded)


def _type(array: np.ndarray) -> _Int:
    return _Int({np.dtype(np.float32): 0, np.dtype(np.float64): 1}[array.dtype])


def _convert(argument: object) -> object:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, _Strided):
        return argument
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    return ctypes.c_int(argument) if isinstance(argument, _Int) else ctypes.c_int64(argument)  # type: ignore[arg-type]
