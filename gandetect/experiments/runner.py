"""Runs a published setting and sets what it measures beside what was published."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from gandetect.detect.audit import Audit, audit
from gandetect.detect.metrics import Estimate, proportion
from gandetect.detect.training import Progress
from gandetect.experiments.classifiers import CLASSIFIERS
from gandetect.experiments.samples import (
    NO_EPS,
    Samples,
    check_classes,
    finite,
    joined_rows,
)
from gandetect.experiments.settings import Reported, Setting
from gandetect.experiments.splits import Split, TooFewError, draw_splits

# Below this a test part of 20 % may be empty.
LEAST = 5
AS_PUBLISHED, CORRECTED = "as published", "corrected"
# True and predicted labels of what one split tested.
Outcome = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Row:
    """One line of the table: a classifier at a number of samples.

    `features`: "as published", or "corrected" where the paper treats the classes differently.
    `samples`: how many were drawn. `published`: None where nothing was published for this number.
    `values`: the accuracy, or the CloakingScore, of each split, none where `reason` says why
    nothing was measured; `balanced`: the mean over splits of the mean accuracy of both classes.
    `interval`: 95 %, only where each tested unit counts once. `notes`: what differs in this row.
    """

    classifier: str
    unit: str
    splits: str
    score: str
    features: str
    samples: int
    published: float | None
    values: tuple[float, ...] = ()
    balanced: float | None = None
    tested: int = 0
    interval: Estimate | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def mean(self) -> float | None:
        """Mean over the splits."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the splits; None for one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """The row as plain JSON values."""
        interval = None if self.interval is None else self.interval.to_list()
        return {
            **asdict(self),
            "interval": interval,
            "mean": self.mean,
            "deviation": self.deviation,
        }


@dataclass(frozen=True)
class Reproduction:
    """All rows of a setting, the audit of the files, and what holds for every row."""

    setting: Setting
    rows: tuple[Row, ...]
    samples: dict[str, int]
    audit: Audit | None
    audit_reason: str
    notes: tuple[str, ...]
    failed: dict[str, str]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        found = (
            None if self.audit is None else {"reason": self.audit.reason, **self.audit.to_dict()}
        )
        return {
            "setting": self.setting.name,
            "title": self.setting.title,
            "source": self.setting.source,
            "samples": self.samples,
            "rows": [row.to_dict() for row in self.rows],
            "audit": found,
            "audit_reason": self.audit_reason,
            "notes": list(self.notes),
            "failed": self.failed,
            "seed": self.seed,
            "versions": {
                "torch": torch.__version__,
                "scikit-learn": sklearn.__version__,
                "scipy": scipy.__version__,
            },
        }


def cloaking_score(accuracy: float) -> float:
    """1 - |accuracy - 1/2| / (1/2): 1 where the classes cannot be told apart, else less."""
    return 1.0 - abs(accuracy - 0.5) / 0.5


def reproduce(
    setting: Setting,
    samples: Samples,
    test: Samples | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reproduction:
    """Measure each classifier of `setting` at each published number of samples, and with all.

    `test`: the test set, for settings that have one of their own. Deterministic by `seed`. Raises
    ValueError where a class has fewer than `LEAST` samples, where `test` lacks a class or does not
    belong to the setting, or where no row can be measured. What a classifier raises is not caught.
    """
    sets = _usable(setting, samples, test)
    plan = _planned(setting, sets[0])
    rows = []
    for number, (reported, count, variant) in enumerate(plan):
        if progress:
            progress(f"{reported.classifier}, {count or 'all'} samples", number, len(plan))
        rows.append(_row(setting, reported, count, variant, sets, seed))
    if not any(row.values for row in rows):
        raise ValueError(f"nothing could be measured: {rows[0].reason}")
    parts = [samples] if test is None else [samples, test]
    failed = {path: why for part in parts for path, why in part.failed.items()}
    return Reproduction(
        setting,
        tuple(rows),
        _counted(samples, test),
        *_audited(parts, seed),
        _notes(setting, samples, test),
        failed,
        seed,
    )


def _usable(
    setting: Setting, samples: Samples, test: Samples | None
) -> tuple[Samples, Samples | None]:
    """The samples with finite features, so that both variants are compared on the same ones."""
    trained = finite(samples)
    check_classes(trained, LEAST)
    if test is None:
        return trained, None
    if not setting.has_own_test:
        raise ValueError(f"{setting.name} has no test set of its own; leave it out")
    if (samples.corrected is None) != (test.corrected is None):
        raise ValueError("give folders for training and test, or tables for both")
    tested = finite(test)
    check_classes(tested, 1)
    return trained, tested


def _planned(setting: Setting, samples: Samples) -> list[tuple[Reported, int | None, str]]:
    """Classifier, number of samples (None: all) and variant of the features, of each row.

    Images are counted at every published number, as a learning curve; videos where something was
    published.
    """
    variants = [AS_PUBLISHED] + ([CORRECTED] if samples.corrected is not None else [])
    counts: list[int | None] = [*setting.counts]
    if len(samples) not in setting.counts or samples.count(0) != samples.count(1):
        counts.append(None)
    return [
        (reported, count, variant)
        for reported in setting.reported
        for variant in variants
        for count in counts
        if count is None or count in reported.accuracy or reported.unit == "image"
    ]


def _row(
    setting: Setting,
    reported: Reported,
    count: int | None,
    variant: str,
    sets: tuple[Samples, Samples | None],
    seed: int,
) -> Row:
    samples, test = (None if part is None else _variant(part, variant) for part in sets)
    assert samples is not None
    # Without a test set of its own, videos are split as they would be by hand.
    kind = "by-source" if reported.splits == "own-test" and test is None else reported.splits
    row = Row(
        reported.classifier,
        reported.unit,
        kind,
        reported.score,
        variant,
        len(samples) if count is None else count,
        None if count is None else reported.accuracy.get(count),
        notes=tuple(filter(None, [reported.doubt])),
    )
    try:
        splits = draw_splits(kind, samples, test, count, setting.repeats, seed)
    except TooFewError as error:
        return replace(row, reason=str(error))
    return _measured(row, splits, setting, seed)


def _variant(samples: Samples, variant: str) -> Samples:
    """The samples in the features of the variant."""
    if variant == CORRECTED:
        assert samples.corrected is not None
        return replace(samples, features=samples.corrected)
    return samples


def _measured(row: Row, splits: Sequence[Split], setting: Setting, seed: int) -> Row:
    outcomes: list[Outcome] = []
    unconverged = 0
    for number, (train, test) in enumerate(splits):
        predicted, converged = _predict(row.classifier, train, test, seed + number)
        unconverged += not converged
        truth = test.labels
        if row.unit == "video":
            truth, predicted = votes(test, predicted, setting.vote)
        outcomes.append((truth, predicted))
    notes = row.notes
    if unconverged:
        notes += (f"did not converge in {unconverged} of {len(splits)} splits",)
    if row.splits == "held-out":
        truths, guesses = zip(*outcomes, strict=True)
        outcomes = [(np.concatenate(truths), np.concatenate(guesses))]
    return replace(
        row,
        values=tuple(_scored(float((t == p).mean()), row.score) for t, p in outcomes),
        balanced=float(np.mean([_balanced(t, p) for t, p in outcomes])),
        tested=int(sum(len(t) for t, _ in outcomes)),
        interval=_interval(row, outcomes),
        notes=notes,
    )


def _predict(
    classifier: str, train: Samples, test: Samples, seed: int
) -> tuple[NDArray[np.int64], bool]:
    """Predicted labels of `test`, and whether the fit converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = CLASSIFIERS[classifier](seed).fit(train.features, train.labels)
    others = [one for one in caught if not issubclass(one.category, ConvergenceWarning)]
    for one in others:
        warnings.warn(one.message, one.category, stacklevel=2)
    return model.predict(test.features), len(others) == len(caught)


def votes(
    samples: Samples, predicted: NDArray[np.int64], share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels (V,) of the videos in `samples`, and what the predictions of the frames make of them.

    A video is real where at least `share` of its frames are called real. Frames of one source but
    of different labels are different videos: an original and its manipulation.
    """
    keys = np.char.add(samples.labels.astype(str), np.char.add("/", samples.sources))
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    called_real = np.bincount(index, predicted == 0) / np.bincount(index)
    return samples.labels[first], (called_real < share).astype(np.int64)


def _scored(accuracy: float, score: str) -> float:
    return cloaking_score(accuracy) if score == "cloaking" else accuracy


def _balanced(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    return float(np.mean([(predicted[truth == label] == label).mean() for label in set(truth)]))


def _interval(row: Row, outcomes: Sequence[Outcome]) -> Estimate | None:
    """The exact interval of one set of tested units, each tested once; else None.

    Frames of one video are not independent, so frames of an own test set get none.
    """
    if len(outcomes) != 1 or row.splits == "training":
        return None
    if row.splits == "own-test" and row.unit == "image":
        return None
    truth, predicted = outcomes[0]
    right = proportion(truth == predicted)
    if row.score != "cloaking":
        return right
    ends = sorted(cloaking_score(end) for end in (right.low, right.high))
    highest = 1.0 if right.low <= 0.5 <= right.high else ends[1]
    return Estimate(cloaking_score(right.value), ends[0], highest)


def _audited(parts: Sequence[Samples], seed: int) -> tuple[Audit | None, str]:
    """The audit of the files; else why there is none."""
    rows, labels, sources = joined_rows(parts)
    if not rows:
        return None, "a table of features says nothing of the files it was made from"
    distinct = {(label, source) for label, source in zip(labels, sources, strict=True)}
    fewest = min(sum(label == wanted for label, _ in distinct) for wanted in (0, 1))
    if fewest < 2:
        return None, f"{fewest} source of one class; the audit needs two of each"
    return audit(rows, labels, sources, seed=seed), ""


def _counted(samples: Samples, test: Samples | None) -> dict[str, int]:
    counts = {
        "real": samples.count(0),
        "generated": samples.count(1),
        "features": samples.features.shape[1],
        "sources": len(np.unique(samples.sources)),
    }
    if test is not None:
        counts |= {"test_real": test.count(0), "test_generated": test.count(1)}
    return counts


def _notes(setting: Setting, samples: Samples, test: Samples | None) -> tuple[str, ...]:
    """What differs from the paper in every row."""
    notes = list(setting.differs)
    if samples.rows:
        notes.append(
            "gray is the decoder's luma plane; programs that mix it from RGB differ by a few levels"
        )
    if setting.has_own_test and test is None:
        notes.append(
            "no test set given: 80 % and 20 % of the videos, so that none is on both sides"
        )
    if test is not None and (shared := np.intersect1d(samples.sources, test.sources)).size:
        notes.append(
            f"{shared.size} sources are in the training and in the test set (such as {shared[0]}): "
            "the accuracy is partly one of known videos"
        )
    if samples.corrected is not None:
        notes.append(_eps_note(setting, [samples] if test is None else [samples, test]))
    return tuple(notes)


def _eps_note(setting: Setting, parts: Sequence[Samples]) -> str:
    lost = sum(len(part) - len(finite(part)) for part in parts)
    named = [
        f"{'none' if eps == NO_EPS else format(eps, 'g')} for {name}"
        for eps, name in zip(setting.eps, ("real", "generated"), strict=True)
    ]
    return (
        f"eps inside the logarithm, as published: {', '.join(named)} images, which tells faint "
        "coefficients of the classes apart by itself; corrected: 1e-08 for both. Images without "
        f"finite features as published, left out of both: {lost}"
    )
