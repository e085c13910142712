"""The shipped kernels under ASan, UBSan and TSan, and proof that TSan would see a lost barrier."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from simt_build import CSRC, Builder, execute

# of means_kernel, each of them needed
BARRIERS = 4


@pytest.mark.parametrize(
    "variant",
    ["plain", *(pytest.param(v, marks=pytest.mark.cuda_gate) for v in ("asan", "tsan"))],
)
def test_every_launcher_runs_clean(builder: Builder, variant: str) -> None:
    done = execute(builder.program("driver", variant))
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    assert done.stdout == "ok\n"


def without_barrier(tree: Path, index: int) -> Path:
    """A copy of csrc whose sweep lacks one of its barriers."""
    csrc = tree / f"no_barrier_{index}" / "csrc"
    shutil.copytree(CSRC, csrc, ignore=shutil.ignore_patterns("*.cpp", "*.inc"))
    kernel = csrc / "spectrum" / "means.cuh"
    source = kernel.read_text()
    barriers = list(re.finditer(r"__syncthreads\(\);", source))
    assert len(barriers) == BARRIERS
    start, end = barriers[index].span()
    kernel.write_text(source[:start] + "{}" + source[end:])
    return csrc


@pytest.mark.cuda_gate
@pytest.mark.parametrize("index", range(BARRIERS))
def test_a_lost_barrier_in_the_sweep_is_seen(builder: Builder, tmp_path: Path, index: int) -> None:
    done = execute(builder.program("driver", "tsan", without_barrier(tmp_path, index)))
    assert done.returncode != 0
    assert "data race" in done.stderr
    assert "means.cuh:" in done.stderr
