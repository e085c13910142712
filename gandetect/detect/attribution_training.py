"""From folders, one for each source, to a model that names sources: `gandetect attribute --fit`.

Every figure is of images whose source photograph no fit had seen. What a generator looks like that
nobody has shown is tried out too: each is left out once, and its images should then be unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect.attribution import REAL, UNKNOWN, Calibration, responses
from gandetect.detect.attributor import (
    UNKNOWN_RATE,
    Labeled,
    Method,
    Responder,
    calibrated_on,
    chosen_method,
    cross_fitted,
)
from gandetect.detect.audit import Audit, LeakError, audit
from gandetect.detect.folds import source_folds
from gandetect.detect.metrics import (
    REPLICATES,
    Estimate,
    cluster_weights,
    exact_interval,
    ranking,
)
from gandetect.detect.networks.discriminant import DiscriminantNetwork
from gandetect.detect.networks.fingerprint import (
    GaussianClasses,
    SourceNetwork,
    generated_logit,
)
from gandetect.detect.networks.training import Progress
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.training import Dataset, Fit, ModelParts, calibrated, load_folder

Array = NDArray[np.float64]


@dataclass
class Sources:
    """Images of real photographs and of each generator, in tiles of `tile` pixels.

    `names`: of the source of each sample of `dataset`.
    """

    tile: int
    dataset: Dataset = field(default_factory=Dataset)
    names: list[str] = field(default_factory=list)

    def add(self, name: str, folder: str | Path, progress: Progress | None = None) -> None:
        """Add the images below `folder`, made by `name`; REAL for photographs.

        Images of the same name in several folders count as one source photograph. Files that fail
        are noted in `dataset`. Raises ValueError for a folder without images.
        """
        spec = PlaneSpec("pixels", self.tile)
        load_folder(self.dataset, folder, int(name != REAL), spec, self.tile, progress)
        self.names += [name] * (len(self.dataset.samples) - len(self.names))

    @property
    def classes(self) -> tuple[str, ...]:
        """REAL and the generators, in the order in which they were added."""
        return (REAL, *(name for name in dict.fromkeys(self.names) if name != REAL))

    def labeled(self, method: Method) -> Labeled:
        """The images as `method` looks at them, with the numbers of their classes.

        Raises ValueError without photographs or without generators.
        """
        classes = self.classes
        if len(classes) < 2 or REAL not in self.names:
            raise ValueError(f"images of {sorted(set(self.names))} given; want real and generators")
        samples = self.dataset.samples
        return Labeled(
            [method.prepare(torch.from_numpy(sample.features)) for sample in samples],
            np.array([classes.index(name) for name in self.names]),
            np.array([sample.group for sample in samples]),
        )


@dataclass(frozen=True)
class SourceFit:
    """A model that names sources, `fit.model`, and what its names are worth, as JSON values.

    `figures`: `confusion` (rows are what the images are), `balanced_accuracy` of the likeliest
    class with its interval, `unknown`: for each generator how well images of it are told from
    those of known sources by a fit that was not shown it.
    """

    fit: Fit
    figures: dict[str, Any]


def fit_sources(
    sources: Sources,
    *,
    name: str,
    method: str = "discriminant",
    seed: int = 0,
    unknown_rate: float = UNKNOWN_RATE,
    allow_leak: bool = False,
    details: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> SourceFit:
    """Audit, cross-fit, calibrate and fit.

    Raises LeakError where the metadata of the files tell any source from the others, unless
    `allow_leak`; ValueError where a source has fewer than two images.
    """
    chosen = chosen_method(method)
    data = sources.labeled(chosen)
    audits = audited(sources, data.labels, seed, allow_leak)
    held_out = cross_fitted(data, chosen, seed, progress)
    calibration = calibrated_on(held_out, data.labels, sources.classes, unknown_rate)
    figures = named_figures(held_out, data, calibration)
    figures["unknown"] = left_out_figures(data, sources.classes, chosen, seed, progress)
    responder = chosen.fit(data, seed, progress)
    network = as_network(responder, sources.tile)
    card = calibration.to_card()
    card["attribution"] |= {"held_out": figures}
    card |= {"network": {"name": method, "settings": network.settings}, **(details or {})}
    card["audits"] = {one: found.to_dict() for one, found in audits.items()}
    parts = ModelParts(
        name, method, "network", PlaneSpec("pixels", sources.tile), dict(network.state_dict())
    )
    scores = np.array([float(generated_logit(one[:, :-1]).mean()) for one in held_out])
    settings = {"method": method, "unknown_rate": unknown_rate}
    fit = calibrated(
        parts, sources.dataset, scores, sources.tile, seed, audits[REAL], settings, card
    )
    return SourceFit(fit, figures)


def as_network(responder: Responder, tile: int) -> SourceNetwork:
    """What a model file holds of a fit to tiles of `tile` pixels."""
    if isinstance(responder, GaussianClasses):
        return DiscriminantNetwork.of(responder, tile)
    assert isinstance(responder, SourceNetwork)
    return responder


def audited(
    sources: Sources, labels: NDArray[Any], seed: int, allow_leak: bool
) -> dict[str, Audit]:
    """The leak audit of each class against all others.

    Raises LeakError for the first that leaks, unless `allow_leak`.
    """
    dataset = sources.dataset
    groups = [sample.group for sample in dataset.samples]
    found = {}
    for number, name in enumerate(sources.classes):
        # As `Model.cancels_brightness` says of either method.
        found[name] = audit(
            dataset.rows, (labels == number).astype(int), groups, brightness_counts=False, seed=seed
        )
        if found[name].leaks and not allow_leak:
            raise LeakError(found[name])
    return found


def named_figures(
    held_out: Sequence[Tensor], data: Labeled, calibration: Calibration
) -> dict[str, Any]:
    """What the names of images that no fit had seen are worth, as JSON values."""
    found = [calibration.attribution(one) for one in held_out]
    likeliest = np.array([max(one.shares, key=one.shares.__getitem__) for one in found])
    truth = np.array(calibration.classes)[data.labels]
    columns = (*calibration.classes, UNKNOWN)
    named = np.array([one.name for one in found])
    confusion = {
        row: {column: int((named[truth == row] == column).sum()) for column in columns}
        for row in calibration.classes
    }
    accuracy = balanced_accuracy(likeliest == truth, data.labels, data.groups)
    return {"confusion": confusion, "balanced_accuracy": accuracy.to_list()}


def balanced_accuracy(
    hits: NDArray[np.bool_],
    labels: NDArray[Any],
    groups: NDArray[Any],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Estimate:
    """The mean over classes of the share of `hits` (N,), with the interval from resampling
    `groups` (N,)."""
    present = np.unique(labels)

    def figure(weights: Array) -> Array:
        totals = np.stack([weights[:, labels == one].sum(axis=1) for one in present])
        right = np.stack([weights[:, (labels == one) & hits].sum(axis=1) for one in present])
        with np.errstate(invalid="ignore"):
            shares: Array = (right / totals).mean(axis=0)
        return shares

    clusters = np.unique(groups, return_inverse=True)[1]
    value = float(figure(np.ones((1, len(labels))))[0])
    if value == 1.0:
        # Resampling perfect hits only repeats them.
        fewest = min(len(np.unique(clusters[labels == one])) for one in present)
        return Estimate(value, *exact_interval(fewest, fewest))
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([figure(w) for w in cluster_weights(clusters, replicates, rng)])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def left_out_figures(
    data: Labeled,
    classes: Sequence[str],
    method: Method,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, dict[str, list[float]]]:
    """For each generator: AUC of the novelty of its images against known ones, where the fit was
    not shown it, and how many are beyond what 5 % of the known ones exceed.

    Neither the known nor the unknown images share a photograph with the fit. Nothing where there is
    but one generator.
    """
    if len(classes) < 3:
        return {}
    found = {}
    folds = list(source_folds(data.labels, data.groups, seed))
    for number in range(1, len(classes)):
        fit_on, held_out = folds[number % len(folds)]
        known = fit_on[data.labels[fit_on] != number]
        responder = method.fit(without_class(data.subset(known), number), seed, progress)
        tested = data.subset(held_out)
        unknown = tested.labels == number
        if unknown.all() or not unknown.any():
            continue
        novelty = [
            float(responses(responder.respond, image)[:, -1].mean()) for image in tested.images
        ]
        figures = ranking(unknown.astype(int), novelty, tested.groups, fprs=(0.05,))
        found[classes[number]] = {name: one.to_list() for name, one in figures.items()}
    return found


def without_class(data: Labeled, number: int) -> Labeled:
    """`data`, which has no image of class `number`, with the classes after it moved up."""
    return Labeled(data.images, data.labels - (data.labels > number), data.groups)
