"""Where the tests run: on a GPU, and on the CPU as its stand-in, which proves the tests themselves.

The op table, its oracle and the emulated kernels live with the tests that made them.
GANDETECT_EXPECT_GPU=1 makes a missing GPU a failure: `make gpu` must not pass by skipping.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "simt"), str(TESTS / "ops")]


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """cpu, and cuda where there is a GPU."""
    return request.getfixturevalue("gpu") if request.param == "gpu" else "cpu"


@pytest.fixture
def gpu() -> str:
    from gandetect.ops.benchmark import Unavailable, check_available

    try:
        check_available("cuda")
    except Unavailable as error:
        if os.environ.get("GANDETECT_EXPECT_GPU") == "1":
            pytest.fail(f"GANDETECT_EXPECT_GPU=1, but {error}")
        pytest.skip(f"{error}; GANDETECT_EXPECT_GPU=1 makes this a failure")
    return "cuda"
