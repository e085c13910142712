"""Random views of photographs, from which edits and warps are made.

What is pasted and what it is pasted into are views of the same kind, drawn by the same function
and saved by the same one: scale, interpolation and compression tell nothing by themselves, only a
difference between one part of an image and another does.
"""

from __future__ import annotations

import math

import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from gandetect.detect.simulate import compress
from gandetect.detect.simulation.pictures import (
    as_picture,
    as_planes,
    draw_filter,
    log_uniform,
    resized,
)

# Shares of the views that keep the photograph's pixels, and that are turned and magnified.
KEPT = 0.25
TURNED = 0.3
SMALLEST_SCALE = 0.2
MAX_ANGLE = math.radians(15)


def random_view(plane: Tensor, side: int, rng: Generator) -> Tensor:
    """A random square of `plane` (H, W) in 0..255 as (side, side), some of them turned.

    Floating, of whole gray levels. Raises ValueError as `scaled_crop` does.
    """
    square = scaled_crop(plane, side, rng)
    if rng.random() >= TURNED:
        return square
    angle = rng.uniform(-MAX_ANGLE, MAX_ANGLE)
    # Magnified so far that the corners of the turned view still lie within the square.
    inside = math.cos(angle) + abs(math.sin(angle))
    return turned(square, angle, inside * rng.uniform(1.0, 1.2)).clamp(0, 255).round()


def scaled_crop(plane: Tensor, side: int, rng: Generator) -> Tensor:
    """A random square of `plane` (H, W) in 0..255, shrunk to (side, side) by a random factor.

    Floating, of whole gray levels; a quarter keep their pixels. Raises ValueError for more than one
    plane, and where it is smaller than `side`.
    """
    if plane.ndim != 2 or min(plane.shape) < side:
        raise ValueError(
            f"photograph of shape {tuple(plane.shape)} given; want luma (H, W) of at least {side} "
            "pixels a side: leave it out or ask for a smaller side"
        )
    height, width = plane.shape
    smallest = max(SMALLEST_SCALE, side / min(height, width))
    scale = 1.0 if rng.random() < KEPT else log_uniform(rng, smallest, 1.0)
    extent = side / scale
    top, left = rng.random() * (height - extent), rng.random() * (width - extent)
    y, x = int(top), int(left)
    if scale == 1.0:
        return plane[y : y + side, x : x + side].float().round()
    # Only what is needed is converted; rounding must not push the box over its border.
    part = as_picture(plane[y : math.ceil(top + extent), x : math.ceil(left + extent)])
    right, bottom = min(left - x + extent, part.width), min(top - y + extent, part.height)
    square = resized(part, side, draw_filter(rng), (left - x, top - y, right, bottom))
    return as_planes(square)[0].float()


def turned(
    square: Tensor,
    angle: float,
    zoom: float,
    *,
    flip: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """`square` (S, S) turned by `angle` (radians) and magnified by `zoom` about its center.

    `shift`: columns and rows by which the content is fetched from elsewhere. `flip`: mirrored left
    to right. Beyond the border the content is mirrored.
    """
    x, y = centered_grid(square.shape[0])
    if flip:
        x = -x
    middle = (square.shape[0] - 1) / 2
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    columns = cos * x - sin * y + middle + shift[0]
    rows = sin * x + cos * y + middle + shift[1]
    return sample(square[None, None], columns[None], rows[None])[0, 0]


def centered_grid(side: int) -> tuple[Tensor, Tensor]:
    """Column and row (S, S) of each pixel, counted from the center of the square."""
    line = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    return line.expand(side, side), line[:, None].expand(side, side)


def sample(planes: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """`planes` (N, C, H, W) at `columns` and `rows` (N, h, w) in pixels, by cubic interpolation.

    Differentiable in all three. Beyond the border the content is mirrored.
    """
    height, width = planes.shape[-2:]
    grid = torch.stack((2 * columns / (width - 1) - 1, 2 * rows / (height - 1) - 1), dim=-1)
    return F.grid_sample(
        planes, grid, mode="bicubic", padding_mode="reflection", align_corners=True
    )


def draw_quality(rng: Generator) -> int | None:
    """The quality of a JPEG, 50 to 98, or, every second time, None for lossless."""
    return int(rng.integers(50, 99)) if rng.random() < 0.5 else None


def saved(image: Tensor, quality: int | None) -> Tensor:
    """`image` (H, W) float 0..255 in 8 bits, as uint8, after JPEG at `quality` if there is one."""
    pixels = image.clamp(0, 255).round().to(torch.uint8)
    return pixels if quality is None else compress(pixels, quality)
