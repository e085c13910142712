"""Synthetic pictures: noise with the spectrum of photographs, and what up-sampling makes of it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


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
