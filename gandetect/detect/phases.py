"""How an image differs from phase to phase of a small grid: what no power spectrum shows.

Up-sampling computes its output samples by turns from different inputs with different taps, so their
local differences vary with the period of the up-sampling (Gallagher 2005; Mahdian and Saic 2008).
A bed of nails, a transposed convolution and a pixel shuffle may have the same power spectrum; the
number of taps at each phase differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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

# The rows, columns and weights of a filter.
_Filter = list[tuple[int, int, int]]


def phase_count() -> int:
    """How many features `phase_features` makes."""
    return 2 * len(_COEFFICIENTS) * (2 * len(_LINES) + len(_SQUARES))


def phase_features(tiles: Tensor) -> Tensor:
    """Periodic parts (N, F) float32 of the local differences of tiles (N, S, S) in 0..255.

    For each of several small high-pass filters: the mean response and the mean log size of it at
    each of 4x4 phases; of both the log magnitude of their DFT over the phases, without the mean. A
    shift of the tile changes none of them. Within 0.01 of float64.
    """
    images = tiles.float()
    means = torch.stack([_means(_filtered(images, taps)) for taps in _filters()], dim=1)
    spectrum = torch.fft.fft2(means.double()).abs() / PERIOD**2
    amplitudes = spectrum.flatten(3)[..., [a * PERIOD + b for a, b in _COEFFICIENTS]]
    return torch.log(amplitudes + _FLOOR).flatten(1).float()


def _filters() -> list[_Filter]:
    across = [[(0, x, tap) for x, tap in enumerate(line) if tap] for line in _LINES]
    down = [[(y, x, tap) for x, y, tap in line] for line in across]
    return [*across, *down, *(_taps(square) for square in _SQUARES)]


def _taps(square: Sequence[Sequence[int]]) -> _Filter:
    return [(y, x, tap) for y, row in enumerate(square) for x, tap in enumerate(row) if tap]


def _filtered(images: Tensor, taps: _Filter) -> Tensor:
    """Responses (N, h, w) of images (N, S, S), cut to whole periods.

    Sums of shifted images: of whole gray levels they are exact.
    """
    reach = [max(one[axis] for one in taps) for axis in (0, 1)]
    height, width = (
        (side - more) // PERIOD * PERIOD for side, more in zip(images.shape[1:], reach, strict=True)
    )
    responses = images.new_zeros(len(images), height, width)
    for y, x, tap in taps:
        responses.add_(images[:, y : y + height, x : x + width], alpha=tap)
    return responses


def _means(responses: Tensor) -> Tensor:
    """Means by phase (N, 2, 4, 4) of `responses` (N, h, w): of them, relative to their mean size,
    and of the log of their size."""
    size = responses.abs()
    scale = size.mean(dim=(1, 2))[:, None, None] + _ROUNDING
    logs = size.add_(_ROUNDING).log_()
    return torch.stack([_by_phase(responses) / scale, _by_phase(logs)], dim=1)


def _by_phase(values: Tensor) -> Tensor:
    """Means (N, 4, 4) of `values` (N, h, w) at each phase."""
    count, height, width = values.shape
    # Rows first: whole rows are added, and what is left is small.
    rows = values.reshape(count, height // PERIOD, PERIOD, width).mean(dim=1)
    return rows.reshape(count, PERIOD, width // PERIOD, PERIOD).mean(dim=2)
