"""What generators are trained on: real images, drawn at random, with a card that tells of them.

`folder_images` takes the middle of each picture of a folder, `patches` cuts random squares from
photographs, `split` parts a set so that no photograph is on two sides. `digits` has the digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gandetect.gans import gathering
from gandetect.gans.pictures import Crops, decoded, find_pictures, middle

# (what, done, total)
Progress = Callable[[str, int, int], None]
_HASHED_AT_ONCE = 1024


class Data(Protocol):
    """Where the training loop gets its batches."""

    def batch(self, count: int) -> dict[str, Tensor]:
        """`count` examples as tensors (count, ...), "images" among them; uint8 counts as 0..255.

        Drawn by torch's own random numbers, so that training can go on where it stopped.
        """

    def card(self) -> dict[str, Any]:
        """What this is, in JSON values: name, source, license, number, size, digest."""


class Images:
    """Images (N, C, S, S) uint8, and labels (N,) where there are some, with where they are from.

    `described`: the card. `sources`: what each image stems from, the photograph it was cut from;
    needed to `split`. `failed`: why files are not among them, by path. `extras`: what else belongs
    to each image, (N, ...) by name, as label maps and counts. Batches are drawn with replacement.
    """

    def __init__(
        self,
        images: Tensor,
        described: dict[str, Any],
        labels: Tensor | None = None,
        *,
        sources: Sequence[str] | None = None,
        failed: Mapping[str, str] | None = None,
        extras: Mapping[str, Tensor] | None = None,
    ) -> None:
        if images.dim() != 4 or images.dtype != torch.uint8 or len(images) == 0:
            raise ValueError(
                f"images of shape {tuple(images.shape)} {images.dtype} given; want (N, C, S, S) "
                "uint8, at least one"
            )
        if labels is not None and labels.shape != (len(images),):
            raise ValueError(f"labels of shape {tuple(labels.shape)} for {len(images)} images")
        if sources is not None and len(sources) != len(images):
            raise ValueError(f"{len(sources)} sources for {len(images)} images")
        for name, values in (extras or {}).items():
            if len(values) != len(images):
                raise ValueError(f"{len(values)} {name} for {len(images)} images")
        self.extras = dict(extras or {})
        self.images, self.labels, self._card = images, labels, described
        self.sources = None if sources is None else tuple(sources)
        self.failed = dict(failed or {})

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, count: int) -> dict[str, Tensor]:
        at = torch.randint(len(self.images), (count,))
        found = {"images": self.images[at]}
        if self.labels is not None:
            found["labels"] = self.labels[at]
        return found | {name: values[at] for name, values in self.extras.items()}

    @cached_property
    def sha256(self) -> str:
        """Digest of the pixels, and of the labels and extras where there are some."""
        digest = hashlib.sha256()
        # Piece by piece, for the images may be a file that memory does not hold.
        for part in self.images.split(_HASHED_AT_ONCE):
            digest.update(part.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.to(torch.int64).contiguous().numpy().data)
        for name in sorted(self.extras):
            digest.update(name.encode())
            digest.update(self.extras[name].contiguous().numpy().data)
        return digest.hexdigest()

    def card(self) -> dict[str, Any]:
        shape = list(self.images.shape)
        counts = {} if self.sources is None else {"sources": len(set(self.sources))}
        return {
            **self._card,
            **counts,
            "number": shape[0],
            "shape": shape[1:],
            "sha256": self.sha256,
        }

    def without_labels(self) -> Images:
        """The same images, for models without classes."""
        card = {key: value for key, value in self._card.items() if key != "classes"}
        return Images(
            self.images, card, sources=self.sources, failed=self.failed, extras=self.extras
        )

    def take(self, indices: Sequence[int], **described: Any) -> Images:
        """The images at `indices`, copied; `described` is added to the card."""
        at = torch.as_tensor(indices, dtype=torch.int64)
        return Images(
            self.images[at],
            {**self._card, **described},
            None if self.labels is None else self.labels[at],
            sources=None if self.sources is None else [self.sources[i] for i in at.tolist()],
            extras={name: values[at] for name, values in self.extras.items()},
        )


def split(images: Images, shares: Sequence[float], seed: int = 0) -> tuple[Images, ...]:
    """`images` in parts of about these `shares` of them; no source is in two parts.

    Sources are dealt in an order drawn from `seed`, each to the part that its middle image falls
    into. Raises ValueError where the images say nothing of their sources, where the shares do not
    add up to 1, and where a part would be empty.
    """
    if images.sources is None:
        raise ValueError("these images do not say what they stem from; want `sources`")
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares={tuple(shares)} given; want positive numbers that sum to 1")
    names, of_image, counts = np.unique(images.sources, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    ends = np.cumsum(counts[order])
    centers = (ends - counts[order] / 2) / ends[-1]
    part_of_source = np.empty(len(names), dtype=np.int64)
    part_of_source[order] = np.searchsorted(np.cumsum(shares)[:-1], centers, side="right")
    part_of_image = part_of_source[of_image]
    missing = sorted(set(range(len(shares))) - set(part_of_source.tolist()))
    if missing:
        raise ValueError(
            f"{len(names)} sources leave nothing for the part(s) {missing} of shares "
            f"{tuple(shares)}; give more photographs or fewer parts"
        )
    said = {"shares": list(shares), "seed": seed}
    return tuple(
        images.take(np.flatnonzero(part_of_image == part).tolist(), split={**said, "part": part})
        for part in range(len(shares))
    )


def patches(
    folders: str | Path | Sequence[str | Path],
    size: int,
    *,
    per_photograph: int,
    seed: int = 0,
    share: tuple[float, float] = (0.3, 1.0),
    least_factor: float = 1.0,
    mirror: bool = True,
    gray: bool = False,
    source: str = "",
    license: str = "",
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Images:
    """Random squares of the photographs below `folders`, each reduced to `size` pixels.

    (N, 3, size, size) uint8, (N, 1, size, size) where `gray`; N = `per_photograph` times the
    photographs, in order, with `sources`. How they are cut: `pictures.Crops`; a `least_factor` of 2
    and more weakens what JPEG left. The same photograph and `seed` give the same squares whatever
    else is in the folder. `source`, `license`: for the card. `cache`: a folder to keep the squares
    in, as `folder_images` has it.

    Files that cannot be read, are too small or are there twice are left out, see `failed`. Raises
    ValueError where nothing is left.
    """
    crops = Crops(size, per_photograph, share, least_factor, mirror, gray)

    def cut(data: bytes) -> Tensor:
        # From the file's bytes, so that photographs that come and go leave the others alone.
        number = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
        return crops.cut(decoded(data), np.random.default_rng([seed, number]))

    told = {
        "cut": "random squares, mirrored by chance" if mirror else "random squares",
        "per_photograph": per_photograph,
        "seed": seed,
        "share": list(share),
        "least_factor": least_factor,
    }
    return _gathered(folders, size, cut, told, gray, False, source, license, cache, progress)


def folder_images(
    folders: str | Path | Sequence[str | Path],
    size: int,
    *,
    labels: bool = False,
    gray: bool = False,
    source: str = "",
    license: str = "",
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Images:
    """Each picture below `folders`: its middle square, reduced to `size` pixels, never enlarged.

    (N, 3, size, size) uint8, (N, 1, size, size) where `gray`. With `labels` the classes are the
    folders right below those given, in the order of their names (`classes` of the card). `source`,
    `license`: for the card. `cache`: a folder for a file with the pixels, which is then read page
    by page instead of being held in memory, and is made again only where a picture, its name or an
    option changed.

    Files that cannot be read, are too small or are there twice are left out, see `failed`. Raises
    ValueError where nothing is left, or where a picture has no class.
    """

    def cut(data: bytes) -> Tensor:
        return middle(decoded(data), size, gray=gray)

    told = {"cut": "middle square"}
    return _gathered(folders, size, cut, told, gray, labels, source, license, cache, progress)


def _gathered(
    folders: str | Path | Sequence[str | Path],
    size: int,
    cut: Callable[[bytes], Tensor],
    told: dict[str, Any],
    gray: bool,
    labels: bool,
    source: str,
    license: str,
    cache: str | Path | None,
    progress: Progress | None,
) -> Images:
    """The squares that `cut` makes of the bytes of each picture, as a data set."""
    if size < 1:
        raise ValueError(f"size={size} given; want at least 1")
    below = [folders] if isinstance(folders, (str, Path)) else list(folders)
    pictures, failed = find_pictures(below)
    if labels and (lost := [str(one.path) for one in pictures if not one.label]):
        raise ValueError(
            f"{lost[0]}: lies in no folder of a class; with labels every picture needs one"
        )
    shape = (1 if gray else 3, size, size)
    options = {**told, "shape": shape}
    images, record = gathering.gather(pictures, cut, shape, options, cache, progress)
    at = record.pictures
    name = "+".join(Path(one).resolve().name for one in below)
    licenses = sorted({pictures[i].license for i in at} - {""})
    described = {
        "name": name,
        "source": source or f"pictures of {name}",
        "license": license or "; ".join(licenses) or "not stated",
        **told,
    }
    classes = sorted({pictures[i].label for i in at})
    numbers = torch.tensor([classes.index(pictures[i].label) for i in at]) if labels else None
    return Images(
        images,
        {**described, "classes": classes} if labels else described,
        numbers,
        sources=[pictures[i].source for i in at],
        failed=failed | record.failed,
    )
