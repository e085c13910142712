"""What a detector knows of generators that it was not shown, and how much it needs to be shown.

Trained and tested on one generator, nearly everything works; on the next one nearly nothing does.
So a detector is trained on each generator and tested on each, every image scored by a fit that saw
nothing of its source. The learning curve asks the other question: with how few images does it work?

Both are written against the least that a detector must be: a function from samples to something
with `logits`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from gandetect.detect.evaluation import Item
from gandetect.detect.features import extract
from gandetect.detect.folds import source_folds
from gandetect.detect.loading import in_order
from gandetect.detect.metrics import REPLICATES, Estimate, ranking
from gandetect.detect.model import Model
from gandetect.detect.tiles import cut_tiles
from gandetect.detect.training import Progress, Sample, fit_samples
from gandetect.media import MediaError, read_luma

SIZES = (16, 20, 100, 1000)
DRAWS = 20
Split = tuple[NDArray[Any], NDArray[Any]]


class Detector(Protocol):
    """What a fit gives."""

    def logits(self, features: NDArray[Any]) -> NDArray[Any]:
        """Logits (T,) of the features (T, F) of an image's tiles."""


Fit = Callable[[Sequence[Sample]], Detector]


@dataclass(frozen=True)
class Transfer:
    """AUC by (trained on, tested on); `left_out`: tested on one, trained on all the others."""

    generators: tuple[str, ...]
    cells: dict[tuple[str, str], Estimate]
    left_out: dict[str, Estimate]

    @property
    def diagonal(self) -> float:
        """Mean AUC on the generator of the training."""
        return float(np.mean([self.cells[name, name].value for name in self.generators]))

    @property
    def off_diagonal(self) -> float | None:
        """Mean AUC on a generator that the training did not have; None of a single generator."""
        others = [one.value for (a, b), one in self.cells.items() if a != b]
        return float(np.mean(others)) if others else None

    @property
    def worst(self) -> tuple[str, str]:
        """Trained on and tested on, where the AUC is lowest."""
        return min(self.cells, key=lambda key: self.cells[key].value)

    def to_dict(self) -> dict[str, Any]:
        """The matrix as plain JSON values."""
        return {
            "generators": list(self.generators),
            "cells": [
                {"trained_on": trained, "tested_on": tested, "auc": auc.to_list()}
                for (trained, tested), auc in self.cells.items()
            ],
            "left_out": {name: auc.to_list() for name, auc in self.left_out.items()},
            "diagonal": self.diagonal,
            "off_diagonal": self.off_diagonal,
            "worst": list(self.worst),
        }


@dataclass(frozen=True)
class LearningCurve:
    """AUC by the number of training images, half of them real.

    `points`: the mean over `draws` of the training images, and what 95 % of the draws lie between.
    `left_out`: sizes that the data cannot give, and why.
    """

    points: dict[int, Estimate]
    left_out: dict[int, str]
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """The curve as plain JSON values."""
        return {
            "points": {str(size): auc.to_list() for size, auc in self.points.items()},
            "left_out": {str(size): reason for size, reason in self.left_out.items()},
            "draws": self.draws,
        }


def load_samples(
    items: Sequence[Item], model: Model, progress: Progress | None = None, *, workers: int = 0
) -> tuple[list[Sample], dict[str, str]]:
    """The features of `items` in the tiles of `model`; also why the files that failed did.
    `workers` as in `loading.in_order`."""
    samples, failed = [], {}
    outcomes = in_order(partial(_sample, model), items, workers)
    for number, (item, found) in enumerate(zip(items, outcomes, strict=True)):
        if progress:
            progress(f"features of {item.path.parent.name}", number, len(items))
        if isinstance(found, str):
            failed[str(item.path)] = found
        else:
            samples.append(found)
    return samples, failed


def _sample(model: Model, item: Item) -> Sample | str:
    """The sample of an item, or why there is none."""
    try:
        pixels = read_luma(item.path).as_uint8_range()
        tiles = cut_tiles(pixels, model.tile, min_side=model.min_side)
        features = extract(tiles, model.spec).numpy()
    except (MediaError, ValueError, OSError) as error:
        return str(error)
    return Sample(item.source, item.label, model.tile, features)


def classifier_fit(classifier: str, seed: int = 0) -> Fit:
    """The fit of one of `classifiers.CLASSIFIERS`; each image weighs the same.

    The fit raises ValueError for an unknown classifier.
    """
    return partial(_fitted, classifier, seed)


def _fitted(classifier: str, seed: int, samples: Sequence[Sample]) -> Detector:
    return fit_samples(samples, classifier, seed, {}, None)


def transfer_matrix(
    real: Sequence[Sample],
    generated: Mapping[str, Sequence[Sample]],
    fit: Fit,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    progress: Progress | None = None,
    workers: int = 0,
) -> Transfer:
    """Train on each generator and on all but each, test on each; by folds of sources.

    Every cell has the same reals, scored like the rest by fits that saw nothing of their source,
    and an interval from resampling sources. `workers`: processes that share the fits, see
    `loading.in_order`. Raises ValueError for fewer than two generators, and where a class has too
    few sources.
    """
    names = tuple(generated)
    if len(names) < 2:
        raise ValueError(f"{len(names)} generator(s) given; a transfer matrix needs two or more")
    samples = [*real, *(sample for one in generated.values() for sample in one)]
    makers = np.repeat(
        ["", *names], [len(real), *(len(generated[name]) for name in names)]
    )  # "" made the reals
    trainings = [*((name,) for name in names), *(_without(names, name) for name in names)]
    scores = _scores_by_training(
        samples, makers, dict.fromkeys(trainings), fit, seed, progress, workers
    )

    def auc(training: tuple[str, ...], tested: str) -> Estimate:
        chosen = np.flatnonzero((makers == "") | (makers == tested))
        labels = (makers[chosen] != "").astype(int)
        clusters = [samples[i].group for i in chosen]
        return ranking(labels, scores[training][chosen], clusters, replicates=replicates)["auc"]

    return Transfer(
        names,
        {(a, b): auc((a,), b) for a in names for b in names},
        {name: auc(_without(names, name), name) for name in names},
    )


def _without(names: Sequence[str], left_out: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != left_out)


def _scores_by_training(
    samples: Sequence[Sample],
    makers: NDArray[Any],
    trainings: Collection[tuple[str, ...]],
    fit: Fit,
    seed: int,
    progress: Progress | None,
    workers: int,
) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """For each set of generators, the scores (N,) of all samples by fits to it and to reals.

    Folds are dealt by source and balanced over the makers, so that no fit lacks one.
    """
    classes = np.unique(makers, return_inverse=True)[1]
    splits = list(source_folds(classes, [sample.group for sample in samples], seed))
    scores = {training: np.empty(len(samples)) for training in trainings}
    names, jobs = [], []
    for training in trainings:
        for train, test in splits:
            chosen = [i for i in train if makers[i] in ("", *training)]
            if len({samples[i].label for i in chosen}) < 2:
                raise ValueError(f"the sources of {training} lie in one fold; give more of them")
            names.append(training)
            jobs.append((np.array(chosen), test))
    found = in_order(partial(_fit_and_score, fit, samples), jobs, workers)
    for number, (training, (_, test), own) in enumerate(zip(names, jobs, found, strict=True)):
        if progress:
            progress("training for the transfer matrix", number, len(jobs))
        scores[training][test] = own
    return scores


def _fit_and_score(fit: Fit, samples: Sequence[Sample], job: Split) -> NDArray[np.float64]:
    """The scores of the second part of `samples` by a fit to the first."""
    train, test = job
    # By one thread: processes share the fits already, and OpenMP does not survive a fork.
    with threadpool_limits(1):
        return _scores(fit([samples[i] for i in train]), samples, test)


def learning_curve(
    real: Sequence[Sample],
    generated: Sequence[Sample],
    fit: Fit,
    *,
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
    workers: int = 0,
) -> LearningCurve:
    """AUC on held-out sources after training on `sizes` images, drawn `draws` times each.

    Each draw holds out a fold of sources and takes its images, half of them real, from the others.
    `workers` as in `transfer_matrix`. Raises ValueError where a class has fewer than two sources.
    """
    samples = [*real, *generated]
    labels = np.array([sample.label for sample in samples])
    splits = _splits(labels, [sample.group for sample in samples], draws, seed)
    most = min(int((labels[train] == label).sum()) for train, _ in splits for label in (0, 1))
    possible = [size for size in sizes if size // 2 <= most]
    drawn = [
        (size, _drawn(train, labels, size // 2, np.random.default_rng([seed, size, number])), test)
        for size in possible
        for number, (train, test) in enumerate(splits)
    ]
    found: dict[int, list[float]] = {size: [] for size in possible}
    jobs = [(train, test) for _, train, test in drawn]
    scores = in_order(partial(_fit_and_score, fit, samples), jobs, workers)
    for done, ((size, _, test), own) in enumerate(zip(drawn, scores, strict=True)):
        if progress:
            progress(f"learning from {size} images", done, len(jobs))
        found[size].append(float(roc_auc_score(labels[test], own)))
    return LearningCurve(
        {size: _spread(aucs) for size, aucs in found.items()},
        {
            size: f"{size // 2} of each class are needed beside the held-out sources; {most} are "
            "there"
            for size in sizes
            if size not in found
        },
        len(splits),
    )


def _splits(labels: NDArray[Any], groups: Sequence[str], draws: int, seed: int) -> list[Split]:
    """`draws` splits with both classes on either side: folds of as many deals as are needed."""
    dealt = (split for deal in range(draws) for split in source_folds(labels, groups, seed + deal))
    usable = (split for split in dealt if all(len(set(labels[side])) == 2 for side in split))
    splits = list(itertools.islice(usable, draws))
    if not splits:
        raise ValueError("no split by source has both classes on either side; give more sources")
    return splits


def _drawn(
    train: NDArray[Any], labels: NDArray[Any], each: int, rng: np.random.Generator
) -> NDArray[Any]:
    """`each` indices of either class out of `train`."""
    classes = [train[labels[train] == label] for label in (0, 1)]
    return np.concatenate([rng.choice(one, each, replace=False) for one in classes])


def _scores(
    detector: Detector, samples: Sequence[Sample], chosen: NDArray[Any]
) -> NDArray[np.float64]:
    """The mean tile logit of each of the `chosen` samples."""
    return np.array([float(np.mean(detector.logits(samples[i].features))) for i in chosen])


def _spread(values: Sequence[float]) -> Estimate:
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(float(np.mean(values)), float(low), float(high))
