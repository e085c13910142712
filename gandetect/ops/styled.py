"""The layers of StyleGAN2 fused with what follows them: the documented functions and their checks.

Each computes what `styled_reference` computes, in one sweep over memory. A call without gradients
in float32 on a CPU takes the fused path; every other call is that composition of torch's functions,
which autograd, autocast and CUDA take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from . import styled_reference as reference
from ._ext import available, library

library.impl("styled_conv2d", reference.styled_conv2d, "CompositeExplicitAutograd")
library.impl("styled_filter", reference.styled_filter, "CompositeExplicitAutograd")


@torch.library.register_fake("gandetect::styled_conv2d", lib=library)
def _fake_conv2d(x: Tensor, weight: Tensor, *_: Any) -> Tensor:
    n, height, width = x.shape[0], *x.shape[2:]
    return reference.in_layout_of(x, x.new_empty((n, weight.shape[0], height, width)))


@torch.library.register_fake("gandetect::styled_filter", lib=library)
def _fake_filter(x: Tensor, *_: Any) -> Tensor:
    n, channels, height, width = x.shape
    return reference.in_layout_of(x, x.new_empty((n, channels, height - 1, width - 1)))


def styled_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    factors: Tensor,
    noise: Tensor,
    strength: Tensor,
    bias: Tensor,
    *,
    negative_slope: float = 0.2,
) -> Tensor:
    """A modulated convolution of side 3 that keeps the size, noise, bias and LeakyReLU.

    ``y[n, o] = act(f[n, o] sum over c of (w[o, c] * s[n, c] x[n, c]) + a noise[n] + b[o])``, where
    ``*`` is torch's ``conv2d`` with padding 1 (Karras et al. 2020, arXiv 1912.04958, section 2.2;
    the factors are the demodulation).

    Parameters
    ----------
    x : (N, C, H, W). weight : (O, C, 3, 3). bias : b, (O).
    styles : s, (N, C). factors : f, (N, O).
    noise : (N, 1, H, W). strength : a, of one element.
    negative_slope : of the activation; not negative.

    Returns
    -------
    (N, O, H, W), channels_last where x is.

    Notes
    -----
    Without gradients, in float32 on a CPU, Winograd's minimal filtering takes 16 products for 36,
    and the rest happens as pixels are read and stored. The tests enforce 2e-6, relative to the
    largest value and against float64. Bitwise equal for any number of threads. The weight is found
    packed by its contents, as in `conv_transpose2d`.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    _check_images(x)
    n, channels, height, width = x.shape
    if not isinstance(weight, Tensor) or weight.dim() != 4 or weight.shape[1:] != (channels, 3, 3):
        raise ValueError(f"weight is {_told(weight)}; it must be (O, {channels}, 3, 3)")
    outputs = weight.shape[0]
    _check(styles=(styles, (n, channels)), **_ending(n, outputs, factors, bias))
    _check_noise(noise, strength, (n, 1, height, width))
    _check_slope(negative_slope)
    arguments = (x, weight, styles, factors, noise, strength, bias, float(negative_slope))
    if _is_fused(*arguments[:-1]):
        return torch.ops.gandetect.styled_conv2d(*arguments)  # type: ignore[no-any-return]
    return reference.styled_conv2d(*arguments)


def styled_filter(
    x: Tensor,
    factors: Tensor,
    noise: Tensor,
    strength: Tensor,
    bias: Tensor,
    *,
    negative_slope: float = 0.2,
) -> Tensor:
    """The filter behind StyleGAN2's transposed convolution, factors, noise, bias and LeakyReLU.

    ``y[n, c] = act(f[n, c] (k * x[n, c]) + a noise[n] + b[c])``, where ``*`` is torch's ``conv2d``
    with padding 1 and ``k`` the outer product of [1, 3, 3, 1] / 4 with itself, whose values sum to
    4: three quarters of what it averages are zeros of the transposed convolution of stride 2.

    Parameters
    ----------
    x : (N, C, H + 1, W + 1). factors : f, (N, C). bias : b, (C).
    noise : (N, 1, H, W). strength : a, of one element.
    negative_slope : of the activation; not negative.

    Returns
    -------
    (N, C, H, W), channels_last where x is.

    Notes
    -----
    Without gradients, in float32 on a CPU, both axes are filtered one after the other as the pixels
    pass. The tests enforce 1e-6, relative to the largest value and against float64. Bitwise equal
    for any number of threads.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    _check_images(x)
    n, channels, height, width = x.shape
    if min(height, width) < 2:
        raise ValueError(f"x is {tuple(x.shape)}; its sides must be at least 2")
    _check(**_ending(n, channels, factors, bias))
    _check_noise(noise, strength, (n, 1, height - 1, width - 1))
    _check_slope(negative_slope)
    arguments = (x, factors, noise, strength, bias, float(negative_slope))
    if _is_fused(*arguments[:-1]):
        return torch.ops.gandetect.styled_filter(*arguments)  # type: ignore[no-any-return]
    return reference.styled_filter(*arguments)


def _is_fused(*tensors: Any) -> bool:
    """Whether the kernel may be called: the rest is torch's."""
    if not available() or torch.is_autocast_enabled("cpu"):
        return False
    if torch.is_grad_enabled() and any(one.requires_grad for one in tensors):
        return False
    return all(
        one.dtype == torch.float32 and one.device.type == "cpu" and one.numel() > 0
        for one in tensors
    )


def _told(given: Any) -> str:
    return str(tuple(given.shape)) if isinstance(given, Tensor) else f"a {type(given).__name__}"


def _check_images(x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}; it must be a tensor")
    if x.dim() != 4:
        raise ValueError(f"x is {tuple(x.shape)}; it must be (N, C, H, W)")


def _ending(
    n: int, channels: int, factors: Tensor, bias: Tensor
) -> Mapping[str, tuple[Tensor, tuple[int, ...]]]:
    return {"factors": (factors, (n, channels)), "bias": (bias, (channels,))}


def _check(**wanted: tuple[Tensor, tuple[int, ...]]) -> None:
    for name, (given, shape) in wanted.items():
        if not isinstance(given, Tensor) or given.shape != shape:
            raise ValueError(f"{name} is {_told(given)}; it must be {shape}")


def _check_noise(noise: Tensor, strength: Tensor, shape: tuple[int, ...]) -> None:
    _check(noise=(noise, shape))
    if not isinstance(strength, Tensor) or strength.numel() != 1:
        raise ValueError(f"strength is {_told(strength)}; it must have one element")


def _check_slope(slope: float) -> None:
    if not slope >= 0:
        raise ValueError(f"negative_slope is {slope}; it must not be negative")
