"""Builds gandetect._C. Metadata is in pyproject.toml; what can be switched is listed here.

GANDETECT_BUILD_EXT=0   install pure Python, without a compiler
GANDETECT_CUDA=auto|0|1 (FORCE_CUDA=1) CUDA kernels; auto: torch is a CUDA build and has a toolkit
TORCH_CUDA_ARCH_LIST    architectures, as torch reads it
GANDETECT_WERROR=1      warnings are errors
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from glob import glob
from pathlib import Path

from setuptools import setup

BUILD_EXT = os.environ.get("GANDETECT_BUILD_EXT", "1") != "0"
DEFAULT_ARCHITECTURES = "8.0;8.6;8.9;9.0;10.0;12.0+PTX"
HERE = Path(__file__).resolve().parent


def cuda_home() -> str | None:
    nvcc = shutil.which("nvcc")
    home = os.environ.get("CUDA_HOME") or (str(Path(nvcc).resolve().parents[1]) if nvcc else None)
    if home and Path(home, "include", "cuda_runtime.h").is_file():
        return home
    return "/usr/local/cuda" if Path("/usr/local/cuda/bin/nvcc").is_file() else None


def wants_cuda() -> bool:
    import torch

    choice = (
        "1" if os.environ.get("FORCE_CUDA") == "1" else os.environ.get("GANDETECT_CUDA", "auto")
    )
    if choice not in ("auto", "0", "1"):
        raise SystemExit(f"GANDETECT_CUDA={choice!r}; use auto, 0 or 1")
    if choice == "1" and cuda_home() is None:
        raise SystemExit("GANDETECT_CUDA=1, but no CUDA toolkit was found; set CUDA_HOME to one")
    return choice == "1" or (
        choice == "auto" and torch.version.cuda is not None and cuda_home() is not None
    )


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX", "c++"))


def compiler_name() -> str:
    """First line of `c++ --version`; metadata is also asked for where there is no compiler."""
    try:
        asked = subprocess.run([*compiler(), "--version"], capture_output=True, text=True)
    except OSError:
        return "unknown"
    return (asked.stdout.splitlines() or ["unknown"])[0].replace('"', "")


def architecture_flags(nvcc: str) -> list[str]:
    """-gencode flags for the wanted architectures that this nvcc knows.

    +PTX on one that it does not know goes to the last one it does, for GPUs newer than this nvcc.
    """
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True)
    known = set(listed.stdout.split())
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST") or DEFAULT_ARCHITECTURES
    binaries, portable = [], set()
    for entry in wanted.replace(" ", ";").split(";"):
        number = entry.removesuffix("+PTX").replace(".", "")
        if f"compute_{number}" in known:
            binaries.append(number)
        if entry.endswith("+PTX") and binaries:
            portable.add(binaries[-1])
    if not binaries:
        raise SystemExit(f"nvcc knows none of the architectures {wanted}")
    pairs = [(n, f"sm_{n}") for n in binaries]
    pairs += [(n, f"compute_{n}") for n in sorted(portable)]
    return [f"-gencode=arch=compute_{number},code={code}" for number, code in pairs]


def cuda_objects(build_dir: Path) -> list[str]:
    """Compiles the torch-free launchers with nvcc, so that a CPU build of torch suffices."""
    nvcc = f"{cuda_home()}/bin/nvcc"
    build_dir.mkdir(parents=True, exist_ok=True)
    flags = ["-std=c++17", "-O3", "-Xcompiler", "-fPIC,-fvisibility=hidden", "-Icsrc"]
    objects = []
    for source in sorted(glob("csrc/*/launchers.cu")):
        target = str(build_dir / f"{Path(source).parent.name}_launchers.o")
        command = [nvcc, *flags, *architecture_flags(nvcc), "-c", source, "-o", target]
        subprocess.run(command, check=True)
        objects.append(target)
    return objects


def extension():
    import pybind11
    from torch.utils.cpp_extension import CppExtension, include_paths

    cuda = wants_cuda()
    sources = sorted(glob("csrc/*.cpp") + glob("csrc/*/*.cpp"))
    sources = [s for s in sources if cuda or not s.endswith("_cuda.cpp")]
    flags = [
        "-O3",
        "-g0",
        # Neither changes a value, NaN and Inf included; both keep loops from being vectorized.
        "-fno-math-errno",
        "-fno-trapping-math",
        "-std=c++20",
        "-fvisibility=hidden",
        f"-ffile-prefix-map={HERE}=.",
        "-DTORCH_TARGET_VERSION=0x020b000000000000",
        f'-DGANDETECT_COMPILER="{compiler_name()}"',
        "-Wall",
        "-Wextra",
    ]
    # Headers of torch that quote __FILE__ would otherwise leave the build machine's paths behind.
    flags += [f"-ffile-prefix-map={path}=include" for path in include_paths()]
    # As system headers, so that only our own code can warn. pybind11 first: torch 2.11 carries a
    # copy that refuses to be used beside the stable ABI.
    for path in [pybind11.get_include(), *include_paths()]:
        flags += ["-isystem", path]
    if os.environ.get("GANDETECT_WERROR") == "1":
        flags.append("-Werror")
    libraries = [f"-L{cuda_home()}/lib64", "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
    return CppExtension(
        "gandetect._C",
        sources,
        include_dirs=[str(HERE / "csrc"), *([f"{cuda_home()}/include"] if cuda else [])],
        define_macros=[("GANDETECT_WITH_CUDA", "1")] if cuda else [],
        extra_compile_args=flags,
        extra_link_args=libraries if cuda else [],
        depends=[
            p
            for kind in ("h", "inc", "cuh", "cu")
            for p in glob(f"csrc/**/*.{kind}", recursive=True)
        ],
    )


def commands() -> dict[str, type]:
    from torch.utils.cpp_extension import BuildExtension

    class Build(BuildExtension):
        def build_extensions(self) -> None:
            if shutil.which(compiler()[0]) is None:
                raise SystemExit(
                    f"no C++ compiler: {compiler()[0]} is not on PATH. Install one, name one in "
                    "CXX, or set GANDETECT_BUILD_EXT=0 to install without compiled kernels"
                )
            # Here and not above: pip runs this file several times to ask for metadata alone.
            if wants_cuda():
                self.extensions[0].extra_objects += cuda_objects(Path(self.build_temp, "cuda"))
            super().build_extensions()

    return {"build_ext": Build}


setup(
    ext_modules=[extension()] if BUILD_EXT else [],
    cmdclass=commands() if BUILD_EXT else {},
)
