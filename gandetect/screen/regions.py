"""Which part of a picture is scored: tiles spread over it, its center, all of it, or its faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gandetect.detect.tiles import FLAT, MAX_TILES, is_textured, tile_views, usable_side
from gandetect.media import Luma

REGIONS = ("tiles", "center", "frame", "faces")
MAX_FRAME_SIDE = 4096
# The spectrum kernel has butterflies for these factors; other lengths cost several times more.
_FACTORS = (2, 3, 5, 7, 11, 13)
# Gray levels between black and white of television range, against those of full range.
_TELEVISION = 219 / 255


@dataclass(frozen=True)
class CutOptions:
    """How to cut: `region` is one of REGIONS, `tile` the side a model prefers, `min_side` the
    smallest it accepts, `max_tiles` the most squares taken from one picture. `as_decoded`: the
    model ignores brightness and contrast, so that 8-bit television range need not be scaled."""

    region: str
    tile: int
    min_side: int
    max_tiles: int = MAX_TILES
    as_decoded: bool = False

    def __post_init__(self) -> None:
        if self.region not in REGIONS:
            raise ValueError(f"region {self.region!r} given; choose from {', '.join(REGIONS)}")
        if self.max_tiles < 1:
            raise ValueError(f"max_tiles={self.max_tiles} given; at least 1 is needed")
        if self.tile < 2 or self.tile % 2:
            raise ValueError(f"tile={self.tile} given; an even number of pixels is needed")


@dataclass(slots=True)
class Cut:
    """Squares to score, (S, S) each, uint8 or float32 on the scale 0..255 (or as decoded), or the
    reason for none: `too_small`, `flat` (no texture, so no spectrum to judge) or `no_face`."""

    squares: list[NDArray[Any]]
    reason: str | None = None


def cut(luma: Luma, options: CutOptions) -> Cut:
    """Cut the region out of one picture. The squares are views, where they can be, of the
    decoder's own memory: copy what is to be kept.

    tiles: `gandetect.detect.cut_tiles`, the same as in training: up to max_tiles squares of side
    `tile`, spread evenly. center: one square of that side. frame: squares as high as the picture
    (or as wide, where it is upright) that cover it, at most MAX_FRAME_SIDE a side. faces: one
    square around each face. A picture smaller than a tile is scored as its largest even square.
    """
    try:
        side = usable_side(luma.height, luma.width, options.tile, options.min_side)
    except ValueError:
        return Cut([], "too_small")
    if options.region == "tiles":
        plane, flat = _pixels(luma, options)
        views = tile_views(plane, options.tile, options.min_side, options.max_tiles, flat)
        return Cut(views, None if views else "flat")
    places = _places(luma, options, side)
    if not places:
        return Cut([], "no_face")
    # Cropped first: scaling a deep frame costs far more than its center.
    blocks = [_pixels(luma.crop(top, left, size, size), options) for top, left, size in places]
    views = [block for block, flat in blocks if is_textured(block[None], flat)[0]]
    return Cut(views, None if views else "flat")


def _places(luma: Luma, options: CutOptions, side: int) -> list[tuple[int, int, int]]:
    """(top, left, side) of the squares of all regions but tiles."""
    if options.region == "faces":
        from gandetect.screen.faces import face_squares

        return face_squares(luma, options.min_side, options.max_tiles)
    if options.region == "frame":
        return covering_squares(luma.height, luma.width, options.max_tiles)
    return [((luma.height - side) // 2, (luma.width - side) // 2, side)]


def _pixels(luma: Luma, options: CutOptions) -> tuple[NDArray[Any], float]:
    """What is cut, and the standard deviation below which it is flat."""
    if options.as_decoded and luma.bit_depth == 8:
        return luma.pixels.numpy(), FLAT if luma.full_range else FLAT * _TELEVISION
    return luma.as_uint8_range().numpy(), FLAT


def covering_squares(height: int, width: int, most: int) -> list[tuple[int, int, int]]:
    """(top, left, side) of the fewest squares that cover a picture, evenly spread and overlapping
    where they must; `most` of them where it is longer than that.

    The side is the shorter side of the picture, less the few pixels that bring it to an even
    product of small primes, for which the transform is fast.
    """
    side = smooth_side(min(height, width, MAX_FRAME_SIDE))
    downs, acrosses = (_starts(length, side, most) for length in (height, width))
    places = [(top, left, side) for top in downs for left in acrosses]
    if len(places) > most:
        picked = np.linspace(0, len(places) - 1, most).round().astype(int)
        places = [places[i] for i in picked.tolist()]
    return places


def smooth_side(side: int) -> int:
    """The largest even number up to `side` whose prime factors are all at most 13."""
    for candidate in range(side // 2 * 2, 0, -2):
        rest = candidate
        for factor in _FACTORS:
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return candidate
    raise ValueError(f"side={side} given; at least 2 is needed")


def _starts(length: int, side: int, most: int) -> list[int]:
    """Starts of the intervals of `side` that cover 0 .. length, centered where one nearly does."""
    count = min(most, max(1, -(-(length - side // 32) // side)))
    if count == 1:
        return [(length - side) // 2]
    return [round(i * (length - side) / (count - 1)) for i in range(count)]
