"""The real images: squares cut from photographs, in three parts that share no photograph.

Generators and detectors learn from the photographs of the first part. Settings are chosen on the
second, and every figure is of the third, which nothing has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gandetect.detect.networks.training import Progress
from gandetect.detect.tiles import is_textured
from gandetect.experiments.upsampling.plan import SPLITS, Effort
from gandetect.gans.data import Images, patches, split
from gandetect.gans.pictures import find_pictures

SHARES = (0.6, 0.15, 0.25)
# Few photographs give many squares each, many give few.
_MOST_PER_PHOTOGRAPH = 100


def read_photographs(
    folders: Sequence[str | Path],
    size: int,
    effort: Effort,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> tuple[dict[str, Images], dict[str, str]]:
    """Squares of `size` pixels from the photographs below `folders` for each of `SPLITS`.

    About `effort.squares` in all. Also why files could not be used. Raises ValueError for folders
    without photographs, and for fewer than the parts need.
    """
    pictures, _ = find_pictures(folders)
    each = min(max(1, -(-effort.squares // len(pictures))), _MOST_PER_PHOTOGRAPH)
    squares = patches(
        list(folders), size, per_photograph=each, seed=seed, cache=cache, progress=progress
    )
    return dict(zip(SPLITS, split(squares, SHARES, seed), strict=True)), squares.failed


def chosen(images: Images, count: int) -> Images:
    """At most `count` of the `images` that are not flat, spread evenly over the photographs.

    Raises ValueError where all are flat.
    """
    gray = images.images.float().mean(dim=1).numpy()
    textured = np.flatnonzero(is_textured(gray))
    if not len(textured):
        raise ValueError(f"{len(images)} squares of photographs given, all of them flat")
    if len(textured) > count:
        textured = textured[np.linspace(0, len(textured) - 1, count).round().astype(np.int64)]
    return images.take(textured.tolist())


def described(parts: Mapping[str, Images]) -> dict[str, Any]:
    """The data of the experiment as plain JSON values: of the training part, with the others'
    numbers of photographs and of squares."""
    return {
        **parts["train"].card(),
        "parts": {
            name: {"photographs": len(set(part.sources or ())), "squares": len(part)}
            for name, part in parts.items()
        },
    }


def digests(parts: Mapping[str, Images]) -> list[str]:
    """What the parts are recognized by."""
    return [parts[name].sha256 for name in SPLITS]
