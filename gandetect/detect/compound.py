"""Scikit-learn estimators besides the plain detectors: late fusion, and what finds edits.

FusionDetector([("profile", SpectralDetector()), ("pixels", NetworkDetector())]).fit(paths, labels)
EditDetector("mask").fit(photographs).maps(others)

What names sources is `gandetect.detect.attributor.Attributor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils import Tags, _safe_indexing, check_consistent_length
from sklearn.utils.validation import (
    check_is_fitted,
    has_fit_parameter,
    validate_data,
)
from torch import Tensor

from gandetect.detect.classifiers import MAPS, Fitted
from gandetect.detect.estimators import (
    LogitMixin,
    NetworkDetector,
    SpectralDetector,
    SpectralPlane,
    holds_images,
    image_tags,
    luma_planes,
    two_classes,
)
from gandetect.detect.folds import source_folds
from gandetect.detect.fusion import stacking_weights
from gandetect.detect.maps import network_maps
from gandetect.detect.networks.streaming import Steps, train_mask, train_warp
from gandetect.detect.scorers import NETWORK
from gandetect.detect.tiles import cut_tiles

Array = NDArray[np.float64]
Named = Sequence[tuple[str, BaseEstimator]]


class FusionDetector(LogitMixin, BaseEstimator):
    """Late fusion: several detectors of the same images, their logits weighed by stacking.

    The weights are fitted to logits of folds that no detector saw, and none is negative.

    Parameters
    ----------
    detectors : (name, estimator) pairs, at least two, each with `decision_function`; None is a
        logistic regression on profiles, one on log spectra, and a residual network.
    random_state : seed of the folds.

    Attributes: `classes_` (2,), `detectors_` (fitted to everything), `weights_` (M,), `bias_`.
    """

    def __init__(self, detectors: Named | None = None, *, random_state: int = 0) -> None:
        self.detectors = detectors
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> FusionDetector:
        """Fit to `X`, whatever the detectors take, labels `y` (N,) of two classes and what the
        images stem from, `groups` (N,): those of one are never on both sides of a fold.

        Raises ValueError for fewer than two detectors or two sources of a class.
        """
        X, labels = self._checked(X, y)
        self.classes_, positive = two_classes(labels)
        sources = np.arange(len(positive)) if groups is None else np.asarray(groups)
        check_consistent_length(positive, sources)
        members = _members(self.detectors)
        scores = np.empty((len(positive), len(members)))
        for train, test in source_folds(positive, sources, self.random_state):
            for column, (_, detector) in enumerate(members):
                fitted = _fitted(detector, X, positive, sources, train)
                scores[test, column] = fitted.decision_function(_safe_indexing(X, test))
        everything = np.arange(len(positive))
        self.detectors_ = [_fitted(one, X, positive, sources, everything) for _, one in members]
        self.weights_, self.bias_ = stacking_weights(scores, positive)
        return self

    def decision_function(self, X: Any) -> Array:
        """Logits (N,): above 0 is the generated class, which sorts last."""
        check_is_fitted(self)
        if not holds_images(X):
            X = validate_data(self, X, reset=False, dtype=np.float64)
        scores = np.stack([one.decision_function(X) for one in self.detectors_], axis=1)
        logits: Array = scores @ self.weights_ + self.bias_
        return logits

    def _checked(self, X: Any, y: ArrayLike) -> tuple[Any, NDArray[Any]]:
        """`X` as the detectors take it, and the labels."""
        if holds_images(X):
            check_consistent_length(X, y)
            return X, np.asarray(y)
        features, labels = validate_data(self, X, y, dtype=np.float64)
        return features, labels

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.classifier_tags.multi_class = False
        return tags


class EditDetector(LogitMixin, BaseEstimator):
    """Finds edits, or warps, and where they are; learns from photographs alone.

    The network sees self-made edits of the photographs, new ones in every step. `X` is images in
    any form that `SpectralProfile` takes. 1 is edited, 0 not; there are no labels to learn from. An
    image scores the mean logit of its tiles.

    Parameters
    ----------
    kind : "mask", which marks edited pixels, or "warp", which finds the flow that undoes a warp.
    tile : side of the tiles; smaller images raise ValueError.
    max_tiles : most tiles of one image.
    steps, batch, rate : of the training.
    random_state : seed of the weights and of the edits.

    Attributes: `classes_` (2,), `network_`, `fitted_` (the arrays that score).
    """

    def __init__(
        self,
        kind: str = "mask",
        *,
        tile: int = 128,
        max_tiles: int = 16,
        steps: int = 600,
        batch: int = 16,
        rate: float = 3e-3,
        random_state: int = 0,
    ) -> None:
        self.kind = kind
        self.tile = tile
        self.max_tiles = max_tiles
        self.steps = steps
        self.batch = batch
        self.rate = rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> EditDetector:
        """Learn from edits of the photographs `X`; `y` is not looked at.

        Raises ValueError for another `kind`, and for photographs that are too small.
        """
        if self.kind not in MAPS:
            raise ValueError(f"kind {self.kind!r} given; choose from {MAPS}")
        photographs = [partial(_same, plane) for plane in luma_planes(X)]
        train = train_mask if self.kind == "mask" else train_warp
        steps = Steps(self.steps, self.batch, self.rate)
        self.network_ = train(photographs, side=self.tile, seed=self.random_state, steps=steps)
        described = {"name": self.kind, "settings": self.network_.settings}
        self.fitted_ = Fitted(NETWORK, dict(self.network_.state_dict()), described)
        self.classes_ = np.array([0, 1])
        return self

    def decision_function(self, X: Any) -> Array:
        """Logits (N,): above 0 is edited."""
        check_is_fitted(self)
        return np.array([self.fitted_.logits(tiles).mean() for tiles in self._tiles(X)])

    def maps(self, X: Any) -> list[NDArray[np.float32]]:
        """Of each image the maps of its tiles, see `gandetect.detect.maps.maps`: (T, S, S) of
        probabilities, or (T, 2, S, S) of flow in pixels."""
        check_is_fitted(self)
        return [network_maps(self.network_, tiles).numpy() for tiles in self._tiles(X)]

    def _tiles(self, X: Any) -> list[Tensor]:
        cut = partial(cut_tiles, tile=self.tile, min_side=self.tile, max_tiles=self.max_tiles)
        return [cut(plane) for plane in luma_planes(X)]

    def __sklearn_tags__(self) -> Tags:
        tags = image_tags(super().__sklearn_tags__())
        tags.requires_fit = True
        tags.target_tags.required = False
        tags.classifier_tags.multi_class = False
        return tags


def _members(given: Named | None) -> Named:
    """The detectors, by name."""
    members = given or [
        ("logistic", SpectralDetector()),
        ("spectrum", SpectralDetector(profile=SpectralPlane())),
        ("cnn-residual", NetworkDetector("residual")),
    ]
    names = [name for name, _ in members]
    if len(members) < 2 or len(set(names)) < len(names):
        raise ValueError(f"detectors {names} given; want two or more, each with its own name")
    return members


def _fitted(
    detector: BaseEstimator, X: Any, y: NDArray[Any], groups: NDArray[Any], chosen: NDArray[Any]
) -> Any:
    """A copy of `detector` that is fitted to the `chosen` images."""
    copy = clone(detector)
    more = {"groups": groups[chosen]} if has_fit_parameter(copy, "groups") else {}
    return copy.fit(_safe_indexing(X, chosen), y[chosen], **more)


def _same(plane: Tensor) -> Tensor:
    return plane
