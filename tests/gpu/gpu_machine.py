"""Says in one line why `make gpu` cannot run here, with exit code 1; silent where it can."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

OLDEST_TORCH = (2, 11)
USUAL_TOOLKIT = Path("/usr/local/cuda")


def missing() -> str | None:
    try:
        import torch
    except ImportError:
        return f"{sys.executable} has no torch; install a CUDA build of it or set PYTHON"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a CPU build; install a CUDA build of it or set PYTHON"
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        return f"torch {torch.__version__} is too old; install 2.11 or newer"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU; nvidia-smi may say why"
    if not has_toolkit():
        return "there is no CUDA toolkit; put nvcc on PATH or set CUDA_HOME"
    return None


def has_toolkit() -> bool:
    """Where setup.py looks for it."""
    nvcc = shutil.which("nvcc")
    home = os.environ.get("CUDA_HOME") or (Path(nvcc).resolve().parents[1] if nvcc else None)
    if home and Path(home, "include", "cuda_runtime.h").is_file():
        return True
    return (USUAL_TOOLKIT / "bin" / "nvcc").is_file()


if __name__ == "__main__":
    reason = missing()
    if reason is not None:
        sys.exit(f"make gpu needs an NVIDIA GPU with its tools: {reason}")
