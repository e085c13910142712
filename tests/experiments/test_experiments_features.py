"""Features of every setting equal an independent float64 implementation of its paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from experiments_by_hand import FEATURES, durall

from gandetect.experiments import SETTINGS
from gandetect.experiments.features import cropped, published_features
from gandetect.ops import profile_length

SIZES = {
    "faces-hq": (1024, 1024),
    "celeba": (218, 178),
    "deepfake-detection": (151, 130),
    "ricker": (270, 300),
    "cloaking-score": (64, 64),
    "frank-dct": (130, 161),
    "dzanic-decay": (256, 256),
}


def noise(size: tuple[int, int]) -> np.ndarray:
    """Noise that is smooth enough to have a falling spectrum, uint8."""
    white = np.random.default_rng(1).normal(size=size)
    return (
        (128 + 20 * (white + np.roll(white, 1, 0) + np.roll(white, 1, 1)))
        .clip(0, 255)
        .astype(np.uint8)
    )


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("name", SETTINGS)
def test_features_are_the_published_ones(name, label):
    setting, image = SETTINGS[name], noise(SIZES[name])
    found = published_features(torch.from_numpy(image), setting, eps=setting.eps[label])
    wanted = FEATURES[name](image, label)
    assert found.dtype == np.float64
    tolerance = {"dzanic-decay": 1e-5}.get(name, 1e-9)
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in SETTINGS if SETTINGS[name].length])
def test_the_number_of_features_is_that_of_the_setting(name):
    setting = SETTINGS[name]
    plane = torch.from_numpy(noise(SIZES[name]))
    assert published_features(plane, setting).shape == (setting.length,)


def test_raw_lengths_follow_from_the_image_sizes():
    assert SETTINGS["faces-hq"].length == profile_length(1024, 1024, "durall")
    assert SETTINGS["ricker"].length == profile_length(256, 256, "power")


@pytest.mark.parametrize("size", [(96, 96), (95, 97)])
def test_without_eps_only_faint_coefficients_differ(size):
    setting = dataclasses.replace(SETTINGS["faces-hq"], length=None)
    image = noise(size)
    without = published_features(torch.from_numpy(image), setting, eps=0.0)
    np.testing.assert_allclose(without, durall(image, eps=0.0), rtol=1e-11)
    np.testing.assert_allclose(without, durall(image, eps=1e-8), rtol=1e-9)
    assert (without != durall(image, eps=1e-8)).any()


def test_the_middle_third_drops_int_of_a_third_on_each_side():
    plane = torch.arange(100 * 50).reshape(100, 50)
    kept = cropped(plane, "third")
    assert kept.shape == (100 - 2 * 33, 50 - 2 * 16)
    assert kept[0, 0] == plane[33, 16]


def test_the_decay_is_that_of_a_known_power_law():
    side, exponent = 256, -2.5
    k = np.fft.fftfreq(side, 1 / side)
    radius = np.maximum(np.hypot(k[:, None] + 1, k[None] + 1), 1)
    phases = np.exp(1j * np.angle(np.fft.fft2(np.random.default_rng(2).normal(size=(side, side)))))
    image = np.fft.ifft2(phases * 1e6 * radius**exponent).real * 2
    b, first, last = published_features(torch.from_numpy(image), SETTINGS["dzanic-decay"])
    assert b == pytest.approx(exponent, abs=0.25)
    assert first > last > 0


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("ricker", (255, 300), "at least 256x256"),
        ("deepfake-detection", (2, 40), "no middle third"),
        ("cloaking-score", (64, 60), "wants squares"),
        ("dzanic-decay", (24, 24), "too small for 200 bins"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(name, size, message):
    with pytest.raises(ValueError, match=message):
        published_features(torch.from_numpy(noise(size)), SETTINGS[name])
