"""The CPU kernels that look into pixels under the address and undefined-behavior sanitizers.

traces_fuzz.cpp calls them without torch, over random images, filters and blocks, with every buffer
a heap block of exactly its size. It compares each result with the definition in double, and one way
of sharing it among threads with another.
"""

from __future__ import annotations

import pytest
from fuzz_build import LEVELS

CASES = 900
FILTERED = ("phase_means", "row_log_means")
ODDS = "jpeg_step_log_odds"
# What the driver plants: a buffer that is an element short, values that are off, a share of the
# work left out.
SHORT = ("read", "write", "evidence", "origins")
FAULTS = (
    *((kernel, fault) for kernel in FILTERED for fault in ("read", "write", "value", "threads")),
    *((ODDS, fault) for fault in (*SHORT, "value", "threads")),
)


@pytest.mark.parametrize(("seed", "level"), list(enumerate(LEVELS, start=1)))
def test_random_calls(traces_fuzz, seed, level):
    traces_fuzz.check_cases(level, CASES, seed)


@pytest.mark.parametrize(("kernel", "fault"), FAULTS)
def test_a_planted_fault_is_seen(traces_fuzz, kernel, fault):
    said_by = f"{kernel}{' over threads' if fault == 'threads' else ''}: "
    if fault in SHORT:
        words = ("AddressSanitizer: ", "gandetect::traces::")
    else:
        words = (said_by, "of what is allowed")
    traces_fuzz.check_fault(words, "--cases", "60", "--kernel", kernel, "--fault", fault)
