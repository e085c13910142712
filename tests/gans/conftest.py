"""What the tests of generative models share."""

from __future__ import annotations

import pytest
import torch

from gandetect.gans import Images


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def labeled_images() -> Images:
    """48 images (3, 32, 32) of three classes: smooth noise about a color of the class."""
    rng = torch.Generator().manual_seed(3)
    labels = torch.arange(48) % 3
    coarse = torch.rand(48, 3, 8, 8, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    colors = torch.tensor([[0.9, 0.2, 0.2], [0.2, 0.9, 0.2], [0.2, 0.2, 0.9]])
    images = 0.6 * smooth + 0.4 * colors[labels][:, :, None, None]
    card = {"name": "three colors", "source": "random numbers"}
    return Images((255 * images).to(torch.uint8), card, labels)
