"""What generators do to an image besides enlarging it: texture, sharpening, noise taken away.

All on planes (C, H, W), about -1..1, with a random strength.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gandetect import ops
from gandetect.detect.simulation.kernels import bump, perturbed, strength
from gandetect.detect.simulation.pictures import log_uniform
from gandetect.detect.simulation.spectra import filtered
from gandetect.detect.simulation.upsamplers import convolved
from gandetect.detect.simulation.windows import highest, local_mean

# Bands of radius that `matched` compares, up to the corner of the spectrum, and its largest gain.
_BANDS, _CORNER = 12, 0.5**0.5
MAX_LOG_GAIN = 4.0
# They are measured in a square whose side is a multiple of this.
_WHOLE = 32


def textured(x: Tensor, rng: Generator) -> Tensor:
    """Noise at this resolution, seldom: some generators add it at every scale.

    Half of the time it is as strong as the surroundings are busy, as a learned gain would make it.
    """
    if rng.random() > 0.3:
        return x
    noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    if rng.random() < 0.5:
        return x + log_uniform(rng, 0.03, 0.6) * _local(x)[1].sqrt() * noise
    return x + log_uniform(rng, 0.003, 0.05) * noise


def refined(x: Tensor, rng: Generator) -> Tensor:
    """None to two convolutions near the identity, each with a rectified branch: new detail."""
    for _ in range(rng.integers(3)):
        size = int(rng.choice((3, 5)))
        identity = np.zeros((1, size, size))
        identity[0, size // 2, size // 2] = 1
        x = convolved(x, perturbed(identity, len(x), rng))
        branch = rng.standard_normal((1, 3, 3)) / 3
        # Blind to the mean: it would fold the picture.
        branch = np.repeat(branch - branch.mean(), len(x), axis=0)
        x = x + strength(rng) * F.relu(convolved(x, branch))
    return x


def finished(x: Tensor, rng: Generator) -> Tensor:
    """Each of `FINISHES` with its probability, in order."""
    for probability, finish in FINISHES:
        if rng.random() < probability:
            x = finish(x, rng)
    return x


def denoised(x: Tensor, rng: Generator) -> Tensor:
    """The local Wiener filter: flat surfaces become smooth, edges stay, as trained networks do."""
    mean, variance = _local(x)
    noise = log_uniform(rng, 0.005, 0.05) ** 2
    return mean + (variance - noise).clamp(min=0) / (variance + 1e-8) * (x - mean)


def sharpened(x: Tensor, rng: Generator) -> Tensor:
    """Unsharp masking."""
    return x + rng.uniform(0.2, 1.0) * (x - _blurred(x, rng.uniform(0.6, 1.5)))


def crispened(x: Tensor, rng: Generator) -> Tensor:
    """Sharpening that stays within its surroundings: steep edges without ringing, as adversarial
    training makes them."""
    low, high = -highest(-x), highest(x)
    sharp = x + rng.uniform(0.5, 2.0) * (x - _blurred(x, rng.uniform(0.8, 1.5)))
    return torch.minimum(torch.maximum(sharp, low), high)


def softened(x: Tensor, rng: Generator) -> Tensor:
    """A small Gaussian blur."""
    return _blurred(x, rng.uniform(0.3, 0.7))


# Probability and operation.
FINISHES = ((0.3, denoised), (0.3, crispened), (0.2, sharpened), (0.15, softened))


def bounded(x: Tensor, rng: Generator) -> Tensor:
    """Within -1..1, by tanh or, as `as_picture` will do it, by clipping alone."""
    if rng.random() < 0.5:
        return x
    gain = rng.uniform(0.5, 1.2)
    return torch.tanh(gain * x) / float(np.tanh(gain))


def matched(x: Tensor, target: Tensor, rng: Generator) -> Tensor:
    """`x` (C, S, S) with the power of each band of radius moved towards that of `target`.

    An adversary sees to it that a generator is about as sharp as photographs, band by band and as
    far as its layers can: there stays what a smooth radial gain cannot mend. A tenth is left
    blurred.
    """
    if rng.random() < 0.1:
        return x
    share = rng.uniform(0.5, 1.1)
    gain = (share * (_log_bands(target) - _log_bands(x)) / 2).clip(-1, MAX_LOG_GAIN)
    centers = (np.arange(_BANDS) + 0.5) * _CORNER / _BANDS
    return filtered(x, lambda radius: torch.from_numpy(np.interp(radius, centers, gain)).exp())


def _log_bands(x: Tensor) -> NDArray[np.float64]:
    """Log of the mean power of the luma of `x` (C, S, S), S at least `_WHOLE`, in `_BANDS` equal
    bands of radius."""
    # Its middle, of one of a few sides: the geometry of each is worked out once.
    margin = x.shape[-1] % _WHOLE
    side, first = x.shape[-1] - margin, margin // 2
    middle = x[:, first : first + side, first : first + side].contiguous()
    power = ops.spectral_profile(middle[None], window="hann")[0].double().numpy()
    counts, bands = _rings(side)
    total = np.bincount(bands, power * counts, _BANDS)
    # A quarter of the power that rounding to 8 bits leaves: what is below it, no image shows.
    floor = (side / 127.5) ** 2 / 12 / 4
    return np.asarray(np.log(total / np.bincount(bands, counts, _BANDS) + floor))


@functools.lru_cache(maxsize=64)
def _rings(side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each ring of a profile: how many coefficients it has, and its band."""
    counts = ops.azimuthal_counts(side, side).numpy()
    bands = np.arange(len(counts)) * (_BANDS / (_CORNER * side))
    return counts, bands.astype(np.int64).clip(max=_BANDS - 1)


def _blurred(x: Tensor, sigma: float) -> Tensor:
    return convolved(x, np.repeat(bump(5, sigma), len(x), axis=0))


def _local(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C, H, W) of the 5 x 5 pixels around each."""
    mean, square = local_mean(x), local_mean(x * x)
    return mean, (square - mean * mean).clamp(min=0)
