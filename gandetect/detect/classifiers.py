"""The classifiers of scikit-learn that a detector may be, and their export to plain arrays.

Fitting uses scikit-learn; what comes out is a `Fitted`, which scores with torch alone. The
estimators and the model file score through it, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from gandetect.detect import scorers

Array = NDArray[np.float64]
CLASSIFIERS = ("logistic", "svm", "forest", "kmeans")


@dataclass(frozen=True)
class Fitted:
    """A scorer's name and its arrays; see `gandetect.detect.scorers`."""

    kind: str
    arrays: dict[str, Tensor]

    def logits(self, features: Tensor | NDArray[Any]) -> Array:
        """Logits (N,) float64 of `features` (N, F)."""
        scores = scorers.SCORERS[self.kind](self.arrays, torch.as_tensor(features).double())
        return scores.double().numpy()


def fit_classifier(
    classifier: str,
    features: NDArray[Any],
    labels: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    seed: int | None = None,
    **settings: Any,
) -> Fitted:
    """Fit `classifier` to standardized `features` (N, F) and `labels` (N,), 1 = generated.

    Both classes get the same total of `weights`. `settings` go to the scikit-learn estimator: `C`,
    `kernel`, `gamma`, `n_estimators`, `n_clusters`. Raises ValueError for an unknown classifier.
    """
    if classifier not in _FITTERS:
        raise ValueError(f"classifier {classifier!r} given; choose from {CLASSIFIERS}")
    x = np.asarray(features, np.float64)
    y = np.asarray(labels).astype(int)
    w = _balanced(y, np.ones(len(y)) if weights is None else np.asarray(weights, np.float64))
    return _FITTERS[classifier](x, y, w, seed, settings)


def _balanced(labels: NDArray[Any], weights: Array) -> Array:
    """`weights` scaled so that each class has half of their sum, which becomes N."""
    balanced = weights.copy()
    for label in (0, 1):
        chosen = labels == label
        balanced[chosen] *= 0.5 * len(labels) / weights[chosen].sum()
    return balanced


def _standardized(x: Array, w: Array) -> tuple[Array, Array, Array]:
    scaler = StandardScaler().fit(x, sample_weight=w)
    return scaler.transform(x), scaler.mean_, scaler.scale_


def _logistic(x: Array, y: Array, w: Array, seed: int | None, settings: dict[str, Any]) -> Fitted:
    z, mean, scale = _standardized(x, w)
    model = LogisticRegression(max_iter=5000, **settings).fit(z, y, sample_weight=w)
    return _folded(model, x, y, mean, scale)


def _svm(x: Array, y: Array, w: Array, seed: int | None, settings: dict[str, Any]) -> Fitted:
    z, mean, scale = _standardized(x, w)
    model = SVC(**settings).fit(z, y, sample_weight=w)
    if model.kernel == "linear":
        return _folded(model, x, y, mean, scale)
    if model.kernel != "rbf":
        raise ValueError(f"kernel {model.kernel!r} given; choose 'rbf' or 'linear'")
    return Fitted(
        "rbf",
        _tensors(
            center=mean,
            scale=scale,
            support=model.support_vectors_,
            dual=model.dual_coef_[0],
            gamma=model._gamma,
            bias=model.intercept_[0],
        ),
    )


def _folded(model: BaseEstimator, x: Array, y: Array, mean: Array, scale: Array) -> Fitted:
    """A linear model of standardized features as one of the features, centered on the reals."""
    weight = model.coef_[0] / scale
    center = x[y == 0].mean(axis=0)
    bias = model.intercept_[0] + weight @ (center - mean)
    return Fitted("linear", _tensors(weight=weight, center=center, bias=bias))


def _forest(x: Array, y: Array, w: Array, seed: int | None, settings: dict[str, Any]) -> Fitted:
    model = RandomForestClassifier(random_state=seed, **settings).fit(x, y, sample_weight=w)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in scorers.ARRAY_NAMES["forest"]}
    offset = 0
    for tree in (member.tree_ for member in model.estimators_):
        here = np.arange(tree.node_count)
        leaf = tree.children_left < 0
        value = tree.value[:, 0, :]
        parts["roots"].append(np.array([offset]))
        parts["feature"].append(np.where(leaf, 0, tree.feature))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        parts["left"].append(offset + np.where(leaf, here, tree.children_left))
        parts["right"].append(offset + np.where(leaf, here, tree.children_right))
        parts["share"].append(value[:, 1] / value.sum(axis=1))
        offset += tree.node_count
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    indices = {name: torch.from_numpy(joined.pop(name)).int() for name in _INDICES}
    return Fitted("forest", indices | _tensors(**joined))


_INDICES = ("roots", "feature", "left", "right")


def _kmeans(x: Array, y: Array, w: Array, seed: int | None, settings: dict[str, Any]) -> Fitted:
    z, mean, scale = _standardized(x, w)
    model = KMeans(random_state=seed, n_init=10, **settings).fit(z, sample_weight=w)
    count = model.n_clusters
    total = np.bincount(model.labels_, w, count)
    generated = np.bincount(model.labels_, w * y, count)
    share = np.divide(generated, total, out=np.full(count, 0.5), where=total > 0)
    # The weights are balanced, so a majority either way exists unless every share is one half.
    label = (share > 0.5).astype(float)
    label[share.argmin()], label[share.argmax()] = 0.0, 1.0
    return Fitted(
        "kmeans",
        _tensors(center=mean, scale=scale, clusters=model.cluster_centers_, labels=label),
    )


_FITTERS = {"logistic": _logistic, "svm": _svm, "forest": _forest, "kmeans": _kmeans}


def _tensors(**arrays: Any) -> dict[str, Tensor]:
    return {name: torch.tensor(np.asarray(value, np.float64)) for name, value in arrays.items()}
