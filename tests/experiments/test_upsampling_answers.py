"""Answers follow from the numbers by rule."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gandetect.detect.metrics import Estimate
from gandetect.experiments.upsampling import answers as room
from gandetect.experiments.upsampling.answers import (
    NO,
    NOT_DECIDED,
    PARTLY,
    YES,
    Evidence,
    answers,
    better,
    goals,
    works,
)
from gandetect.experiments.upsampling.comparing import Resampling
from gandetect.experiments.upsampling.detectors import Training
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.scoring import Scores
from gandetect.experiments.upsampling.tables import Tables, wanted_by_all

GOOD, BAD, OPEN = [0.99, 0.95, 1.0], [0.6, 0.5, 0.7], [0.92, 0.85, 0.96]
PLAIN = ("a", "b", "c")
COUNT = 200
# How far each detector puts generated images above reals: in domain, and elsewhere.
GAPS = {
    "svm-rbf/radial": (2.0, 0.2),
    "svm-rbf/projections": (4.0, 0.2),
    "svm-rbf/both": (6.0, 0.3),
    "cnn/pixels": (1.0, 2.0),
}


@pytest.mark.parametrize(
    ("own", "others", "verdict"),
    [
        ([GOOD, GOOD], [GOOD, GOOD], YES),
        ([GOOD, GOOD], [GOOD, BAD], PARTLY),
        ([GOOD, BAD], [GOOD, GOOD], PARTLY),
        ([GOOD, GOOD], [BAD, BAD], NO),
        ([BAD, BAD], [GOOD, GOOD], NO),
        ([GOOD, GOOD], [GOOD, OPEN], NOT_DECIDED),
        ([GOOD, OPEN], [BAD, BAD], NO),
        ([GOOD, BAD], [GOOD, OPEN], PARTLY),
    ],
)
def test_open_intervals_decide_nothing_unless_either_way_gives_the_same(own, others, verdict):
    assert works(own, others) == verdict


@pytest.mark.parametrize(
    ("verdicts", "answer"),
    [
        (["first", "not decided"], YES),
        (["second", "not decided"], NO),
        (["first", "second"], PARTLY),
        (["not decided"] * 3, NOT_DECIDED),
    ],
)
def test_better_is_better_somewhere_and_worse_nowhere(verdicts, answer):
    assert better(verdicts) == answer


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    sources = {"test": [f"photograph {number // 4}" for number in range(COUNT)]}
    counts = {"train": 99, "test": COUNT}
    pictures = Pictures(tmp_path_factory.mktemp("none"), counts, sources)
    tables = Tables(pictures, PLAIN, {}, 50)
    scores = {name: scored(*gaps, seed) for seed, (name, gaps) in enumerate(GAPS.items())}
    document = {
        "choice": {
            "best": {
                "spectral": "svm-rbf/both", "both": "svm-rbf/both", "radial": "svm-rbf/radial",
                "projections": "svm-rbf/projections", "network": "cnn/pixels",
            }
        },
        "detection": {name: tables.detection(one) for name, one in scores.items()},
        "transfer": {name: tables.transfer(one) for name, one in scores.items()},
        "robustness": {"perturbations": ["none", "jpeg-75"],
                       "clean_trained": {name: {} for name in scores}},
        "learning": {
            "curves": {
                "svm-rbf/radial": {"points": {"16": point(0.7, 0.72)}},
                "svm-rbf/projections": {
                    "points": {"16": point(0.9, 0.921), "100": point(0.8, 0.9)}
                },
            }
        },
    }  # fmt: skip
    return Evidence(PLAIN, scores, document, Resampling(pictures, PLAIN, 100))


def scored(within: float, elsewhere: float, seed: int) -> Scores:
    rng = np.random.default_rng(seed)

    def gap(training: Training, name: str) -> float:
        return 0.0 if name == REAL else within if name in training.generators else elsewhere

    return Scores(
        {
            training: {one.key: rng.normal(size=COUNT) + gap(training, one.name) for one in sights}
            for training, sights in wanted_by_all(PLAIN, (), ()).items()
        }
    )


def point(*draws: float) -> dict:
    return {"mean": float(np.mean(draws)), "draws": list(draws)}


def test_the_three_questions_are_answered_in_order(evidence):
    found = {one["id"]: one for one in answers(evidence)}
    assert list(found) == ["other_up_samplers", "projections", "neural_network"]
    assert found["other_up_samplers"]["verdict"] == NO
    assert found["projections"]["verdict"] == YES
    assert found["neural_network"]["verdict"] == PARTLY


def test_the_first_sentence_has_the_counts_and_means_of_the_tables(evidence):
    (found, *_) = answers(evidence)
    mean = np.mean(
        [row["auc"][0] for row in evidence.document["detection"]["svm-rbf/both"].values()]
    )
    assert f"svm-rbf/both works for 3 of 3 (mean AUC {mean:.3f}" in found["sentence"]
    assert "in 0 of 6 cases" in found["sentence"]
    assert found["evidence"][0]["value"][0] == pytest.approx(mean)


def test_a_comparison_has_both_values_and_says_which_measure_decided(evidence):
    (_, found, _) = answers(evidence)
    own = next(row for row in found["evidence"] if row["measure"] == "in domain")
    assert own["counts"]
    assert own["values"][0] - own["values"][1] == pytest.approx(own["difference"][0])
    assert "better in domain ({:.3f} against {:.3f})".format(*own["values"]) in found["sentence"]
    assert "not to be told apart on another up-sampler" in found["sentence"]


def test_only_the_question_itself_counts(evidence):
    (_, found, _) = answers(evidence)
    pairs = {(row["first"], row["second"]) for row in found["evidence"] if row["counts"]}
    assert pairs == {("svm-rbf/projections", "svm-rbf/radial")}
    assert any(row["first"] == "svm-rbf/both" for row in found["evidence"])


def test_draws_are_compared_where_both_have_the_size(evidence):
    (_, found, _) = answers(evidence)
    few = [
        row for row in found["evidence"] if "training images" in row["measure"] and row["counts"]
    ]
    assert [row["measure"] for row in few] == ["with 16 training images"]
    assert few[0]["difference"][0] == pytest.approx(0.2005)
    assert few[0]["verdict"] == "first"


def test_perturbations_are_compared_where_both_were_measured(evidence, monkeypatch):
    assert not any("jpeg" in row["measure"] for row in answers(evidence)[2]["evidence"])
    measured = {name: {"jpeg-75": {}} for name in GAPS}
    document = {**evidence.document, "robustness": {"perturbations": ["none", "jpeg-75"],
                                                    "clean_trained": measured}}  # fmt: skip
    monkeypatch.setattr(
        room.Evidence, "cells", lambda self, name, same, perturbation="none": [perturbation]
    )
    told = Estimate(0.1, 0.05, 0.2)
    resampling = SimpleNamespace(
        mean_auc=lambda cells: told,
        difference=lambda one, two: SimpleNamespace(
            to_dict=lambda: {"values": [0, 0], "difference": one, "verdict": "first"}
        ),
    )
    found = answers(Evidence(PLAIN, evidence.scores, document, resampling))[2]["evidence"]
    assert [row["difference"] for row in found if row["measure"] == "under jpeg-75"] == [
        ["jpeg-75"]
    ]


@pytest.mark.parametrize(
    ("auc", "tpr", "reached"),
    [(0.9995, 0.99, True), (0.999, 0.98, True), (0.9985, 0.99, False), (1.0, 0.97, False)],
)
def test_a_goal_needs_both_figures(auc, tpr, reached):
    row = {"auc": [auc, 0, 1], "tpr_at_0.01": [tpr, 0, 1]}
    document = {"choice": {"best": {"spectral": "x"}}, "detection": {"x": {"a": row}}}
    (found,) = goals(document, ["a"])
    assert found["reached"] is reached
    assert found["auc"] == row["auc"]
