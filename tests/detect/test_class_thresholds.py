"""Thresholds per class of delivery: their rates hold, and classes with few images borrow."""

import json
import math

import numpy as np
import pytest

from gandetect.detect.calibration import (
    choose_thresholds,
    class_thresholds,
    group_scores,
    scores_from_arrays,
    scores_to_arrays,
)

HARM = {"mild": (0, 0), "harsh": (1, 0), "harsh small": (1, 1), "small": (0, 1)}


def calibration(rng, counts, shift):
    """Groups with uniform real scores, moved up by `shift` of their class; the generated ones far
    below, so that the two thresholds do not meet in the middle."""
    scores, labels, classes = [], [], []
    for name, (n_real, n_generated) in counts.items():
        scores += [*(rng.random(n_real) + shift[name]), *(rng.random(n_generated) - 20)]
        labels += [0] * n_real + [1] * n_generated
        classes += [name] * (n_real + n_generated)
    return group_scores(scores, labels, classes)


def test_the_rate_of_every_class_holds_with_the_stated_confidence():
    rng = np.random.default_rng(0)
    shift = {"mild": 0.0, "harsh": 3.0}
    broken, sets = dict.fromkeys(shift, 0), 600
    for _ in range(sets):
        found = class_thresholds(
            calibration(rng, {"mild": (120, 100), "harsh": (90, 100)}, shift), HARM, 0.1
        )
        for name in shift:
            assert found[name].basis == "own"
            # Scores are uniform: what is left to the upper end is the true rate.
            broken[name] += 1 + shift[name] - found[name].thresholds.generated > 0.1
    # 5 % and two and a half standard errors of 600 sets.
    assert max(broken.values()) <= sets * (0.05 + 2.5 * math.sqrt(0.05 * 0.95 / sets))


def test_a_pooled_rate_holds_for_the_classes_together():
    rng = np.random.default_rng(7)
    counts = {"harsh": (20, 100), "harsh small": (100, 100)}
    broken, sets = 0, 600
    for _ in range(sets):
        groups = calibration(rng, counts, dict.fromkeys(counts, 0.0))
        found = class_thresholds(groups, HARM, 0.1)["harsh"]
        assert found.basis == "pooled"
        broken += 1 - found.thresholds.generated > 0.1
    assert broken <= sets * (0.05 + 2.5 * math.sqrt(0.05 * 0.95 / sets))


def test_the_rate_of_the_generated_holds_too():
    rng = np.random.default_rng(1)
    broken, sets = 0, 600
    for _ in range(sets):
        scores = [*(rng.random(100) + 20), *rng.random(100)]
        groups = group_scores(scores, [0] * 100 + [1] * 100, ["mild"] * 200)
        broken += class_thresholds(groups, HARM, 0.1)["mild"].thresholds.real > 0.1
    assert broken <= sets * (0.05 + 2.5 * math.sqrt(0.05 * 0.95 / sets))


def test_a_class_with_enough_images_has_the_thresholds_of_its_own():
    rng = np.random.default_rng(2)
    real, generated = rng.normal(size=100), rng.normal(size=80) + 1
    scores = [*real, *generated, 5.0]
    labels = [0] * 100 + [1] * 80 + [0]
    groups = group_scores(scores, labels, ["mild"] * 180 + ["harsh"])
    found = class_thresholds(groups, HARM, 0.05)["mild"]
    assert found.thresholds == choose_thresholds(real, generated, 0.05)
    assert (found.real_from, found.generated_from) == (("mild",), ("mild",))


def test_few_images_borrow_from_classes_at_least_as_harmful():
    counts = {"mild": (200, 200), "harsh": (10, 10), "harsh small": (200, 200), "small": (9, 9)}
    shift = {"mild": 9.0, "harsh": 0.0, "harsh small": 2.0, "small": 0.0}
    groups = calibration(np.random.default_rng(3), counts, shift)
    found = class_thresholds(groups, HARM, 0.05)
    assert found["harsh"].basis == "pooled"
    assert found["harsh"].real_from == ("harsh", "harsh small")
    assert found["small"].real_from == ("harsh small", "small")
    assert found["harsh"].thresholds.n_real == 210


def test_a_borrowed_threshold_is_never_laxer_than_those_it_rests_on():
    counts = {"mild": (20, 20), "harsh": (2000, 2000), "harsh small": (60, 60)}
    shift = {"mild": 0.0, "harsh": 0.0, "harsh small": 3.0}
    groups = calibration(np.random.default_rng(4), counts, shift)
    found = class_thresholds(groups, HARM, 0.05)
    assert found["mild"].basis == "pooled"
    assert found["mild"].thresholds.generated == found["harsh small"].thresholds.generated > 3


def test_a_source_delivered_twice_counts_once_by_its_worst_score():
    scores = [*np.arange(20.0), *(np.arange(40.0) + 100)]
    names = ["harsh"] * 20 + ["harsh small"] * 40
    groups = group_scores(scores, [0] * 60, names, sources=[*range(20), *range(40)])
    found = class_thresholds(groups, HARM, 0.1)["harsh"]
    assert found.real_from == ("harsh", "harsh small")
    assert found.thresholds.n_real == 40
    assert found.thresholds.generated == 139


def test_thirty_photographs_in_two_classes_are_not_sixty():
    scores = np.arange(60.0)
    names = ["harsh"] * 30 + ["harsh small"] * 30
    alike = group_scores(scores, [0] * 60, names, sources=[*range(30), *range(30)])
    apart = group_scores(scores, [0] * 60, names)
    assert class_thresholds(alike, HARM, 0.05)["harsh"].basis == "none"
    assert class_thresholds(apart, HARM, 0.05)["harsh"].basis == "pooled"


def test_without_enough_images_every_verdict_is_inconclusive():
    groups = group_scores([0.0, 1.0], [0, 1], ["mild", "mild"])
    found = class_thresholds(groups, HARM, 0.05)
    assert {f.basis for f in found.values()} == {"none"}
    assert found["mild"].smallest_rate == pytest.approx(0.95)
    assert found["harsh"].smallest_rate == 1
    for score in (-1e9, 0.5, 1e9):
        assert found["mild"].thresholds.verdict(score) == "inconclusive"
    assert not found["mild"].thresholds.certified


def test_each_side_borrows_by_itself():
    groups = group_scores(np.arange(105.0), [0] * 100 + [1] * 5, ["mild"] * 105)
    found = class_thresholds(groups, HARM, 0.05)["mild"]
    assert (found.real_from, found.generated_from) == (("mild",), ())
    assert found.thresholds.verdict(1000.0) == "generated"
    assert found.thresholds.verdict(-1000.0) == "inconclusive"


def test_a_smaller_rate_never_lowers_the_upper_threshold():
    counts = {"mild": (400, 400), "harsh": (70, 70), "small": (20, 20)}
    groups = calibration(np.random.default_rng(5), counts, dict.fromkeys(counts, 0.0))
    rates = (0.2, 0.1, 0.05, 0.02)
    upper = [class_thresholds(groups, HARM, rate)["mild"].thresholds.generated for rate in rates]
    assert upper == sorted(upper)


def test_ties_at_the_threshold_do_not_exceed_it():
    groups = group_scores([0.0] * 60 + [1.0] * 60, [0] * 60 + [1] * 60, ["mild"] * 120)
    found = class_thresholds(groups, HARM, 0.05)["mild"].thresholds
    assert found.verdict(0.0) != "generated"
    assert found.verdict(1.0) == "generated"
    same = group_scores([0.0] * 120, [0] * 60 + [1] * 60, ["mild"] * 120)
    assert class_thresholds(same, HARM, 0.05)["mild"].thresholds.verdict(0.0) == "inconclusive"


def test_arrays_hold_all_that_thresholds_need():
    counts = {"mild": (50, 40), "harsh": (1, 0), "harsh small": (70, 70)}
    groups = calibration(np.random.default_rng(6), counts, dict.fromkeys(counts, 0.0))
    arrays = scores_to_arrays(groups)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float64)}
    assert arrays["calibration.real.mild"].shape == (2, 50)
    plain = json.loads(json.dumps({name: array.tolist() for name, array in arrays.items()}))
    read = scores_from_arrays(plain | {"calibration.real": [1.0], "weight": [0.0]})
    assert class_thresholds(read, HARM, 0.05) == class_thresholds(groups, HARM, 0.05)


def test_the_first_image_of_a_source_counts():
    groups = group_scores([3.0, 1.0, 2.0], [0, 0, 0], ["mild"] * 3, sources=["a", "a", "b"])
    assert groups["mild"].real.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0.0], "shape"),
        ([[1.0, 0.0], [0, 1]], "ascending"),
        ([[math.nan], [0]], "finite"),
    ],
)
def test_damaged_arrays_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        scores_from_arrays({"calibration.real.a": array, "calibration.generated.a": array})


def test_half_a_class_is_refused():
    with pytest.raises(ValueError, match="one label"):
        scores_from_arrays({"calibration.real.a": [[0.0], [0.0]]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([math.nan], [0], ["mild"]), "NaN"),
        (([0.0], [2], ["mild"]), "1 is generated"),
        (([0.0, 1.0], [0], ["mild"]), "each score needs"),
    ],
)
def test_bad_scores_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        group_scores(*arguments)


def test_nan_is_refused_where_thresholds_are_chosen():
    with pytest.raises(ValueError, match="NaN or infinite"):
        choose_thresholds([0.0, math.nan], [1.0], 0.5)


def test_a_class_of_unknown_harm_is_refused():
    with pytest.raises(ValueError, match="no level of harm"):
        class_thresholds(group_scores([0.0], [0], ["odd"]), HARM, 0.05)
