"""What people ask of a trained model, from folders and numbers, as `draw` takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandetect.gans.data import Images, folder_images
from gandetect.gans.maps import painted
from gandetect.gans.model import GenerativeModel
from gandetect.gans.preparing import gray, is_gray
from gandetect.gans.training import as_input

# What a model that learns from these is asked with, and how people say it.
_ASKED = {
    "domains": ("sources", "--sources FOLDER, pictures to make images of"),
    "pairs": ("sources", "--sources FOLDER, pictures to make images of"),
    "maps": ("maps", "--maps FOLDER, pictures whose colors say what goes where"),
    "counts": ("counts", "--counts N,N, how many things of each kind"),
}


def asked(
    model: GenerativeModel,
    card: Mapping[str, Any],
    *,
    sources: Sequence[str | Path] = (),
    maps: Sequence[str | Path] = (),
    counts: Sequence[Sequence[int]] = (),
) -> dict[str, Tensor]:
    """The conditions that images of `model` have in turn, rows (N, ...) by name.

    `card`: of the data it was trained on. `sources`, `maps`: folders of pictures, of which the
    middle squares are taken; a map is made of the colors of one, with the labels of the training.
    `counts`: of each kind of thing. Empty for a model that is asked nothing.

    Raises ValueError where something else is wanted, or a folder has no pictures.
    """
    given: dict[str, Sequence[Any]] = {"sources": sources, "maps": maps, "counts": counts}
    wanted, how = _ASKED.get(model.learns_from, (None, ""))
    extra = [name for name, values in given.items() if values and name != wanted]
    if extra:
        raise ValueError(f"{model.name} is not asked with {extra[0]}; leave them out")
    if wanted is None:
        return {}
    if not given[wanted]:
        raise ValueError(f"{model.name} makes nothing by itself; give {how}")
    if wanted == "counts":
        return {"counts": _counts(model, counts)}
    return {wanted: (_sources if wanted == "sources" else _maps)(model, card, given[wanted])}


def _counts(model: GenerativeModel, counts: Sequence[Sequence[int]]) -> Tensor:
    kinds = int(getattr(model.config, "kinds", 0))
    if any(len(one) != kinds or min(one) < 0 for one in counts):
        raise ValueError(
            f"counts {[list(one) for one in counts]} given; want {kinds} numbers from 0 up, one "
            "for each kind of thing"
        )
    return torch.tensor([list(one) for one in counts])


def _sources(
    model: GenerativeModel, card: Mapping[str, Any], folders: Sequence[str | Path]
) -> Tensor:
    images = _pictures(model, folders)
    return as_input((gray(images) if is_gray(card) else images).images)


def _maps(model: GenerativeModel, card: Mapping[str, Any], folders: Sequence[str | Path]) -> Tensor:
    if "palette" not in card:
        raise ValueError(
            f"this {model.name} was trained with label maps of its own, which pictures do not say; "
            "give them as conditions in Python"
        )
    return painted(_pictures(model, folders), card["palette"]).extras["maps"]


def _pictures(model: GenerativeModel, folders: Sequence[str | Path]) -> Images:
    config = model.config
    return folder_images(folders, config.size, gray=config.channels == 1)
