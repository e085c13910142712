"""The squares of an image that are scored.

An image's score is the mean of the logits of its tiles. Training, calibration and screening must
cut them alike, so there is this one way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MAX_TILES = 16
# Standard deviation in gray levels below which a tile holds no more than rounding: nothing to
# judge.
FLAT = 0.5
_LOOK_EVERY = 16


def largest_even_square(height: int, width: int) -> int:
    """Side of the largest even square within an image of `height` x `width`."""
    return min(height, width) // 2 * 2


def usable_side(height: int, width: int, tile: int, min_side: int) -> int:
    """The tile side for an image: `tile`, or the largest even square of a smaller image.

    Raises ValueError where even that is below `min_side`.
    """
    side = min(tile, largest_even_square(height, width))
    if side < min_side:
        raise ValueError(
            f"image of {height}x{width} pixels given; at least {min_side}x{min_side} is needed"
        )
    return side


def central_square(images: Tensor) -> Tensor:
    """The central largest even square of `images` (..., H, W)."""
    height, width = images.shape[-2:]
    side = largest_even_square(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side]


def cut_tiles(
    image: Tensor,
    tile: int,
    *,
    min_side: int = 32,
    max_tiles: int = MAX_TILES,
    flat: float = FLAT,
) -> Tensor:
    """Up to `max_tiles` tiles (T, S, S) spread evenly over `image` (H, W).

    S is `tile`, or the largest even square of a smaller image. The tiles stand on a centered grid
    and do not overlap. Tiles whose standard deviation is below `flat` are left out. Raises
    ValueError where the image is smaller than `min_side` or flat all over.
    """
    if image.ndim != 2:
        raise ValueError(f"image of shape {tuple(image.shape)} given; want one plane (H, W)")
    views = tile_views(image.numpy(), tile, min_side, max_tiles, flat)
    if not views:
        raise ValueError("the image is flat: without texture its spectrum says nothing")
    return torch.from_numpy(np.stack(views))


def tile_views(
    image: NDArray[Any], tile: int, min_side: int, max_tiles: int, flat: float
) -> list[NDArray[Any]]:
    """The tiles of `cut_tiles` as views of the plane `image`, none where it is flat all over."""
    height, width = image.shape
    side = usable_side(height, width, tile, min_side)
    rows, columns = height // side, width // side
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    grid = image[top : top + rows * side, left : left + columns * side]
    blocks = grid.reshape(rows, side, columns, side).swapaxes(1, 2)
    textured = np.flatnonzero(is_textured(blocks, flat)).tolist()
    if len(textured) > max_tiles:
        picked = np.linspace(0, len(textured) - 1, max_tiles).round().astype(np.int64)
        textured = [textured[i] for i in picked.tolist()]
    return [blocks[divmod(number, columns)] for number in textured]


def is_textured(blocks: NDArray[Any], flat: float = FLAT) -> NDArray[np.bool_]:
    """Whether the standard deviation of each block (..., S, S) is at least `flat`, as (...).

    The squared deviations of some rows about their own mean are never more than those of the whole
    block about its mean: where these rows suffice, the others are not read.
    """
    needed = flat**2 * (blocks.shape[-1] ** 2 - 1)
    # A hundredth more than needed, so that rounding decides nothing.
    textured = _deviations(blocks[..., ::_LOOK_EVERY, :]) >= 1.01 * needed
    if not textured.all():
        unsure = ~textured
        textured[unsure] = _deviations(blocks[unsure]) >= needed
    return textured


def _deviations(blocks: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of the squared deviations of each block (..., R, S) from its mean."""
    values = blocks.reshape(*blocks.shape[:-2], -1)
    integer = values.dtype.kind in "iu"
    values = values.astype(np.int64 if integer else np.float64)
    count = values.shape[-1]
    if not integer:
        values -= values.mean(axis=-1, keepdims=True)
    total = values.sum(axis=-1)
    result: NDArray[np.float64] = np.einsum("...i,...i->...", values, values) - total**2 / count
    return result


def as_tensor(plane: NDArray[np.uint8]) -> Tensor:
    """The `plane` itself or, where it may not be written to or lies in another order, a copy."""
    return torch.from_numpy(np.require(plane, requirements=["C", "W"]))
