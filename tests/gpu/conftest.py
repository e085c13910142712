"""The op table and the emulated kernels live with the tests that made them."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "simt"), str(TESTS / "ops")]
