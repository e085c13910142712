"""Which source an image stems from: a generator that the model knows, real, or none of these.

A closed set of names is a trap: an image of a generator that was never shown would get the name of
the nearest one. So the model also measures how unlike everything known an image is, and beyond a
bound that a stated rate of known images exceeds the name is `unknown`.

Scoring needs torch alone; `gandetect.detect.attributor` fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gandetect.detect.model import Model
from gandetect.detect.networks import NETWORKS, rebuild
from gandetect.detect.networks.fingerprint import SourceNetwork
from gandetect.detect.scorers import score_tiles
from gandetect.detect.tiles import cut_tiles

REAL, UNKNOWN = "real", "unknown"
_CARD = "attribution"
_WEIGHTS = "network."


@dataclass(frozen=True)
class Attribution:
    """`name`: of the likeliest class, or UNKNOWN. `shares`: of each known class, sum 1.

    `novelty`: how unlike all of them the image is; above 1 it is unknown.
    """

    name: str
    shares: dict[str, float]
    novelty: float

    def to_dict(self) -> dict[str, Any]:
        """The attribution as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Calibration:
    """What turns the responses of a `SourceNetwork` into names.

    `temperature`: logits are divided by it. `unknown_from`: the novelty that `unknown_rate` of
    held-out images of known sources exceed.
    """

    classes: tuple[str, ...]
    temperature: float
    unknown_from: float
    unknown_rate: float

    def shares(self, logits: Tensor) -> Tensor:
        """Calibrated shares (N, classes) of `logits` (N, classes), for classes alike frequent."""
        return torch.softmax(logits.double() / self.temperature, dim=1)

    def attribution(self, responses: Tensor) -> Attribution:
        """The attribution of an image of `responses` (T, classes + 1) to its tiles."""
        mean = responses.double().mean(dim=0, keepdim=True)
        shares = self.shares(mean[:, :-1])[0].tolist()
        novelty = float(mean[0, -1]) / self.unknown_from
        best = max(range(len(shares)), key=shares.__getitem__)
        name = UNKNOWN if novelty > 1 else self.classes[best]
        return Attribution(name, dict(zip(self.classes, shares, strict=True)), novelty)

    def to_card(self) -> dict[str, Any]:
        """What the card of a model holds of this."""
        return {_CARD: {**asdict(self), "classes": list(self.classes)}}

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_card`; raises ValueError where the card has none, or nonsense."""
        if _CARD not in card:
            raise ValueError(
                f"{card.get('name')} names no sources; make a model that does with "
                "gandetect attribute --fit"
            )
        values = {name: card[_CARD][name] for name in cls.__dataclass_fields__}
        found = cls(**{**values, "classes": tuple(map(str, values["classes"]))})
        positive = (found.temperature, found.unknown_from)
        if not all(isinstance(value, float) and value > 0 for value in positive):
            raise ValueError(f"temperature and unknown_from {positive}: want positive numbers")
        return found


def attribute(model: Model, planes: Iterable[Tensor]) -> list[Attribution]:
    """The attribution of each luma plane (H, W), uint8 or floating 0..255.

    Raises ValueError for a model that was not fitted to name sources, and for a plane that is flat
    or smaller than the tiles of the model.
    """
    calibration, network = Calibration.from_card(model.card), source_network(model)
    found = []
    for plane in planes:
        tiles = cut_tiles(plane, model.tile, min_side=model.min_side)
        found.append(calibration.attribution(responses(network.respond, network.prepare(tiles))))
    return found


def responses(respond: Callable[[Tensor], Tensor], prepared: Tensor) -> Tensor:
    """What `respond` of a `SourceNetwork` says of `prepared` (T, ...): (T, classes + 1) float64."""
    return score_tiles(respond, prepared).double()


def source_network(model: Model) -> SourceNetwork:
    """The network of `model`; raises ValueError where it tells no sources apart."""
    described = model.card.get("network") or {}
    kind = NETWORKS.get(described.get("name", ""))
    if kind is None or not issubclass(kind, SourceNetwork):
        raise ValueError(f"{model.name} is a {model.classifier} model, which names no sources")
    weights = {
        name.removeprefix(_WEIGHTS): array
        for name, array in model.arrays.items()
        if name.startswith(_WEIGHTS)
    }
    network = rebuild(kind, described["settings"], weights)
    assert isinstance(network, SourceNetwork)
    return network
