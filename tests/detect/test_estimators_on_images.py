"""The estimators take arrays, tensors and paths alike, and compose."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from gandetect.detect import NetworkDetector, SpectralDetector, SpectralPlane, SpectralProfile


@pytest.fixture
def data(real_images, generated_images):
    return np.concatenate([real_images, generated_images]), np.repeat([0, 1], 60)


@pytest.mark.parametrize("classifier", ["logistic", "svm", "forest", "boosted", "kmeans"])
def test_each_classifier_separates_an_easy_pair(data, classifier):
    images, labels = data
    profile = SpectralProfile(tile=64)
    detector = SpectralDetector(classifier, profile=profile, random_state=0)
    detector.fit(images[::2], labels[::2])
    assert detector.score(images[1::2], labels[1::2]) >= 0.95
    probability = detector.predict_proba(images[1::2])[:, 1]
    assert np.array_equal(probability > 0.5, detector.predict(images[1::2]) == 1)


def test_arrays_tensors_and_paths_give_the_same_features(real_images, tmp_path):
    paths = []
    for number, image in enumerate(real_images[:4]):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(paths[-1])
    profile = SpectralProfile(tile=64)
    expected = profile.transform(real_images[:4])
    assert np.array_equal(profile.transform(torch.from_numpy(real_images[:4])), expected)
    assert np.array_equal(profile.transform(paths), expected)
    assert np.array_equal(profile.transform([str(path) for path in paths]), expected)
    assert np.array_equal(profile.transform(list(real_images[:4])), expected)


def test_composes_in_a_pipeline(data):
    images, labels = data
    pipeline = Pipeline([("profile", SpectralProfile()), ("model", LogisticRegression())])
    pipeline.set_params(profile__tile=64).fit(images[::2], labels[::2])
    assert pipeline.score(images[1::2], labels[1::2]) >= 0.95


@pytest.mark.parametrize("plane", ["spectrum", "dct"])
def test_planes_compose_and_separate(data, plane):
    images, labels = data
    pipeline = Pipeline(
        [("plane", SpectralPlane(plane, side=32)), ("model", LogisticRegression(C=0.01))]
    ).fit(images[::2], labels[::2])
    assert pipeline.score(images[1::2], labels[1::2]) >= 0.95


def test_a_detector_takes_planes_as_its_profile(data):
    images, labels = data
    detector = SpectralDetector(profile=SpectralPlane(side=64)).fit(images[::2], labels[::2])
    assert detector.score(images[1::2], labels[1::2]) >= 0.95


def test_a_network_separates_an_easy_pair(data):
    images, labels = data
    detector = NetworkDetector("residual", tile=64, settings={"widths": (4, 8)}, epochs=40,
                               batch=16, rate=3e-3, patience=40)  # fmt: skip
    named = np.array(["camera", "made"])[labels]
    detector.fit(images[::2], named[::2])
    assert detector.score(images[1::2], named[1::2]) >= 0.9
    probability = detector.predict_proba(images[1::2])
    assert np.array_equal(probability[:, 1] > 0.5, detector.predict(images[1::2]) == "made")


def test_what_belongs_elsewhere_is_refused(data):
    images, labels = data
    with pytest.raises(ValueError, match="NetworkDetector"):
        SpectralDetector("cnn", profile=SpectralProfile(tile=64)).fit(images, labels)
    with pytest.raises(ValueError, match="choose from"):
        NetworkDetector("transformer").fit(images, labels)
    with pytest.raises(ValueError, match="spectrum"):
        SpectralPlane("pixels").fit(images)
    with pytest.raises(ValueError, match="at least 128x128"):
        NetworkDetector("pixels").fit(images, labels)


def test_published_features_are_within_reach(real_images):
    profile = SpectralProfile(
        convention="durall",
        projections=["azimuthal"],
        window=None,
        value=None,
        cutoff=None,
        normalize="first",
        resample=30,
        bands=None,
        remove_mean=False,
        tile=None,
    )
    features = profile.transform(real_images[:2])
    assert features.shape == (2, 30)
    assert np.allclose(features[:, 0], 1)


def test_anything_else_is_refused():
    with pytest.raises(ValueError, match="paths, planes"):
        SpectralProfile().transform(np.zeros(5))


def test_one_class_is_refused(real_images):
    with pytest.raises(ValueError, match="1 class"):
        SpectralDetector(profile=SpectralProfile(tile=64)).fit(real_images[:5], np.zeros(5))
