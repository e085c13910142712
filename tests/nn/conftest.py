"""Makes the generators importable by the tests beside it, and kernels that believe their handle."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from gandetect import ops

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def handles_are_believed(monkeypatch):
    """A handle is a copy of the weight, and a call that has one reads the weight from there.

    Where there is no compiled module handles are empty and nobody reads them; so every stale one
    shows, with and without it.
    """

    def pack(weight, **_):
        return weight.detach().clone().contiguous().flatten().view(torch.uint8)

    def believing(op):
        def call(x, weight, bias=None, *, packed=None, **options):
            if packed is not None:
                weight = packed.view(weight.dtype).view(weight.shape)
            return op(x, weight, bias, **options)

        return call

    for name in ("conv_transpose2d", "upsample_conv2d"):
        monkeypatch.setattr(ops, f"pack_{name}", pack)
        monkeypatch.setattr(ops, name, believing(getattr(ops, name)))
