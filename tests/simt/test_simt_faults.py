"""Tests of the harness: every planted fault is caught by the layer that should see it."""

from __future__ import annotations

import pytest
from simt_build import Builder, execute

# What the shim itself reports, in every build: case and the words of the message.
REPORTED = {
    "early_return": "thread 5 of block (0,0,0) returned before a barrier others wait at",
    "divergent_barrier": "divergent barrier",
    "exited_lane": "the mask names a lane that exited",
    "read_outside_mask": "a shuffle reads a lane outside its mask",
    "not_in_own_mask": "the mask does not name its caller",
    "masks_disagree": "lanes disagree on the mask",
    "deadlock": "deadlock: thread 0 of block (0,0,0) waits at",
}
LIMITS = {
    "zero_grid": "a grid dimension is zero",
    "zero_block": "a block dimension is zero",
    "tall_grid": "the grid is too large",
    "wide_block": "the block is too large",
    "deep_block": "the block is too deep",
    "large_shared": "more than 48 KB of dynamic shared memory",
}
# Undefined on the device, unremarkable to a plain run: case, sanitizer and its words.
SANITIZED = [
    ("shared_overrun", "asan", "heap-buffer-overflow"),
    ("global_overrun", "asan", "heap-buffer-overflow"),
    ("misaligned_vector", "asan", "misaligned address"),
    ("missing_barrier", "tsan", "data race"),
    ("missing_second_barrier", "tsan", "data race"),
    ("two_threads_add", "tsan", "data race"),
    ("every_block_adds", "tsan", "data race"),
]
CLEAN = {"clean_atomics": 256.0, "clean_barriers": 3257216.0}


def results(output: str) -> list[float]:
    return [float(line.split()[1]) for line in output.splitlines() if line.startswith("result")]


SANITIZERS = [pytest.param(name, marks=pytest.mark.cuda_gate) for name in ("asan", "tsan")]


@pytest.fixture(params=["plain", "ucontext", *SANITIZERS])
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("case", REPORTED)
def test_the_shim_reports(builder: Builder, variant: str, case: str) -> None:
    done = execute(builder.program("faults", variant), case)
    assert done.returncode == 0, done.stderr
    statuses = [line for line in done.stdout.splitlines() if line.startswith("status")]
    assert len(statuses) == 3
    for line in statuses:
        assert line.startswith("status 719:")
        assert REPORTED[case] in line


@pytest.mark.parametrize("case", CLEAN)
def test_right_kernels_run_clean(builder: Builder, variant: str, case: str) -> None:
    done = execute(builder.program("faults", variant), case)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("status 0: no error") == 3
    assert results(done.stdout) == [CLEAN[case]] * 3


@pytest.mark.parametrize("case", LIMITS)
def test_launch_limits(builder: Builder, case: str) -> None:
    done = execute(builder.program("faults", "plain"), case)
    assert done.stdout.startswith("status 9:")
    assert LIMITS[case] in done.stdout


@pytest.mark.parametrize("case", ["uninitialized_shared", "missing_barrier"])
def test_unwritten_shared_memory_is_nan(builder: Builder, case: str) -> None:
    found = results(execute(builder.program("faults", "plain"), case).stdout)
    assert len(found) == 3
    assert all(value != value for value in found)


@pytest.mark.cuda_gate
@pytest.mark.parametrize(("case", "sanitizer", "words"), SANITIZED)
def test_a_sanitizer_sees(builder: Builder, case: str, sanitizer: str, words: str) -> None:
    plain = execute(builder.program("faults", "plain"), case)
    assert plain.stdout.count("status 0: no error") == 3
    done = execute(builder.program("faults", sanitizer), case)
    assert done.returncode != 0
    assert words in done.stderr
    assert "faults.cu:" in done.stderr
