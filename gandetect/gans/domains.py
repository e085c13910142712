"""Two sets of images for models that make one of the other: `Domains` unpaired, `Pairs` paired.

Batches carry "images", what is to be made, and "sources", what it is made of, both uint8.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from gandetect.gans.data import Images


class Domains:
    """`images` of the target domain and `sources` of the other, drawn independently.

    Raises ValueError where the two are not of one shape.
    """

    kind = "unpaired"

    def __init__(self, images: Images, sources: Images) -> None:
        shapes = tuple(tuple(one.images.shape[1:]) for one in (images, sources))
        if shapes[0] != shapes[1]:
            raise ValueError(f"images of shape {shapes[0]} and sources of {shapes[1]}; want one")
        self.images, self.sources = images, sources

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, count: int) -> dict[str, Tensor]:
        images = self.images.batch(count)["images"]
        return {"images": images, "sources": self.sources.batch(count)["images"]}

    def card(self) -> dict[str, Any]:
        """Of both: what is said of one data set for the two together, and the card of each."""
        cards = {"images": self.images.card(), "sources": self.sources.card()}
        digests = "".join(one["sha256"] for one in cards.values())
        names = [one.get("name", "images") for one in cards.values()]
        told = {
            what: "; ".join(
                dict.fromkeys(str(one.get(what, "not stated")) for one in cards.values())
            )
            for what in ("source", "license")
        }
        return {
            "name": f"{names[1]} to {names[0]}",
            **told,
            "kind": self.kind,
            "number": len(self.images),
            "shape": cards["images"]["shape"],
            "sha256": hashlib.sha256(digests.encode()).hexdigest(),
            **cards,
        }


class Pairs(Domains):
    """`images` and the `sources` of each, at the same index.

    Raises ValueError where the two are not of one shape and number, or both say what they stem from
    and it is not the same: files are paired by their names.
    """

    kind = "paired"

    def __init__(self, images: Images, sources: Images) -> None:
        super().__init__(images, sources)
        if len(images) != len(sources):
            raise ValueError(f"{len(images)} images and {len(sources)} sources; want one for each")
        for number, (image, source) in enumerate(
            zip(images.sources or (), sources.sources or (), strict=False)
        ):
            if image != source:
                raise ValueError(
                    f"image {number} is of {image!r}, its source of {source!r}; want the same "
                    "names in both folders"
                )

    def batch(self, count: int) -> dict[str, Tensor]:
        at = torch.randint(len(self.images), (count,))
        return {"images": self.images.images[at], "sources": self.sources.images[at]}
