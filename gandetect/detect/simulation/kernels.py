"""Kernels that enlarge, near interpolation and far from it.

Trained kernels are neither interpolation nor noise: they are smooth, and their phases carry the
mean about evenly, since a pattern on flat surfaces is the first thing that training removes. So a
kernel here starts from a classical one, is moved from it by a random and often smooth deviation,
and then has its phases balanced, wholly, partly or not at all.

Kernels are (C, k, k) float64: one for each plane of the image, or the same for all.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from gandetect.detect.simulation.pictures import log_uniform

Kernels = NDArray[np.float64]

SHAPES = ("hold", "triangle", "cubic", "sinc", "gauss")
# Where the samples of the output lie to those of the input, in pixels of the output.
OFFSETS = (0.0, 0.0, 0.0, 0.25, -0.25, 0.5, -0.5)


def interpolation_kernel(shape: str, size: int, factor: int, offset: float = 0.0) -> Kernels:
    """(1, size, size), the classical kernel `shape` for enlargement by `factor`; sums to factor².

    It is centered, `offset` pixels of the output away from the middle along both axes. A size
    below the support of the shape gives what fits.
    """
    positions = (np.arange(size) - (size - 1) / 2 - offset) / factor
    line = _SHAPES[shape](positions, factor, size)
    line *= factor / line.sum()
    return np.outer(line, line)[None]


def _hold(t: Kernels, factor: int, size: int) -> Kernels:
    # The share of each pixel of the output that it covers, so that an offset moves weight.
    return np.clip((0.5 - np.abs(t)) * factor + 0.5, 0, 1)


def _triangle(t: Kernels, factor: int, size: int) -> Kernels:
    return np.clip(1 - np.abs(t), 0, None)


def _cubic(t: Kernels, factor: int, size: int) -> Kernels:
    """Keys' kernel with a = -0.75, the one of deep-learning frameworks."""
    a, t = -0.75, np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t**2 + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def _sinc(t: Kernels, factor: int, size: int) -> Kernels:
    """Lanczos' kernel, its window as wide as the kernel: the nearest to free of aliasing."""
    return np.sinc(t) * np.sinc(np.clip(t / max(size / (2 * factor), 1.0), -1, 1))


def _gauss(t: Kernels, factor: int, size: int) -> Kernels:
    return np.exp(-0.5 * (t / 0.5) ** 2)


_SHAPES = dict(zip(SHAPES, (_hold, _triangle, _cubic, _sinc, _gauss), strict=True))


def bump(size: int, sigma: float, offset: float = 0.0) -> Kernels:
    """(1, size, size), a Gaussian `offset` pixels from the middle; sums to 1."""
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2 - offset) / sigma) ** 2)
    line /= line.sum()
    return np.outer(line, line)[None]


def perturbed(kernel: Kernels, planes: int, rng: Generator) -> Kernels:
    """(planes, k, k): `kernel` (1, k, k) with random taps added, near the interpolation or far.

    Smooth deviations and white ones, shared by the planes or each plane's own, are equally
    frequent. They sum to 0: no network is trained to give another mean than it gets.
    """
    own = planes if rng.random() < 0.5 else 1
    noise = rng.standard_normal((own, *kernel.shape[1:])) / kernel.shape[1]
    if rng.random() < 0.5:
        noise = _smoothed(noise)
    noise -= noise.mean(axis=(1, 2), keepdims=True)
    return np.repeat(kernel + strength(rng) * kernel.max() * noise, planes // own, axis=0)


def strength(rng: Generator) -> float:
    """How far from interpolation a kernel is: from hardly at all to beyond recognition, evenly."""
    return log_uniform(rng, 0.003, 0.6)


def balanced(kernels: Kernels, factor: int, share: float) -> Kernels:
    """`kernels`, the sums of their factor² phases moved towards 1 by `share` of the difference."""
    result = kernels.copy()
    for y in range(factor):
        for x in range(factor):
            phase = result[:, y::factor, x::factor]
            if phase.size:
                missing = 1 - phase.sum(axis=(1, 2), keepdims=True)
                phase += share * missing / (phase.shape[1] * phase.shape[2])
    return result


def draw_balance(rng: Generator) -> float:
    """How evenly the phases of a kernel carry the mean: mostly wholly, or nearly so."""
    return 1.0 if rng.random() < 0.5 else 1 - log_uniform(rng, 0.01, 1.0)


def _smoothed(noise: Kernels) -> Kernels:
    """`noise` (C, k, k) after [1, 2, 1] / 4 along both axes, of the same mean square."""
    padded = np.pad(noise, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    smooth = rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]
    scale = np.sqrt((noise**2).mean() / ((smooth**2).mean() + 1e-12))
    return np.asarray(smooth * scale)
