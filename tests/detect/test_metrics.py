"""The figures agree with their definitions, and their intervals cover the truth."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gandetect.detect import metrics


def normal_scores(rng, count, shift=1.0):
    labels = np.repeat([0, 1], count)
    return labels, rng.standard_normal(2 * count) + shift * labels


def test_tpr_never_uses_a_threshold_above_the_rate():
    labels = [0] * 10 + [1] * 4
    scores = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8.5, 9.5, 3.5, 8.5]
    assert metrics.tpr_at_fpr(labels, scores, 0.1) == 0.75
    assert metrics.tpr_at_fpr(labels, scores, 0.099) == 0.25


def test_ties_between_classes_count_against_the_detector():
    assert metrics.tpr_at_fpr([0, 0, 1, 1], [1, 1, 1, 1], 0.4) == 0


def test_equal_error_rate_of_normal_scores():
    labels, scores = normal_scores(np.random.default_rng(0), 20000, shift=2.0)
    assert metrics.equal_error_rate(labels, scores) == pytest.approx(0.1587, abs=0.01)


def test_calibration_error_is_zero_for_true_and_large_for_wrong_probabilities():
    rng = np.random.default_rng(0)
    p = rng.random(50000)
    labels = rng.random(50000) < p
    assert metrics.calibration_error(labels, p) < 0.01
    assert metrics.calibration_error(labels, 1 - p) > 0.4


def test_cllr_of_no_information_is_one():
    assert metrics.cllr([0, 1, 1], [0.5, 0.5, 0.5]) == 1
    assert metrics.cllr([0, 1], [1e-6, 1 - 1e-6]) < 1e-4


def test_interval_of_independent_images_covers_the_true_auc():
    truth = 0.7602
    covered = 0
    for seed in range(100):
        labels, scores = normal_scores(np.random.default_rng(seed), 60)
        auc = metrics.ranking(labels, scores, replicates=200)["auc"]
        covered += auc.low <= truth <= auc.high
    assert covered >= 85


def test_copies_of_an_image_do_not_narrow_the_interval():
    labels, scores = normal_scores(np.random.default_rng(0), 30)
    once = metrics.ranking(labels, scores, np.arange(60), replicates=500)["auc"]
    copied = metrics.ranking(
        np.tile(labels, 10), np.tile(scores, 10), np.tile(np.arange(60), 10), replicates=500
    )["auc"]
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.15)


def test_bootstrap_shares_the_point_estimate_of_scikit_learn():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    scores = rng.integers(0, 12, 200) + labels
    resampled = metrics._bootstrap(
        labels, scores.astype(float), np.zeros(200, int), (0.05,), 1, rng
    )
    assert resampled[0, 0] == pytest.approx(roc_auc_score(labels, scores))
    assert resampled[0, 1] == pytest.approx(metrics.tpr_at_fpr(labels, scores, 0.05))


def test_perfect_scores_of_few_images_do_not_claim_certainty():
    labels, scores = np.repeat([0, 1], 10), np.repeat([0.0, 1.0], 10)
    result = metrics.ranking(labels, scores, replicates=50)
    assert result["auc"].value == 1
    assert result["auc"].low == pytest.approx(0.6915, abs=1e-3)


@pytest.mark.parametrize(("n", "low", "high"), [(100, 0.82, 0.95), (1000, 0.88, 0.92)])
def test_exact_interval_of_the_notes(n, low, high):
    assert metrics.exact_interval(int(0.9 * n), n) == pytest.approx((low, high), abs=0.006)


def test_an_always_generated_rule_is_seen_through():
    labels = np.repeat([0, 1], 20)
    p = np.full(40, 0.9)
    figures = metrics.summarize(labels, np.arange(40.0) % 7, p, replicates=20)
    assert figures["generated_accuracy"][0] == 1
    assert figures["real_accuracy"][0] == 0
    assert figures["balanced_accuracy"] == 0.5
