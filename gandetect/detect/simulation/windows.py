"""What lies around each pixel, one axis after the other: torch pools planes a pixel at a time,
which takes much longer on the CPU."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

# Of the window of `local_mean`, on each side of its middle.
_REACH = 2


def local_mean(x: Tensor) -> Tensor:
    """Mean of the 5 x 5 pixels around each of `x` (C, H, W), of those that there are."""
    wide = F.pad(x, (_REACH,) * 4)
    shifts = range(2 * _REACH + 1)
    rows = functools.reduce(torch.add, [wide[:, shift : shift + x.shape[1]] for shift in shifts])
    total = functools.reduce(torch.add, [rows[..., shift : shift + x.shape[2]] for shift in shifts])
    return total * (_shares(x.shape[1])[:, None] * _shares(x.shape[2]))


def highest(x: Tensor) -> Tensor:
    """Largest of the 3 x 3 pixels around each of `x` (C, H, W), of those that there are."""
    wide = F.pad(x, (1,) * 4, value=float("-inf"))
    rows = torch.maximum(torch.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return torch.maximum(torch.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:])


@functools.lru_cache(maxsize=64)
def _shares(side: int) -> Tensor:
    """One over how many pixels of a line of `side` lie in the window around each."""
    place = torch.arange(side)
    inside = place.clamp(max=_REACH) + place.flip(0).clamp(max=_REACH) + 1
    return 1 / inside.float()
