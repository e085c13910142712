"""Every op once: itself, its reference in pure torch, and a call that stands for its use.

Tests, `gandetect bench` and the checks on a GPU walk through this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import _register, reference  # noqa: F401  (_register registers the ops)
from .conventions import CONVENTIONS, Plan, make_plan


@dataclass(frozen=True)
class Entry:
    """`call(height, width, images, device)` gives the arguments of a typical call.

    adjoint: the op that is this one's adjoint in its first argument, where there is one.
    """

    name: str
    call: Callable[[int, int, int, torch.device], tuple[Any, ...]]
    adjoint: str | None = None

    @property
    def op(self) -> Callable[..., Any]:
        return getattr(torch.ops.gandetect, self.name)

    @property
    def reference(self) -> Callable[..., Any]:
        return getattr(reference, self.name)


def _plan(height: int, width: int, device: torch.device) -> Plan:
    return make_plan(height, width, "centered", "corner").to(device)


def _random(device: torch.device, *shape: int) -> Tensor:
    # Made on the CPU, so that a seed means the same numbers everywhere.
    return torch.rand(shape, generator=torch.Generator().manual_seed(11)).to(device)


def _means_options() -> tuple[Any, ...]:
    value = CONVENTIONS["centered"].value
    return False, 1.0, 0.0, False, value.mode, value.gain, value.eps


def _means(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    plan = _plan(height, width, device)
    pixels = (256 * _random(device, n, 3, height, width)).to(torch.uint8)
    outputs = (True, False, False)
    return pixels, plan.maps, plan.inverse_counts, plan.folded, *_means_options(), *outputs


def _means_backward(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    plan = _plan(height, width, device)
    # About zero, or the gradient of DC would drown all others.
    pixels = 256 * _random(device, n, 3, height, width) - 128
    gradient = _random(device, n, plan.counts.numel())
    reaching = (gradient, None, None, None)
    return pixels, plan.maps, plan.inverse_counts, plan.folded, *_means_options(), *reaching


def _average(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    plan = _plan(height, width, device)
    plane = _random(device, n, height, width // 2 + 1)
    return plane, plan.maps, plan.inverse_counts, plan.width, plan.folded


def _spread(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    plan = _plan(height, width, device)
    profile = _random(device, n, plan.counts.numel())
    return profile, plan.maps, plan.inverse_counts, plan.width, plan.folded


TABLE = {
    entry.name: entry
    for entry in (
        Entry("spectral_means", _means),
        Entry("spectral_means_backward", _means_backward),
        Entry("azimuthal_average", _average, adjoint="azimuthal_spread"),
        Entry("azimuthal_spread", _spread, adjoint="azimuthal_average"),
    )
}
