"""The ops that look for traces in pure torch: the oracle of the tests, and other devices' kernel.

Same arguments and results as `torch.ops.gandetect.*`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

# Phases along an axis; csrc/traces/kernels.h says the same.
PERIOD = 4
# Side of the blocks of JPEG.
BLOCK = 8
# A bin begins so far below its middle, and a little: csrc/traces/steps.inc says why.
HALF = 0.5 + 2**-10


def phase_means(images: Tensor, filters: Tensor, rounding: float) -> Tensor:
    """Sums over whole periods of `_responses`."""

    def means(taps: list[_Tap]) -> Tensor:
        sides = (
            (side - more) // PERIOD * PERIOD
            for side, more in zip(images.shape[1:], _reach(taps), strict=True)
        )
        responses = _responses(images, taps, *sides)
        size = responses.abs() + rounding
        scale = size.mean(dim=(1, 2))[:, None, None]
        spoiled = (responses - responses).sum(dim=(1, 2))[:, None, None]
        logs = _by_phase(size.log()) + spoiled
        return torch.stack([_by_phase(responses) / scale, logs], dim=1)

    return _of_each(filters, means, images, (2, PERIOD, PERIOD))


def row_log_means(images: Tensor, filters: Tensor, rounding: float) -> Tensor:
    """Means over whole rows of `_responses`."""
    rows = images.shape[1] - filters.shape[1] + 1

    def means(taps: list[_Tap]) -> Tensor:
        responses = _responses(images, taps, rows, images.shape[2] - _reach(taps)[1])
        spoiled = (responses - responses).sum(dim=2)
        return (responses.abs() + rounding).log().mean(dim=2) + spoiled

    return _of_each(filters, means, images, (rows,))


# Row, column and weight.
_Tap = tuple[int, int, float]


def _of_each(
    filters: Tensor,
    means: Callable[[list[_Tap]], Tensor],
    images: Tensor,
    shape: tuple[int, ...],
) -> Tensor:
    """(N, F, *shape), the `means` of the taps of each filter that are not 0."""
    result = images.new_empty((len(images), len(filters), *shape), dtype=torch.float32)
    for number, one in enumerate(filters.cpu()):
        result[:, number] = means([(y, x, float(one[y, x])) for y, x in one.nonzero().tolist()])
    return result


def _reach(taps: list[_Tap]) -> tuple[int, int]:
    """The rows and columns that a response needs besides its own."""
    return max((y for y, _, _ in taps), default=0), max((x for _, x, _ in taps), default=0)


def _responses(images: Tensor, taps: list[_Tap], height: int, width: int) -> Tensor:
    """(N, height, width), sums of shifted images: of whole gray levels they are exact."""
    planes = images.float()
    responses = planes.new_zeros(len(images), height, width)
    for y, x, tap in taps:
        responses.add_(planes[:, y : y + height, x : x + width], alpha=tap)
    return responses


def _by_phase(values: Tensor) -> Tensor:
    """Means (N, P, P) of `values` (N, h, w) at each phase."""
    count, height, width = values.shape
    # Rows first: whole rows are added, and what is left is small.
    rows = values.reshape(count, height // PERIOD, PERIOD, width).mean(dim=1)
    return rows.reshape(count, PERIOD, width // PERIOD, PERIOD).mean(dim=2)


def jpeg_step_log_odds(plane: Tensor, origins: Tensor, evidence: Tensor, per_unit: float) -> Tensor:
    """Counts of all grids at once, and their product with the evidence."""
    grids, bins = len(origins), len(evidence)
    inside = torch.arange(BLOCK, device=plane.device)
    rows, columns = (origins[..., axis, None].long() + inside for axis in (0, 1))
    blocks = plane[rows[..., :, None], columns[..., None, :]].float()
    transform = dct(plane.device)
    coefficients = (transform @ blocks @ transform.T).flatten(2)
    found = (coefficients.abs() * per_unit + HALF).floor()
    # The last bin collects what is in none.
    places = torch.where(found < bins, found, bins).long()
    lines = torch.arange(grids * BLOCK**2, device=plane.device).reshape(grids, 1, BLOCK**2)
    places += lines * (bins + 1)
    counts = torch.bincount(places.flatten(), minlength=grids * BLOCK**2 * (bins + 1))
    kept = counts.reshape(grids, BLOCK**2, bins + 1)[..., :bins].to(evidence.dtype)
    return evidence.T @ kept.transpose(1, 2)


@cache
def dct(device: torch.device) -> Tensor:
    """(8, 8) float32, the orthonormal DCT of a line of a block."""
    k, n = torch.meshgrid(torch.arange(BLOCK), torch.arange(BLOCK), indexing="ij")
    lines = torch.cos(torch.pi * (2 * n + 1).double() * k / (2 * BLOCK)) / 2
    lines[0] /= 2**0.5
    return lines.float().to(device)
