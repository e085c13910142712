"""Every rejected argument of the spectral parts: what was given and what was wanted."""

from __future__ import annotations

import pytest
import torch

from gandetect.nn import SpectralDiscriminator, SpectralLoss


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpectralLoss("bce"), "log, durall"),
        (lambda: SpectralLoss(projections=("radial",)), "azimuthal, rows, columns"),
        (lambda: SpectralLoss(projections=()), "projections is empty"),
        (lambda: SpectralLoss(channels="rgb"), "gray, each"),
        (lambda: SpectralLoss(convention="frank"), "centered, durall"),
        (lambda: SpectralLoss(floor=0.0), "floor=0.0 given; want a power above 0"),
        (lambda: SpectralDiscriminator(64, "deep"), "nonlinear, linear"),
    ],
)
def test_construction(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), TypeError, "uint8 given; want floating"),
        (torch.zeros(2, 8, 8), ValueError, r"want \(N, 1 or 3, S, S\)"),
        (torch.zeros(2, 4, 8, 8), ValueError, r"want \(N, 1 or 3, S, S\)"),
    ],
)
def test_images(images, error, message):
    real = torch.zeros(2, 1, 8, 8)
    for loss in (SpectralLoss(), SpectralLoss("durall"), SpectralLoss(channels="each")):
        with pytest.raises(error, match=message):
            loss(images, real)
    with pytest.raises(error, match=message):
        SpectralDiscriminator(8)(images)


def test_images_of_two_sizes_cannot_be_compared():
    with pytest.raises(ValueError, match="1x8x8 and real ones of 1x16x16"):
        SpectralLoss()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 16, 16))
    with pytest.raises(ValueError, match="1x8x8 and real ones of 3x8x8"):
        SpectralLoss()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8))


def test_the_discriminator_is_made_for_one_size():
    with pytest.raises(ValueError, match="16x16 given; want 8x8"):
        SpectralDiscriminator(8)(torch.zeros(2, 1, 16, 16))
