"""Certified thresholds: the table of the order statistics, and that the rate holds."""

import numpy as np
import pytest

from gandetect.detect.calibration import (
    allowed_exceedances,
    choose_thresholds,
    smallest_certifiable_rate,
)

TABLE = [
    (59, 0.05, 0),
    (58, 0.05, None),
    (299, 0.01, 0),
    (298, 0.01, None),
    (2995, 0.001, 0),
    (2994, 0.001, None),
    (300, 0.05, 8),
    (300, 0.01, 0),
    (300, 0.001, None),
    (1000, 0.05, 38),
    (1000, 0.01, 4),
    (3000, 0.05, 130),
    (3000, 0.01, 20),
    (3000, 0.001, 0),
    (10000, 0.05, 463),
    (10000, 0.01, 83),
    (10000, 0.001, 4),
    (30000, 0.05, 1437),
    (30000, 0.01, 271),
    (30000, 0.001, 20),
]


@pytest.mark.parametrize(("n", "rate", "allowed"), TABLE)
def test_allowed_exceedances(n, rate, allowed):
    assert allowed_exceedances(n, rate) == allowed


def test_smallest_rate_is_the_border_of_the_table():
    for n in (20, 59, 299):
        rate = smallest_certifiable_rate(n)
        assert allowed_exceedances(n, rate * 1.0001) == 0
        assert allowed_exceedances(n, rate * 0.9999) is None


def test_the_false_alarm_rate_holds_with_the_stated_confidence():
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(400):
        thresholds = choose_thresholds(rng.random(100), 2 + rng.random(100) - 1.5, 0.1)
        # Scores are uniform, so the true rate above a threshold is what is left to 1.
        broken += (1 - thresholds.generated) > 0.1
    assert broken / 400 < 0.08


def test_too_few_reals_name_what_they_can_certify():
    with pytest.raises(ValueError, match=r"no less than 0\.139"):
        choose_thresholds(np.arange(20), np.arange(20) + 5, 0.05)


def test_uncertified_thresholds_say_so():
    thresholds = choose_thresholds(np.arange(20.0), np.arange(20.0) + 5, 0.05, certify=False)
    assert not thresholds.certified
    assert thresholds.generated == 19
    assert thresholds.real == 5


def test_classes_far_apart_leave_nothing_inconclusive():
    thresholds = choose_thresholds(np.arange(100.0), np.arange(100.0) + 200, 0.05)
    assert thresholds.real == thresholds.generated
    assert 99 < thresholds.generated < 200
