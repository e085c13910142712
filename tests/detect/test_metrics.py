"""The figures agree with their definitions, and their intervals cover the truth."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)

from gandetect.detect import metrics
from gandetect.detect.calibration import Thresholds


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


def test_figures_of_weighted_images_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    scores = rng.integers(0, 12, 200) + labels.astype(float)
    weights = rng.integers(0, 4, 200)
    again = np.repeat(np.arange(200), weights)
    curve = metrics._Curve(labels, scores)
    found = metrics._curve_figures(curve, weights[None].astype(float))
    y, s = labels[again], scores[again]
    assert found["auc"][0] == pytest.approx(roc_auc_score(y, s))
    assert found["average_precision"][0] == pytest.approx(average_precision_score(y, s))
    assert found["equal_error_rate"][0] == pytest.approx(metrics.equal_error_rate(y, s))
    for fpr in (0.05, 0.01, 0.001):
        assert found[f"tpr_at_{fpr:g}"][0] == pytest.approx(metrics.tpr_at_fpr(y, s, fpr))


def test_cluster_weights_draw_whole_clusters_and_as_many_as_there_are():
    groups = np.array([0, 0, 1, 2, 2, 2])
    weights = np.concatenate(list(metrics.cluster_weights(groups, 5000, np.random.default_rng(0))))
    assert weights.shape == (5000, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    assert weights[:, 2].mean() == pytest.approx(1, abs=0.05)


def test_blocks_of_replicates_are_the_same_draws(monkeypatch):
    groups = np.arange(7)
    whole = np.concatenate(list(metrics.cluster_weights(groups, 20, np.random.default_rng(3))))
    monkeypatch.setattr(metrics, "_BLOCK", 21)
    parts = list(metrics.cluster_weights(groups, 20, np.random.default_rng(3)))
    assert len(parts) == 7
    assert (np.concatenate(parts) == whole).all()


def test_calibration_figures_are_those_of_the_stated_prevalence():
    rng = np.random.default_rng(0)
    rare = 0.02
    logits = rng.normal(-1, 1, 40000), rng.normal(1, 1, 40000)
    scores = np.concatenate(logits)
    labels = np.repeat([0, 1], 40000)
    even = 1 / (1 + np.exp(-2 * scores))  # the exact posterior of these two for equal classes
    figures = metrics.summarize(labels, scores, even, prevalence=rare, replicates=2)
    assert figures["calibration_error"] < 0.002
    kept = np.concatenate([np.arange(40000), 40000 + np.arange(round(40000 * rare / (1 - rare)))])
    p = metrics.at_prevalence(even, rare)[kept]
    assert figures["brier"][0] == pytest.approx(brier_score_loss(labels[kept], p), rel=0.05)
    assert figures["log_loss"][0] == pytest.approx(log_loss(labels[kept], p), rel=0.05)
    assert p.mean() == pytest.approx(rare, rel=0.05)
    usual = metrics.summarize(labels, scores, even, replicates=2)
    assert usual["cllr"][0] == pytest.approx(figures["cllr"][0])
    assert usual["brier"][0] > 3 * figures["brier"][0]


def test_prevalence_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="prevalence=1 given"):
        metrics.summarize([0, 1], [0, 1], [0.1, 0.9], prevalence=1)


def test_calibration_error_has_bins_of_equal_count():
    p = np.concatenate([np.linspace(0, 0.1, 75), np.linspace(0.1, 1, 75)])
    rows = metrics.reliability(p > 0.5, p)
    assert len(rows) == 15
    assert [share for _, _, share in rows] == pytest.approx([1 / 15] * 15)


def test_verdicts_at_the_thresholds_are_counted_for_each_class():
    thresholds = Thresholds(generated=2.0, real=-1.0, fpr=0.05, certified=False, n_real=0)
    scores = np.array([-3.0, -2, 0, 3, -2, 1, 2, 4, 5, 6])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    p = 1 / (1 + np.exp(-scores))
    found = metrics.summarize(
        labels, scores, p, thresholds=thresholds, prevalence=0.1, replicates=50
    )["at_threshold"]
    value = {name: estimate[0] for name, estimate in found.items()}
    assert value["real_flagged"] == 1 / 4
    assert value["generated_flagged"] == 3 / 6
    assert value["generated_cleared"] == pytest.approx(1 / 6)
    assert value["real_abstention"] == 1 / 4
    assert value["generated_abstention"] == pytest.approx(2 / 6)
    assert value["abstention"] == pytest.approx(0.9 / 4 + 0.1 * 2 / 6)
    assert value["balanced_accuracy"] == pytest.approx((3 / 4 + 3 / 6) / 2)
    wrong = 0.9 / 4 + 0.1 / 6
    assert value["risk"] == pytest.approx(wrong / (1 - value["abstention"]))


def test_thresholds_may_be_those_of_each_image():
    low, high = (
        Thresholds(generated=value, real=-9.0, fpr=0.05, certified=False, n_real=0)
        for value in (0.0, 2.0)
    )
    scores, labels = np.array([1.0, 1, 1, 1]), np.array([0, 0, 1, 1])
    p = 1 / (1 + np.exp(-scores))
    each = metrics.summarize(labels, scores, p, thresholds=[low, high, low, low], replicates=20)[
        "at_threshold"
    ]
    assert (each["real_flagged"][0], each["generated_flagged"][0]) == (0.5, 1.0)
    with pytest.raises(ValueError, match="3 thresholds given for 4 images"):
        metrics.summarize(labels, scores, p, thresholds=[low] * 3)


def test_risk_by_coverage_ends_at_the_error_rate_and_begins_with_the_surest():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(-1, 1, 4000), rng.normal(1, 1, 1000)])
    labels = np.repeat([0, 1], [4000, 1000])
    p = 1 / (1 + np.exp(-2 * scores))
    points = np.array(metrics.risk_coverage(labels, p))
    assert len(points) == metrics.CURVE_POINTS
    assert points[-1] == pytest.approx([1, 0.1587], abs=0.01)
    halfway = points[abs(points[:, 0] - 0.5).argmin(), 1]
    assert halfway < 0.06
    assert (np.diff(points[:, 0]) > 0).all()


def test_intervals_of_accuracies_count_sources_and_not_images():
    rng = np.random.default_rng(0)
    right = np.repeat(rng.random(40) < 0.8, 25)
    labels = np.tile([0, 1], 500)
    p = np.where(right == (labels == 1), 0.9, 0.1)
    clusters = np.repeat(np.arange(40), 25)
    width = {}
    for name, groups in (("sources", clusters), ("images", None)):
        _, low, high = metrics.summarize(labels, p, p, clusters=groups, replicates=500)[
            "real_accuracy"
        ]
        width[name] = high - low
    assert width["sources"] > 3 * width["images"]


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
    assert figures["balanced_accuracy"][0] == 0.5
