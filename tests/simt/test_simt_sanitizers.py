"""The shipped kernels under ASan, UBSan and TSan, and proof that TSan would see a lost barrier."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from simt_build import CSRC, DRIVERS, Builder, execute

# of means_kernel, each of them needed
BARRIERS = 4


@pytest.mark.parametrize(
    "variant",
    ["plain", *(pytest.param(v, marks=pytest.mark.cuda_gate) for v in ("asan", "tsan"))],
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_every_launcher_runs_clean(builder: Builder, driver: str, variant: str) -> None:
    done = execute(builder.program(driver, variant))
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    assert done.stdout == "ok\n"


def copy_of_csrc(tree: Path, name: str) -> Path:
    csrc = tree / name / "csrc"
    shutil.copytree(CSRC, csrc, ignore=shutil.ignore_patterns("*.cpp", "*.inc"))
    return csrc


def without_barrier(tree: Path, file: str, index: int, count: int) -> Path:
    """A copy of csrc of which a file lacks one of its barriers."""
    csrc = copy_of_csrc(tree, f"no_barrier_{index}_{Path(file).stem}")
    kernel = csrc / file
    source = kernel.read_text()
    barriers = list(re.finditer(r"__syncthreads\(\);", source))
    assert len(barriers) == count
    start, end = barriers[index].span()
    kernel.write_text(source[:start] + "{}" + source[end:])
    return csrc


def with_fault(tree: Path, name: str, file: str, old: str, new: str) -> Path:
    """A copy of csrc of which a file has one line changed."""
    csrc = copy_of_csrc(tree, name)
    kernel = csrc / file
    source = kernel.read_text()
    assert source.count(old) == 1
    kernel.write_text(source.replace(old, new))
    return csrc


@pytest.mark.cuda_gate
@pytest.mark.parametrize("index", range(BARRIERS))
def test_a_lost_barrier_in_the_sweep_is_seen(builder: Builder, tmp_path: Path, index: int) -> None:
    csrc = without_barrier(tmp_path, "spectrum/means.cuh", index, BARRIERS)
    done = execute(builder.program("driver", "tsan", csrc))
    assert done.returncode != 0
    assert "data race" in done.stderr
    assert "means.cuh:" in done.stderr


@pytest.mark.cuda_gate
@pytest.mark.parametrize("index", range(2))
def test_a_lost_barrier_in_the_gather_is_seen(builder: Builder, tmp_path: Path, index: int) -> None:
    csrc = without_barrier(tmp_path, "upsample/tap_gather.cuh", index, 2)
    done = execute(builder.program("driver_upsample", "tsan", csrc))
    assert done.returncode != 0
    assert "data race" in done.stderr
    assert "tap_gather.cuh:" in done.stderr


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
    csrc = with_fault(tmp_path, name, "spectrum/backward.cuh", old, new)
    done = execute(builder.program("driver", variant, csrc))
    assert done.returncode != 0
    assert words in done.stderr
    assert "backward.cuh:" in done.stderr


@pytest.mark.cuda_gate
@pytest.mark.parametrize(
    ("name", "file", "old", "new", "variant", "words"),
    [
        # Two inputs name one place, and the last writer wins.
        (
            "plain_stores",
            "unpool.cuh",
            "atomicMax(winners + at, static_cast<Integer>(s));",
            "winners[at] = static_cast<Integer>(s);",
            "tsan",
            "data race",
        ),
        # An index beyond the plane is written where it points.
        (
            "any_index",
            "unpool.cuh",
            "if (place < 0 || place >= static_cast<int64_t>(g.outputs)) {",
            "if (place < 0) {",
            "asan",
            "heap-buffer-overflow",
        ),
        # The last thread stores a whole vector past the end.
        (
            "past_the_end",
            "sweep.cuh",
            "  if (count >= V) {\n    *reinterpret_cast<Pack<Real, V>*>(target) = values;",
            "  if (count >= 1) {\n    *reinterpret_cast<Pack<Real, V>*>(target) = values;",
            "asan",
            "heap-buffer-overflow",
        ),
        # Sums of a piece run into those of the next group, or past shared memory.
        (
            "wide_window",
            "tap_gather.cuh",
            "min(g.window, last_column - w + 1)",
            "last_column - w + 1",
            "asan",
            "heap-buffer-overflow",
        ),
    ],
)
def test_a_fault_in_up_sampling_is_seen(
    builder: Builder,
    tmp_path: Path,
    name: str,
    file: str,
    old: str,
    new: str,
    variant: str,
    words: str,
) -> None:
    csrc = with_fault(tmp_path, name, f"upsample/{file}", old, new)
    done = execute(builder.program("driver_upsample", variant, csrc))
    assert done.returncode != 0
    assert words in done.stderr
    assert f"{file}:" in done.stderr
