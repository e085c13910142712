"""The published methods, written out naively in numpy and scipy, give the same features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from gandetect import ops


def durall_by_hand(gray: np.ndarray) -> np.ndarray:
    """20 ln|F + 1e-8|, shifted, averaged over floor(distance to the middle), ends dropped."""
    spectrum = 20 * np.log(np.abs(np.fft.fftshift(np.fft.fft2(gray)) + 1e-8))
    y, x = np.indices(gray.shape)
    center = (np.array(gray.shape) - 1) / 2
    radius = np.hypot(y - center[0], x - center[1]).astype(int)
    sums = np.bincount(radius.ravel(), spectrum.ravel())
    return (sums / np.bincount(radius.ravel()))[1:-1]


def jung_by_hand(gray: np.ndarray) -> np.ndarray:
    """20 ln(P + 1e-8) over the half plane, each coordinate once, min-max."""
    spectrum = np.fft.rfft2(gray)
    values = 20 * np.log(np.abs(spectrum) ** 2 + 1e-8)
    height, width = gray.shape
    ky = np.fft.fftfreq(height, 1 / height).round().astype(int)
    kx = np.arange(width // 2 + 1)
    radius = np.sqrt(ky[:, None] ** 2 + kx**2).astype(int)
    sums = np.bincount(radius.ravel(), values.ravel())
    profile = sums / np.bincount(radius.ravel())
    return (profile - profile.min()) / (profile.max() - profile.min())


@pytest.mark.parametrize("size", [(32, 32), (33, 33), (48, 30), (31, 44), (128, 128)])
def test_profiles(size):
    gray = np.random.default_rng(1).integers(0, 256, size).astype(float)
    images = torch.from_numpy(gray)[None]
    durall = ops.spectral_profile(images, "durall")[0].numpy()
    np.testing.assert_allclose(durall, durall_by_hand(gray), rtol=1e-10)
    jung = ops.spectral_profile(images / 255, "jung")[0].numpy()
    np.testing.assert_allclose(jung, jung_by_hand(gray / 255), atol=1e-10)


@pytest.mark.parametrize(("length", "points"), [(88, 80), (43, 300), (4, 9), (5, 5), (722, 80)])
def test_resampling_is_scipys_not_a_knot_spline(length, points):
    values = np.random.default_rng(2).normal(size=length)
    positions = np.linspace(0, length - 1, points)
    wanted = CubicSpline(np.arange(length), values, bc_type="not-a-knot")(positions)
    from gandetect.ops.conventions import resampling_matrix

    matrix = resampling_matrix(length, points).numpy()
    np.testing.assert_allclose(matrix @ values, wanted, atol=1e-11)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-11)


def test_rounded_gray_is_pillows():
    from PIL import Image

    rgb = np.random.default_rng(3).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    gray = torch.from_numpy(np.array(Image.fromarray(rgb).convert("L")))[None]
    color = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    for convention in ("durall", "power"):
        torch.testing.assert_close(
            ops.spectral_profile(color, convention), ops.spectral_profile(gray, convention)
        )


def test_even_size_radii_have_no_float_trap():
    """At 224 a float frequency table moves 248 exact-integer radii into the wrong bin."""
    axis = np.arange(224) - 112
    radius = np.array([[int(np.sqrt(int(u * u + v * v))) for v in axis] for u in axis])
    wanted = np.bincount(radius.ravel())
    np.testing.assert_array_equal(ops.azimuthal_counts(224, 224), wanted)
