"""Late fusion: several families fitted to the same images, their logits weighed by stacking.

The weights are fitted to scores of folds that no member saw, and cannot be negative: a member that
only helps with its sign turned has learned the training set. The calibration uses scores of weights
that in turn did not see their fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from gandetect.detect.classifiers import Fitted, spec_for
from gandetect.detect.features import Spec
from gandetect.detect.folds import source_folds
from gandetect.detect.members import BIAS, FUSION, MAX_MEMBERS, WEIGHT, prefix
from gandetect.detect.model import smallest_side
from gandetect.detect.networks.training import Progress
from gandetect.detect.training import (
    Dataset,
    Fit,
    ModelParts,
    Sample,
    audited,
    calibrated,
    cross_fitted_scores,
    fit_samples,
)

MEMBERS = ("logistic", "spectrum", "cnn-residual")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """One member to be: a classifier of `CLASSIFIERS` and the images as it sees them."""

    classifier: str
    dataset: Dataset

    def spec(self, tile: int) -> Spec:
        """Its features in tiles of `tile` pixels."""
        return spec_for(self.classifier, tile)


def fit_fusion(
    families: Sequence[Family],
    *,
    name: str,
    tile: int = 128,
    seed: int = 0,
    allow_leak: bool = False,
    details: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit each of `families`, and the weights of their logits.

    Their datasets hold the same images in the same order; ValueError where they do not. Raises
    LeakError where the audit fails, unless `allow_leak`.
    """
    samples = _same_images(families)
    specs = [family.spec(tile) for family in families]
    found = audited(families[0].dataset, specs, seed, allow_leak)
    columns, members = [], []
    for family in families:

        def fit(chosen: Sequence[Sample], classifier: str = family.classifier) -> Fitted:
            return fit_samples(chosen, classifier, seed, {}, progress)

        columns.append(cross_fitted_scores(family.dataset.samples, fit, seed))
        members.append(fit(family.dataset.samples))
    scores = np.stack(columns, axis=1)
    labels = np.array([sample.label for sample in samples])
    groups = [sample.group for sample in samples]
    fused = np.empty(len(labels))
    for train, test in source_folds(labels, groups, seed):
        fused[test] = _apply(scores[test], *stacking_weights(scores[train], labels[train]))
    weights, bias = stacking_weights(scores, labels)
    described = [
        {
            "classifier": family.classifier,
            "kind": fitted.kind,
            "features": spec.to_dict(),
            **({"network": fitted.network} if fitted.network else {}),
        }
        for family, fitted, spec in zip(families, members, specs, strict=True)
    ]
    parts = ModelParts(name, FUSION, FUSION, specs[0], _arrays(members, weights, bias))
    settings = {"members": [family.classifier for family in families]}
    # The members differ in what they need; the whole needs what the neediest does.
    smallest = max(smallest_side(spec) for spec in specs)
    extra = {"members": described, "min_side": smallest, **(details or {})}
    return calibrated(parts, families[0].dataset, fused, tile, seed, found, settings, extra)


def stacking_weights(scores: Array, labels: NDArray[Any]) -> tuple[Array, float]:
    """Weights (M,), none negative, and bias of the logistic regression of `labels` (N,) on `scores`
    (N, M); both classes weigh alike. A light penalty keeps separable scores finite."""
    spread = scores.std(axis=0)
    spread[spread == 0] = 1.0
    x = np.column_stack([scores / spread, np.ones(len(scores))])
    y = np.asarray(labels, np.float64)
    weight = np.where(y == 1, 0.5 / y.sum(), 0.5 / (1 - y).sum())

    def loss(beta: Array) -> tuple[float, Array]:
        z = x @ beta
        slope = weight * (0.5 * (1 + np.tanh(z / 2)) - y)
        value = (weight * (np.logaddexp(0, z) - y * z)).sum() + _PENALTY * (beta[:-1] ** 2).sum()
        return float(value), x.T @ slope + 2 * _PENALTY * np.append(beta[:-1], 0)

    bounds = [(0, None)] * scores.shape[1] + [(None, None)]
    beta = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return beta[:-1] / spread, float(beta[-1])


_PENALTY = 1e-3


def _apply(scores: Array, weights: Array, bias: float) -> Array:
    fused: Array = scores @ weights + bias
    return fused


def _same_images(families: Sequence[Family]) -> list[Sample]:
    """The samples of the first; raises ValueError where another family has other images."""
    if not 1 < len(families) <= MAX_MEMBERS:
        raise ValueError(f"{len(families)} families given; a fusion has 2 to {MAX_MEMBERS}")
    first, *others = (
        [(s.group, s.label, s.tile) for s in family.dataset.samples] for family in families
    )
    if any(keys != first for keys in others):
        raise ValueError("the families were given different images; load the same for each")
    return families[0].dataset.samples


def _arrays(members: Sequence[Fitted], weights: Array, bias: float) -> dict[str, Tensor]:
    arrays = {
        f"{prefix(number)}{key}": array
        for number, fitted in enumerate(members)
        for key, array in fitted.arrays.items()
    }
    return arrays | {WEIGHT: torch.from_numpy(weights), BIAS: torch.tensor([bias]).double()}
