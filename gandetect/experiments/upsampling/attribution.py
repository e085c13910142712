"""Which generator made an image: real and each plain generator, and those that were never shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from gandetect.detect.attribution import UNKNOWN
from gandetect.detect.attribution_training import balanced_accuracy
from gandetect.detect.attributor import Attributor
from gandetect.detect.metrics import proportion, ranking
from gandetect.detect.networks.discriminant import spectral_features
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.work import Work

METHOD = (
    "Gaussian discriminant of profiles, coarse log spectrum and phase features; an image less like "
    "every class than 95 % of held-out training images is called unknown"
)
_TOGETHER = 256
Features = dict[str, NDArray[np.float32]]


def attribution(work: Work, pictures: Pictures, plain: Sequence[str]) -> dict[str, Any]:
    """Names of the test images by a fit to the training images, as JSON values.

    `confusion`: rows are what the images are. `balanced_accuracy`: of the likeliest class.
    `unknown`: for each generator, by a fit that was not shown it, the AUC of the novelty of its
    images against known ones, and the share of them that is called unknown.
    """
    classes = (REAL, *plain)
    train, test = ({one: _features(pictures, one, part) for one in classes} for part in _SPLITS)
    work.tell("attribution", 0, len(classes))
    fitted = _fitted(pictures, train, classes, work.seed)
    truth, groups = _told(pictures, classes, "test")
    x = np.concatenate([test[name] for name in classes])
    likeliest, known = fitted.predict(x), fitted.predict_known(x)
    named = np.where(known, likeliest, UNKNOWN)
    labels = np.array([classes.index(name) for name in truth.tolist()])
    hits = likeliest == truth
    accuracy = balanced_accuracy(hits, labels, groups, replicates=work.effort.replicates)
    unknown = {}
    for number, name in enumerate(plain if len(plain) > 2 else ()):
        work.tell(f"attribution without {name}", number + 1, len(classes))
        unknown[name] = _left_out(work, pictures, train, test, classes, name)
    return {
        "method": METHOD,
        "classes": list(classes),
        "confusion": _confusion(truth, named, classes),
        "balanced_accuracy": accuracy.to_list(),
        "unknown": unknown,
    }


_SPLITS = ("train", "test")


def _features(pictures: Pictures, name: str, split: str) -> NDArray[np.float32]:
    planes = pictures.planes(name, split)
    parts = [spectral_features(part) for part in planes.split(_TOGETHER)]
    return torch.cat(parts).numpy()


def _told(
    pictures: Pictures, names: Sequence[str], split: str
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Name and group of each image of the sets `names`, in order."""
    count = pictures.counts[split]
    groups = [pictures.groups(name, split) for name in names]
    return np.repeat(names, count), np.concatenate(groups)


def _fitted(pictures: Pictures, train: Features, names: Sequence[str], seed: int) -> Attributor:
    truth, groups = _told(pictures, names, "train")
    x = np.concatenate([train[name] for name in names])
    return Attributor(random_state=seed).fit(x, truth, groups)


def _confusion(
    truth: NDArray[np.str_], named: NDArray[np.str_], classes: Sequence[str]
) -> dict[str, dict[str, int]]:
    columns = [*classes, UNKNOWN]
    counts = confusion_matrix(truth, named, labels=columns)
    return {
        row: dict(zip(columns, line.tolist(), strict=True))
        for row, line in zip(classes, counts, strict=False)
    }


def _left_out(
    work: Work,
    pictures: Pictures,
    train: Features,
    test: Features,
    classes: Sequence[str],
    name: str,
) -> dict[str, list[float]]:
    known = [one for one in classes if one != name]
    fitted = _fitted(pictures, train, known, work.seed)
    order = (*known, name)
    truth, groups = _told(pictures, order, "test")
    novelty = fitted.novelty(np.concatenate([test[one] for one in order]))
    is_new = truth == name
    replicates = work.effort.replicates
    figures = ranking(is_new.astype(int), novelty, groups, fprs=(), replicates=replicates)
    return {
        "auc": figures["auc"].to_list(),
        "called_unknown": proportion(novelty[is_new] > 1).to_list(),
    }
