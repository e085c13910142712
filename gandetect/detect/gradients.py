"""Integrated gradients (Sundararajan et al. 2017): terms for what has no closed form.

The gradient of a score is averaged on the straight way from a baseline to a point, and multiplied
with the offset between them. The terms sum to the difference of the two scores, but for the steps.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gandetect.detect.scorers import Scorer

# Steps begun with, at most, and at once, which bounds the memory.
FEWEST_STEPS, MOST_STEPS, STEPS_AT_ONCE = 16, 512, 16


def integrated_gradients(
    score: Scorer, points: Tensor, baselines: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, float]:
    """Terms (N, ...) of `points` (N, ...), the scores (N,) of their `baselines`, and the largest
    gap between what both sum to and the score of a point.

    Steps are doubled until the gap is within `tolerance`, or there are `MOST_STEPS`.
    """
    followed = [
        _followed(score, point, baseline, tolerance)
        for point, baseline in zip(points, baselines, strict=True)
    ]
    terms, starts, gaps = zip(*followed, strict=True)
    return torch.stack(terms), torch.tensor(starts).double(), max(gaps)


def _followed(
    score: Scorer, point: Tensor, baseline: Tensor, tolerance: float
) -> tuple[Tensor, float, float]:
    """Terms like `point`, the score of `baseline`, and what they miss of the score of `point`."""
    with torch.no_grad():
        start, end = (float(score(one[None])) for one in (baseline, point))
    steps = FEWEST_STEPS
    while True:
        terms = _path_integral(score, point, baseline, steps)
        gap = abs(start + float(terms.double().sum()) - end)
        if gap <= tolerance or steps >= MOST_STEPS:
            return terms, start, gap
        steps *= 2


def _path_integral(score: Scorer, point: Tensor, baseline: Tensor, steps: int) -> Tensor:
    """The offset times the mean gradient on the straight way, by Gauss-Legendre quadrature."""
    places, weights = (
        torch.from_numpy(a).to(point) for a in np.polynomial.legendre.leggauss(steps)
    )
    offset = point - baseline
    slope = torch.zeros_like(point)
    for at, weight in zip(places.split(STEPS_AT_ONCE), weights.split(STEPS_AT_ONCE), strict=True):
        share = ((at + 1) / 2).reshape(-1, *[1] * point.ndim)
        inputs = (baseline + share * offset).requires_grad_()
        (gradient,) = torch.autograd.grad(score(inputs).sum(), inputs)
        slope += torch.tensordot(weight / 2, gradient, dims=1)
    return slope * offset
