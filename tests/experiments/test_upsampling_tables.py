"""The tables of one detector, from scores that are known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gandetect.experiments.upsampling.detectors import Training
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.scoring import Scores
from gandetect.experiments.upsampling.tables import (
    Tables,
    wanted_by_all,
    wanted_of_others,
    wanted_perturbed,
    without,
)

PLAIN = ("a", "b", "c")
OTHERS = {"a+loss": "a"}
STEPS = ("jpeg-75",)
COUNT = 40


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    counts = {"train": 50, "test": COUNT}
    sources = {"test": [f"photograph {number // 4}" for number in range(COUNT)]}
    return Tables(Pictures(tmp_path_factory.mktemp("none"), counts, sources), PLAIN, OTHERS, 100)


def gap(training: Training, name: str, perturbation: str) -> float:
    """How far above the reals a generator scores: far if it was trained on, less if perturbed."""
    if name == REAL:
        return 0.0
    known = 3.0 if name in training.generators else 0.5
    return known - 1.0 * (perturbation != training.perturbation)


@pytest.fixture(scope="module")
def scores():
    wanted = {
        **wanted_by_all(PLAIN, tuple(OTHERS), STEPS),
        **wanted_of_others(tuple(OTHERS)),
        **wanted_perturbed(PLAIN, STEPS),
    }
    rng = np.random.default_rng(0)
    return Scores(
        {
            training: {
                sight.key: rng.normal(size=COUNT) + gap(training, sight.name, sight.perturbation)
                for sight in sights
            }
            for training, sights in wanted.items()
        }
    )


def auc_of(scores, training, name, perturbation="none"):
    pair = [scores.get(training, one, perturbation) for one in (REAL, name)]
    return roc_auc_score(np.repeat([0, 1], COUNT), np.concatenate(pair))


def test_detection_is_by_the_training_on_the_generator_itself(tables, scores):
    found = tables.detection(scores)
    assert list(found) == list(PLAIN)
    for name, row in found.items():
        assert row["auc"][0] == pytest.approx(auc_of(scores, Training((name,)), name))
        assert row["auc"][1] <= row["auc"][0] <= row["auc"][2]
        real, generated = (scores.get(Training((name,)), one) for one in (REAL, name))
        assert row["real_accuracy"] == np.mean(real <= 0)
        assert row["generated_accuracy"] == np.mean(generated > 0)
        assert row["accuracy"][0] == (row["real_accuracy"] + row["generated_accuracy"]) / 2
        assert 0 <= row["tpr_at_0.01"][0] <= row["tpr_at_0.05"][0] <= 1


def test_transfer_has_every_cell_and_every_left_out_row(tables, scores):
    found = tables.transfer(scores)
    cells = {(one["trained_on"], one["tested_on"]): one["auc"] for one in found["cells"]}
    assert set(cells) == {(a, b) for a in PLAIN for b in PLAIN}
    for (trained, tested), auc in cells.items():
        assert auc[0] == pytest.approx(auc_of(scores, Training((trained,)), tested))
    for name, auc in found["left_out"].items():
        assert auc[0] == pytest.approx(auc_of(scores, without(PLAIN, name), name))
        assert name not in without(PLAIN, name).generators
    assert found["diagonal"] > 0.9 > found["off_diagonal"]


def test_joint_pools_the_generators_and_shows_each(tables, scores):
    found = tables.joint(scores)
    assert found["training"] == {"real": 48, "generated_each": 16}
    training = Training(PLAIN)
    pooled = [scores.get(training, name) for name in (REAL, *PLAIN)]
    labels = np.repeat([0, 1], [COUNT, 3 * COUNT])
    expected = roc_auc_score(labels, np.concatenate(pooled))
    assert found["pooled"]["auc"][0] == pytest.approx(expected)
    assert list(found["generators"]) == list(PLAIN)


def test_perturbed_tells_clean_training_from_perturbed_training(tables, scores):
    clean, trained = (tables.perturbed(scores, "jpeg-75", trained=one) for one in (False, True))
    for name in PLAIN:
        expected = auc_of(scores, Training((name,)), name, "jpeg-75")
        assert clean[name]["auc"][0] == pytest.approx(expected)
        assert clean[name]["auc"][0] < trained[name]["auc"][0]


def test_others_stand_beside_their_base(tables, scores):
    found = tables.compared(scores, "a+loss")
    expected = {
        "own": (Training(("a+loss",)), "a+loss"),
        "of_base": (Training(("a",)), "a+loss"),
        "joint": (Training(PLAIN), "a+loss"),
        "base_by_base": (Training(("a",)), "a"),
        "base_by_joint": (Training(PLAIN), "a"),
    }
    assert {name: one["auc"][0] for name, one in found.items()} == pytest.approx(
        {name: auc_of(scores, *one) for name, one in expected.items()}
    )


def test_two_generators_leave_no_left_out_row(tables):
    trainings = wanted_by_all(("a", "b"), (), ())
    assert [one.generators for one in trainings] == [("a",), ("b",), ("a", "b")]
