"""How an image differs from phase to phase of a small grid: what no power spectrum shows.

Up-sampling computes its output samples by turns from different inputs with different taps, so their
local differences vary with the period of the up-sampling (Gallagher 2005; Mahdian and Saic 2008).
A bed of nails, a transposed convolution and a pixel shuffle may have the same power spectrum; the
number of taps at each phase differs.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from gandetect.ops import phase_means

# Two stages of doubling.
PERIOD = 4
# Half a gray level, so that differences of zero have a logarithm.
_ROUNDING = 0.5
# Relative size of a periodic part below which it is chance.
_FLOOR = 1e-4
_LINES = ((1, -1), (1, 0, -1), (1, -2, 1), (1, -3, 3, -1))
_SQUARES = (
    ((1, -1), (-1, 1)),
    ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    ((-1, 2, -1), (2, -4, 2), (-1, 2, -1)),
)
# Each row of these DFT coefficients is the conjugate of another, or stands for itself.
_COEFFICIENTS = [(a, b) for a in range(PERIOD) for b in range(PERIOD // 2 + 1) if (a, b) != (0, 0)]


def phase_count() -> int:
    """How many features `phase_features` makes."""
    return 2 * len(_COEFFICIENTS) * (2 * len(_LINES) + len(_SQUARES))


def phase_features(tiles: Tensor) -> Tensor:
    """Periodic parts (N, F) float32 of the local differences of tiles (N, S, S) in 0..255.

    For each of several small high-pass filters: the mean response and the mean log size of it at
    each of 4x4 phases; of both the log magnitude of their DFT over the phases, without the mean. A
    shift of the tile changes none of them. Within 0.01 of float64.
    """
    means = phase_means(tiles, _filters(), rounding=_ROUNDING)
    parts = means.double().flatten(3) @ _dft().to(means.device)
    amplitudes = parts.unflatten(-1, (2, -1)).square().sum(dim=-2).sqrt() / PERIOD**2
    return torch.log(amplitudes + _FLOOR).flatten(1).float()


@cache
def _dft() -> Tensor:
    """(16, 22) float64: the cosines of `_COEFFICIENTS` over the phases, then their sines."""
    phases = torch.cartesian_prod(torch.arange(PERIOD), torch.arange(PERIOD))
    angles = 2 * torch.pi / PERIOD * (phases @ torch.tensor(_COEFFICIENTS).T).double()
    return torch.cat([angles.cos(), angles.sin()], dim=1)


@cache
def _filters() -> Tensor:
    """(F, 4, 4) float32: the lines across and down, and the squares."""
    across = [(line,) for line in _LINES]
    down = [tuple((tap,) for tap in line) for line in _LINES]
    filters = torch.zeros(2 * len(_LINES) + len(_SQUARES), PERIOD, PERIOD)
    for room, taps in zip(filters, (*across, *down, *_SQUARES), strict=True):
        rows = torch.tensor(taps, dtype=torch.float32)
        room[: rows.shape[0], : rows.shape[1]] = rows
    return filters
