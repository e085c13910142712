"""Small synthetic data: noise photographs, and what up-sampling makes of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from noise_images import pink_images, upsampled_images
from skimage import data

from gandetect.detect.features import FeatureSpec
from gandetect.detect.model import Model


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
