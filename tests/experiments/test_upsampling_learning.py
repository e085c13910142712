"""The learning curve: sizes that cannot be, and intervals over draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from upsampling_sets import EFFORT, sets

from gandetect.experiments.upsampling.detectors import detectors
from gandetect.experiments.upsampling.learning import interval_of_mean, learning_curve
from gandetect.experiments.upsampling.scoring import Trial


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    made = sets(tmp_path_factory.mktemp("sets"))
    known = {one.name: one for one in detectors(EFFORT)}
    trial = Trial(made.work(), known["logistic/both"], made.pictures, [])
    return learning_curve(trial, {"C": 1.0}, made.names)


def test_a_size_that_the_training_images_cannot_give_says_why(curve):
    assert list(curve["points"]) == ["16", "80"]
    assert curve["left_out"] == {"1000": "500 of each class are needed; 40 are there"}


def test_a_point_is_the_mean_over_generators_and_draws(curve):
    point = curve["points"]["16"]
    assert len(point["draws"]) == curve["draws"] == EFFORT.draws
    assert point["mean"] == pytest.approx(np.mean(point["draws"]))
    assert point["mean"] == pytest.approx(np.mean(list(point["generators"].values())))
    assert set(point["generators"]) == {"striped", "nearest"}
    assert 0.7 < point["mean"] <= 1


def test_the_interval_is_that_of_student(curve):
    values = [0.7, 0.8, 0.75, 0.9]
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval_of_mean(values) == pytest.approx((found.low, found.high))
    assert interval_of_mean([0.7]) == (None, None)
