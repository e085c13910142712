"""The classes that conditional models are trained with and asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from gandetect.gans.model import Batch


def labels_of(batch: Batch, classes: int) -> Tensor | None:
    """The labels (N,) of a batch; None for a model without classes.

    Raises ValueError where the data have none, or others than 0 to `classes` - 1.
    """
    if classes == 0:
        return None
    if "labels" not in batch:
        raise ValueError(
            f"the data have no labels; want whole numbers from 0 to {classes - 1}: give --labels "
            "and a folder for each class"
        )
    return _checked(batch["labels"], classes)


def labels_asked(
    labels: Tensor | int | None, count: int, classes: int, device: torch.device
) -> Tensor | None:
    """Labels (count,) for images to be drawn: those given, one for all, or the classes in turn.

    None for a model without classes. Raises ValueError for labels that the model does not have.
    """
    if classes == 0:
        if labels is not None:
            raise ValueError("labels given; this model was made without classes")
        return None
    wanted = torch.arange(count) % classes if labels is None else torch.as_tensor(labels)
    return _checked(wanted, classes).expand(count).to(device)


def _checked(labels: Tensor, classes: int) -> Tensor:
    if labels.is_floating_point() or not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels {sorted(set(labels.flatten().tolist()))[:8]} given; want whole numbers from 0 "
            f"to {classes - 1}"
        )
    return labels.long()
