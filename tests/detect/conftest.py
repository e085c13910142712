"""Small synthetic data: noise photographs, and what up-sampling makes of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data

from gandetect.detect.features import FeatureSpec
from gandetect.detect.model import Model


def pink_images(count: int, side: int, seed: int) -> np.ndarray:
    """(count, side, side) uint8 noise with the falling spectrum of photographs."""
    rng = np.random.default_rng(seed)
    u = np.fft.fftfreq(side)[:, None]
    v = np.fft.rfftfreq(side)[None, :]
    falloff = 1 / np.maximum(np.hypot(u, v), 1 / side)
    noise = np.fft.irfft2(
        np.fft.rfft2(rng.standard_normal((count, side, side))) * falloff, (side,) * 2
    )
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    noise *= 40 / noise.std(axis=(1, 2), keepdims=True)
    return (noise + 128).clip(0, 255).round().astype(np.uint8)


def upsampled_images(count: int, side: int, seed: int) -> np.ndarray:
    """The same kind of noise at half the size, doubled by nearest neighbor and blurred a little."""
    small = pink_images(count, side // 2, seed).astype(np.float64)
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    blurred = ndimage.uniform_filter(large, size=(0, 2, 2), mode="wrap")
    return blurred.clip(0, 255).round().astype(np.uint8)


@pytest.fixture(scope="session")
def real_images() -> np.ndarray:
    return pink_images(60, 64, seed=1)


@pytest.fixture(scope="session")
def generated_images() -> np.ndarray:
    return upsampled_images(60, 64, seed=2)


@pytest.fixture
def linear_model() -> Model:
    """A model with arbitrary weights: enough to test the file and the scoring."""
    spec = FeatureSpec()
    generator = torch.Generator().manual_seed(0)
    size = len(spec.axes())
    arrays = {
        "weight": torch.randn(size, generator=generator, dtype=torch.float64) / size,
        "center": torch.randn(size, generator=generator, dtype=torch.float64),
        "bias": torch.tensor(-0.3, dtype=torch.float64),
    }
    return Model.create(
        "test-linear",
        "logistic",
        "linear",
        spec,
        arrays,
        tile=64,
        platt=(1.5, -0.25),
        real_scores=torch.randn(100, generator=generator) - 1,
        generated_scores=torch.randn(100, generator=generator) + 1,
    )


@pytest.fixture(scope="session")
def photographs():
    """Loaders of four real photographs in luma, as `simulate` takes them."""
    names = (data.camera, data.coins, data.grass, data.brick)
    return [partial(torch.from_numpy, load().copy()) for load in names]
