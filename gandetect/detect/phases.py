"""How an image differs from phase to phase of a small grid: what no power spectrum shows.

Up-sampling computes its output samples by turns from different inputs with different taps, so their
local differences vary with the period of the up-sampling (Gallagher 2005; Mahdian and Saic 2008).
A bed of nails, a transposed convolution and a pixel shuffle may have the same power spectrum; the
number of taps at each phase differs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Two stages of doubling.
PERIOD = 4
# Half a grey level, so that differences of zero have a logarithm.
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
    shift of the tile changes none of them.
    """
    images = tiles[:, None].double()
    return torch.cat([_periodic(_filtered(images, taps)) for taps in _filters()], dim=1).float()


def _filters() -> list[Tensor]:
    lines = [torch.tensor([line]) for line in _LINES]
    squares = [torch.tensor(square) for square in _SQUARES]
    return [taps.double() for taps in (*lines, *(line.T for line in lines), *squares)]


def _filtered(images: Tensor, taps: Tensor) -> Tensor:
    """Responses (N, h, w) of images (N, 1, S, S), cut to whole periods."""
    responses = F.conv2d(images, taps[None, None].to(images.device))[:, 0]
    height, width = (side // PERIOD * PERIOD for side in responses.shape[1:])
    return responses[:, :height, :width]


def _periodic(responses: Tensor) -> Tensor:
    size = responses.abs()
    logs = torch.log(size + _ROUNDING)
    scale = size.mean(dim=(1, 2))[:, None] + _ROUNDING
    parts = [_amplitudes(responses) / scale, _amplitudes(logs)]
    return torch.log(torch.cat(parts, dim=1) + _FLOOR)


def _amplitudes(values: Tensor) -> Tensor:
    """Magnitudes (N, coefficients) of the DFT of the means of `values` (N, h, w) by phase."""
    count, height, width = values.shape
    grid = values.reshape(count, height // PERIOD, PERIOD, width // PERIOD, PERIOD)
    spectrum = torch.fft.fft2(grid.mean(dim=(1, 3))).abs() / PERIOD**2
    return torch.stack([spectrum[:, a, b] for a, b in _COEFFICIENTS], dim=1)
