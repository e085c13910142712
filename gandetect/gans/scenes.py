"""Scenes with known numbers of discs, squares and triangles, for models that take counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gandetect.gans.data import Images

SHAPES = ("disc", "square", "triangle")
# Shapes have a cell each of a grid, so that none hides another.
_CELLS = 4
# Points along a pixel's side: edges are as soft as a camera's.
_FINE = 4
_MOST_SIZE = 1024
Floats = NDArray[np.float64]


def scenes(
    count: int,
    size: int,
    kinds: int = 3,
    seed: int = 0,
    *,
    most: int = 3,
    backgrounds: Images | None = None,
) -> Images:
    """`count` scenes (count, 3, size, size) with `extras["counts"]` (count, kinds) int64.

    Of each of the first `kinds` of `SHAPES` there are 0 to `most`, of any color and place, none
    over another. Scene i of a seed is the same whatever `count`. `backgrounds`: color images of
    `size` to draw on, each scene on one of them, whose source it gets; without, a plain dark color.
    Raises ValueError for what cannot be.
    """
    _check(count, size, kinds, most, backgrounds)
    images = np.empty((count, 3, size, size), np.uint8)
    counts = np.empty((count, kinds), np.int64)
    sources = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        counts[number] = rng.integers(most + 1, size=kinds)
        dark = rng.uniform(0, 90, (3, 1, 1))
        if backgrounds is None:
            scene, source = np.broadcast_to(dark, (3, size, size)).copy(), f"scene {number}"
        else:
            at = int(rng.integers(len(backgrounds)))
            scene = backgrounds.images[at].numpy().astype(np.float64)
            source = str(at) if backgrounds.sources is None else backgrounds.sources[at]
        _draw(scene, counts[number], rng)
        images[number] = np.rint(scene)
        sources.append(source)
    return Images(
        torch.from_numpy(images),
        _card(kinds, most, seed, backgrounds),
        sources=sources,
        extras={"counts": torch.from_numpy(counts)},
    )


def _draw(scene: Floats, counts: NDArray[np.int64], rng: np.random.Generator) -> None:
    """Draw that many of each shape into `scene` (3, S, S) in 0..255, each in a cell of its own."""
    side = scene.shape[1] // _CELLS
    shapes = np.repeat(np.arange(len(counts)), counts)
    cells = rng.permutation(_CELLS**2)[: len(shapes)]
    for shape, cell in zip(shapes, cells, strict=True):
        color = rng.uniform(0, 255, (3, 1, 1))
        color[rng.integers(3)] = 255
        share = _coverage(SHAPES[shape], side, rng)
        top, left = cell // _CELLS * side, cell % _CELLS * side
        part = scene[:, top : top + side, left : left + side]
        part += share * (color - part)


def _coverage(shape: str, side: int, rng: np.random.Generator) -> Floats:
    """How much of each pixel of a cell (side, side) a shape covers, of random size and place."""
    radius = rng.uniform(0.3, 0.45) * side
    # A pixel stays free at the border, so that neighbors do not touch.
    room = max(side / 2 - radius - 0.5, 0)
    middle = side / 2 + rng.uniform(-room, room, 2)
    points = (np.arange(side * _FINE) + 0.5) / _FINE
    y, x = (points - middle[0])[:, None] / radius, (points - middle[1]) / radius
    inside = {
        "disc": y**2 + x**2 <= 1,
        # As large as the disc.
        "square": np.maximum(abs(y), abs(x)) <= np.sqrt(np.pi) / 2,
        "triangle": (abs(y) <= 1) & (abs(x) <= (y + 1) / 2),
    }[shape]
    fine: Floats = inside.reshape(side, _FINE, side, _FINE).mean(axis=(1, 3))
    return fine


def _check(count: int, size: int, kinds: int, most: int, backgrounds: Images | None) -> None:
    if count < 1 or not 16 <= size <= _MOST_SIZE or size % _CELLS:
        raise ValueError(
            f"count={count}, size={size} given; want at least 1 scene of 16 to {_MOST_SIZE} "
            f"pixels, a multiple of {_CELLS}"
        )
    if not 1 <= kinds <= len(SHAPES) or not 0 <= most <= _CELLS**2 // kinds:
        raise ValueError(
            f"kinds={kinds}, most={most} given; want 1 to {len(SHAPES)} kinds of {SHAPES} and no "
            f"more than {_CELLS**2} shapes in all"
        )
    wanted = (3, size, size)
    if backgrounds is not None and backgrounds.images.shape[1:] != wanted:
        shape = tuple(backgrounds.images.shape[1:])
        raise ValueError(f"backgrounds of shape {shape} given; want {wanted}")


def _card(kinds: int, most: int, seed: int, backgrounds: Images | None) -> dict[str, Any]:
    told = {"name": "scenes", "source": "drawn by a program", "license": "Apache-2.0"}
    if backgrounds is not None:
        card = backgrounds.card()
        told = {key: f"{value}; on {card.get(key, 'not stated')}" for key, value in told.items()}
    return {**told, "shapes": list(SHAPES[:kinds]), "most": most, "seed": seed}
