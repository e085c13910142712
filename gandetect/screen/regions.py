"""Which part of a picture is scored: the tiles of the training, its center, or all of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gandetect.detect.tiles import FLAT, MAX_TILES, cut_tiles, usable_side
from gandetect.media import Luma

REGIONS = ("tiles", "center", "frame")
MAX_FRAME_SIDE = 4096


@dataclass(frozen=True)
class CutOptions:
    """How to cut: `region` is one of REGIONS, `tile` the side a model prefers, `min_side` the
    smallest it accepts, `max_tiles` the most tiles taken from one picture."""

    region: str
    tile: int
    min_side: int
    max_tiles: int = MAX_TILES

    def __post_init__(self) -> None:
        if self.region not in REGIONS:
            raise ValueError(f"region {self.region!r} given; choose from {', '.join(REGIONS)}")
        if self.max_tiles < 1:
            raise ValueError(f"max_tiles={self.max_tiles} given; at least 1 is needed")


@dataclass(frozen=True, slots=True)
class Cut:
    """Squares to score, (T, S, S) uint8 or float32 on the scale 0..255, or the reason for none:
    `too_small` or `flat` (no texture, so no spectrum to judge)."""

    tiles: Tensor | None
    reason: str | None = None


def cut(luma: Luma, options: CutOptions) -> Cut:
    """Cut the region out of one picture; the result shares no memory with the decoder.

    tiles: `gandetect.detect.cut_tiles`, the same as in training: up to max_tiles squares of side
    `tile`, spread evenly. center: one square of that side. frame: the largest central square, at
    most MAX_FRAME_SIDE a side. A picture smaller than a tile is scored as its largest even square.
    """
    try:
        side = usable_side(luma.height, luma.width, options.tile, options.min_side)
    except ValueError:
        return Cut(None, "too_small")
    if options.region == "tiles":
        return _tiles(luma.as_uint8_range(), options)
    if options.region == "frame":
        side = min(luma.height, luma.width, MAX_FRAME_SIDE) // 2 * 2
    top, left = (luma.height - side) // 2, (luma.width - side) // 2
    square = luma.crop(top, left, side, side).as_uint8_range()
    if float(square.float().std()) < FLAT:
        return Cut(None, "flat")
    return Cut(square.clone()[None])


def _tiles(image: Tensor, options: CutOptions) -> Cut:
    try:
        return Cut(
            cut_tiles(image, options.tile, min_side=options.min_side, max_tiles=options.max_tiles)
        )
    except ValueError:
        return Cut(None, "flat")
