"""The ring of eight Gaussians: the data on which mode collapse can be counted.

A generator that has learned it reaches all eight modes; one that collapses makes points of a few.
The points are images of two channels and one pixel, so that the perceptrons of `gan` train on them
as on any other images.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

MODES = 8
RADIUS, DEVIATION = 0.8, 0.02
# A point is near a mode within so many deviations; a mode is reached by so much of its fair share.
_NEAR = 3.0
_REACHED = 0.1


class Ring:
    """Points (N, 2, 1, 1) in -1..1, of Gaussians whose centers are evenly spaced on a circle."""

    def batch(self, count: int) -> dict[str, Tensor]:
        """`count` points as "images" and the numbers of their modes as "labels"."""
        modes = torch.randint(MODES, (count,))
        points = centers()[modes] + DEVIATION * torch.randn(count, 2)
        return {"images": points[:, :, None, None], "labels": modes}

    def card(self) -> dict[str, Any]:
        return {
            "name": "ring",
            "source": "drawn by gandetect",
            "modes": MODES,
            "radius": RADIUS,
            "deviation": DEVIATION,
        }


def centers() -> Tensor:
    """The centers of the modes: (8, 2)."""
    angles = 2 * math.pi * torch.arange(MODES) / MODES
    return RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def modes_reached(samples: Tensor) -> int:
    """How many modes have points of `samples` (N, 2, 1, 1) near them, a tenth of their share."""
    counts = _near(samples).sum(dim=0)
    return int((counts >= max(_REACHED * len(samples) / MODES, 1)).sum())


def share_near_modes(samples: Tensor) -> float:
    """The share of `samples` (N, 2, 1, 1) within three deviations of a mode; 0.989 of the ring."""
    return float(_near(samples).any(dim=1).float().mean())


def _near(samples: Tensor) -> Tensor:
    """Whether point n is near mode k: (N, 8) bool."""
    return torch.cdist(samples.flatten(1).float(), centers()) <= _NEAR * DEVIATION
