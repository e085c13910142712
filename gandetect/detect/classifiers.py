"""The classifiers that a detector may be, and their export to plain arrays.

Fitting uses scikit-learn, or the training loop of the networks; what comes out is a `Fitted`, which
scores with torch alone. The estimators and the model file score through it, so they cannot
disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from gandetect.detect import scorers
from gandetect.detect.features import FeatureSpec, Spec
from gandetect.detect.networks import NETWORKS
from gandetect.detect.networks.training import Examples, Progress, Schedule, train
from gandetect.detect.planes import PlaneSpec

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Classifier:
    """What `gandetect fit --classifier` offers: which features, and what is fitted to them.

    `transform`: None for profiles, else that of `PlaneSpec`. `fit`: the fitter or the network.
    """

    transform: str | None
    fit: str


CLASSIFIERS: dict[str, Classifier] = {
    "logistic": Classifier(None, "logistic"),
    "additive": Classifier(None, "additive"),
    "svm": Classifier(None, "svm"),
    "forest": Classifier(None, "forest"),
    "boosted": Classifier(None, "boosted"),
    "kmeans": Classifier(None, "kmeans"),
    "spectrum": Classifier("spectrum", "logistic"),
    "dct": Classifier("dct", "logistic"),
    "cnn": Classifier("pixels", "pixels"),
    "cnn-spectrum": Classifier("pixels", "spectrum"),
    "cnn-residual": Classifier("pixels", "residual"),
    "mask": Classifier("pixels", "mask"),
    "warp": Classifier("pixels", "warp"),
}
# Those that learn a map from self-made edits, see `map_training`; labels of images do not do.
MAPS = ("mask", "warp")


def spec_for(classifier: str, tile: int) -> Spec:
    """The features that `classifier` is fitted to, in tiles of `tile` pixels.

    Raises ValueError for an unknown classifier.
    """
    transform = _known(classifier).transform
    return FeatureSpec() if transform is None else PlaneSpec(transform, tile)


def _known(classifier: str) -> Classifier:
    if classifier not in CLASSIFIERS:
        raise ValueError(f"classifier {classifier!r} given; choose from {tuple(CLASSIFIERS)}")
    return CLASSIFIERS[classifier]


@dataclass(frozen=True)
class Fitted:
    """A scorer's name and its arrays; see `gandetect.detect.scorers`.

    `network`: name and settings of the network, where it is one.
    """

    kind: str
    arrays: dict[str, Tensor]
    network: dict[str, Any] | None = None
    _score: scorers.Scorer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_score", scorers.build(self.kind, self.arrays, self.network))

    def logits(self, features: Tensor | NDArray[Any]) -> Array:
        """Logits (N,) float64 of `features` (N, F), or of tiles (N, S, S) for a network."""
        given = torch.as_tensor(features)
        scores = self._score(given if self.kind == scorers.NETWORK else given.double())
        return scores.double().numpy()


def fit_classifier(
    classifier: str,
    features: NDArray[Any],
    labels: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Fitted:
    """Fit `classifier` to standardized `features` (N, F) and `labels` (N,), 1 = generated.

    Both classes get the same total of `weights`. `settings` go to the scikit-learn estimator: `C`,
    `n_knots`, `kernel`, `gamma`, `n_estimators`, `max_depth`, `n_clusters`; those of a network to
    it, and `schedule` to its training. Networks take tiles (N, S, S) as features and hold out some
    of the `groups` (N,) to stop by. Raises ValueError for an unknown classifier or setting.
    """
    fit = _known(classifier).fit
    if fit in NETWORKS:
        return fit_network(
            fit,
            np.asarray(features),
            labels,
            weights=weights,
            groups=groups,
            seed=seed or 0,
            progress=progress,
            **settings,
        )
    y = np.asarray(labels).astype(int)
    x, w = np.asarray(features, np.float64), _balanced(y, _weights(y, weights))
    return _FITTERS[fit](x, y, w, seed, settings)


def fit_network(
    name: str,
    tiles: NDArray[Any],
    labels: NDArray[Any],
    *,
    weights: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    seed: int = 0,
    schedule: Schedule | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Fitted:
    """Train the network `name` of `NETWORKS` on `tiles` (N, S, S) and `labels` (N,), 1 = generated.

    `settings` go to the network. Otherwise as `fit_classifier`; ValueError for one of `MAPS` too.
    """
    if name in MAPS:
        raise ValueError(
            f"{name} learns from edits of photographs, not from labels: use map_training.fit_maps "
            "or gandetect fit --simulate"
        )
    y = np.asarray(labels).astype(int)
    w = _balanced(y, _weights(y, weights))
    sources = np.arange(len(y)) if groups is None else np.asarray(groups)
    examples = Examples(
        torch.from_numpy(tiles), torch.from_numpy(y), torch.from_numpy(w).float(), sources
    )
    make: Callable[[], Any] = partial(NETWORKS[name], **settings)
    network = train(make, examples, seed=seed, schedule=schedule, progress=progress)
    described = {"name": name, "settings": network.settings}
    return Fitted(scorers.NETWORK, dict(network.state_dict()), described)


def _weights(labels: NDArray[Any], weights: NDArray[Any] | None) -> Array:
    return np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)


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


def _additive(x: Array, y: Array, w: Array, seed: int | None, settings: dict[str, Any]) -> Fitted:
    """One piecewise linear function for each feature, fitted as a logistic regression on hats.

    Up-sampling raises the power of a band or lowers it, by the generator: a line cannot say both.
    `C` is that of scikit-learn; its default grows weaker with N as the loss grows, so that more
    images do not mean less smooth functions.
    """
    _check_settings("additive", settings, ("n_knots", "C"))
    knots = _knots(x, int(settings.get("n_knots", 6)))
    hats = _hats(x, knots)
    flat = hats.reshape(len(x), -1)
    z, mean, scale = _standardized(flat, w)
    model = LogisticRegression(C=settings.get("C", _SMOOTHNESS / len(x)), max_iter=5000).fit(
        z, y, sample_weight=w
    )
    values = (model.coef_[0] / scale).reshape(knots.shape)
    bias = model.intercept_[0] - mean @ values.ravel()
    offset = np.einsum("nfk,fk->nf", hats[y == 0], values).mean(axis=0)
    return Fitted(
        "additive",
        _tensors(knots=knots, values=values - offset[:, None], bias=bias + offset.sum()),
    )


# Chosen for the shipped model, see `recipes/shipped.py`.
_SMOOTHNESS = 0.3


def _knots(x: Array, count: int) -> Array:
    """Quantiles of each feature, (F, count), kept apart where values repeat."""
    knots = np.quantile(x, np.linspace(0, 1, count), axis=0).T
    least = 1e-3 * np.maximum(knots[:, -1:] - knots[:, :1], 1e-3)
    return np.maximum.accumulate(knots - least * np.arange(count), axis=1) + least * np.arange(
        count
    )


def _hats(x: Array, knots: Array) -> Array:
    """(N, F, K): how much of each knot a value has, so that `hats @ values` interpolates."""
    hats = np.zeros((*x.shape, knots.shape[1]))
    rows = np.arange(len(x))
    for f, own in enumerate(knots):
        left = np.clip(np.searchsorted(own, x[:, f]) - 1, 0, len(own) - 2)
        share = (x[:, f] - own[left]) / (own[left + 1] - own[left])
        hats[rows, f, left], hats[rows, f, left + 1] = 1 - share, share
    return hats


def _check_settings(classifier: str, settings: dict[str, Any], known: Sequence[str]) -> None:
    """Raise ValueError for a setting that `classifier` does not have."""
    if unknown := sorted(set(settings) - set(known)):
        raise ValueError(f"{classifier} has no settings {unknown}; choose from {tuple(known)}")


def _boosted(x: Array, y: Array, w: Array, seed: int | None, settings: dict[str, Any]) -> Fitted:
    _check_settings("boosted", settings, ("n_estimators", "max_depth"))
    model = HistGradientBoostingClassifier(
        max_iter=settings.get("n_estimators", 300),
        max_depth=settings.get("max_depth", 3),
        learning_rate=0.05,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    # Fitted in the precision in which features are stored, so that thresholds part them alike.
    model.fit(x.astype(np.float32).astype(np.float64), y, sample_weight=w)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in (*_INDICES, "threshold", "value")}
    offset = 0
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        here = np.arange(len(nodes))
        leaf = nodes["is_leaf"].astype(bool)
        parts["roots"].append(np.array([offset]))
        parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]))
        parts["threshold"].append(np.where(leaf, 0.0, nodes["num_threshold"]))
        parts["left"].append(offset + np.where(leaf, here, nodes["left"]))
        parts["right"].append(offset + np.where(leaf, here, nodes["right"]))
        parts["value"].append(nodes["value"])
        offset += len(nodes)
    return Fitted("boosted", _trees(parts) | _tensors(base=model._baseline_prediction.item()))


def _trees(parts: dict[str, list[NDArray[Any]]]) -> dict[str, Tensor]:
    """The arrays of all trees, one after the other; numbers of nodes and features as int32."""
    joined = {name: np.concatenate(pieces) for name, pieces in parts.items()}
    indices = {name: torch.from_numpy(joined.pop(name)).int() for name in _INDICES}
    return indices | _tensors(**joined)


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
    return Fitted("forest", _trees(parts))


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


_FITTERS = {
    "logistic": _logistic,
    "additive": _additive,
    "svm": _svm,
    "forest": _forest,
    "boosted": _boosted,
    "kmeans": _kmeans,
}


def _tensors(**arrays: Any) -> dict[str, Tensor]:
    return {name: torch.tensor(np.asarray(value, np.float64)) for name, value in arrays.items()}
