"""The accuracy that the docstring promises, on natural and random images of every listed size.

The reference is numpy's transform in double, with bins from exact integers.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from skimage import data

from gandetect import ops
from gandetect.ops import _ext

LISTED = [(64, 64), (224, 224), (256, 256), (512, 512), (1024, 1024), (1080, 1920)]
SIZES = [
    *LISTED,
    *((299, 299), (211, 127), (97, 101), (509, 61)),  # primes
    *((360, 640), (75, 81), (65, 63), (30, 48), (100, 60), (225, 105), (3, 257)),
]
PROJECTIONS = ("azimuthal", "rows", "columns")
# The library transform of the reference rounds more, and differently from machine to machine.
KERNELS = _ext.available()
MEDIAN, RINGS, LOG = (2e-7, 1e-6, 1e-5) if KERNELS else (2e-6, 1e-5, 1e-4)


def natural(height: int, width: int) -> torch.Tensor:
    """A corner of two mosaics of photographs, (2, 3, H, W) uint8.

    The pieces are rolled by different steps, and have the noise of a sensor: a repeated picture has
    spectral lines and nothing between them.
    """
    pictures = [torch.from_numpy(p).permute(2, 0, 1) for p in (data.astronaut(), data.coffee())]
    images = torch.stack([mosaic(p, height, width) for p in pictures]).int()
    generator = torch.Generator().manual_seed(4)
    noisy = images + torch.randint(-1, 2, images.shape, generator=generator)
    return noisy.clamp(0, 255).to(torch.uint8)


def mosaic(picture: torch.Tensor, height: int, width: int) -> torch.Tensor:
    down, across = -(-height // picture.shape[1]), -(-width // picture.shape[2])
    rows = [
        torch.cat(
            [picture.roll((53 * i, 97 * i + 71 * j), (-2, -1)) for j in range(across)], dim=-1
        )
        for i in range(down)
    ]
    return torch.cat(rows, dim=-2)[:, :height, :width]


def noise(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)


@dataclass(frozen=True)
class Reference:
    """Profiles in double, by projection."""

    power: tuple[np.ndarray, ...]
    log: tuple[np.ndarray, ...]


def column_weights(width: int) -> np.ndarray:
    """2 for the columns of the half plane that stand for their mirror images too."""
    v = np.arange(width // 2 + 1)
    return np.where((v > 0) & (2 * v < width), 2.0, 1.0)


def radii(height: int, width: int) -> np.ndarray:
    """Integer radii about DC; the root of an integer below 2^52 is exact where it is one."""
    u = np.arange(height)
    u = np.minimum(u, height - u)
    return np.sqrt(u[:, None] ** 2 + np.arange(width // 2 + 1) ** 2).astype(int)


def projected(values: np.ndarray, width: int) -> tuple[np.ndarray, ...]:
    """Means over rings, rows and columns of values over the half plane, (N, H, W//2+1)."""
    height = values.shape[-2]
    weights = np.broadcast_to(column_weights(width), values.shape[-2:])
    bins = radii(height, width).ravel()
    counts = np.bincount(bins, weights.ravel())
    rings = [np.bincount(bins, (image * weights).ravel()) / counts for image in values]
    rows = (values * weights).sum(-1) / width
    u = np.arange(height // 2 + 1)
    return np.stack(rings), (rows[:, u] + rows[:, (height - u) % height]) / 2, values.mean(-2)


def gray_of(images: torch.Tensor) -> np.ndarray:
    r, g, b = images.double().unbind(1)
    return (0.299 * r + 0.587 * g + 0.114 * b).numpy()


@functools.cache
def example(make, size: tuple[int, int]) -> tuple[torch.Tensor, Reference]:
    images = make(*size)
    gray = gray_of(images)
    mean = gray.mean((-2, -1))
    spectrum = np.fft.rfft2(gray - mean[:, None, None])
    spectrum[:, 0, 0] = mean * size[0] * size[1]
    power = spectrum.real**2 + spectrum.imag**2
    log = 10 * np.log(power + 1e-16)
    return images, Reference(projected(power, size[1]), projected(log, size[1]))


def errors(profile: torch.Tensor, wanted: np.ndarray) -> np.ndarray:
    assert profile.shape == wanted.shape
    return np.abs(profile.double().numpy() / wanted - 1)


def complete(size: tuple[int, int]) -> slice:
    """Rings that the plane does not cut: a corner bin may be one faint coefficient."""
    return slice(max(1, min(size) // 2))


everywhere = pytest.mark.parametrize("size", SIZES, ids=str)
natural_and_noise = pytest.mark.parametrize("make", [natural, noise])


@natural_and_noise
@everywhere
def test_power(make, size):
    images, wanted = example(make, size)
    error = errors(ops.spectral_profile(images), wanted.power[0])
    assert np.median(error) <= MEDIAN
    assert error[:, complete(size)].max() <= RINGS


@natural_and_noise
@everywhere
def test_rows_and_columns(make, size):
    images, wanted = example(make, size)
    profiles = ops.spectral_profile(images, projections=PROJECTIONS[1:])
    for profile, expected in zip(profiles, wanted.power[1:], strict=True):
        error = errors(profile, expected)
        assert np.median(error) <= 1.5 * MEDIAN
        assert error.max() <= 20 * RINGS


@natural_and_noise
@everywhere
def test_log(make, size):
    images, wanted = example(make, size)
    profiles = ops.spectral_profile(images, value="log", projections=PROJECTIONS)
    rings, rows, columns = map(errors, profiles, wanted.log)
    assert rings[:, complete(size)].max() <= LOG
    assert max(rows.max(), columns.max()) <= LOG


@natural_and_noise
@everywhere
def test_floating_images(make, size):
    """Pixels that are not integers round as they become gray; the worst is one ring of 225x105."""
    images, wanted = example(make, size)
    error = errors(ops.spectral_profile(images.float()), wanted.power[0])
    assert np.median(error) <= 2.5 * MEDIAN
    assert error[:, complete(size)].max() <= 2 * RINGS


@natural_and_noise
@everywhere
def test_double(make, size):
    images, wanted = example(make, size)
    gray = torch.from_numpy(gray_of(images))
    for value, expected in (("power", wanted.power), ("log", wanted.log)):
        profiles = ops.spectral_profile(gray, value=value, projections=PROJECTIONS)
        for error in map(errors, profiles, expected):
            assert error.max() <= 1e-10


def test_faint_tail_beside_a_huge_mean():
    """Sums per bin keep a tail of 1e-3 next to 1e12 at DC; a running sum over radii loses it."""
    y, x = torch.arange(64.0)[:, None], torch.arange(64.0)
    ripple = 5e-4 * torch.cos(2 * torch.pi * (13 * x + 9 * y) / 64)
    images = (ripple.double() + 250)[None]
    profile = ops.spectral_profile(images)[0]
    wanted = (5e-4 * 64 * 64 / 2) ** 2 * 2 / int(ops.azimuthal_counts(64, 64)[15])
    assert float(profile[0]) == pytest.approx((250 * 4096) ** 2)
    assert float(profile[15]) == pytest.approx(wanted, rel=1e-6)
