"""What would have changed a verdict: the smallest change of the features that does.

"Small" is measured by the covariance of images within one class where the model carries it, else by
the spread of each feature among the real training images, else all features count alike. A change
is one of power, in decibels, the same in all tiles. Where features are without their mean, only
changes that leave the mean are possible; more power in one band is then less in all others.

For a linear model the smallest change of all features at once has a closed form. For every model on
profiles, and for fusions of such on one profile, the band is sought whose power alone changes the
verdict with the smallest change: in closed form or, since trees are steps and kernels are curves,
by a search along each band.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gandetect.detect import scorers
from gandetect.detect.calibration import Thresholds
from gandetect.detect.contributions import Part, features_of, parts_of
from gandetect.detect.features import FeatureSpec, Spec
from gandetect.detect.members import BIAS, FUSION
from gandetect.detect.model import Model
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.reference import QUANTILES
from gandetect.ops.conventions import CONVENTIONS, LOG, LOG_AMPLITUDE, VALUES

# Changes beyond this are of no use to know: no processing of pictures makes them.
MOST_DECIBEL = 30.0
# Points at which the search looks on either side of nothing; between two of them it halves.
_STEPS, _FIRST, _HALVINGS = 28, 1 / 500, 24
_DECIBEL = 10 / math.log(10)
# From the 5th to the 95th percentile of a Gaussian, in standard deviations.
_QUANTILE_WIDTH = 3.29


@dataclass(frozen=True)
class Change:
    """A change that leads to the very edge of another `verdict`.

    `shift` (F,): added to the features of every tile. `decibel` (F,): the same as power, of the one
    `band` (its number), or of all where that is None. `distance`: its length in what `metric` of
    the `WhatIf` says. `logit`: what it leads to.
    """

    verdict: str
    logit: float
    shift: Tensor
    decibel: Tensor
    distance: float
    band: int | None = None


@dataclass(frozen=True)
class WhatIf:
    """`smallest`: of all features together, linear models only. `single`: of one band alone.

    None where there is none; `reason` says why in a sentence, where the model allows neither or no
    single band suffices. `metric`: what distances are measured in.
    """

    smallest: Change | None = None
    single: Change | None = None
    metric: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Metric:
    """What lengths are measured in: `covariance` (F, F), or the variances (F,) alone."""

    name: str
    covariance: Tensor

    def times(self, direction: Tensor) -> Tensor:
        """The product of the covariance and `direction` (F,)."""
        if self.covariance.ndim == 1:
            return self.covariance * direction
        return self.covariance @ direction

    def lengths(self, shifts: Tensor) -> Tensor:
        """The lengths (N,) of `shifts` (N, F)."""
        if self.covariance.ndim == 1:
            return (shifts.square() / self.covariance).sum(dim=1).sqrt()
        factor = torch.linalg.cholesky(self.covariance)
        whitened = torch.linalg.solve_triangular(factor, shifts.T, upper=False)
        return whitened.square().sum(dim=0).sqrt()


def what_would_change(model: Model, squares: Tensor, thresholds: Thresholds) -> WhatIf:
    """What would have changed the verdict on an image of `squares` (N, S, S) in 0..255."""
    parts = parts_of(model)
    unit = decibel_per_unit(parts[0].spec)
    if (reason := _why_none(model, parts)) or unit is None:
        return WhatIf(reason=reason or _NO_POWER)
    spec = parts[0].spec
    features = features_of(spec, squares)
    metric = metric_of(model, features.shape[1])
    if [part.kind for part in parts] == ["linear"] and model.kind != FUSION:
        return _of_linear(parts[0], features, metric, thresholds, unit)
    search = _Search(_scorer(model, parts), features, thresholds, metric, MOST_DECIBEL / unit)
    return _single(search.smallest(_directions(spec, features)), spec, metric, unit)


_NO_POWER = "No change is offered: the features are no logarithms of power, which decibels measure."


def _why_none(model: Model, parts: Sequence[Part]) -> str | None:
    """Why nothing can be said of `model`, made of `parts`; None where something can."""
    one_profile = isinstance(parts[0].spec, FeatureSpec) and len({p.spec for p in parts}) == 1
    if model.kind == FUSION and not one_profile:
        return (
            "No change is offered for a fusion whose members do not look at one profile of the "
            "picture."
        )
    if parts[0].kind != scorers.NETWORK:
        return None
    if (parts[0].network or {}).get("name") == "discriminant":
        return "No change is offered: decibels measure but some of the features that are looked at."
    return (
        "No change is offered for a network: the smallest change of pixels that turns it is a "
        "pattern made against it, and says nothing about the picture."
    )


def _scorer(model: Model, parts: Sequence[Part]) -> scorers.Scorer:
    """What `parts`, which look at the same features, make of these together."""
    bias = model.arrays[BIAS].double() if model.kind == FUSION else 0.0

    def score(features: Tensor) -> Tensor:
        logits = [p.weight * scorers.SCORERS[p.kind](p.arrays, features).double() for p in parts]
        return torch.stack(logits).sum(dim=0) + bias

    return score


def decibel_per_unit(spec: Spec) -> float | None:
    """Decibels of power in one unit of a feature; None where features are no logarithms."""
    if isinstance(spec, PlaneSpec):
        return {"spectrum": _DECIBEL, "dct": 2 * _DECIBEL}.get(spec.transform)
    convention = CONVENTIONS[spec.convention]
    value = convention.value if spec.value is None else VALUES[spec.value]
    plain = (spec.normalize or convention.normalize) == "none"
    return _DECIBEL / value.gain if plain and value.mode in (LOG, LOG_AMPLITUDE) else None


def metric_of(model: Model, size: int) -> Metric:
    """What changes of the `size` features of `model` are measured by."""
    references = model.references
    if references is None:
        return Metric("units of the features", torch.ones(size).double())
    if references.covariance is not None:
        return Metric(
            "standard deviations, by the covariance of images of one class",
            references.covariance[:size, :size],
        )
    assert QUANTILES == (0.05, 0.5, 0.95)
    spread = (references.real[2] - references.real[0]) / _QUANTILE_WIDTH
    return Metric(
        "standard deviations of each feature among real images", spread.clamp(min=1e-6).square()
    )


def _without_mean(spec: Spec) -> bool:
    return spec.remove_mean if isinstance(spec, FeatureSpec) else True


def _directions(spec: Spec, features: Tensor) -> Tensor:
    """What one unit more in each band alone does to all features, (F, F)."""
    size = features.shape[1]
    unit = torch.eye(size, dtype=features.dtype)
    return unit - 1 / size if _without_mean(spec) else unit


def _of_linear(
    part: Part, features: Tensor, metric: Metric, thresholds: Thresholds, unit: float
) -> WhatIf:
    weight = part.arrays["weight"].double()
    logit = float(scorers.linear(part.arrays, features).mean())
    boundary = _nearest_boundary(logit, thresholds)
    missing = boundary - logit
    beyond = thresholds.verdict(math.nextafter(boundary, math.copysign(math.inf, missing)))
    shift = _smallest_shift(weight, metric, _without_mean(part.spec), missing)
    if shift is None:
        return WhatIf(metric=metric.name, reason="No change of the features moves this model.")
    length = float(metric.lengths(shift[None]))
    smallest = Change(beyond, boundary, shift, shift * unit, length)
    if isinstance(part.spec, PlaneSpec):
        return WhatIf(smallest, None, metric.name)
    directions = _directions(part.spec, features)
    amounts = missing / (directions @ weight)
    distances = metric.lengths(directions) * amounts.abs()
    distances[amounts.abs() * unit > MOST_DECIBEL] = math.inf
    band = int(distances.argmin())
    found = None
    if math.isfinite(distances[band]):
        found = _Found(band, float(amounts[band]), directions[band], boundary, beyond)
    single = _single(found, part.spec, metric, unit)
    return WhatIf(smallest, single.single, metric.name, single.reason)


def _smallest_shift(
    weight: Tensor, metric: Metric, without_mean: bool, missing: float
) -> Tensor | None:
    """The shortest shift (F,) that adds `missing` to the logit, of mean 0 where that is wanted.

    By Lagrange: the covariance times what `weight` has beyond what the condition takes up.
    """
    direction = metric.times(weight)
    if without_mean:
        even = metric.times(torch.ones_like(weight))
        direction = direction - even * (direction.sum() / even.sum())
    effect = float(weight @ direction)
    return direction * (missing / effect) if effect > 0 else None


def _nearest_boundary(logit: float, thresholds: Thresholds) -> float:
    verdict = thresholds.verdict(logit)
    if verdict != "inconclusive":
        return thresholds.generated if verdict == "generated" else thresholds.real
    return min(thresholds.real, thresholds.generated, key=lambda edge: abs(edge - logit))


@dataclass(frozen=True)
class _Found:
    """`amount` times `direction` (F,), of `band` alone, leads to `logit` and `verdict`."""

    band: int
    amount: float
    direction: Tensor
    logit: float
    verdict: str


def _single(found: _Found | None, spec: Spec, metric: Metric, unit: float) -> WhatIf:
    if found is None:
        reason = f"No single band changes the verdict by up to {MOST_DECIBEL:g} dB more or less."
        return WhatIf(metric=metric.name, reason=reason)
    shift = found.amount * found.direction
    decibel = torch.zeros_like(shift)
    decibel[found.band] = found.amount * unit
    length = float(metric.lengths(shift[None]))
    change = Change(found.verdict, found.logit, shift, decibel, length, found.band)
    return WhatIf(single=change, metric=metric.name)


@dataclass(frozen=True)
class _Search:
    """A search along each band for the first amount, of `most` at most, that changes the verdict.

    `score` maps features (M, F) to logits (M,); `features` (N, F) are those of one image's tiles;
    `now`: its verdict.
    """

    score: Callable[[Tensor], Tensor]
    features: Tensor
    thresholds: Thresholds
    metric: Metric
    most: float
    now: str = field(init=False)

    def __post_init__(self) -> None:
        logit = float(self.score(self.features).mean())
        object.__setattr__(self, "now", self.thresholds.verdict(logit))

    def smallest(self, directions: Tensor) -> _Found | None:
        """The shortest change along one of `directions` (F, F); None where none suffices."""
        lengths = self.metric.lengths(directions).tolist()
        steps = torch.logspace(math.log10(_FIRST), 0, _STEPS, dtype=torch.float64)
        best, shortest = None, math.inf
        for band, (direction, length) in enumerate(zip(directions, lengths, strict=True)):
            # Further than the best so far need not be looked.
            reach = min(self.most, shortest / length)
            for sign in (-1, 1):
                found = self._along(direction, sign * reach * steps)
                if found is not None and abs(found) * length < shortest:
                    shortest = abs(found) * length
                    logit = float(self._logits(direction, torch.tensor([found]).double()))
                    best = _Found(band, found, direction, logit, self.thresholds.verdict(logit))
        return best

    def _along(self, direction: Tensor, amounts: Tensor) -> float | None:
        """The first of growing `amounts` that changes the verdict, made as small as it goes."""
        changed = self._changed(direction, amounts)
        if not changed.any():
            return None
        first = int(changed.int().argmax())
        kept, enough = (float(amounts[first - 1]) if first else 0.0), float(amounts[first])
        for _ in range(_HALVINGS):
            middle = (kept + enough) / 2
            if self._changed(direction, torch.tensor([middle]).double())[0]:
                enough = middle
            else:
                kept = middle
        return enough

    def _changed(self, direction: Tensor, amounts: Tensor) -> Tensor:
        """Whether each of `amounts` (A,) changes the verdict, (A,) bool."""
        logits = self._logits(direction, amounts).tolist()
        return torch.tensor([self.thresholds.verdict(logit) != self.now for logit in logits])

    def _logits(self, direction: Tensor, amounts: Tensor) -> Tensor:
        moved = self.features + amounts[:, None, None] * direction
        return self.score(moved.flatten(0, 1)).unflatten(0, moved.shape[:2]).mean(dim=1)
