"""Pictures of folders: which there are, what each stems from, and squares cut from them.

Everything here is Pillow and files; `gandetect.gans.data` makes data sets of it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from gandetect.media import read_rgb, sniff
from gandetect.media.manifests import rows_in, source_in

# Those that carry an orientation tag; the picture itself is decoded by `read_rgb`.
_TAGGED = ("JPEG", "PNG", "TIFF", "WEBP")


class TooSmallError(ValueError):
    """A picture is smaller than what should be cut from it."""


@dataclass(frozen=True)
class Picture:
    """A file that should hold a picture.

    `source`: what it stems from, which pictures share that must stay on one side of a split.
    `label`: the first folder below the one that was given, "" for none. `license`: "" where nobody
    says. `stamp`: size and time of the file, which change with its content.
    """

    path: Path
    source: str
    label: str
    license: str
    stamp: tuple[int, int]


def find_pictures(folders: Sequence[str | Path]) -> tuple[list[Picture], dict[str, str]]:
    """The pictures below `folders` in order, and why other files that look like some are out.

    A picture is known by its content or its extension; videos, texts and hidden files are passed
    over. Its source is that of `manifests.source_in`.

    Raises ValueError where something given is no folder, or has no picture.
    """
    found: list[Picture] = []
    failed: dict[str, str] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ValueError(f"{folder}: not a folder; give one with pictures in it")
        here = list(_found_below(folder, failed))
        if not here:
            raise ValueError(f"{folder}: no images found; give a folder with pictures in it")
        found += here
    return found, failed


def _found_below(folder: Path, failed: dict[str, str]) -> Iterable[Picture]:
    # Of the screening room: hidden files, links, loops and what cannot be read are dealt with.
    from gandetect.screen.sources import Source, Unreadable, find_files

    found = list(find_files([folder]))
    rows = rows_in(folder, (Path(one.path) for one in found))
    for one in found:
        path = Path(one.path)
        if isinstance(one, Unreadable):
            failed[one.path] = one.detail
        elif isinstance(one, Source) and _is_picture(path, one.wanted):
            below = path.relative_to(folder)
            said = rows[path]
            yield Picture(
                path,
                source_in(said, path, folder),
                below.parts[0] if len(below.parts) > 1 else "",
                str(said.get("license", "")),
                (one.size, one.mtime_ns),
            )


def _is_picture(path: Path, named_like_media: bool) -> bool:
    try:
        kind = sniff(path)
    except OSError:
        # Reading it will say why.
        return named_like_media
    return kind == "image" or (kind is None and named_like_media)


def decoded(data: bytes) -> Image.Image:
    """The RGB picture in the bytes of a file, turned as its orientation tag says.

    Gray is repeated, palettes are resolved, alpha is dropped. Raises MediaError.
    """
    picture = Image.fromarray(read_rgb(data).permute(1, 2, 0).numpy())
    picture.getexif()[ExifTags.Base.Orientation] = _orientation(data)
    return ImageOps.exif_transpose(picture)


def _orientation(data: bytes) -> int:
    """1 is upright."""
    try:
        with Image.open(io.BytesIO(data), formats=_TAGGED) as picture:
            return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Broken tags make Pillow raise what it trips over; the picture is good without them.
        return 1


def middle(picture: Image.Image, size: int, *, gray: bool = False) -> Tensor:
    """The largest square in the middle of `picture`, reduced: (1, C, size, size) uint8.

    Raises TooSmallError where it would have to be enlarged.
    """
    _check_side(picture, size)
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    return _reduced(picture, (left, top, left + side, top + side), size, gray)[None]


@dataclass(frozen=True)
class Crops:
    """How random squares are cut: `count` of each picture, reduced to `size` pixels.

    A square's side is log-uniform between `share` (low, high) of the picture's shorter side, but at
    least `least_factor` times `size`; half of them are mirrored where `mirror`.
    """

    size: int
    count: int
    share: tuple[float, float] = (0.3, 1.0)
    least_factor: float = 1.0
    mirror: bool = True
    gray: bool = False

    def __post_init__(self) -> None:
        low, high = self.share
        if not 0 < low <= high <= 1:
            raise ValueError(f"share={self.share} given; want 0 < low <= high <= 1")
        if self.size < 1 or self.count < 1 or self.least_factor < 1:
            raise ValueError(
                f"size={self.size}, {self.count} crops of each picture, "
                f"least_factor={self.least_factor} given; want at least 1"
            )

    def cut(self, picture: Image.Image, rng: np.random.Generator) -> Tensor:
        """Squares (count, C, size, size) uint8; TooSmallError where one must be enlarged."""
        least = math.ceil(self.size * self.least_factor)
        _check_side(picture, least)
        shortest = min(picture.size)
        low, high = (max(share * shortest, least) for share in self.share)
        squares = []
        for _ in range(self.count):
            side = round(math.exp(rng.uniform(math.log(low), math.log(high))))
            left, top = (int(rng.integers(length - side + 1)) for length in picture.size)
            square = _reduced(picture, (left, top, left + side, top + side), self.size, self.gray)
            flipped = self.mirror and rng.random() < 0.5
            squares.append(square.flip(-1) if flipped else square)
        return torch.stack(squares)


def _check_side(picture: Image.Image, least: int) -> None:
    if min(picture.size) < least:
        width, height = picture.size
        raise TooSmallError(
            f"{width} x {height} pixels; want at least {least} along each side, for nothing is "
            "enlarged"
        )


def _reduced(picture: Image.Image, box: tuple[int, int, int, int], size: int, gray: bool) -> Tensor:
    """The square `box` of `picture` as (C, size, size) uint8.

    Pillow's filters widen with the reduction, so that nothing is aliased.
    """
    square = picture.resize((size, size), Image.Resampling.LANCZOS, box)
    if gray:
        return torch.from_numpy(np.array(square.convert("L")))[None]
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)
