"""What is done to planes in the frequency domain."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def filtered(x: Tensor, gain: Callable[[Tensor], Tensor]) -> Tensor:
    """`x` (C, S, S) floating, each frequency multiplied by the `gain` of its radius.

    `gain` maps cycles per pixel, 0 to the square root of a half, to factors of the same shape.
    """
    from scipy.fft import next_fast_len

    side = x.shape[-1]
    # A side with a large prime in it takes longer than one of a few pixels more without.
    fast = next_fast_len(side)
    wide = F.pad(x, (0, fast - side, 0, fast - side), mode="reflect")
    spectrum = torch.fft.rfft2(wide) * gain(_radius(fast)).float()
    return torch.fft.irfft2(spectrum, wide.shape[-2:])[:, :side, :side].contiguous()


@functools.lru_cache(maxsize=64)
def _radius(side: int) -> Tensor:
    """Radius of each coefficient of a half spectrum in cycles per pixel."""
    rows, columns = torch.fft.fftfreq(side), torch.fft.rfftfreq(side)
    return torch.hypot(rows[:, None], columns)
