"""The detectors of the experiment: what they are fitted to; each can tell a plain trace."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from upsampling_sets import EFFORT, sets

from gandetect.experiments.upsampling.detectors import Training, detectors, fit
from gandetect.experiments.upsampling.plan import EFFORTS, REAL

KNOWN = {one.name: one for one in detectors(EFFORT)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sets(tmp_path_factory.mktemp("sets"), ("striped", "nearest", "blurred"))


class Recorded(Exception):
    """Carries what a detector was fitted to."""


@pytest.fixture
def fitted_to(made, monkeypatch):
    """(labels, groups) of a training."""

    def recorded(self, setting, inputs, labels, groups, seed, threads=1):
        raise Recorded(labels, groups)

    monkeypatch.setattr(type(KNOWN["logistic/both"]), "fit", recorded)

    def of(training: Training, seed: int = 0, name: str = "logistic/both"):
        with pytest.raises(Recorded) as caught:
            fit(KNOWN[name], {}, training, made.pictures, seed)
        return caught.value.args

    return of


def test_there_is_every_classifier_on_every_kind_of_feature():
    assert list(KNOWN) == [one.name for one in detectors(EFFORTS["run"])]
    spectral = {name for name, one in KNOWN.items() if not one.is_network}
    assert spectral == {
        f"{classifier}/{features}"
        for classifier in ("svm-rbf", "svm-linear", "logistic", "forest", "kmeans")
        for features in ("radial", "projections", "both")
    }
    assert set(KNOWN) - spectral == {"cnn/pixels", "cnn/log-spectrum"}


@pytest.mark.parametrize("generators", [("nearest",), ("striped", "nearest", "blurred")])
def test_classes_and_generators_have_equal_parts(fitted_to, generators):
    labels, groups = fitted_to(Training(generators))
    share = EFFORT.counts["train"] // len(generators)
    assert (labels == 1).sum() == (labels == 0).sum() == share * len(generators)
    for name in generators:
        assert sum(group.startswith(f"{name}:") for group in groups) == share


def test_draws_are_the_same_for_every_detector_and_differ_from_each_other(fitted_to):
    training = Training(("nearest",), each=8, draw=1)
    one, other = (fitted_to(training, name=name) for name in ("kmeans/radial", "cnn/pixels"))
    assert np.array_equal(one[0], np.repeat([0, 1], 8))
    assert np.array_equal(one[1], other[1])
    assert not np.array_equal(one[1], fitted_to(Training(("nearest",), each=8, draw=2))[1])


def test_trainings_have_names_of_their_own():
    trainings = [
        Training(("a",)), Training(("a", "b")), Training(("a",), "jpeg-75"),
        Training(("a",), each=8), Training(("a",), each=8, draw=1), Training(("a",), each=9),
    ]  # fmt: skip
    assert len({one.name for one in trainings}) == len(trainings)


@pytest.mark.parametrize("name", [name for name, one in KNOWN.items() if not one.is_network])
def test_spectral_detectors_tell_repeated_pixels_in_every_setting(made, name):
    detector = KNOWN[name]
    for setting in detector.grid:
        fitted = fit(detector, setting, Training(("nearest",)), made.pictures, seed=0)
        scores = [
            fitted.logits(detector.inputs(made.pictures, one, "test")) for one in (REAL, "nearest")
        ]
        labels = np.repeat([0, 1], [len(one) for one in scores])
        assert roc_auc_score(labels, np.concatenate(scores)) > 0.95


@pytest.mark.parametrize("name", [name for name, one in KNOWN.items() if one.is_network])
def test_networks_are_trained_with_their_setting(made, name):
    detector = KNOWN[name]
    setting = {**detector.grid[0], "epochs": 12, "rate": 3e-3}
    fitted = fit(detector, setting, Training(("nearest",)), made.pictures, seed=0)
    assert fitted.network["settings"]["widths"] == setting["widths"]
    scores = [
        fitted.logits(detector.inputs(made.pictures, one, "test")) for one in (REAL, "nearest")
    ]
    labels = np.repeat([0, 1], [len(one) for one in scores])
    assert roc_auc_score(labels, np.concatenate(scores)) > 0.7


def test_the_number_of_threads_changes_nothing_of_a_forest(made):
    detector = KNOWN["forest/both"]
    one, two = (
        fit(detector, detector.grid[0], Training(("nearest",)), made.pictures, 0, threads)
        for threads in (1, 2)
    )
    inputs = detector.inputs(made.pictures, "nearest", "test")
    assert np.array_equal(one.logits(inputs), two.logits(inputs))
