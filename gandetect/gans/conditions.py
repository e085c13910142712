"""What generated images are asked to be: classes, counts, label maps, images to start from.

The rows of a condition are taken in turn: image i has the one at i modulo their number, so that
shards and runs that go on ask for the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gandetect.gans.model import GenerativeModel

# Longer rows, as label maps and images, are told by their number and a digest.
_TOLD_WHOLE = 32


class Conditions:
    """Named tensors (rows, ...), from which image i takes row i modulo their number.

    `alike`: numbers that all images have. Raises ValueError where a tensor has no rows.
    """

    def __init__(
        self, rows: Mapping[str, Tensor], alike: Mapping[str, float] | None = None
    ) -> None:
        for name, values in rows.items():
            if values.dim() == 0 or len(values) == 0:
                raise ValueError(f"{name} of shape {tuple(values.shape)} given; want rows")
        self.rows, self.alike = dict(rows), dict(alike or {})

    def of(self, numbers: range) -> dict[str, Any]:
        """The conditions of images `numbers`, (N, ...) by name, as `draw` takes them."""
        at = torch.arange(numbers.start, numbers.stop)
        rows = {name: values[at % len(values)] for name, values in self.rows.items()}
        return {**rows, **self.alike}

    def facts(self, number: int) -> dict[str, Any]:
        """What image `number` says of its conditions, as JSON values: a short row, or which."""
        found: dict[str, Any] = dict(self.alike)
        for name, values in self.rows.items():
            at = number % len(values)
            singular = {"labels": "label"}.get(name, name)
            found[singular] = values[at].tolist() if _is_short(values) else at
        return found

    def told(self) -> dict[str, Any]:
        """All rows as JSON values, or a digest of them, and what is alike."""
        rows = {
            name: values.tolist() if _is_short(values) else _digest(values)
            for name, values in self.rows.items()
        }
        return {**rows, **self.alike}


def conditions_of(
    model: GenerativeModel,
    labels: Sequence[int] | None = None,
    others: Mapping[str, Tensor] | None = None,
    truncation: float | None = None,
) -> Conditions:
    """The `labels` that images have in turn, by default all that the model knows, and `others`.

    `truncation`: of all images; None leaves it to the model. Raises ValueError for labels that the
    model does not have, and for a truncation where it has none.
    """
    if truncation is not None and not model.truncates:
        raise ValueError(f"{model.name} has no truncation; {truncation} given")
    alike = {} if truncation is None else {"truncation": truncation}
    known = int(getattr(model.config, "classes", 0))
    if not known:
        if labels:
            raise ValueError(f"{model.name} was trained without classes; labels {labels} given")
        return Conditions(others or {}, alike)
    wanted = list(range(known)) if not labels else list(labels)
    if not all(0 <= one < known for one in wanted):
        raise ValueError(f"labels {wanted} given; this {model.name} has 0 to {known - 1}")
    return Conditions({**(others or {}), "labels": torch.tensor(wanted)}, alike)


def _is_short(values: Tensor) -> bool:
    return values.dim() == 1 or (values.dim() == 2 and values.shape[1] <= _TOLD_WHOLE)


def _digest(values: Tensor) -> str:
    shape = f"{tuple(values.shape)} {values.dtype} ".encode()
    return hashlib.sha256(shape + values.contiguous().numpy().tobytes()).hexdigest()
