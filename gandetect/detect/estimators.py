"""Scikit-learn estimators: two make features, two classify.

Pipeline([("profile", SpectralProfile()), ("svm", SVC())]).fit(paths, labels)
Pipeline([("plane", SpectralPlane("dct")), ("ridge", RidgeClassifier())]).fit(paths, labels)
SpectralDetector("svm").fit(paths, labels).predict_proba(others)
NetworkDetector("residual", tile=64).fit(paths, labels, groups=sources)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from gandetect.detect.calibration import fit_temperature
from gandetect.detect.classifiers import Fitted, fit_classifier, fit_network
from gandetect.detect.features import FeatureSpec, extract
from gandetect.detect.networks.training import Schedule
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.tiles import cut_tiles
from gandetect.media import read_luma

# Fewer of a class than this leave nothing to hold out for the scale of the probabilities.
_MIN_HELD_OUT = 5


class LogitMixin(ClassifierMixin):
    """Classes and probabilities of two classes by `decision_function`."""

    classes_: NDArray[Any]
    decision_function: Callable[[Any], NDArray[np.float64]]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (N, 2) in the order of `classes_`, as the fit gives them."""
        return both_probabilities(self.decision_function(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The likelier class of each."""
        positive = self.decision_function(X) > 0
        return self.classes_[positive.astype(int)]


class SpectralProfile(TransformerMixin, BaseEstimator):
    """Images to spectral features (N, F) float32; learns nothing.

    `X` is one of: paths of still images; an array or a tensor (N, H, W) of luma, 0..255; a
    sequence of such planes (H, W) of any sizes. The features of an image are the mean over its
    tiles.

    Parameters are those of `FeatureSpec`, and `tile`: the side of the tiles; None takes the whole
    image, which `bands` want square. Raises ValueError for images too small or flat, MediaError for
    files that cannot be read.
    """

    def __init__(
        self,
        *,
        convention: str = "centered",
        projections: Sequence[str] = ("azimuthal", "rows", "columns"),
        window: str | None = "hann",
        value: str | None = "log",
        cutoff: str | None = "corner",
        normalize: str | None = "none",
        resample: int | None = None,
        bands: int | None = 40,
        remove_mean: bool = True,
        tile: int | None = 128,
    ) -> None:
        self.convention = convention
        self.projections = projections
        self.window = window
        self.value = value
        self.cutoff = cutoff
        self.normalize = normalize
        self.resample = resample
        self.bands = bands
        self.remove_mean = remove_mean
        self.tile = tile

    @property
    def spec(self) -> FeatureSpec:
        """The feature specification that the parameters describe."""
        settings = self.get_params()
        del settings["tile"]
        return FeatureSpec.from_dict(settings)

    def fit(self, X: Any, y: Any = None) -> SpectralProfile:
        """Check the parameters."""
        _ = self.spec
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Features (N, F) of the images `X`."""
        spec = self.spec
        return np.stack([self._features(plane, spec) for plane in luma_planes(X)])

    def _features(self, plane: torch.Tensor, spec: FeatureSpec) -> NDArray[np.float32]:
        tiles = plane[None] if self.tile is None else cut_tiles(plane, self.tile)
        return extract(tiles, spec).mean(dim=0).numpy()

    def __sklearn_tags__(self) -> Tags:
        return image_tags(super().__sklearn_tags__())


class SpectralPlane(TransformerMixin, BaseEstimator):
    """Images to log spectra or cosine transforms (N, F) float32; learns nothing.

    `X` as for `SpectralProfile`. `plane`: "spectrum" or "dct", see `PlaneSpec`. `side`: of the
    tiles, whose mean an image is. Raises ValueError for images smaller than a tile, or flat.
    """

    def __init__(self, plane: str = "spectrum", *, side: int = 64) -> None:
        self.plane = plane
        self.side = side

    def fit(self, X: Any, y: Any = None) -> SpectralPlane:
        """Check the parameters."""
        if self.plane == "pixels":
            raise ValueError("plane 'pixels' given; choose 'spectrum' or 'dct'")
        PlaneSpec(self.plane, self.side)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Features (N, F) of the images `X`."""
        spec = PlaneSpec(self.plane, self.side)
        rows = [
            extract(cut_tiles(plane, self.side, min_side=self.side), spec).mean(dim=0).numpy()
            for plane in luma_planes(X)
        ]
        return np.stack(rows)

    def __sklearn_tags__(self) -> Tags:
        return image_tags(super().__sklearn_tags__())


class SpectralDetector(LogitMixin, BaseEstimator):
    """Tells generated images from real ones by their spectral features.

    `X` is a matrix of features (N, F), or images in any form that `SpectralProfile` takes. The
    label that sorts last is the generated one: 1 of 0 and 1.

    Parameters
    ----------
    classifier : "logistic"; "additive", a piecewise linear function of each feature; "svm";
        "forest"; "boosted"; or "kmeans", whose clusters are named by majority.
    profile : the `SpectralProfile` or `SpectralPlane` that turns images into features; None is the
        default of the first.
    C, kernel, gamma : of the logistic regression and the support vector machine.
    n_estimators : trees of the forest or of the boosting. max_depth : of boosted trees.
    n_clusters : of k-means. n_knots : of each function of the additive model.
    random_state : seed of the forest, the boosted trees and k-means.

    Attributes: `classes_` (2,), `n_features_in_`, `fitted_` (the arrays that score),
    `temperature_`.
    """

    def __init__(
        self,
        classifier: str = "logistic",
        *,
        profile: SpectralProfile | SpectralPlane | None = None,
        C: float = 1.0,
        kernel: str = "rbf",
        gamma: float | str = "scale",
        n_estimators: int = 200,
        n_clusters: int = 2,
        n_knots: int = 6,
        max_depth: int | None = 3,
        random_state: int | None = None,
    ) -> None:
        self.classifier = classifier
        self.profile = profile
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.n_estimators = n_estimators
        self.n_clusters = n_clusters
        self.n_knots = n_knots
        self.max_depth = max_depth
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike) -> SpectralDetector:
        """Fit to `X` and labels `y` (N,) of two classes."""
        features, labels = validate_data(self, self._as_features(X), y, dtype=np.float64)
        self.classes_, positive = two_classes(labels)
        self.fitted_ = self._fit_classifier(features, positive)
        self.temperature_ = self._fit_temperature(features, positive)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Logits (N,): above 0 is the generated class."""
        check_is_fitted(self)
        features = validate_data(self, self._as_features(X), reset=False, dtype=np.float64)
        return self.fitted_.logits(features)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (N, 2) in the order of `classes_`, their scale fitted on held-out folds."""
        logits = self.decision_function(X)
        return both_probabilities(self.temperature_ * logits)

    def _as_features(self, X: Any) -> Any:
        return (self.profile or SpectralProfile()).transform(X) if holds_images(X) else X

    def _fit_classifier(self, features: NDArray[Any], labels: NDArray[Any]) -> Fitted:
        if self.classifier not in _SETTINGS:
            raise ValueError(
                f"classifier {self.classifier!r} given; choose from {tuple(_SETTINGS)}. Log "
                "spectra come with profile=SpectralPlane(...), networks with NetworkDetector"
            )
        settings = {name: getattr(self, name) for name in _SETTINGS[self.classifier]}
        return fit_classifier(self.classifier, features, labels, seed=self.random_state, **settings)

    def _fit_temperature(self, features: NDArray[Any], labels: NDArray[Any]) -> float:
        """The scale of the probabilities, from scores of folds that the scoring fit did not see."""
        if np.bincount(labels).min() < _MIN_HELD_OUT:
            return 1.0
        scores = np.empty(len(labels))
        for train, test in StratifiedKFold(_MIN_HELD_OUT).split(features, labels):
            scores[test] = self._fit_classifier(features[train], labels[train]).logits(
                features[test]
            )
        return fit_temperature(scores, labels)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class NetworkDetector(LogitMixin, BaseEstimator):
    """Tells generated images from real ones by a small network on their tiles.

    `X` is images in any form that `SpectralProfile` takes. The label that sorts last is the
    generated one: 1 of 0 and 1. An image scores the mean logit of its tiles.

    Parameters
    ----------
    network : "pixels", "spectrum" or "residual", of `gandetect.detect.networks.NETWORKS`. The other
        networks learn from edits, or from generators by name.
    tile : side of the tiles; smaller images raise ValueError.
    max_tiles : most tiles of one image.
    settings : of the network, such as its widths; None is its default.
    epochs, batch, rate, patience : of the training, see `Schedule`.
    random_state : seed of the weights and of the order.

    Attributes: `classes_` (2,), `fitted_` (the arrays that score).
    """

    def __init__(
        self,
        network: str = "pixels",
        *,
        tile: int = 128,
        max_tiles: int = 4,
        settings: dict[str, Any] | None = None,
        epochs: int = 30,
        batch: int = 32,
        rate: float = 1e-3,
        patience: int = 6,
        random_state: int = 0,
    ) -> None:
        self.network = network
        self.tile = tile
        self.max_tiles = max_tiles
        self.settings = settings
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.patience = patience
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> NetworkDetector:
        """Fit to images `X`, labels `y` (N,) of two classes and what they stem from, `groups` (N,).

        Images of one group are on one side when training holds some out to stop by.
        """
        self.classes_, positive = two_classes(np.asarray(y))
        tiles = self._tiles(X)
        counts = [len(cut) for cut in tiles]
        sources = np.arange(len(positive)) if groups is None else np.asarray(groups)
        schedule = Schedule(self.epochs, self.batch, self.rate, patience=self.patience)
        self.fitted_ = fit_network(
            self.network,
            np.concatenate(tiles),
            np.repeat(positive, counts),
            weights=np.repeat(1 / np.array(counts), counts),
            groups=np.repeat(sources, counts),
            seed=self.random_state,
            schedule=schedule,
            **(self.settings or {}),
        )
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Logits (N,): above 0 is the generated class."""
        check_is_fitted(self)
        return np.array([self.fitted_.logits(cut).mean() for cut in self._tiles(X)])

    def _tiles(self, X: Any) -> list[NDArray[Any]]:
        if self.network not in _OF_LABELS:
            raise ValueError(f"network {self.network!r} given; choose from {_OF_LABELS}")
        cut = partial(cut_tiles, tile=self.tile, min_side=self.tile, max_tiles=self.max_tiles)
        return [cut(plane).numpy() for plane in luma_planes(X)]

    def __sklearn_tags__(self) -> Tags:
        tags = image_tags(super().__sklearn_tags__())
        tags.requires_fit = True
        tags.classifier_tags.multi_class = False
        return tags


# The networks that learn from real and generated images.
_OF_LABELS = ("pixels", "spectrum", "residual")
_SETTINGS = {
    "logistic": ("C",),
    "additive": ("n_knots",),
    "svm": ("C", "kernel", "gamma"),
    "forest": ("n_estimators",),
    "boosted": ("n_estimators", "max_depth"),
    "kmeans": ("n_clusters",),
}


def both_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities (N, 2) of the class that sorts first and of the other, of `logits` (N,)."""
    generated = torch.sigmoid(torch.from_numpy(logits)).numpy()
    return np.stack([1 - generated, generated], axis=1)


def image_tags(tags: Tags) -> Tags:
    """Tags of an estimator that takes images and nothing else."""
    tags.requires_fit = False
    tags.input_tags.two_d_array = False
    tags.input_tags.three_d_array = True
    tags.input_tags.string = True
    return tags


def two_classes(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two classes, and 0 or 1 for each label."""
    check_classification_targets(labels)
    classes, positive = np.unique(labels, return_inverse=True)
    if len(classes) > 2:
        kind = type_of_target(labels)
        raise ValueError(
            f"Only binary classification is supported. The type of the target is {kind}."
        )
    if len(classes) < 2:
        raise ValueError(f"the labels hold 1 class, {classes[0]!r}; give images of both")
    return classes, positive


def holds_images(X: Any) -> bool:
    """Whether `X` is images or paths, not a matrix of features."""
    if isinstance(X, (np.ndarray, torch.Tensor)):
        return X.ndim == 3 or (X.ndim == 1 and isinstance(X, np.ndarray) and X.dtype.kind == "U")
    return isinstance(X, Sequence) and len(X) > 0 and _is_image(X[0])


def _is_image(item: Any) -> bool:
    return isinstance(item, (str, Path)) or (
        isinstance(item, (np.ndarray, torch.Tensor)) and item.ndim == 2
    )


def luma_planes(X: Any) -> list[torch.Tensor]:
    """Luma planes (H, W) of `X`; raises ValueError for anything but images."""
    if not holds_images(X):
        raise ValueError("want paths, planes (H, W), or an array (N, H, W) of luma")
    return [
        read_luma(item).as_uint8_range()
        if isinstance(item, (str, Path))
        else torch.as_tensor(np.asarray(item))
        for item in X
    ]
