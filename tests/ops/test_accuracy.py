"""The float32 accuracy that the docstring promises, on uint8 images of every listed size."""

from __future__ import annotations

import pytest
import torch
from skimage import data

from gandetect import ops

SIZES = [(64, 64), (224, 224), (256, 256), (512, 512), (299, 299), (211, 127), (360, 640)]


def natural(height: int, width: int) -> torch.Tensor:
    """Crops of two photographs, (2, 3, H, W) uint8."""
    pictures = (data.astronaut(), data.coffee())
    if height > 400 or width > 400:
        pictures = (data.astronaut(),) * 2
    crops = [
        torch.from_numpy(p).permute(2, 0, 1).repeat(1, 1, 2)[:, :height, :width] for p in pictures
    ]
    return torch.stack(crops)


def noise(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)


def in_double(images: torch.Tensor, **options) -> torch.Tensor:
    r, g, b = images.double().unbind(1)
    return ops.spectral_profile(0.299 * r + 0.587 * g + 0.114 * b, **options)


@pytest.mark.parametrize("make", [natural, noise])
@pytest.mark.parametrize("size", SIZES)
def test_power(make, size):
    images = make(*size)
    error = ops.spectral_profile(images) / in_double(images) - 1
    complete = error[:, : min(size) // 2].abs()
    assert float(error.abs().median()) <= 2e-7
    assert float(complete.max()) <= 2e-6


@pytest.mark.parametrize("size", SIZES)
def test_log(size):
    for images in (natural(*size), noise(*size)):
        wanted = in_double(images, value="log")
        error = (ops.spectral_profile(images, value="log") - wanted).abs().max()
        assert float(error / wanted.abs().max()) <= 1e-5


def test_faint_tail_beside_a_huge_mean():
    """Sums per bin keep a tail of 1e-3 next to 1e12 at DC; a running sum over radii loses it."""
    y, x = torch.arange(64.0)[:, None], torch.arange(64.0)
    ripple = 5e-4 * torch.cos(2 * torch.pi * (13 * x + 9 * y) / 64)
    images = (ripple.double() + 250)[None]
    profile = ops.spectral_profile(images)[0]
    wanted = (5e-4 * 64 * 64 / 2) ** 2 * 2 / int(ops.azimuthal_counts(64, 64)[15])
    assert float(profile[0]) == pytest.approx((250 * 4096) ** 2)
    assert float(profile[15]) == pytest.approx(wanted, rel=1e-6)
