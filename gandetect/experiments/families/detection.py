"""Detectors of every family of a world, from each to every other, and of a family left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from gandetect.experiments.upsampling.classification import RULE, described_detector
from gandetect.experiments.upsampling.detectors import detectors
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.scoring import Trial
from gandetect.experiments.upsampling.tables import Tables, wanted_by_all
from gandetect.experiments.upsampling.work import Work

# Of the up-sampling experiment's detectors those that were among the best there and are cheap: an
# atlas has many more pairs of generators.
DETECTORS = ("svm-rbf/both", "logistic/both", "forest/both")
Document = dict[str, Any]


def detection(
    work: Work, pictures: Pictures, names: Sequence[str], sets: Sequence[str]
) -> Document:
    """Tables of the detectors on the families `names`, as JSON values.

    `sets`: what the image sets are recognized by.
    """
    known = [one for one in detectors(work.effort) if one.name in DETECTORS]
    described, made, validation = [], {}, {}
    for detector in known:
        trial = Trial(work, detector, pictures, sets)
        choice = trial.choose(names)
        scores = trial.score(choice.chosen, wanted_by_all(names, (), ()))
        tables = Tables(pictures, names, {}, work.effort.replicates)
        work.tell(f"{detector.name}: tables")
        made[detector.name] = work.steps.document(
            f"tables/{detector.name}",
            [sets, choice.chosen, list(names), work.effort.replicates, work.seed],
            partial(_tables, tables, scores),
        )
        described.append(described_detector(detector, choice))
        validation[detector.name] = choice.validation
    best = max(validation, key=lambda name: validation[name])
    return {
        "choice": {"rule": RULE, "best": {"spectral": best}},
        "detectors": described,
        **{part: {name: one[part] for name, one in made.items()} for part in _PARTS},
    }


_PARTS = ("detection", "transfer", "joint")


def _tables(tables: Tables, scores: Any) -> Mapping[str, Any]:
    return {part: getattr(tables, part)(scores) for part in _PARTS}
