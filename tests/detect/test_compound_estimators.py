"""Late fusion and the detector of edits as estimators, on images."""

import numpy as np
import pytest
import torch
from skimage import data as pictures
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from gandetect.detect import (
    EditDetector,
    FusionDetector,
    NetworkDetector,
    SpectralDetector,
    SpectralPlane,
    SpectralProfile,
)
from gandetect.detect.networks.streaming import Steps, train_mask, train_warp

PROFILE = ("profile", SpectralDetector(profile=SpectralProfile(tile=64)))
PLANE = ("plane", SpectralDetector(profile=SpectralPlane(side=64), C=0.01))


@pytest.fixture
def images(real_images, generated_images):
    return np.concatenate([real_images, generated_images]), np.repeat(["camera", "made"], 60)


class Blind(SpectralDetector):
    """Says nothing of any image."""

    def decision_function(self, X):
        return 0.01 * np.random.default_rng(len(X)).standard_normal(len(X))


def test_fusion_weighs_those_that_see(images):
    x, y = images
    blind = ("blind", Blind(profile=SpectralProfile(tile=64)))
    detector = FusionDetector([PROFILE, PLANE, blind]).fit(x[::2], y[::2])
    assert detector.classes_.tolist() == ["camera", "made"]
    assert detector.score(x[1::2], y[1::2]) >= 0.95
    assert (detector.weights_ >= 0).all()
    parts = [one.decision_function(x[1::2]) for one in detector.detectors_]
    wanted = np.stack(parts, axis=1) @ detector.weights_ + detector.bias_
    np.testing.assert_allclose(detector.decision_function(x[1::2]), wanted)
    spread = detector.weights_ * np.std(parts, axis=1)
    assert spread[2] < 0.1 * spread[:2].max()
    probability = detector.predict_proba(x[1::2])
    assert np.array_equal(probability[:, 1] > 0.5, detector.predict(x[1::2]) == "made")


def test_fusion_keeps_images_of_a_source_together(images, monkeypatch):
    x, y = images
    seen = []
    fit = NetworkDetector.fit

    def noted(self, X, labels, groups=None):
        seen.append(set(groups))
        return fit(self, X, labels, groups)

    monkeypatch.setattr(NetworkDetector, "fit", noted)
    quick = NetworkDetector("residual", tile=64, settings={"widths": (2, 2)}, epochs=1)
    groups = np.arange(len(y)) // 6
    FusionDetector([PROFILE, ("network", quick)]).fit(x, y, groups=groups)
    *folds, everything = seen
    assert everything == set(groups)
    # Each source is left out of one fold, and all of it.
    left_out = [everything - one for one in folds]
    assert sorted(source for one in left_out for source in one) == sorted(everything)


def test_detectors_that_cannot_be_are_refused(images):
    x, y = images
    with pytest.raises(ValueError, match="two or more"):
        FusionDetector([PROFILE]).fit(x, y)
    with pytest.raises(ValueError, match="its own name"):
        FusionDetector([PROFILE, PROFILE]).fit(x, y)
    with pytest.raises(ValueError, match=r"2 sources|1 source"):
        FusionDetector([PROFILE, PLANE]).fit(x, y, groups=(y == "made").astype(int))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        FusionDetector([PROFILE, PLANE]).fit(x, y, groups=[1, 2])
    with pytest.raises(NotFittedError):
        FusionDetector([PROFILE, PLANE]).decision_function(x)


@pytest.fixture(scope="module")
def photographs():
    return [pictures.astronaut()[..., 1], pictures.coffee()[..., 1], pictures.camera()]


@pytest.mark.parametrize(("kind", "train"), [("mask", train_mask), ("warp", train_warp)])
def test_what_finds_edits_is_the_network_of_the_command(kind, train, photographs):
    detector = EditDetector(kind, tile=64, max_tiles=2, steps=2, batch=4, random_state=5)
    detector = clone(detector).fit(photographs)
    loads = [lambda plane=plane: torch.from_numpy(plane) for plane in photographs]
    wanted = train(loads, side=64, seed=5, steps=Steps(2, 4))
    found = detector.network_.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in wanted.state_dict().items())
    logits = detector.decision_function(photographs)
    assert logits.shape == (3,)
    assert np.array_equal(detector.predict(photographs), (logits > 0).astype(int))
    assert detector.predict_proba(photographs).shape == (3, 2)
    shape = (2, 64, 64) if kind == "mask" else (2, 2, 64, 64)
    assert [one.shape for one in detector.maps(photographs)] == [shape] * 3
    if kind == "mask":
        assert all(((one >= 0) & (one <= 1)).all() for one in detector.maps(photographs))


def test_another_kind_and_small_photographs_are_refused(photographs):
    with pytest.raises(ValueError, match="choose from"):
        EditDetector("splice").fit(photographs)
    with pytest.raises(ValueError, match="64"):
        EditDetector(tile=64, steps=1).fit([plane[:50, :50] for plane in photographs])
    with pytest.raises(NotFittedError):
        EditDetector().maps(photographs)


def test_fusion_takes_any_estimator_with_logits():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 5))
    y = (x[:, 0] + 0.1 * rng.standard_normal(80) > 0).astype(int)
    detector = FusionDetector([("a", LogisticRegression()), ("b", LogisticRegression(C=0.01))])
    assert detector.fit(x[::2], y[::2]).score(x[1::2], y[1::2]) > 0.85
