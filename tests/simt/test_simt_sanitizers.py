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


def copy_of_csrc(tree: Path, name: str) -> Path:
    csrc = tree / name / "csrc"
    shutil.copytree(CSRC, csrc, ignore=shutil.ignore_patterns("*.cpp", "*.inc"))
    return csrc


def without_barrier(tree: Path, index: int) -> Path:
    """A copy of csrc whose sweep lacks one of its barriers."""
    csrc = copy_of_csrc(tree, f"no_barrier_{index}")
    kernel = csrc / "spectrum" / "means.cuh"
    source = kernel.read_text()
    barriers = list(re.finditer(r"__syncthreads\(\);", source))
    assert len(barriers) == BARRIERS
    start, end = barriers[index].span()
    kernel.write_text(source[:start] + "{}" + source[end:])
    return csrc


def with_fault(tree: Path, name: str, old: str, new: str) -> Path:
    """A copy of csrc whose gradient kernel has one line changed."""
    csrc = copy_of_csrc(tree, name)
    kernel = csrc / "spectrum" / "backward.cuh"
    source = kernel.read_text()
    assert source.count(old) == 1
    kernel.write_text(source.replace(old, new))
    return csrc


@pytest.mark.cuda_gate
@pytest.mark.parametrize("index", range(BARRIERS))
def test_a_lost_barrier_in_the_sweep_is_seen(builder: Builder, tmp_path: Path, index: int) -> None:
    done = execute(builder.program("driver", "tsan", without_barrier(tmp_path, index)))
    assert done.returncode != 0
    assert "data race" in done.stderr
    assert "means.cuh:" in done.stderr


@pytest.mark.cuda_gate
@pytest.mark.parametrize(
    ("name", "old", "new", "variant", "words"),
    [
        # Both threads of a mirror pair read what the other writes.
        ("both_mirrors", "if (mirror < u) return;", "", "tsan", "data race"),
        # The last block runs past the plane, into the next image or past the last one.
        ("past_the_plane", "if (element >= size) return;", "", "asan", "heap-buffer-overflow"),
    ],
)
def test_a_fault_in_the_gradient_is_seen(
    builder: Builder, tmp_path: Path, name: str, old: str, new: str, variant: str, words: str
) -> None:
    done = execute(builder.program("driver", variant, with_fault(tmp_path, name, old, new)))
    assert done.returncode != 0
    assert words in done.stderr
    assert "backward.cuh:" in done.stderr
