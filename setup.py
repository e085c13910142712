"""Builds gandetect._C. Metadata is in pyproject.toml; what can be switched is listed here.

GANDETECT_BUILD_EXT=0   install pure Python, without a compiler
GANDETECT_CUDA=auto|0|1 (FORCE_CUDA=1) CUDA kernels; auto: torch is a CUDA build and has a toolkit
TORCH_CUDA_ARCH_LIST    architectures, as torch reads it
GANDETECT_WERROR=1      warnings are errors
"""

from __future__ import annotations

import os
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


def architecture_flags(nvcc: str) -> list[str]:
    """-gencode flags for the wanted architectures that this nvcc knows; the last also as PTX."""
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True)
    known = set(listed.stdout.split())
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST") or DEFAULT_ARCHITECTURES
    flags = []
    for entry in wanted.replace(" ", ";").split(";"):
        number = entry.removesuffix("+PTX").replace(".", "")
        if f"compute_{number}" not in known:
            continue
        flags += ["-gencode", f"arch=compute_{number},code=sm_{number}"]
        if entry.endswith("+PTX"):
            flags += ["-gencode", f"arch=compute_{number},code=compute_{number}"]
    if not flags:
        raise SystemExit(f"nvcc knows none of the architectures {wanted}")
    return flags


def cuda_objects(build_dir: Path) -> list[str]:
    """Compiles the torch-free launchers with nvcc, so that a CPU build of torch suffices."""
    home = cuda_home()
    nvcc = f"{home}/bin/nvcc"
    build_dir.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in sorted(glob("csrc/*/launchers.cu")):
        target = build_dir / f"{Path(source).parent.name}_launchers.o"
        command = [
            nvcc,
            "-std=c++17",
            "-O3",
            "-lineinfo",
            "-Xcompiler",
            "-fPIC,-fvisibility=hidden",
        ]
        command += [*architecture_flags(nvcc), "-Icsrc", "-c", source, "-o", str(target)]
        subprocess.run(command, check=True)
        objects.append(str(target))
    return objects


def extension():
    import pybind11
    from torch.utils.cpp_extension import CppExtension, include_paths

    cuda = wants_cuda()
    sources = sorted(glob("csrc/*.cpp") + glob("csrc/*/*.cpp"))
    sources = [s for s in sources if cuda or not s.endswith("_cuda.cpp")]
    compiler = subprocess.run(
        [os.environ.get("CXX", "c++"), "--version"], capture_output=True, text=True, check=False
    )
    name = (compiler.stdout.splitlines() or ["unknown"])[0].replace('"', "")
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
        f'-DGANDETECT_COMPILER="{name}"',
        "-Wall",
        "-Wextra",
    ]
    # Headers of torch that quote __FILE__ would otherwise leave the build machine's paths behind.
    flags += [f"-ffile-prefix-map={path}=include" for path in include_paths()]
    # As system headers, so that only our own code can warn.
    for path in [*include_paths(), pybind11.get_include(), str(HERE / "third_party" / "pocketfft")]:
        flags += ["-isystem", path]
    if os.environ.get("GANDETECT_WERROR") == "1":
        flags.append("-Werror")
    return CppExtension(
        "gandetect._C",
        sources,
        include_dirs=[str(HERE / "csrc"), *([f"{cuda_home()}/include"] if cuda else [])],
        define_macros=[("GANDETECT_WITH_CUDA", "1")] if cuda else [],
        extra_compile_args=flags,
        extra_objects=cuda_objects(HERE / "build" / "cuda") if cuda else [],
        extra_link_args=[f"-L{cuda_home()}/lib64", "-lcudart_static", "-ldl", "-lrt", "-lpthread"]
        if cuda
        else [],
        depends=[
            p
            for kind in ("h", "inc", "cuh", "cu")
            for p in glob(f"csrc/**/*.{kind}", recursive=True)
        ]
        + glob("third_party/*/*"),
    )


def commands() -> dict[str, type]:
    from torch.utils.cpp_extension import BuildExtension

    return {"build_ext": BuildExtension}


setup(
    ext_modules=[extension()] if BUILD_EXT else [],
    cmdclass=commands() if BUILD_EXT else {},
)
