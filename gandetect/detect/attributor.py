"""Fitting what names the source of an image, as a scikit-learn estimator.

Attributor().fit(paths, ["real", "dcgan", ...], groups=photographs).predict_known(others)

Names and bounds are calibrated on images whose source photograph the fit had not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from gandetect.detect.attribution import Calibration, responses
from gandetect.detect.estimators import holds_images, luma_planes
from gandetect.detect.folds import source_folds
from gandetect.detect.networks.discriminant import spectral_features
from gandetect.detect.networks.fingerprint import (
    FingerprintNetwork,
    GaussianClasses,
)
from gandetect.detect.networks.training import Examples, Progress, Schedule, train
from gandetect.detect.scorers import score_tiles
from gandetect.detect.tiles import cut_tiles
from gandetect.detect.training import MAX_TILES_OF_NETWORKS

Array = NDArray[np.float64]
UNKNOWN_RATE = 0.05
SCHEDULE = Schedule(epochs=12, batch=32, rate=2e-3, patience=4)
# Of the median deviation of the features: less is an accident of few images.
_LEAST_SPREAD = 0.1


class Responder(Protocol):
    """What a fit gives; see `SourceNetwork.respond`."""

    def respond(self, prepared: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Labeled:
    """Images as a method looks at them, (T, ...) each; their class numbers and sources (N,)."""

    images: Sequence[Tensor]
    labels: NDArray[Any]
    groups: NDArray[Any]

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, chosen: NDArray[Any]) -> Labeled:
        """The images at the indices `chosen`."""
        images = [self.images[i] for i in chosen]
        return Labeled(images, self.labels[chosen], self.groups[chosen])

    def tiles(self) -> tuple[Tensor, NDArray[Any], NDArray[Any], Array]:
        """All tiles with their labels, groups and weights; classes weigh alike, and within one
        its images."""
        counts = np.array([len(image) for image in self.images])
        weights = 1 / (np.bincount(self.labels)[self.labels] * counts)
        weights /= weights.mean()
        rows = (np.repeat(values, counts) for values in (self.labels, self.groups, weights))
        labels, groups, repeated = rows
        return torch.cat(list(self.images)), labels, groups, repeated


@dataclass(frozen=True)
class Method:
    """A way to tell sources apart: what it makes of tiles (T, S, S), and its fit."""

    prepare: Callable[[Tensor], Tensor]
    fit: Callable[[Labeled, int, Progress | None], Responder]


def fit_gaussian(features: Tensor, labels: NDArray[Any], weights: Array) -> GaussianClasses:
    """Gaussians of one covariance for the classes 0, 1, ... of `features` (M, F).

    The covariance of the standardized features is shrunk towards the identity by Ledoit and Wolf's
    rule. The projection keeps what lies between the class means: at most one component less than
    there are classes, of unit deviation within a class.
    """
    x = features.double().numpy()
    shares = np.stack([np.where(labels == one, weights, 0) for one in range(labels.max() + 1)])
    means = shares @ x / shares.sum(axis=1, keepdims=True)
    center = means.mean(axis=0)
    within, scale = _within(x - means[labels], weights)
    shrinkage = ledoit_wolf_shrinkage(within, assume_centered=True)
    covariance = (1 - shrinkage) * within.T @ within / len(within)
    covariance[np.diag_indices(len(covariance))] += shrinkage
    factor = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(factor, ((means - center) / scale).T)
    directions = np.linalg.svd(whitened, full_matrices=False)[0][:, : len(means) - 1]
    projection = np.linalg.solve(factor.T, directions).T / scale
    known = GaussianClasses(len(means), x.shape[1], len(projection))
    arrays = {"center": center, "projection": projection, "means": (means - center) @ projection.T}
    known.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return known


def _within(deviations: Array, weights: Array) -> tuple[Array, Array]:
    """Standardized `deviations` (M, F) from the class means, scaled by their `weights`; and what
    they were divided by (F,), which no feature has far less of than the others."""
    shares = weights / weights.mean()
    spread = np.sqrt((shares[:, None] * deviations**2).mean(axis=0))
    scale = np.maximum(spread, _LEAST_SPREAD * np.median(spread)) + 1e-12
    return deviations / scale * np.sqrt(shares)[:, None], scale


def _fit_discriminant(data: Labeled, seed: int, progress: Progress | None) -> GaussianClasses:
    features, labels, _, weights = data.tiles()
    return fit_gaussian(features, labels, weights)


def _fit_fingerprint(data: Labeled, seed: int, progress: Progress | None) -> FingerprintNetwork:
    tiles, labels, groups, weights = data.tiles()
    examples = Examples(tiles, torch.from_numpy(labels), torch.from_numpy(weights).float(), groups)
    make = partial(FingerprintNetwork, classes=int(labels.max()) + 1)
    network = train(make, examples, seed=seed, schedule=SCHEDULE, progress=progress)
    assert isinstance(network, FingerprintNetwork)
    embeddings = score_tiles(network.embedding, tiles)
    network.known.load_state_dict(fit_gaussian(embeddings, labels, weights).state_dict())
    return network


METHODS: dict[str, Method] = {
    "discriminant": Method(spectral_features, _fit_discriminant),
    "fingerprint": Method(lambda tiles: tiles, _fit_fingerprint),
}


def prepared(plane: Tensor, tile: int, method: str) -> Tensor:
    """What `method` looks at of a luma plane (H, W): (T, ...), of a few tiles.

    Raises ValueError for a plane that is flat or smaller than a tile, and an unknown method.
    """
    tiles = cut_tiles(plane, tile, min_side=tile, max_tiles=MAX_TILES_OF_NETWORKS)
    return chosen_method(method).prepare(tiles)


def chosen_method(name: str) -> Method:
    """The method of that name; raises ValueError for one that is none."""
    if name not in METHODS:
        raise ValueError(f"method {name!r} given; choose from {tuple(METHODS)}")
    return METHODS[name]


def cross_fitted(
    data: Labeled, method: Method, seed: int, progress: Progress | None = None
) -> list[Tensor]:
    """Responses (T, classes + 1) to each image by a fit that saw nothing of its source.

    Raises ValueError where a class has fewer than two sources, or too few beside the others.
    """
    found: list[Tensor] = [torch.empty(0)] * len(data)
    for fit_on, held_out in source_folds(data.labels, data.groups, seed):
        if len(np.unique(data.labels[fit_on])) < len(np.unique(data.labels)):
            raise ValueError("all photographs of one source are held out at once; add images of it")
        responder = method.fit(data.subset(fit_on), seed, progress)
        for i in held_out:
            found[i] = responses(responder.respond, data.images[i])
    return found


def calibrated_on(
    held_out: Sequence[Tensor], labels: NDArray[Any], classes: Sequence[str], rate: float
) -> Calibration:
    """The calibration by responses to images of `labels` that the fit had not seen.

    `rate`: of these, how many shall be called unknown.
    """
    means = torch.stack([one.double().mean(dim=0) for one in held_out]).numpy()
    unknown_from = max(float(np.quantile(means[:, -1], 1 - rate)), 1e-12)
    temperature = fit_temperature(means[:, :-1], labels)
    return Calibration(tuple(map(str, classes)), temperature, unknown_from, rate)


def fit_temperature(logits: Array, labels: NDArray[Any]) -> float:
    """The number that `logits` (N, C) are divided by so that their softmax loses least on `labels`.

    Classes weigh alike; between 1/1000 and 1000.
    """
    counts = np.bincount(labels, minlength=logits.shape[1])
    weights = 1 / counts[labels]

    def loss(log_temperature: float) -> float:
        scaled = torch.from_numpy(logits / np.exp(log_temperature))
        chosen = torch.log_softmax(scaled, dim=1)[np.arange(len(labels)), labels]
        return float(-(chosen.numpy() * weights).sum())

    ends = (-np.log(1000), np.log(1000))
    return float(np.exp(minimize_scalar(loss, bounds=ends, method="bounded").x))


class Attributor(ClassifierMixin, BaseEstimator):
    """Names the source of an image, and says when it is like none it was shown.

    `X` is images in any form that `SpectralProfile` takes, or for the discriminant a matrix of
    features (N, F). `y` are names.

    Parameters
    ----------
    method : "discriminant", Gaussians on profiles and log spectra; or "fingerprint", a
        convolutional network.
    tile : side of the tiles; smaller images raise ValueError.
    unknown_rate : of images of known sources, how many may be called unknown.
    random_state : seed of the folds and of the network.

    Attributes: `classes_` (C,), `n_features_in_`, `fitted_`, `calibration_`.
    """

    def __init__(
        self,
        method: str = "discriminant",
        *,
        tile: int = 128,
        unknown_rate: float = UNKNOWN_RATE,
        random_state: int = 0,
    ) -> None:
        self.method = method
        self.tile = tile
        self.unknown_rate = unknown_rate
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Attributor:
        """Fit to `X`, names `y` (N,) and what the images stem from, `groups` (N,).

        Images of one group are on one side wherever some are held out.
        """
        images, names = self._checked(X, y)
        self.classes_, labels = np.unique(names, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"the names hold 1 class, {self.classes_[0]!r}; give images of two")
        sources = np.arange(len(labels)) if groups is None else np.asarray(groups)
        data, method = Labeled(images, labels, sources), chosen_method(self.method)
        self.fitted_ = method.fit(data, self.random_state, None)
        self.calibration_ = calibrated_on(
            self._held_out(data, method), labels, self.classes_.tolist(), self.unknown_rate
        )
        return self

    def decision_function(self, X: Any) -> Array:
        """Logits (N, C) in the order of `classes_`; (N,) of the second where there are two."""
        logits = self._responses(X)[:, :-1]
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def novelty(self, X: Any) -> Array:
        """How unlike all known sources each image is (N,); 1 is the bound."""
        distances = self._responses(X)[:, -1]
        return distances / self.calibration_.unknown_from

    def predict_known(self, X: Any) -> NDArray[np.bool_]:
        """Whether each image (N,) is like a source that was shown."""
        return self.novelty(X) <= 1

    def predict_proba(self, X: Any) -> Array:
        """Calibrated shares (N, C) in the order of `classes_`, as if one of these made it."""
        logits = torch.from_numpy(self._responses(X)[:, :-1])
        shares: Array = self.calibration_.shares(logits).numpy()
        return shares

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest of the known sources."""
        best = self._responses(X)[:, :-1].argmax(axis=1)
        return self.classes_[best]

    def _checked(self, X: Any, y: ArrayLike) -> tuple[list[Tensor], NDArray[Any]]:
        """The images as the method looks at them, and the names."""
        if holds_images(X):
            names = np.asarray(y)
            images = [prepared(plane, self.tile, self.method) for plane in luma_planes(X)]
        else:
            features, names = validate_data(self, X, y, dtype=np.float64)
            images = self._rows(features)
        check_classification_targets(names)
        return images, names

    def _responses(self, X: Any) -> Array:
        """Mean responses (N, C + 1) of the tiles of each image."""
        check_is_fitted(self)
        if holds_images(X):
            images = [prepared(plane, self.tile, self.method) for plane in luma_planes(X)]
        else:
            images = self._rows(validate_data(self, X, reset=False, dtype=np.float64))
        means = [responses(self.fitted_.respond, image).mean(dim=0) for image in images]
        found: Array = torch.stack(means).numpy()
        return found

    def _rows(self, features: Array) -> list[Tensor]:
        if self.method != "discriminant":
            raise ValueError(f"a matrix of features given; {self.method} takes images")
        return list(torch.tensor(features)[:, None])

    def _held_out(self, data: Labeled, method: Method) -> list[Tensor]:
        """Cross-fitted responses; where a class has one source, those of the fit itself."""
        fewest = min(
            len(np.unique(data.groups[data.labels == one])) for one in range(len(self.classes_))
        )
        if fewest > 1:
            return cross_fitted(data, method, self.random_state)
        return [responses(self.fitted_.respond, image) for image in data.images]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.method == "discriminant"
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
