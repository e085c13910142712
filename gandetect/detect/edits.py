"""Forged photographs with the mask of what was forged, made from photographs alone.

Regions are pasted from another photograph, moved within one, filled in, or put through random
up-sampling, the trace that this package is about. Everything else is drawn alike for the forged
region, its surroundings and untouched photographs: scale, interpolation, and one compression of the
finished image. So neither an edge nor a compression alone betrays a forgery. Everything works on
the luma plane, the plane that is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from gandetect.detect.inpainting import STRIDE, diffuse, patch_fill
from gandetect.detect.simulate import Photograph, upsampled
from gandetect.detect.simulation.pipeline import draw_modes
from gandetect.detect.views import (
    MAX_ANGLE,
    centered_grid,
    draw_quality,
    random_view,
    saved,
    turned,
)

# How often each kind is made. "photograph" is left alone, all of "generated" went through
# up-sampling, of "generated region" a part did.
SHARES = {
    "photograph": 0.35,
    "generated": 0.10,
    "generated region": 0.15,
    "splice": 0.15,
    "copy-move": 0.10,
    "in-painting": 0.15,
}
KINDS = tuple(SHARES)
# Share of the image that a forged region takes.
AREA = (0.02, 0.40)


@dataclass(frozen=True)
class Edit:
    """An image (S, S) uint8 and its mask (S, S) bool, True where it was forged.

    `source`, `donor`: numbers of the photograph and of the one that splices come from; a split by
    source must keep both on one side. `quality`: of the JPEG, None for lossless.
    """

    image: Tensor
    mask: Tensor
    kind: str
    source: int
    donor: int
    quality: int | None

    @property
    def label(self) -> int:
        """1 where anything was forged, 0 for a photograph."""
        return int(self.kind != "photograph")


@dataclass(frozen=True)
class Forgery:
    """An image (S, S) float `before` and `after`, and how much of each pixel is new, 0 to 1."""

    before: Tensor
    after: Tensor
    share: Tensor


def make_edits(
    photographs: Sequence[Photograph], *, count: int, side: int = 128, seed: int = 0
) -> Iterator[Edit]:
    """`count` edits (`side` x `side`) of each photograph, two photographs in memory at a time.

    Deterministic: edit j of photograph i depends on `seed`, i, j and the photographs alone. Raises
    ValueError for fewer than two photographs, for one smaller than `side`, and where `side` is no
    multiple of 8 or below 32.
    """
    if len(photographs) < 2:
        raise ValueError(f"{len(photographs)} photographs given; a splice needs at least two")
    if side < 32 or side % STRIDE:
        raise ValueError(f"side {side} given; want a multiple of {STRIDE} from 32 on")
    for source, photograph in enumerate(photographs):
        donor = _donor(source, len(photographs), seed)
        planes = photograph().float(), photographs[donor]().float()
        for number in range(count):
            rng = np.random.default_rng([seed, source, number])
            kind = str(rng.choice(KINDS, p=list(SHARES.values())))
            forgery = forge(*planes, kind, side, rng)
            quality = draw_quality(rng)
            image = saved(forgery.after, quality)
            yield Edit(image, forgery.share > 0.5, kind, source, donor, quality)


def _donor(source: int, photographs: int, seed: int) -> int:
    """The number of another photograph."""
    step = np.random.default_rng([seed, source]).integers(1, photographs)
    return int(source + step) % photographs


def forge(plane: Tensor, donor: Tensor, kind: str, side: int, rng: Generator) -> Forgery:
    """A forgery of `kind` on a random view of the luma `plane` (H, W), not yet in 8 bits."""
    before = random_view(plane, side, rng)
    if kind == "photograph":
        return Forgery(before, before, torch.zeros_like(before))
    if kind == "generated":
        return Forgery(before, _generated(before, rng), torch.ones_like(before))
    region = random_region(side, rng)
    share = _feathered(region, rng) if rng.random() < 0.5 else region.float()
    content = _CONTENTS[kind](before, donor, share > 0, rng)
    return Forgery(before, torch.lerp(before, content, share), share)


def random_region(side: int, rng: Generator) -> Tensor:
    """A random ellipse, convex polygon or blob (side, side) bool that covers a share in `AREA`."""
    x, y = centered_grid(side)
    x, y = x + side * rng.uniform(-0.35, 0.35), y + side * rng.uniform(-0.35, 0.35)
    shape = _SHAPES[rng.integers(len(_SHAPES))]
    # Every shape is a function that grows outwards: a quantile of it has the area that is wanted.
    distance = shape(torch.hypot(x, y), torch.atan2(y, x), rng)
    return distance <= torch.quantile(distance, rng.uniform(*AREA))


def _ellipse(radius: Tensor, angle: Tensor, rng: Generator) -> Tensor:
    angle = angle + rng.uniform(0, np.pi)
    return radius * torch.hypot(torch.cos(angle), rng.uniform(1, 3) * torch.sin(angle))


def _polygon(radius: Tensor, angle: Tensor, rng: Generator) -> Tensor:
    """Distance as measured by the nearest of three to eight sides."""
    sides = int(rng.integers(3, 9))
    normals = 2 * np.pi * (np.arange(sides) + rng.uniform(-0.2, 0.2, sides) + rng.random()) / sides
    reach = rng.uniform(0.7, 1.4, sides)
    facing = [torch.cos(angle - n) / r for n, r in zip(normals.tolist(), reach, strict=True)]
    return radius * torch.stack(facing).amax(dim=0)


def _blob(radius: Tensor, angle: Tensor, rng: Generator) -> Tensor:
    """Distance as measured by an outline of a few random waves."""
    outline = torch.ones_like(angle)
    for waves in range(1, 6):
        size, phase = rng.uniform(0, 0.4 / waves), rng.uniform(0, 2 * np.pi)
        outline += size * torch.cos(waves * angle + phase)
    return radius / outline


_SHAPES = (_ellipse, _polygon, _blob)


def _feathered(region: Tensor, rng: Generator) -> Tensor:
    """`region` (S, S) with a soft edge, as shares 0 to 1."""
    radius = int(rng.integers(1, 4))
    share = region.float()[None, None]
    for _ in range(2):
        padded = F.pad(share, (radius,) * 4, mode="replicate")
        share = F.avg_pool2d(padded, 2 * radius + 1, stride=1)
    return share[0, 0].clamp(0, 1)


def _generated(before: Tensor, rng: Generator) -> Tensor:
    """The same content after random up-sampling stages: only the trace differs."""
    return upsampled(before, draw_modes(rng), rng).clamp(0, 255)


def _generated_region(before: Tensor, donor: Tensor, region: Tensor, rng: Generator) -> Tensor:
    return _generated(before, rng)


def _splice(before: Tensor, donor: Tensor, region: Tensor, rng: Generator) -> Tensor:
    """Content of a view of `donor`, every second time with the levels of what it covers."""
    content = random_view(donor, before.shape[0], rng)
    if rng.random() < 0.5:
        content = turned(content, rng.uniform(-MAX_ANGLE, MAX_ANGLE), rng.uniform(0.8, 1.5))
    return _matched(content, before, region) if rng.random() < 0.5 else content


def _matched(content: Tensor, before: Tensor, region: Tensor) -> Tensor:
    """`content` with the mean and the deviation that `before` has in `region`."""
    inside, wanted = content[region], before[region]
    gain = wanted.std() / inside.std().clamp(min=1.0)
    return (content - inside.mean()) * gain.clamp(0.5, 2.0) + wanted.mean()


def _copy_move(before: Tensor, donor: Tensor, region: Tensor, rng: Generator) -> Tensor:
    """Content from elsewhere in the image; every second time also turned, scaled or flipped."""
    side = before.shape[0]
    direction, distance = rng.uniform(0, 2 * np.pi), side * rng.uniform(0.2, 0.5)
    shift = (round(distance * np.cos(direction)), round(distance * np.sin(direction)))
    if rng.random() < 0.5:
        return turned(before, 0.0, 1.0, shift=shift)
    angle, zoom = rng.uniform(-MAX_ANGLE, MAX_ANGLE), rng.uniform(0.8, 1.25)
    return turned(before, angle, zoom, flip=rng.random() < 0.5, shift=shift)


def _inpainted(before: Tensor, donor: Tensor, region: Tensor, rng: Generator) -> Tensor:
    return (diffuse if rng.random() < 0.5 else patch_fill)(before, region)


_CONTENTS: dict[str, Callable[[Tensor, Tensor, Tensor, Generator], Tensor]] = {
    "generated region": _generated_region,
    "splice": _splice,
    "copy-move": _copy_move,
    "in-painting": _inpainted,
}
