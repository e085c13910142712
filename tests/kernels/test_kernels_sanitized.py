"""The CPU kernels under the address and undefined-behavior sanitizers, over random calls.

fuzz.cpp calls them without torch, with every buffer a heap block of exactly its size, and compares
each result with a direct transform in double, and one way of sharing it among threads with another.
"""

from __future__ import annotations

import pytest
from fuzz_build import LEVELS

CASES = 3400
# What the driver plants, and what says so: a sanitizer and where it looked, or the comparison.
FAULTS = {
    "read": ("AddressSanitizer: heap-buffer-overflow", "gandetect::spectrum::"),
    "write": ("AddressSanitizer: heap-buffer-overflow", "gandetect::spectrum::"),
    "value": ("means: ", "of what is allowed"),
    "bin": ("means: ", "of what is allowed"),
}


@pytest.mark.parametrize(("seed", "level"), list(enumerate(LEVELS, start=1)))
def test_random_calls(fuzz, seed, level):
    fuzz.check_cases(level, CASES, seed)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fuzz, fault):
    fuzz.check_fault(FAULTS[fault], "--cases", "40", "--fault", fault)
