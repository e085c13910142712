"""From picture files to one block of pixels, in memory or in a file that is read page by page.

The file is kept in a cache folder under a digest of the pictures' names, sizes and times and of how
they were cut; it is made whole or not at all, by one process while others wait.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from filelock import FileLock
from torch import Tensor

from gandetect.gans.pictures import Picture, TooSmallError
from gandetect.media import MediaError
from gandetect.tensorfile import canonical, write_whole

Cut = Callable[[bytes], Tensor]
Progress = Callable[[str, int, int], None]
Shape = tuple[int, int, int]
_VERSION = 1
_CHECKED_AT_ONCE = 1 << 24


@dataclass
class Record:
    """What was gathered: for each image the number of its picture, and why pictures are out."""

    pictures: list[int] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    sha256: str = ""


def gather(
    pictures: Sequence[Picture],
    cut: Cut,
    shape: Shape,
    options: dict[str, Any],
    cache: str | Path | None,
    progress: Progress | None,
) -> tuple[Tensor, Record]:
    """The images (N, *shape) uint8 that `cut` makes of each picture's bytes.

    `options`: everything besides the files that decides what comes out. `cache`: a folder, or None
    for memory. A picture whose bytes came before is left out. Raises ValueError where no image
    came out.
    """
    if cache is not None:
        return _from_cache(pictures, cut, shape, options, Path(cache), progress)
    buffer = io.BytesIO()
    record = _write(pictures, cut, buffer, progress)
    return torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8).view(-1, *shape), record


def _write(
    pictures: Sequence[Picture], cut: Cut, out: BinaryIO, progress: Progress | None
) -> Record:
    """Write the images one after the other; ValueError where there is none."""
    record, digest = Record(), hashlib.sha256()
    seen: dict[str, Path] = {}
    for number, picture in enumerate(pictures):
        if progress:
            progress("reading pictures", number, len(pictures))
        try:
            data = picture.path.read_bytes()
            first = seen.setdefault(hashlib.sha256(data).hexdigest(), picture.path)
            if first is not picture.path:
                record.failed[str(picture.path)] = f"the same file as {first}"
                continue
            images = cut(data)
        except (MediaError, TooSmallError, OSError) as error:
            record.failed[str(picture.path)] = str(error)
            continue
        pixels = images.contiguous().numpy().tobytes()
        out.write(pixels)
        digest.update(pixels)
        record.pictures += [number] * len(images)
    if not record.pictures:
        path, reason = next(iter(record.failed.items()))
        raise ValueError(
            f"none of {len(pictures)} pictures could be used; the first: {path}: {reason}"
        )
    record.sha256 = digest.hexdigest()
    return record


def _from_cache(
    pictures: Sequence[Picture],
    cut: Cut,
    shape: Shape,
    options: dict[str, Any],
    cache: Path,
    progress: Progress | None,
) -> tuple[Tensor, Record]:
    cache.mkdir(parents=True, exist_ok=True)
    files = [(str(one.path.resolve()), *one.stamp) for one in pictures]
    key = hashlib.sha256(canonical([_VERSION, options, files]).encode()).hexdigest()[:32]
    pixels, listing = cache / f"{key}.pixels", cache / f"{key}.json"
    with FileLock(cache / f"{key}.lock"):
        record = _known(pixels, listing)
        if record is None:
            record = _make(pictures, cut, pixels, progress)
            # Last, for it is what says that the pixels are whole.
            write_whole(listing, json.dumps(asdict(record)).encode())
    mapped = torch.from_file(str(pixels), size=pixels.stat().st_size, dtype=torch.uint8)
    return mapped.view(-1, *shape), record


def _known(pixels: Path, listing: Path) -> Record | None:
    """What the cache has, None where there is nothing or it was damaged."""
    if not (pixels.is_file() and listing.is_file()):
        return None
    try:
        record = Record(**json.loads(listing.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None
    digest = hashlib.sha256()
    with pixels.open("rb") as file:
        while part := file.read(_CHECKED_AT_ONCE):
            digest.update(part)
    return record if digest.hexdigest() == record.sha256 else None


def _make(pictures: Sequence[Picture], cut: Cut, pixels: Path, progress: Progress | None) -> Record:
    partial = pixels.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            record = _write(pictures, cut, file, progress)
        partial.replace(pixels)
    finally:
        partial.unlink(missing_ok=True)
    return record
