"""Conformal p-values and verdicts, and probabilities at a stated prevalence."""

import math

import numpy as np
import pytest

from gandetect.detect.calibration import (
    allowed_exceedances,
    at_prevalence,
    choose_thresholds,
    conformal_verdicts,
    p_values_generated,
    p_values_real,
    smallest_certifiable_rate,
)


def test_p_values_are_ranks_among_the_calibration_scores():
    assert p_values_real([1.0, 2.0, 3.0], [0.0, 2.0, 9.0]).tolist() == [1.0, 0.75, 0.25]
    assert p_values_generated([1.0, 2.0, 3.0], [0.0, 2.0, 9.0]).tolist() == [0.25, 0.75, 1.0]


def test_ties_count_against_the_verdict():
    assert p_values_real([1.0, 1.0, 1.0], [1.0]).tolist() == [1.0]


def test_one_score_refutes_nothing_below_one_half():
    assert p_values_real([0.0], [9.0]).tolist() == [0.5]
    assert conformal_verdicts([0.0], [1.0], [9.0, -9.0], 0.4) == ["inconclusive"] * 2


def test_a_higher_score_never_has_a_higher_p_value():
    rng = np.random.default_rng(0)
    scores = np.sort(rng.normal(size=50))
    assert (np.diff(p_values_real(rng.normal(size=30), scores)) <= 0).all()
    assert (np.diff(p_values_generated(rng.normal(size=30), scores)) >= 0).all()


@pytest.mark.parametrize("rate", [0.05, 0.2])
@pytest.mark.parametrize("decimals", [1, 12])
def test_p_values_are_valid_on_average_over_calibrations(rate, decimals):
    # With one decimal many scores are equal, and the p-values are only the more cautious.
    rng = np.random.default_rng(1)
    sets, size = 4000, 29
    calibration = rng.normal(size=(sets, size)).round(decimals)
    new = rng.normal(size=sets).round(decimals)
    small = [p_values_real(c, [s])[0] <= rate for c, s in zip(calibration, new, strict=True)]
    exact = math.floor(rate * (size + 1)) / (size + 1)
    error = 3 * math.sqrt(exact * (1 - exact) / sets)
    assert np.mean(small) <= exact + error
    if decimals == 12:
        assert np.mean(small) >= exact - error


@pytest.mark.parametrize("label", [0, 1])
def test_wrong_verdicts_stay_below_the_rate(label):
    rng = np.random.default_rng(2)
    rate, sets = 0.1, 3000
    wrong = 0
    for _ in range(sets):
        real, generated = rng.normal(size=40), rng.normal(size=40) + 1.5
        score = rng.normal() + 1.5 * label
        verdict = conformal_verdicts(real, generated, [score], rate)[0]
        wrong += verdict == ("real" if label else "generated")
    assert wrong / sets <= rate + 3 * math.sqrt(rate * (1 - rate) / sets)


def test_verdicts_where_one_class_both_or_none_is_plausible():
    reals, generated = np.arange(0.0, 20), np.arange(15.0, 35)
    assert conformal_verdicts(reals, generated, [2.0, 17.0, 30.0], 0.05) == [
        "real",
        "inconclusive",
        "generated",
    ]
    far = np.arange(100.0, 120)
    assert conformal_verdicts(reals, far, [60.0], 0.05) == ["inconclusive"]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.29, 0.3])
def test_thresholds_without_confidence_give_the_conformal_verdicts(rate):
    rng = np.random.default_rng(3)
    for size in (19, 20, 29, 99, 100):
        # So alike that no score refutes both classes.
        real, generated = rng.normal(size=size), rng.normal(size=size) + 0.2
        new = np.concatenate([real, generated, rng.normal(size=200) * 3])
        limits = choose_thresholds(real, generated, rate, confidence=None)
        assert limits.certified
        assert limits.confidence is None
        assert limits.real < limits.generated
        words = [limits.verdict(score) for score in new]
        assert words == conformal_verdicts(real, generated, new, rate)


def test_the_fewest_scores_for_a_rate_on_average():
    assert allowed_exceedances(19, 0.05, None) == 0
    assert allowed_exceedances(18, 0.05, None) is None
    assert allowed_exceedances(39, 0.05, None) == 1
    assert allowed_exceedances(99, 0.29, None) == 28
    assert smallest_certifiable_rate(19, None) == pytest.approx(0.05)
    with pytest.raises(ValueError, match=r"no less than 0\.0526 on average"):
        choose_thresholds(np.arange(18), np.arange(18) + 5, 0.05, confidence=None)


def test_log_odds_shift_by_the_prevalence():
    p = np.array([0.1, 0.5, 0.9])
    shifted = at_prevalence(p, 0.01)
    log_odds = np.log(shifted / (1 - shifted)) - np.log(p / (1 - p))
    np.testing.assert_allclose(log_odds, math.log(0.01 / 0.99))
    np.testing.assert_allclose(at_prevalence(p, 0.5), p)
    assert at_prevalence([0.0, 1.0], 0.01).tolist() == [0.0, 1.0]


def test_probabilities_at_a_prevalence_are_the_frequencies_there():
    rng = np.random.default_rng(3)
    n, prevalence = 400_000, 0.1
    labels = rng.random(n) < prevalence
    scores = rng.normal(size=n) + labels
    balanced = 1 / (1 + np.exp(0.5 - scores))  # Bayes for unit normals at 0 and 1.
    p = at_prevalence(balanced, prevalence)
    for low, high in ((0.0, 0.05), (0.05, 0.2), (0.2, 0.6)):
        chosen = (p >= low) & (p < high)
        error = 4 * math.sqrt(0.25 / chosen.sum())
        assert abs(labels[chosen].mean() - p[chosen].mean()) < error


@pytest.mark.parametrize("prevalence", [0.0, 1.0, math.nan])
def test_other_prevalences_are_refused(prevalence):
    with pytest.raises(ValueError, match="prevalence"):
        at_prevalence([0.5], prevalence)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_other_probabilities_are_refused(probability):
    with pytest.raises(ValueError, match=r"0\.\.1|NaN"):
        at_prevalence([probability], 0.5)


def test_nan_has_no_rank():
    for real, scores in (([math.nan], [0.0]), ([0.0], [math.nan])):
        with pytest.raises(ValueError, match="NaN or infinite"):
            p_values_real(real, scores)
