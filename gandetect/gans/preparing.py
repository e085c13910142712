"""What models learn from that want more than images: made of real images alone, where it can be.

Models say in `GenerativeModel.learns_from` what a batch must have besides "images":

=========  ======================================================================================
"images"   nothing, but labels where the configuration has classes
"domains"  "sources" of another kind, unpaired; by default gray versions of other images
"pairs"    "sources", of which each image is to be made; by default its gray version
"maps"     "maps" of labels; by default clusters of the images' colors
"counts"   "counts" of things; by default of shapes, drawn onto the images
=========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gandetect.gans.config import Config
from gandetect.gans.data import Data, Images, split
from gandetect.gans.domains import Domains, Pairs
from gandetect.gans.maps import painted, segmented
from gandetect.gans.model import GenerativeModel
from gandetect.gans.registry import model_class
from gandetect.gans.scenes import scenes
from gandetect.gans.training import as_input
from gandetect.ops.reference import gray_planes

_TOGETHER = 1024
_WITHOUT_COLORS = "without colors"


def prepared(
    model: str, config: Config, images: Images, *, sources: Images | None = None, seed: int = 0
) -> Data:
    """What `model` with `config` learns from, of real `images` and where given `sources`.

    Raises ValueError where that cannot be made of them.
    """
    wanted = model_class(model).learns_from
    if sources is not None and wanted not in ("domains", "pairs"):
        raise ValueError(f"{model} makes images of nothing else; no sources are wanted")
    if wanted == "domains":
        return _domains(images, seed) if sources is None else Domains(images, sources)
    if wanted == "pairs":
        return Pairs(images, gray(images) if sources is None else sources)
    if wanted == "maps":
        return images if "maps" in images.extras else segmented(images, _kinds(config), seed)
    if wanted == "counts" and "counts" not in images.extras:
        return scenes(len(images), config.size, _kinds(config), seed, backgrounds=images)
    return images


def asked_of(
    model: GenerativeModel, images: Images, card: Mapping[str, Any], seed: int = 0
) -> dict[str, Tensor]:
    """What `model`'s `draw` takes to make one image for each of `images`, as `prepared` has it.

    `card`: of the data that it was trained on, whose labels mean the same. Empty for a model that
    makes images of nothing.
    """
    wanted = model.learns_from
    if wanted in ("domains", "pairs"):
        return {"sources": as_input(gray(images).images)}
    if wanted == "maps":
        return {"maps": painted(images, card["palette"]).extras["maps"]}
    if wanted == "counts":
        size, kinds = model.config.size, _kinds(model.config)
        return {"counts": scenes(len(images), size, kinds, seed).extras["counts"]}
    return {}


def gray(images: Images) -> Images:
    """`images` (N, 3, S, S) without their colors, in as many channels.

    Raises ValueError for images that have none.
    """
    if images.images.shape[1] != 3:
        raise ValueError(
            "these images have no colors to be learned; want some in color, or sources"
        )
    parts = [_grayed(part) for part in images.images.split(_TOGETHER)]
    card = {**images.card(), "made": _WITHOUT_COLORS}
    return Images(torch.cat(parts), card, sources=images.sources, failed=images.failed)


def is_gray(card: Mapping[str, Any]) -> bool:
    """Whether the sources of these data were made by `gray`."""
    return dict(card.get("sources") or {}).get("made") == _WITHOUT_COLORS


def _grayed(images: Tensor) -> Tensor:
    return gray_planes(images, True, torch.uint8)[:, None].expand(-1, 3, -1, -1)


def _domains(images: Images, seed: int) -> Domains:
    """One half of the photographs in color, the other without."""
    color, other = split(images, (0.5, 0.5), seed)
    return Domains(color, gray(other))


def _kinds(config: Config) -> int:
    return int(getattr(config, "kinds"))  # noqa: B009  # of every model that learns from them
