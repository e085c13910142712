"""Every op once: itself, its reference in pure torch, and a call that stands for its use.

Tests, `gandetect bench` and the checks on a GPU walk through this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# _register, _register_upsampling, styled and traces register the ops.
from . import (
    _register,  # noqa: F401
    _register_upsampling,  # noqa: F401
    reference,
    styled,  # noqa: F401
    styled_reference,
    traces,  # noqa: F401
    traces_reference,
    upsampling_reference,
)
from .conventions import CONVENTIONS, Plan, make_plan
from .upsampling_reference import Activation, Mode

# Of the largest tensor in a call of the up-sampling family: 1 GiB.
MAX_ELEMENTS = 1 << 28


@dataclass(frozen=True)
class Entry:
    """`call(height, width, images, device)` gives the arguments of a typical call.

    Where an op up-samples, height and width are those of its output, rounded down to even ones.
    adjoint: the op that is this one's adjoint in its first argument, where there is one.
    references: the module that holds its reference, under the same name.
    """

    name: str
    call: Callable[[int, int, int, torch.device], tuple[Any, ...]]
    adjoint: str | None = None
    references: ModuleType = reference

    @property
    def op(self) -> Callable[..., Any]:
        return getattr(torch.ops.gandetect, self.name)

    @property
    def reference(self) -> Callable[..., Any]:
        return getattr(self.references, self.name)


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


def _low(height: int, width: int, n: int, device: torch.device, times: int = 1) -> Tensor:
    """About zero, at half the resolution: 16 times `times` channels, fewer for a huge image."""
    channels = times * min(16, max(1, MAX_ELEMENTS // (n * height * width)))
    return _random(device, n, channels, max(1, height // 2), max(1, width // 2)) - 0.5


def _high(height: int, width: int, n: int, device: torch.device) -> Tensor:
    """The same at twice that, without equal neighbors."""
    low = _low(height, width, n, device)
    channels, *sides = low.shape[1:]
    return _random(device, n, channels, *(2 * side for side in sides)) - 0.5


def _nails(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    x = _low(height, width, n, device)
    return x, 2, 2, None, int(Activation.NONE), 0.0


def _shuffle(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    x = _low(height, width, n, device, times=4)
    return x, 2, _random(device, x.shape[1]), int(Activation.LEAKY_RELU), 0.2


def _transposed(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    x = _low(height, width, n, device, times=2)
    weight = _random(device, x.shape[1], x.shape[1] // 2, 4, 4) - 0.5
    bias = _random(device, weight.shape[1])
    geometry = [2, 2], [1, 1], [0, 0], [1, 1]
    return x, weight, bias, *geometry, int(Activation.RELU), 0.0, None


def _enlarged(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    gradient = _high(height, width, n, device)
    return gradient, _random(device, 2 * gradient.shape[1], gradient.shape[1], 4, 4) - 0.5


def _upsampled(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    x = _low(height, width, n, device)
    channels, *sides = x.shape[1:]
    weight = _random(device, channels, channels, 3, 3) - 0.5
    target = (*(2 * side for side in sides), 2.0, 2.0, int(Mode.NEAREST), False)
    geometry = [1, 1], [1, 1], [1, 1]
    end = int(Activation.LEAKY_RELU), 0.2, None
    return x, weight, _random(device, channels), *target, *geometry, *end


def _unpooled(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    high = _high(height, width, n, device)
    x, indices = F.max_pool2d(high, 2, return_indices=True)
    return x, indices, *high.shape[2:], None, int(Activation.NONE), 0.0


def _ended(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    x = _high(height, width, n, device)
    return x, _random(device, x.shape[1]), int(Activation.LEAKY_RELU), 0.2


def _styled(x: Tensor, outputs: int, height: int, width: int) -> tuple[Any, ...]:
    """What a styled layer ends with: factors, noise of this size, its strength, bias and slope."""
    n, device = x.shape[0], x.device
    factors, noise = _random(device, n, outputs), _random(device, n, 1, height, width)
    return factors, noise, _random(device, 1)[0], _random(device, outputs), 0.2


def _modulated(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    x = _high(height, width, n, device)
    channels, *sides = x.shape[1:]
    weight = _random(device, channels, channels, 3, 3) - 0.5
    return x, weight, _random(device, n, channels), *_styled(x, channels, *sides)


def _filtered(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    channels, *sides = _high(height, width, n, device).shape[1:]
    x = _random(device, n, channels, *(side + 1 for side in sides)) - 0.5
    return x, *_styled(x, channels, *sides)


def _responses(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    pixels = (256 * _random(device, n, height, width)).to(torch.uint8)
    differences = torch.tensor([[1.0, -2.0, 1.0, 0.0], [-1.0, 3.0, -3.0, 1.0]], device=device)
    first, second = differences
    filters = (torch.outer(first, second), torch.outer(second, first), torch.outer(first, first))
    return pixels, torch.stack(filters), 0.5


def _quantized(height: int, width: int, n: int, device: torch.device) -> tuple[Any, ...]:
    """All images in one plane, below one another, and all of its blocks in one grid."""
    plane = (256 * _random(device, n * height, width)).to(torch.uint8)
    rows, columns = (
        torch.arange(0, max(8, side) - 7, 8, dtype=torch.int32) for side in plane.shape
    )
    origins = torch.cartesian_prod(rows, columns)[None].to(device)
    # Smooth, so that a coefficient that two transforms put into neighboring bins changes little. No
    # bin ends where the mean of a block, in eighths, often lies.
    sizes = torch.arange(513, device=device) / 513
    steps = torch.arange(1, 129, device=device) / 128
    return plane, origins, 1 + torch.outer(sizes, steps), 4.1


TABLE = {
    entry.name: entry
    for entry in (
        Entry("spectral_means", _means),
        Entry("spectral_means_backward", _means_backward),
        Entry("azimuthal_average", _average, adjoint="azimuthal_spread"),
        Entry("azimuthal_spread", _spread, adjoint="azimuthal_average"),
        Entry("bed_of_nails", _nails, references=upsampling_reference),
        Entry("pixel_shuffle", _shuffle, references=upsampling_reference),
        Entry("conv_transpose2d", _transposed, references=upsampling_reference),
        Entry("conv_transpose2d_adjoint", _enlarged, references=upsampling_reference),
        Entry("upsample_conv2d", _upsampled, references=upsampling_reference),
        Entry("max_unpool2d", _unpooled, references=upsampling_reference),
        Entry("styled_conv2d", _modulated, references=styled_reference),
        Entry("styled_filter", _filtered, references=styled_reference),
        Entry("phase_means", _responses, references=traces_reference),
        Entry("row_log_means", _responses, references=traces_reference),
        Entry("jpeg_step_log_odds", _quantized, references=traces_reference),
        Entry("bias_activation", _ended, references=upsampling_reference),
    )
}
