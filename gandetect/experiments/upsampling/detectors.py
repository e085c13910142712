"""The detectors of the experiment, and the settings that are tried for each of them.

A detector is a classifier on features; one setting of it serves all generators. The features are
those of the package: profiles on 40 bands of frequency, of the Hann-windowed luma, without the mean
of each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gandetect.detect.classifiers import Fitted, fit_classifier
from gandetect.detect.networks.training import Schedule
from gandetect.experiments.upsampling.pictures import ORIGINAL, SPECS, Pictures
from gandetect.experiments.upsampling.plan import REAL, Effort

Setting = dict[str, Any]
Array = NDArray[np.float64]
# What networks look at, and their name in `gandetect.detect.classifiers`.
NETWORKS = {"pixels": "cnn", "log-spectrum": "cnn-spectrum"}
# Of a training: small, for it is done some thirty times on a CPU.
_NETWORK = {
    "pixels": {"widths": [16, 32], "hidden": 64},
    "log-spectrum": {"widths": [16, 32, 64], "hidden": 64},
}


@dataclass(frozen=True)
class Detector:
    """`classifier` on `features`, with the settings of which one is chosen.

    `package`: the name of the classifier in `gandetect.detect.classifiers`. `grid`: JSON values,
    the simplest first.
    """

    classifier: str
    features: str
    package: str
    grid: tuple[Setting, ...]

    @property
    def name(self) -> str:
        """`classifier/features`."""
        return f"{self.classifier}/{self.features}"

    @property
    def is_network(self) -> bool:
        """Whether it looks at images itself, not at profiles."""
        return self.features in NETWORKS

    def inputs(
        self, pictures: Pictures, name: str, split: str, perturbation: str = ORIGINAL
    ) -> NDArray[Any]:
        """What it judges of a set: features (N, F), or tiles (N, S, S)."""
        if self.is_network:
            return pictures.planes(name, split, perturbation).numpy()
        return pictures.features(self.features, name, split, perturbation)

    def fit(
        self,
        setting: Setting,
        inputs: NDArray[Any],
        labels: NDArray[Any],
        groups: NDArray[Any],
        seed: int,
        threads: int = 1,
    ) -> Fitted:
        """Fit to `inputs` of `labels` (N,), 1 = generated, that stem from `groups` (N,)."""
        given = dict(setting)
        if self.is_network:
            schedule = Schedule(given.pop("epochs"), rate=given.pop("rate"))
            given["schedule"] = schedule
        if self.package == "forest":
            # No part of the setting: the forest is the same with any number.
            given["n_jobs"] = threads
        return fit_classifier(self.package, inputs, labels, groups=groups, seed=seed, **given)


def detectors(effort: Effort) -> tuple[Detector, ...]:
    """Every detector, those that are preferred where two are equally good first."""
    forest = [{"n_estimators": effort.trees, "min_samples_leaf": leaf} for leaf in (1, 5)]
    grids: dict[str, tuple[str, Sequence[Setting]]] = {
        "svm-rbf": ("svm", [{"kernel": "rbf", "C": c} for c in (1.0, 10.0, 100.0)]),
        "svm-linear": ("svm", [{"kernel": "linear", "C": c} for c in (0.01, 0.1, 1.0)]),
        "logistic": ("logistic", [{"C": c} for c in (0.01, 0.1, 1.0, 10.0)]),
        "forest": ("forest", forest),
        "kmeans": ("kmeans", [{"n_clusters": count} for count in (2, 4, 8)]),
    }
    networks = [
        Detector(
            "cnn",
            view,
            package,
            tuple({**_NETWORK[view], "epochs": effort.epochs, "rate": r} for r in (1e-3, 3e-3)),
        )
        for view, package in NETWORKS.items()
    ]
    spectral = [
        Detector(classifier, features, package, tuple(grid))
        for classifier, (package, grid) in grids.items()
        for features in SPECS
    ]
    return (*spectral, *networks)


@dataclass(frozen=True)
class Training:
    """What a detector is fitted to: reals, and as many generated images, the same number of each.

    `generators`: who made them. `perturbation`: what was done to both. `each`: images of each
    class, of the learning curve; None takes all. `draw`: which ones then.
    """

    generators: tuple[str, ...]
    perturbation: str = ORIGINAL
    each: int | None = None
    draw: int = 0

    @property
    def name(self) -> str:
        """Unique among the trainings, and fit for a file."""
        parts = [".".join(self.generators)]
        parts += [self.perturbation] if self.perturbation != ORIGINAL else []
        parts += [f"{2 * self.each}.{self.draw}"] if self.each is not None else []
        return "@".join(parts)


def fit(
    detector: Detector,
    setting: Setting,
    training: Training,
    pictures: Pictures,
    seed: int,
    threads: int = 1,
) -> Fitted:
    """Fit `detector` to the training images of `training`."""
    names = training.generators
    share = pictures.counts["train"] // len(names)
    chosen = [(REAL, np.arange(share * len(names)))]
    chosen += [(name, np.arange(share)) for name in names]
    if training.each is not None:
        chosen = _drawn(chosen, training, seed)
    inputs = [
        detector.inputs(pictures, name, "train", training.perturbation)[rows]
        for name, rows in chosen
    ]
    labels = np.repeat([int(name != REAL) for name, _ in chosen], [len(rows) for _, rows in chosen])
    groups = np.concatenate([pictures.groups(name, "train")[rows] for name, rows in chosen])
    return detector.fit(setting, np.concatenate(inputs), labels, groups, seed, threads)


def _drawn(
    chosen: list[tuple[str, NDArray[Any]]], training: Training, seed: int
) -> list[tuple[str, NDArray[Any]]]:
    """`training.each` rows of either class; the same ones for every detector."""
    assert training.each is not None
    each = training.each
    rng = np.random.default_rng([seed, each, training.draw])
    per_generator = each // len(training.generators)
    counts = [each if name == REAL else per_generator for name, _ in chosen]
    return [
        (name, rng.choice(rows, count, replace=False))
        for (name, rows), count in zip(chosen, counts, strict=True)
    ]
