"""The up-sampling CPU kernels under the address and undefined-behavior sanitizers.

upsample_fuzz.cpp calls them without torch, over random geometries, layouts and values, with every
buffer a heap block of exactly its size. It compares each result with the definition in double,
within the roundings of the sum behind it, and one way of sharing it among threads with another.
"""

from __future__ import annotations

import pytest
from fuzz_build import LEVELS

# About 15,000 calls of kernels a level.
CASES = 2800
CONVOLUTIONS = ("taps", "winograd", "thin", "plain_f32", "plain_f64")
PACKERS = ("pack_taps", "pack_winograd", "pack_adjoint")
MOVES = ("nails_f32", "nails_f64", "shuffle_f32", "shuffle_f64", "unpool_f32", "unpool_f64")
# What the driver plants: buffers of which one is an element short, a value that is off, a share of
# the work left out.
SHORT = ("read", "write", "weight", "bias")
STYLED = (*SHORT, "styles", "factors", "noise")
FAULTS = [
    *((kernel, fault) for fault in (*SHORT, "value", "threads") for kernel in CONVOLUTIONS),
    *(("adjoint", fault) for fault in ("read", "write", "weight", "value", "threads")),
    *((kernel, fault) for fault in ("read", "write", "value", "threads") for kernel in PACKERS),
    *((kernel, fault) for fault in ("read", "write", "value", "threads") for kernel in MOVES),
    *((kernel, "bias") for kernel in MOVES),
    *(("unpool_f32", "weight"), ("unpool_f64", "weight")),
    *(("styled_conv", fault) for fault in (*STYLED, "value", "threads")),
    *(("styled_filter", fault) for fault in ("read", "write", "bias", "factors", "noise", "value")),
    ("styled_filter", "threads"),
    *(("fingerprint", "read"), ("fingerprint", "value")),
]
# What says so where it is not the kernel by its name.
WORDS = {
    ("pack_taps", "value"): "taps: ",
    ("pack_winograd", "value"): "winograd: ",
    ("pack_adjoint", "value"): "adjoint: ",
    ("fingerprint", "value"): "fingerprint of the same: ",
}


@pytest.mark.parametrize(("seed", "level"), list(enumerate(LEVELS, start=1)))
def test_random_calls(upsample_fuzz, seed, level):
    upsample_fuzz.check_cases(level, CASES, seed)


@pytest.mark.parametrize(("kernel", "fault"), FAULTS)
def test_a_planted_fault_is_seen(upsample_fuzz, kernel, fault):
    said_by = f"{kernel}{' over threads' if fault == 'threads' else ''}: "
    if fault in STYLED:
        words = ("AddressSanitizer: ", "gandetect::upsample::")
    else:
        words = (WORDS.get((kernel, fault), said_by), "of what is allowed")
    upsample_fuzz.check_fault(words, "--cases", "60", "--kernel", kernel, "--fault", fault)
