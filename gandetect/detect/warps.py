"""Photographs warped in places, with the flow that undoes it, made from photographs alone.

As retouching of faces and bodies does it (Wang et al. 2019): something is pushed, swollen, swirled
or bent on a grid, smoothly. An untouched photograph has no trace of interpolation but a warped one
has, and a detector would learn just that. So every image here, warped or not, is read from its
photograph exactly once, by the same cubic interpolation at a random small shift, turn and scale.

The flow `u` says where the original is found in the image: original(p) = image(p + u(p)). It is in
pixels, its first plane counts columns and its second rows. The small global motion is part of the
original, so the flow of an image without a warp is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from gandetect.detect.simulate import Photograph
from gandetect.detect.views import centered_grid, draw_quality, sample, saved, scaled_crop

# Largest displacement of a warp in pixels, and the share of the image that it may take.
AMPLITUDE = (1.0, 8.0)
AREA = (0.10, 0.40)
# Neighbors may come apart or together by this much, so that a warp never folds and can be undone.
STEEPEST = 0.5
# Global motion: pixels, radians, and the logarithm of the scale.
SHIFT, TURN, ZOOM = 1.0, math.radians(1.0), 0.01
# Halves the error each time, STEEPEST being what it is.
_INVERSION_STEPS = 10


@dataclass(frozen=True)
class Warp:
    """An image and its original (S, S) uint8 and the flow (2, S, S) float32 from one to the other.

    `label`: 1 warped, 0 not. `quality`: of the JPEG of both, None for lossless.
    """

    image: Tensor
    original: Tensor
    flow: Tensor
    label: int
    source: int
    quality: int | None


def make_warps(
    photographs: Sequence[Photograph], *, count: int, side: int = 128, seed: int = 0
) -> Iterator[Warp]:
    """`count` images (`side` x `side`) from each photograph, half of them warped.

    Deterministic: image j of photograph i depends on `seed`, i and j alone. Raises ValueError for a
    photograph smaller than `side` and the margin that warps need.
    """
    for source, photograph in enumerate(photographs):
        plane = photograph().float()
        for number in range(count):
            rng = np.random.default_rng([seed, source, number])
            label = int(rng.random() < 0.5)
            yield make_warp(plane, side, rng, label, source)


def make_warp(plane: Tensor, side: int, rng: Generator, label: int, source: int = 0) -> Warp:
    """One image from the luma `plane` (H, W), warped where `label` is 1."""
    quality = draw_quality(rng)
    square = scaled_crop(plane, needed_side(side), rng)
    motion = draw_motion(rng)
    displacement = random_displacement(side, rng) if label else torch.zeros(2, side, side)
    # Read at p + v(p), so that the original is found at p + u(p), u being the inverse.
    image = read(square, motion, displacement)
    original = read(square, motion, torch.zeros_like(displacement))
    flow = inverse(displacement) if label else displacement
    return Warp(saved(image, quality), saved(original, quality), flow, label, source, quality)


def undo(images: Tensor, flow: Tensor) -> Tensor:
    """The originals (N, S, S) float of `images` (N, S, S) 0..255, by their `flow` (N, 2, S, S).

    Differentiable in both.
    """
    if flow.shape != (images.shape[0], 2, *images.shape[1:]):
        raise ValueError(
            f"flow of shape {tuple(flow.shape)} given for images of {tuple(images.shape)}; "
            "want (N, 2, S, S) for (N, S, S)"
        )
    return sample(images[:, None].float(), *_positions(flow))[:, 0]


def inverse(displacement: Tensor) -> Tensor:
    """The `u` (2, S, S) with u(p) = -v(p + u(p)) for the `displacement` v (2, S, S)."""
    flow = -displacement
    for _ in range(_INVERSION_STEPS):
        flow = -sample(displacement[None], *_positions(flow[None]))[0]
    return flow


def random_displacement(side: int, rng: Generator) -> Tensor:
    """One to three smooth random bumps (2, side, side), in pixels; 0 away from them.

    Together they cover at most the share drawn from `AREA`; the largest displacement is drawn from
    `AMPLITUDE`, and less where the warp would be steeper than `STEEPEST`.
    """
    bumps = int(rng.integers(1, 4))
    area = rng.uniform(*AREA) / bumps
    total = sum((_bump(side, area, rng) for _ in range(bumps)), torch.zeros(2, side, side))
    total = total * (rng.uniform(*AMPLITUDE) / torch.linalg.vector_norm(total, dim=0).max())
    return total * min(1.0, STEEPEST / _steepness(total))


def _bump(side: int, area: float, rng: Generator) -> Tensor:
    """A pattern of displacements (2, side, side) of about 1, within an ellipse of share `area`."""
    x, y = centered_grid(side)
    x, y = x + side * rng.uniform(-0.3, 0.3), y + side * rng.uniform(-0.3, 0.3)
    turn, ratio = rng.uniform(0, np.pi), rng.uniform(1.0, 1.8)
    cos, sin = math.cos(turn), math.sin(turn)
    distance = torch.hypot(cos * x + sin * y, ratio * (cos * y - sin * x))
    reach = torch.quantile(distance, area)
    window = (1 - (distance / reach) ** 2).clamp(min=0) ** 2
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    return window * pattern(x / reach, y / reach, rng)


def _push(x: Tensor, y: Tensor, rng: Generator) -> Tensor:
    angle = torch.full_like(x, rng.uniform(0, 2 * np.pi))
    return torch.stack((torch.cos(angle), torch.sin(angle)))


def _swell(x: Tensor, y: Tensor, rng: Generator) -> Tensor:
    """Away from the center, or towards it."""
    return torch.stack((x, y)) * float(rng.choice((-1, 1)))


def _swirl(x: Tensor, y: Tensor, rng: Generator) -> Tensor:
    return torch.stack((-y, x)) * float(rng.choice((-1, 1)))


def _grid(x: Tensor, y: Tensor, rng: Generator) -> Tensor:
    """Random displacements on a coarse grid over the image, cubic in between."""
    points = int(rng.integers(4, 8))
    values = torch.from_numpy(rng.standard_normal((1, 2, points, points), dtype=np.float32))
    return F.interpolate(values, x.shape, mode="bicubic", align_corners=True)[0]


_PATTERNS = (_push, _swell, _swirl, _grid)


def _steepness(displacement: Tensor) -> float:
    """The largest change of a displacement from one pixel to the next."""
    changes = torch.stack(torch.gradient(displacement, dim=(1, 2)))
    return float(torch.linalg.vector_norm(changes, dim=(0, 1)).max()) + 1e-12


def draw_motion(rng: Generator) -> Tensor:
    """Global motion as an affine map (2, 3): columns x, y, 1."""
    angle, zoom = rng.uniform(-TURN, TURN), math.exp(rng.uniform(-ZOOM, ZOOM))
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    right, down = rng.uniform(-SHIFT, SHIFT, 2)
    return torch.tensor([[cos, -sin, right], [sin, cos, down]], dtype=torch.float32)


def read(square: Tensor, motion: Tensor, displacement: Tensor) -> Tensor:
    """The middle of `square` at p + `displacement`(p), moved by `motion`; (S, S)."""
    columns, rows = read_from(square, motion, displacement)
    return sample(square[None, None], columns[None], rows[None])[0, 0]


def read_from(square: Tensor, motion: Tensor, displacement: Tensor) -> list[Tensor]:
    """Columns and rows (S, S) of `square` at which `read` reads."""
    x, y = centered_grid(displacement.shape[-1])
    x, y = x + displacement[0], y + displacement[1]
    middle = (square.shape[0] - 1) / 2
    return [a * x + b * y + (c + middle) for a, b, c in motion.tolist()]


def _positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows (N, S, S) of p + `flow`(p), for `flow` (N, 2, S, S)."""
    x, y = centered_grid(flow.shape[-1])
    middle = (flow.shape[-1] - 1) / 2
    return x.to(flow) + middle + flow[:, 0], y.to(flow) + middle + flow[:, 1]


def needed_side(side: int) -> int:
    """Pixels a side that a photograph needs: those of the image and, around them, those that
    displacement and global motion can reach."""
    margin = int(AMPLITUDE[1] + SHIFT) + 1 + math.ceil(side * (TURN + ZOOM) / 2)
    return side + 2 * margin
