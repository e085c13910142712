"""Says in one line why `make gpu` cannot run here, with exit code 1; silent where it can."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def missing() -> str | None:
    try:
        import torch
    except ImportError:
        return "this Python has no torch; install a CUDA build of it first"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a CPU build; install a CUDA build of it first"
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU; nvidia-smi says why"
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    if shutil.which("nvcc") is None and not Path(home, "bin", "nvcc").is_file():
        return "there is no CUDA toolkit; put nvcc on PATH or set CUDA_HOME"
    return None


if __name__ == "__main__":
    reason = missing()
    if reason is not None:
        sys.exit(f"make gpu needs a machine with an NVIDIA GPU: {reason}")
