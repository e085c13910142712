"""The squares of an image that are scored.

An image's score is the mean of the logits of its tiles. Training, calibration and screening must
cut them alike, so there is this one way.
"""

from __future__ import annotations

import torch
from torch import Tensor

MAX_TILES = 16
# Standard deviation in grey levels below which a tile holds no more than rounding: nothing to
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
    image: Tensor, tile: int, *, min_side: int = 32, max_tiles: int = MAX_TILES
) -> Tensor:
    """Up to `max_tiles` tiles (T, S, S) spread evenly over `image` (H, W).

    S is `tile`, or the largest even square of a smaller image. The tiles stand on a centered grid
    and do not overlap. Flat tiles are left out. Raises ValueError where the image is smaller than
    `min_side` or flat all over.
    """
    if image.ndim != 2:
        raise ValueError(f"image of shape {tuple(image.shape)} given; want one plane (H, W)")
    height, width = image.shape
    side = usable_side(height, width, tile, min_side)
    rows, columns = height // side, width // side
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    grid = image[top : top + rows * side, left : left + columns * side]
    blocks = grid.view(rows, side, columns, side).transpose(1, 2)
    textured = is_textured(blocks).nonzero().tolist()
    if not textured:
        raise ValueError("the image is flat: without texture its spectrum says nothing")
    if len(textured) > max_tiles:
        picked = torch.linspace(0, len(textured) - 1, max_tiles, dtype=torch.float64).round()
        textured = [textured[i] for i in picked.long().tolist()]
    return torch.stack([blocks[row, column] for row, column in textured])


def is_textured(blocks: Tensor) -> Tensor:
    """Whether the standard deviation of each block (..., S, S) is at least FLAT.

    The squared deviations of some rows about their own mean are never more than those of the whole
    block about its mean: where these rows suffice, the others are not read.
    """
    side = blocks.shape[-1]
    some = blocks[..., ::_LOOK_EVERY, :].float().flatten(-2)
    # A hundredth more than needed, so that rounding decides nothing.
    textured = some.var(-1, correction=0) * some.shape[-1] >= 1.01 * FLAT**2 * (side**2 - 1)
    unsure = ~textured
    if unsure.any():
        textured[unsure] = blocks[unsure].float().std(dim=(-2, -1)) >= FLAT
    return textured
