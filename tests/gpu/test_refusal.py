"""Without a GPU `make gpu` says what is missing and fails, without a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_refuses_politely():
    check = Path(__file__).with_name("check.py")
    done = subprocess.run([sys.executable, check], capture_output=True, text=True)
    assert done.returncode == 1
    assert "needs a machine with an NVIDIA GPU" in done.stderr
    assert len(done.stderr.splitlines()) == 1
