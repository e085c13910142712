"""What a model is made of: one classifier on its features, or several whose logits are weighed.

Late fusion keeps families apart that fail in different ways. Each member scores on its own; the
logit of the whole is `bias + sum_i weight_i logit_i`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gandetect.detect import scorers
from gandetect.detect.features import Spec, extract, spec_from_dict
from gandetect.detect.planes import PlaneSpec, cut_to_side

FUSION = "fusion"
WEIGHT, BIAS = "fusion.weight", "fusion.bias"
MAX_MEMBERS = 16


@dataclass(frozen=True)
class Member:
    """Features and what scores them."""

    spec: Spec
    score: scorers.Scorer

    def logits(self, squares: Tensor) -> Tensor:
        """Logits (N,) float32 of squares (N, S, S); features of one tile size score the mean of
        the tiles that fit in."""
        if not isinstance(self.spec, PlaneSpec):
            return self.score(extract(squares, self.spec).cpu()).float()
        pieces = cut_to_side(squares, self.spec.side)
        logits = self.score(extract(pieces.flatten(0, 1), self.spec).cpu()).float()
        return logits.unflatten(0, pieces.shape[:2]).mean(dim=1)


def prefix(number: int) -> str:
    """What the arrays of a member of a fusion begin with."""
    return f"member{number}."


def members_of(card: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> tuple[Member, ...]:
    """The members that `card` describes, with their `arrays`.

    Raises ValueError where an array is missing or surplus.
    """
    if card["kind"] != FUSION:
        return (_member(card, arrays),)
    described = card["members"]
    if not isinstance(described, list) or not 1 <= len(described) <= MAX_MEMBERS:
        raise ValueError(f"members {described!r}; a fusion has 1 to {MAX_MEMBERS}")
    own = [
        {
            name.removeprefix(prefix(number)): array
            for name, array in arrays.items()
            if name.startswith(prefix(number))
        }
        for number in range(len(described))
    ]
    surplus = {name for name in arrays if not name.startswith("member")} - {WEIGHT, BIAS}
    if surplus or len(arrays) != sum(map(len, own)) + 2:
        raise ValueError(f"arrays {sorted(arrays)}; want those of each member, {WEIGHT}, {BIAS}")
    if arrays[WEIGHT].shape != (len(described),) or arrays[BIAS].numel() != 1:
        raise ValueError(f"{WEIGHT} must have one value for each of {len(described)} members")
    return tuple(_member(entry, part) for entry, part in zip(described, own, strict=True))


def fused(members: tuple[Member, ...], arrays: Mapping[str, Tensor], squares: Tensor) -> Tensor:
    """Logits (N,) float32 of squares (N, S, S) by all `members`."""
    if WEIGHT not in arrays:
        return members[0].logits(squares)
    logits = torch.stack([member.logits(squares) for member in members], dim=1).double()
    return (logits @ arrays[WEIGHT].double() + arrays[BIAS].double()).float()


def _member(described: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Member:
    network = described.get("network")
    score = scorers.build(described["kind"], arrays, network)
    return Member(spec_from_dict(described["features"]), score)
