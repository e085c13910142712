"""What can be computed into a trained weight once: batch norms, weight norms, spectral norms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm, _WeightNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def fold_batch_norm(
    weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d, groups: int, transposed: bool
) -> tuple[Tensor, Tensor]:
    """The float64 weight and bias of a convolution that the norm after it went into.

    ``t = gamma / sqrt(var + eps)``, ``w' = t w`` and ``b' = t (b - mean) + beta`` for each output.
    Where a shuffle is between the two, r^2 outputs are one channel of the norm.
    """
    out_channels = weight.shape[1] * groups if transposed else weight.shape[0]
    gain, shift = (
        term.repeat_interleave(out_channels // term.shape[0]) for term in gain_and_shift(norm)
    )
    if transposed:  # (C, O / groups, kH, kW), where a group of the outputs has its rows of C
        blocks = weight.unflatten(0, (groups, -1)) * gain.reshape(groups, 1, -1, 1, 1)
        weight = blocks.flatten(0, 1)
    else:
        weight = weight * gain[:, None, None, None]
    return weight, shift if bias is None else bias * gain + shift


def gain_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The norm in eval mode as ``gain x + shift``, in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, gain = exact(norm.running_mean), (exact(norm.running_var) + norm.eps).rsqrt()
    if norm.affine:
        gain = gain * exact(norm.weight)
        return gain, exact(norm.bias) - mean * gain
    return gain, -mean * gain


def exact(tensor: Tensor) -> Tensor:
    """In float64, and on the CPU, because not every device has it."""
    return tensor.detach().to("cpu", torch.float64)


def constant(module: nn.Module, name: str) -> Any:
    """A parameter in eval mode, its weight or spectral norm computed; the module stays as it is.

    Removing the norm instead would change the class that a module shares with its copies.
    """
    for hook in _norm_hooks(module):
        if hook.name == name:
            iterate = (False,) if isinstance(hook, SpectralNorm) else ()
            return hook.compute_weight(module, *iterate)
    return getattr(module, name)


def is_constant_in_eval(module: nn.Module) -> bool:
    """Whether all parametrizations are norms that compute the same on every call."""
    return all(
        isinstance(step, (_WeightNorm, _SpectralNorm))
        for steps in getattr(module, "parametrizations", {}).values()
        for step in steps
    )


def has_hooks(module: nn.Module) -> bool:
    """Hooks that run when it is called, other than those that compute a norm."""
    others = (module._forward_hooks, module._backward_hooks, module._backward_pre_hooks)
    return any(others) or len(_norm_hooks(module)) < len(module._forward_pre_hooks)


def _norm_hooks(module: nn.Module) -> list[WeightNorm | SpectralNorm]:
    hooks = module._forward_pre_hooks.values()
    return [hook for hook in hooks if isinstance(hook, (WeightNorm, SpectralNorm))]
