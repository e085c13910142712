"""The estimators take arrays, tensors and paths alike, and compose."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from gandetect.detect import SpectralDetector, SpectralProfile


@pytest.fixture
def data(real_images, generated_images):
    return np.concatenate([real_images, generated_images]), np.repeat([0, 1], 60)


@pytest.mark.parametrize("classifier", ["logistic", "svm", "forest", "kmeans"])
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
