"""The three questions, answered by rule from the numbers; no sentence is typed by hand.

Does it work for other up-samplers? Are projections better than radial? Is a neural network better?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gandetect.experiments.upsampling.comparing import (
    FIRST,
    NOT_DECIDED,
    SECOND,
    Cell,
    Resampling,
    decided,
)
from gandetect.experiments.upsampling.detectors import Training
from gandetect.experiments.upsampling.learning import interval_of_mean
from gandetect.experiments.upsampling.pictures import ORIGINAL
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.scoring import Scores

Document = Mapping[str, Any]
# An AUC from here on is called working.
WORKS = 0.9
GOAL_AUC, GOAL_TPR = 0.999, 0.98
YES, PARTLY, NO = "yes", "partly", "no"


@dataclass(frozen=True)
class Evidence:
    """All that the answers are made of. `scores`: by detector; `document`: the tables."""

    plain: Sequence[str]
    scores: Mapping[str, Scores]
    document: Document
    resampling: Resampling

    @property
    def best(self) -> Mapping[str, str]:
        """The detectors that were chosen on the validation images, by kind."""
        chosen: Mapping[str, str] = self.document["choice"]["best"]
        return chosen

    def cells(self, detector: str, *, same: bool, perturbation: str = ORIGINAL) -> list[Cell]:
        """Trained on each generator, tested on the `same`, or on each other one."""
        scores = self.scores[detector]
        return [
            Cell(
                tested,
                scores.get(Training((trained,)), REAL, perturbation),
                scores.get(Training((trained,)), tested, perturbation),
            )
            for trained in self.plain
            for tested in self.plain
            if (trained == tested) == same
        ]


def answers(evidence: Evidence) -> list[dict[str, Any]]:
    """The three answers as JSON values, see `results.json`."""
    best = evidence.best
    return [
        other_up_samplers(evidence.document, evidence),
        _better(
            evidence,
            "projections",
            "Are projections better than radial?",
            best["projections"],
            best["radial"],
            [(best["both"], best["radial"]), (best["both"], best["projections"])],
        ),
        _better(
            evidence,
            "neural_network",
            "Is a neural network better?",
            best["network"],
            best["spectral"],
            [],
        ),
    ]


def goals(document: Document, plain: Sequence[str]) -> list[dict[str, Any]]:
    """For each plain generator, whether the best spectral detector meets the goal in its domain."""
    detector = document["choice"]["best"]["spectral"]
    rows = document["detection"][detector]
    return [
        {
            "generator": name,
            "goal": f"AUC >= {GOAL_AUC} and TPR at 1 % FPR >= {GOAL_TPR}",
            "detector": detector,
            "auc": rows[name]["auc"],
            "tpr_at_0.01": rows[name]["tpr_at_0.01"],
            "reached": rows[name]["auc"][0] >= GOAL_AUC
            and rows[name]["tpr_at_0.01"][0] >= GOAL_TPR,
        }
        for name in plain
    ]


def other_up_samplers(document: Document, evidence: Evidence) -> dict[str, Any]:
    """The first question: in domain, from one up-sampler to another, and to one of all the rest."""
    detector = evidence.best["spectral"]
    own = {name: row["auc"] for name, row in document["detection"][detector].items()}
    transfer = document["transfer"][detector]
    others = {
        f"{one['trained_on']} on {one['tested_on']}": one["auc"]
        for one in transfer["cells"]
        if one["trained_on"] != one["tested_on"]
    }
    within, between = (
        evidence.resampling.mean_auc(evidence.cells(detector, same=same)) for same in (True, False)
    )
    rows = [
        ("in domain", f"mean AUC of {detector} on the generator of its training", within.to_list()),
        ("another up-sampler", "the same on generators it was not trained on", between.to_list()),
        *((f"in domain of {name}", detector, auc) for name, auc in own.items()),
        *(
            (f"{name}, trained on all others", detector, auc)
            for name, auc in transfer["left_out"].items()
        ),
    ]
    verdict = works(list(own.values()), list(others.values()))
    sentence = (
        f"{_OTHER[verdict]} Trained on the up-sampler itself, {detector} works for "
        f"{_count(own.values())} (mean AUC {within}); trained on one and tested on another in "
        f"{_count(others.values())} cases (mean AUC {between})"
    )
    if transfer["left_out"]:
        sentence += (
            "; trained on all but the one that is tested for "
            f"{_count(transfer['left_out'].values())}"
        )
    return {
        "id": "other_up_samplers",
        "question": "Does it work for other up-samplers?",
        "verdict": verdict,
        "sentence": f"{sentence}.",
        "rule": (
            f"a case works where the lower end of its AUC's interval is at least {WORKS}. Yes: all "
            "work, in domain and from one to another. No: none works from one to another, or none "
            f"in domain. Partly: else. Not decided: intervals that hold {WORKS} would change it"
        ),
        "evidence": [
            {"measure": measure, "about": about, "value": value} for measure, about, value in rows
        ],
    }


_OTHER = {
    YES: "Yes, it works for the others as well.",
    PARTLY: "Partly: not from every up-sampler to every other.",
    NO: "No: what is learned of one up-sampler does not hold for another.",
    NOT_DECIDED: "Not decided: the intervals are too wide.",
}


def works(own: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> str:
    """YES, PARTLY, NO or NOT_DECIDED for AUCs `[value, low, high]` in domain and from one
    up-sampler to another."""
    # What is open may be either; only what holds both ways is decided.
    strict, lenient = (
        _verdict([auc[at] >= WORKS for auc in own], [auc[at] >= WORKS for auc in others])
        for at in (1, 2)
    )
    return strict if strict == lenient else NOT_DECIDED


def _verdict(own: Sequence[bool], others: Sequence[bool]) -> str:
    if not any(own) or not any(others):
        return NO
    return YES if all(own) and all(others) else PARTLY


def _count(aucs: Any) -> str:
    """How many of them work, as text."""
    found = [auc[1] >= WORKS for auc in aucs]
    return f"{sum(found)} of {len(found)}"


def _better(
    evidence: Evidence,
    key: str,
    question: str,
    first: str,
    second: str,
    besides: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Whether `first` is better than `second`, by every measure there is of both."""
    rows = _compared(evidence, first, second)
    verdict = better([row["verdict"] for row in rows])
    told = [
        f"{word} {_listed(chosen)}"
        for side, word in _WORDS.items()
        if (chosen := [row for row in rows if row["verdict"] == side])
    ]
    more = [row for pair in besides for row in _compared(evidence, *pair)]
    return {
        "id": key,
        "question": question,
        "verdict": verdict,
        "sentence": f"{_BETTER[verdict]} {first} against {second}, mean AUC: {'; '.join(told)}.",
        "rule": (
            "a measure is decided where the 95 % interval of the paired difference of the mean AUC "
            "does not hold 0. Yes: better by some measure and worse by none. No: worse by some and "
            "better by none. Partly: both. Not decided: neither"
        ),
        "evidence": [
            *({**row, "counts": True} for row in rows),
            *({**row, "counts": False} for row in more),
        ],
    }


_WORDS = {FIRST: "better", SECOND: "worse", NOT_DECIDED: "not to be told apart"}
_BETTER = {YES: "Yes.", PARTLY: "Partly.", NO: "No.", NOT_DECIDED: "Not decided."}


def _listed(rows: Sequence[Mapping[str, Any]]) -> str:
    """The measures of `rows` with both values."""
    return ", ".join(
        "{} ({:.3f} against {:.3f})".format(row["measure"], *row["values"]) for row in rows
    )


def better(verdicts: Sequence[str]) -> str:
    """The answer that follows from the verdicts of all measures."""
    won, lost = FIRST in verdicts, SECOND in verdicts
    if won and lost:
        return PARTLY
    return YES if won else NO if lost else NOT_DECIDED


def _compared(evidence: Evidence, first: str, second: str) -> list[dict[str, Any]]:
    """Both detectors by every measure that both have."""
    within, clean = "on the generator of the training", ORIGINAL
    measures = [
        ("in domain", within, True, clean),
        ("on another up-sampler", "on generators that the training did not have", False, clean),
    ]
    measures += [
        (f"under {step}", f"{within}; clean in the training, perturbed in the test", True, step)
        for step in evidence.document["robustness"]["perturbations"]
        if step != ORIGINAL and _both_have(evidence, first, second, step)
    ]
    rows = []
    for measure, about, same, step in measures:
        cells = [evidence.cells(one, same=same, perturbation=step) for one in (first, second)]
        found = evidence.resampling.difference(*cells).to_dict()
        rows.append({"measure": measure, "about": about, "first": first, "second": second, **found})
    return [*rows, *_with_few_images(evidence, first, second)]


def _both_have(evidence: Evidence, first: str, second: str, step: str) -> bool:
    tables = evidence.document["robustness"]["clean_trained"]
    return all(step in tables[detector] for detector in (first, second))


def _with_few_images(evidence: Evidence, first: str, second: str) -> list[dict[str, Any]]:
    """Both learning curves where both have a point, by the draws, which are the same."""
    curves = evidence.document["learning"]["curves"]
    one, two = (curves.get(name, {}).get("points", {}) for name in (first, second))
    rows = []
    for size in one:
        if size not in two:
            continue
        differences = np.subtract(one[size]["draws"], two[size]["draws"]).tolist()
        low, high = interval_of_mean(differences)
        rows.append(
            {
                "measure": f"with {size} training images",
                "about": "mean over the draws of the training images",
                "first": first,
                "second": second,
                "values": [one[size]["mean"], two[size]["mean"]],
                "difference": [float(np.mean(differences)), low, high],
                "verdict": decided(low, high),
            }
        )
    return rows
