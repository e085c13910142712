"""The CPU kernels under the address and undefined-behavior sanitizers, over random calls.

fuzz.cpp calls them without torch, with every buffer a heap block of exactly its size, and compares
each result with a direct transform in double, and one way of sharing it among threads with another.
"""

from __future__ import annotations

import platform

import pytest

CASES = 3400
LEVELS = ["baseline", "avx2", "avx512"] if platform.machine() == "x86_64" else ["baseline"]
# What the driver plants, and what says so: a sanitizer and where it looked, or the comparison.
FAULTS = {
    "read": ("AddressSanitizer: heap-buffer-overflow", "gandetect::spectrum::"),
    "write": ("AddressSanitizer: heap-buffer-overflow", "gandetect::spectrum::"),
    "value": ("means: ", "of what is allowed"),
    "bin": ("means: ", "of what is allowed"),
}


@pytest.mark.parametrize(("seed", "level"), list(enumerate(LEVELS, start=1)))
def test_random_calls(fuzz, seed, level):
    done = fuzz.run(level, "--cases", str(CASES), "--seed", str(seed))
    said = f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
    if not done.stdout.startswith(f"{level},"):
        pytest.skip(f"this processor has no {level}")
    assert done.returncode == 0, said
    assert f"{CASES} cases, 0 failures" in done.stdout, said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fuzz, fault):
    done = fuzz.run("avx512", "--cases", "40", "--seed", "1", "--fault", fault)
    assert done.returncode != 0
    for words in FAULTS[fault]:
        assert words in done.stdout + done.stderr
    assert "replay: " in done.stderr
