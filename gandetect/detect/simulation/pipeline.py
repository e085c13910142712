"""A photograph reduced and enlarged again by stages of random layers: a generator, untrained.

The generator sees its image at every resolution through the features of the layers before, so
that little of the first, coarsest stages is left in what it draws. Here each stage but the last
gets a share of the image as it is at its resolution.
"""

from __future__ import annotations

import math

import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor

from gandetect.detect.simulation.finishing import bounded, finished, matched, refined, textured
from gandetect.detect.simulation.pictures import (
    as_picture,
    as_planes,
    draw_filter,
    padded,
    resized,
)
from gandetect.detect.simulation.upsamplers import MODES, draw_stage

STAGES, _STAGE_SHARES = (1, 2, 3, 4, 5), (0.3, 0.3, 0.2, 0.12, 0.08)
_FACTORS, _FACTOR_SHARES = (2, 3, 4), (0.84, 0.08, 0.08)
MAX_FACTOR = 32
# Where reducing left nothing of a texture, its contrast must not be made of what remains.
MAX_GAIN = 3.0


def draw_modes(rng: Generator) -> tuple[str, ...]:
    """The up-samplers of one to five stages: the same in all of them, or each drawn by itself."""
    stages = int(rng.choice(STAGES, p=_STAGE_SHARES))
    if rng.random() < 0.5:
        return (str(rng.choice(MODES)),) * stages
    return tuple(str(mode) for mode in rng.choice(MODES, size=stages))


def upsampled(original: Tensor, modes: tuple[str, ...], rng: Generator) -> Tensor:
    """`original`, luma (S, S) or RGB (3, S, S) in 0..255, reduced and enlarged again by `modes`.

    Of the same shape, floating, and not yet clipped to 0..255. Each stage enlarges 2, 3 or 4
    times.
    """
    picture = as_picture(original)
    factors = _draw_factors(len(modes), rng)
    total = math.prod(factors)
    wide, top, left = padded(picture, total, rng)
    side = wide.width // total
    x = _reduced(wide, side, rng)
    for number, (mode, factor) in enumerate(zip(modes, factors, strict=True)):
        x = refined(draw_stage(textured(x, rng), mode, factor, rng), rng)
        side *= factor
        target = _reduced(wide, side, rng)
        x = _toned(x, target)
        if number + 1 < len(modes):
            x = x + rng.uniform(0, 0.9) * (target - x)
    x = bounded(matched(finished(x, rng), target, rng), rng) * 127.5 + 127.5
    x = x[:, top : top + picture.height, left : left + picture.width]
    return x if original.ndim == 3 else x[0]


def _draw_factors(stages: int, rng: Generator) -> tuple[int, ...]:
    """Of each stage; mostly 2, and all of them where their product would be too large."""
    factors = tuple(int(factor) for factor in rng.choice(_FACTORS, size=stages, p=_FACTOR_SHARES))
    return factors if math.prod(factors) <= MAX_FACTOR else (2,) * stages


def _reduced(picture: Image.Image, side: int, rng: Generator) -> Tensor:
    """`picture` at `side` x `side` by a random filter, (C, side, side) in -1..1."""
    small = resized(picture, side, draw_filter(rng))
    return (as_planes(small).float() - 127.5) / 127.5


def _toned(x: Tensor, target: Tensor) -> Tensor:
    """`x` (C, H, W) with the mean and the contrast of `target`, plane by plane.

    Random kernels change both, which a trained network would not.
    """
    mean, spread = _tone(target)
    own_mean, own_spread = _tone(x)
    gain = (spread / (own_spread + 1e-6)).clamp(max=MAX_GAIN)
    return (x - own_mean) * gain + mean


def _tone(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C, 1, 1) of `x` (C, H, W). `Tensor.std` takes much
    longer."""
    mean = x.mean(dim=(1, 2), keepdim=True)
    freedom = x.shape[1] * x.shape[2] - 1
    return mean, torch.linalg.vector_norm(x - mean, dim=(1, 2), keepdim=True) / freedom**0.5
