"""Pixels as tensors and as Pillow's images: one way in, one way out, one way to resize."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor

# Gives luma (H, W) or RGB (3, H, W), uint8 or floating 0..255, when it is called and not before.
Photograph = Callable[[], Tensor]
# (left, top, right, bottom) in pixels, which may be broken numbers.
Box = tuple[float, float, float, float]

FILTERS = ("box", "hamming", "bilinear", "bicubic", "lanczos")


def as_picture(pixels: Tensor) -> Image.Image:
    """`pixels` (H, W), (1, H, W) or (3, H, W), uint8 or floating 0..255, as 8-bit gray or RGB.

    Floating values are clipped and rounded. Raises ValueError for another shape.
    """
    planes = pixels[None] if pixels.ndim == 2 else pixels
    if planes.ndim != 3 or planes.shape[0] not in (1, 3):
        raise ValueError(
            f"pixels of shape {tuple(pixels.shape)} given; want luma (H, W) or RGB (3, H, W)"
        )
    if planes.dtype != torch.uint8:
        planes = planes.clamp(0, 255).round().to(torch.uint8)
    array = planes.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def as_planes(picture: Image.Image) -> Tensor:
    """The inverse of `as_picture`: (1, H, W) uint8 of a gray, (3, H, W) of an RGB picture."""
    array = np.array(picture)
    return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1).copy())


def resized(picture: Image.Image, side: int, name: str, box: Box | None = None) -> Image.Image:
    """`picture`, or its `box`, at `side` x `side` pixels by the filter `name` of FILTERS.

    The filters grow with the reduction, so that they do not alias.
    """
    return picture.resize((side, side), Image.Resampling[name.upper()], box)


def padded(picture: Image.Image, multiple: int, rng: Generator) -> tuple[Image.Image, int, int]:
    """`picture` mirrored at its borders to a square whose side is a multiple of `multiple`.

    Also how many pixels were added at the top and at the left: fewer than `multiple`, at random, so
    that the picture lies anywhere on the grid of a generator.
    """
    top, left = (int(offset) for offset in rng.integers(multiple, size=2))
    pixels = np.atleast_3d(np.asarray(picture))
    height, width = pixels.shape[:2]
    side = -(-max(height + top, width + left) // multiple) * multiple
    margins = ((top, side - height - top), (left, side - width - left), (0, 0))
    wide = np.pad(pixels, margins, mode="symmetric")
    return Image.fromarray(wide[:, :, 0] if wide.shape[2] == 1 else wide), top, left


def draw_filter(rng: Generator) -> str:
    """One of FILTERS."""
    return str(rng.choice(FILTERS))


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """A positive number between `low` and `high`, evenly in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
