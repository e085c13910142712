"""Up-sampling fused with what follows it: the documented functions, their checks and defaults.

Each computes what a short composition of torch's functions computes, in one sweep. float32 on a
device with kernels takes the fused path; every other call (other dtypes, groups, autocast) is that
composition itself, so nothing that torch accepts is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import _register_upsampling  # noqa: F401  (registers the ops)
from .conventions import choice
from .upsampling_reference import (
    Activation,
    Mode,
    bias_activation,
    conv2d,
    in_layout_of,
    interpolated,
    zeros_between,
)

ACTIVATIONS = {activation.name.lower(): activation for activation in Activation}
MODES = {mode.name.lower(): mode for mode in Mode}


def bed_of_nails(
    x: Tensor,
    scale: int | Sequence[int] = 2,
    *,
    bias: Tensor | None = None,
    activation: str = "none",
    negative_slope: float = 0.01,
) -> Tensor:
    """Zero insertion: ``y[c, s i, s j] = act(x[c, i, j] + b[c])``, ``act(b[c])`` elsewhere.

    Parameters
    ----------
    x : (N, C, H, W) or (C, H, W), any dtype.
    scale : s, or (s_H, s_W); at least 1.
    bias : (C) or None.
    activation : "none", "relu", "leaky_relu" (with `negative_slope`), "tanh" or "sigmoid".

    Returns
    -------
    (N, C, s_H H, s_W W), channels_last where x is. Linear and, without an activation, exact to the
    bit; the adjoint is the strided pick ``y[..., ::s, ::s]``.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    batch, single = _batched(x)
    down, right = _pair("scale", scale)
    if min(down, right) < 1:
        raise ValueError(f"scale is {scale}; it must be at least 1")
    end = _Ending(bias, batch.shape[1], activation, negative_slope)
    if end.is_fused(batch):
        y = torch.ops.gandetect.bed_of_nails(batch, down, right, *end.arguments)
    else:
        y = in_layout_of(batch, end(zeros_between(batch, down, right)))
    return y[0] if single else y


def pixel_shuffle(
    x: Tensor,
    scale: int,
    *,
    bias: Tensor | None = None,
    activation: str = "none",
    negative_slope: float = 0.01,
) -> Tensor:
    """Sub-pixel shuffle: ``y[c, r i + a, r j + b] = act(x[k, i, j] + bias[k])``.

    Here ``k = c r^2 + a r + b``. What follows a convolution with C r^2 channels; `bias` is that
    convolution's, left out of it.

    Parameters
    ----------
    x : (N, C r^2, H, W) or (C r^2, H, W), any dtype.
    scale : r, at least 1.
    bias : (C r^2) or None.
    activation : as in `bed_of_nails`.

    Returns
    -------
    (N, C, r H, r W), channels_last where x is. Without an activation exact to the bit.
    The same as ``torch.nn.functional.pixel_shuffle(act(x + bias), scale)``.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    batch, single = _batched(x)
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale is {scale!r}; it must be a whole number of at least 1")
    if batch.shape[1] % scale**2:
        raise ValueError(
            f"x has {batch.shape[1]} channels; a scale of {scale} needs a multiple of {scale**2}"
        )
    end = _Ending(bias, batch.shape[1], activation, negative_slope)
    if end.is_fused(batch):
        y = torch.ops.gandetect.pixel_shuffle(batch, scale, *end.arguments)
    else:
        y = in_layout_of(batch, F.pixel_shuffle(end(batch), scale))
    return y[0] if single else y


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
    activation: str = "none",
    negative_slope: float = 0.01,
    packed: Tensor | None = None,
) -> Tensor:
    """Transposed convolution, bias and activation in one sweep.

    ``y[o, Y, X] = act(b[o] + sum over c, ky, kx of w[c, o, ky, kx] x[c, i, j])`` over the (i, j)
    with ``Y = s i - p + d ky`` and ``X = s j - p + d kx``; torch's ``conv_transpose2d``, whose
    arguments these are.

    Parameters
    ----------
    x : (N, C, H, W) or (C, H, W).
    weight : (C, O / groups, kH, kW). bias : (O) or None.
    activation : as in `bed_of_nails`.
    packed : the weight as `pack_conv_transpose2d` prepared it, for inference. Without it a call
        packs the weight itself, or finds it packed in a cache that compares contents, so that no
        change of the weight, however it is made, is missed.

    Returns
    -------
    (N, O, OH, OW), channels_last where x is.

    Notes
    -----
    float32 with groups = 1 is fused; the rest is torch's own. Kernels of 4x4 with padding 1, of 3x3
    with padding 1 and of 5x5 with padding 2, all of stride 2, are computed by Winograd's minimal
    filtering where the batch has at least 16 tiles of 2x2: 36 products for 64, 25 for 36, 49 for
    100. The tests enforce, relative to the largest value before an activation and against float64,
    2e-6. Bitwise equal for any number of threads.
    Gradients of any order; autograd keeps x, the weight and, for an activation, the output. The
    gradient of x is fused for the 4x4 kernel, the rest of the backward pass is torch's.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    batch, single = _batched(x)
    _check_weight(weight, batch, groups, transposed=True)
    strides, pads = _pair("stride", stride), _pair("padding", padding)
    extra, dilations = _pair("output_padding", output_padding), _pair("dilation", dilation)
    end = _Ending(bias, weight.shape[1] * groups, activation, negative_slope)
    height, width = _transposed_sides(batch, weight, strides, pads, extra, dilations)
    if groups == 1 and height > 0 and width > 0 and end.is_fused(batch, weight):
        y = torch.ops.gandetect.conv_transpose2d(
            batch,
            weight,
            bias,
            strides,
            pads,
            extra,
            dilations,
            *end.code,
            _packing(weight, packed),
        )
    else:
        y = F.conv_transpose2d(batch, weight, bias, strides, pads, extra, groups, dilations)
        y = in_layout_of(batch, end.after(y))
    return y[0] if single else y


def upsample_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    scale: float | Sequence[float] | None = None,
    size: int | Sequence[int] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
    activation: str = "none",
    negative_slope: float = 0.01,
    packed: Tensor | None = None,
) -> Tensor:
    """Up-sampling, convolution, bias and activation, without the up-sampled tensor.

    ``act(conv2d(interpolate(x, size, scale, mode, align_corners), weight, bias, ...))`` with
    torch's functions and arguments; mode "bed_of_nails" inserts zeros instead.

    Interpolation is linear and acts on pixels, the convolution's mixing of channels on channels, so
    they commute: the channels are mixed at the low resolution for each tap of the kernel, and the
    results are interpolated and summed, for a fraction of the multiplications.

    Parameters
    ----------
    x : (N, C, H, W) or (C, H, W).
    weight : (O, C / groups, kH, kW). bias : (O) or None.
    scale : how many times larger, or (height, width); 2 where neither it nor `size` is given.
    size : (height, width) of the up-sampled image instead. "bed_of_nails" takes whole scales only.
    mode : "nearest", "bilinear", "bicubic" or "bed_of_nails".
    align_corners : as torch has it, for bilinear and bicubic.
    activation, packed : as in `conv_transpose2d`; `pack_upsample_conv2d` prepares a weight.

    Returns
    -------
    (N, O, OH, OW), channels_last where x is.

    Notes
    -----
    float32 with groups = 1 is fused; the rest is torch's own. The tests enforce, relative to the
    largest value and against float64, 2e-6. Bitwise equal for any number of threads.
    Gradients of any order; autograd keeps x at its low resolution, the weight and, for an
    activation, the output.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    batch, single = _batched(x)
    chosen = choice("mode", mode, MODES)
    _check_weight(weight, batch, groups, transposed=False)
    strides, dilations = _pair("stride", stride), _pair("dilation", dilation)
    end = _Ending(bias, weight.shape[0], activation, negative_slope)
    target = _Target(batch, scale, size, chosen, align_corners)
    pads = [0, 0] if padding == "valid" else padding
    if groups == 1 and not isinstance(pads, str) and end.is_fused(batch, weight):
        y = torch.ops.gandetect.upsample_conv2d(
            batch,
            weight,
            bias,
            *target.arguments,
            strides,
            _pair("padding", pads),
            dilations,
            *end.code,
            _packing(weight, packed),
        )
    else:
        high = target.reached(batch)
        y = conv2d(high, weight, bias, strides, padding, dilations, groups)
        y = in_layout_of(batch, end.after(y))
    return y[0] if single else y


def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    output_size: Sequence[int] | None = None,
    bias: Tensor | None = None,
    activation: str = "none",
    negative_slope: float = 0.01,
) -> Tensor:
    """Each value of x back at the place that `max_pool2d` took it from, zeros elsewhere.

    torch's ``max_unpool2d``, then ``act(y + bias[c])``.

    Parameters
    ----------
    x : (N, C, H, W) or (C, H, W). indices : the same shape, int64, positions Y OW + X within a
        plane, as ``max_pool2d(..., return_indices=True)`` gives them.
    kernel_size, stride, padding, output_size : the output's size, as torch derives it.
    bias : (C) or None. activation : as in `bed_of_nails`.

    Returns
    -------
    (N, C, OH, OW), channels_last where x is. Where windows overlap and name one place twice, the
    last of them in the order of x counts.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense. RuntimeError: an index beyond the output;
    on CUDA, where to ask would be to wait, the kernel fills that plane with NaN instead.
    """
    batch, single = _batched(x)
    if not isinstance(indices, Tensor):
        raise TypeError(f"indices are a {type(indices).__name__}; they must be a tensor")
    if indices.dtype != torch.int64:
        raise TypeError(f"indices are {indices.dtype}; they must be torch.int64")
    if indices.shape != x.shape:
        raise ValueError(f"indices are {tuple(indices.shape)} and x {tuple(x.shape)}: one each")
    places = indices[None] if single else indices
    height, width = _unpooled_size(batch, kernel_size, stride, padding, output_size)
    end = _Ending(bias, batch.shape[1], activation, negative_slope)
    if end.is_fused(batch):
        y = torch.ops.gandetect.max_unpool2d(batch, places, height, width, *end.arguments)
    else:
        # torch's own gradient takes no other layout of the indices.
        y = end(torch.ops.aten.max_unpool2d(batch, places.contiguous(), [height, width]))
        y = in_layout_of(batch, y)
    return y[0] if single else y


def pack_conv_transpose2d(
    weight: Tensor,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """A snapshot of a weight (C, O, kH, kW) as the kernels want it, for `conv_transpose2d`.

    An opaque uint8 tensor for this process: of use for any geometry, of most use for the one named
    here; empty where no kernel would read it (other dtypes and devices). It does not follow the
    weight: pack again after a change.
    """
    geometry = [list(_pair(n, v)) for n, v in (("stride", stride), ("padding", padding))]
    dilated = list(_pair("dilation", dilation))
    if not _has_kernel(weight):
        return weight.new_empty(0, dtype=torch.uint8)
    return torch.ops.gandetect.pack_conv_transpose2d(weight.detach(), *geometry, dilated)


def pack_upsample_conv2d(weight: Tensor, *, mode: str = "nearest") -> Tensor:
    """The same of a weight (O, C, kH, kW) for `upsample_conv2d`.

    Right for every mode and scale; with mode "bed_of_nails" it also holds what the faster kernel of
    that mode wants.
    """
    nails = choice("mode", mode, MODES) == Mode.BED_OF_NAILS
    if not _has_kernel(weight):
        return weight.new_empty(0, dtype=torch.uint8)
    return torch.ops.gandetect.pack_upsample_conv2d(weight.detach(), nails)


class _Ending:
    """Bias and activation: checked, and as the ops take them."""

    def __init__(
        self, bias: Tensor | None, channels: int, activation: str, negative_slope: float
    ) -> None:
        chosen = choice("activation", activation, ACTIVATIONS)
        if bias is not None:
            if not isinstance(bias, Tensor):
                raise TypeError(f"bias is a {type(bias).__name__}; it must be a tensor")
            if bias.shape != (channels,):
                raise ValueError(f"bias is {tuple(bias.shape)}; it must be ({channels},)")
        self.bias = bias
        self.code = (int(chosen), float(negative_slope))
        self.arguments = (bias, *self.code)

    def __call__(self, y: Tensor) -> Tensor:
        return bias_activation(y, *self.arguments)

    def after(self, y: Tensor) -> Tensor:
        """Of y, whose bias was added already."""
        return y if self.code[0] == Activation.NONE else bias_activation(y, None, *self.code)

    def is_fused(self, x: Tensor, weight: Tensor | None = None) -> bool:
        # The gradient of a leaky ReLU is read from its output, which tells the sign of its input
        # only where the slope is not negative.
        if self.code[0] == Activation.LEAKY_RELU and not self.code[1] >= 0:
            return False
        return _has_kernel(x) and _is_beside(x, weight) and _is_beside(x, self.bias)


class _Target:
    """Size and scales of an up-sampling, as torch derives them."""

    def __init__(
        self,
        x: Tensor,
        scale: float | Sequence[float] | None,
        size: int | Sequence[int] | None,
        mode: Mode,
        align_corners: bool | None,
    ) -> None:
        if scale is not None and size is not None:
            raise ValueError("scale and size are given; choose one")
        if align_corners is not None and mode in (Mode.NEAREST, Mode.BED_OF_NAILS):
            raise ValueError("align_corners belongs to bilinear and bicubic")
        sides = x.shape[2:]
        if min(sides) < 1:
            raise ValueError(f"x is {tuple(x.shape)}; its sides must be at least 1")
        if size is not None:
            scales: tuple[Any, ...] = (0.0, 0.0)
            targets: tuple[Any, ...] = tuple(size) if isinstance(size, Sequence) else (size, size)
            if len(targets) != 2:
                raise ValueError(f"size is {size}; it must be a whole number, or two")
        else:
            given = 2.0 if scale is None else scale
            scales = tuple(given) if isinstance(given, Sequence) else (given, given)
            if len(scales) != 2 or not all(0 < s < math.inf for s in scales):
                raise ValueError(f"scale is {scale}; it must be a positive number, or two")
            targets = tuple(_floor(side * s) for side, s in zip(sides, scales, strict=True))
        if min(targets) < 1:
            raise ValueError(f"the up-sampled image would be {targets[0]}x{targets[1]}")
        if mode == Mode.BED_OF_NAILS and (
            any(t % s for t, s in zip(targets, sides, strict=True)) or any(s % 1 for s in scales)
        ):
            raise ValueError(
                f"bed_of_nails from {sides[0]}x{sides[1]} to {targets[0]}x{targets[1]}: "
                "the scales must be whole numbers"
            )
        numbers = tuple(float(s) for s in scales)
        self.arguments = (*targets, *numbers, int(mode), bool(align_corners))

    def reached(self, x: Tensor) -> Tensor:
        return interpolated(x, *self.arguments)


def _floor(value: Any) -> Any:
    return math.floor(value) if isinstance(value, float) else torch.sym_int(value)


def _is_beside(x: Tensor, other: Tensor | None) -> bool:
    return other is None or (other.dtype == x.dtype and other.device == x.device)


def _batched(x: Tensor) -> tuple[Tensor, bool]:
    """(N, C, H, W), and whether N had to be put before it."""
    if not isinstance(x, Tensor):
        raise TypeError(f"x is a {type(x).__name__}; it must be a tensor")
    if x.dim() not in (3, 4):
        raise ValueError(f"x is {tuple(x.shape)}; it must be (N, C, H, W) or (C, H, W)")
    return (x, False) if x.dim() == 4 else (x[None], True)


def _has_kernel(x: Tensor) -> bool:
    """float32, and not under autocast, whose cheaper dtypes are torch's to choose."""
    if x.dtype != torch.float32:
        return False
    kind = x.device.type
    return kind == "meta" or not torch.is_autocast_enabled(kind)


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if type(value) is int:
        return value, value
    if isinstance(value, (list, tuple, torch.Size)):
        if len(value) == 1:
            return value[0], value[0]
        if len(value) == 2:
            return value[0], value[1]
        raise ValueError(f"{name} is {value}; it must be a whole number, or two")
    return value, value


def _check_weight(weight: Tensor, x: Tensor, groups: int, transposed: bool) -> None:
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight is a {type(weight).__name__}; it must be a tensor")
    wanted = "(C, O, kH, kW)" if transposed else "(O, C, kH, kW)"
    if weight.dim() != 4:
        raise ValueError(f"weight is {tuple(weight.shape)}; it must be {wanted}")
    if min(weight.shape[2:]) < 1:
        raise ValueError(f"weight is {tuple(weight.shape)}; its sides must be at least 1")
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != x.shape[1]:
        raise ValueError(
            f"x has {x.shape[1]} channels and weight is {tuple(weight.shape)} {wanted} in {groups} "
            f"groups, which takes {channels}"
        )


def _transposed_sides(
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    extra: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int]:
    """Of the result; torch has some without a pixel."""
    if min(stride) < 1 or min(dilation) < 1 or min(padding) < 0 or min(extra) < 0:
        raise ValueError(
            f"stride {list(stride)} and dilation {list(dilation)} must be at least 1, padding "
            f"{list(padding)} and output_padding {list(extra)} at least 0"
        )
    sides = []
    for i in (0, 1):
        if extra[i] >= stride[i] and extra[i] >= dilation[i]:
            raise ValueError(
                f"output_padding {list(extra)} must be less than the stride {list(stride)} or the "
                f"dilation {list(dilation)}"
            )
        reach = dilation[i] * (weight.shape[i + 2] - 1) - 2 * padding[i]
        sides.append((x.shape[i + 2] - 1) * stride[i] + reach + extra[i] + 1)
    height, width = sides
    if height < 0 or width < 0:
        raise ValueError(
            f"the result would be {height}x{width}; padding {list(padding)} is too large"
        )
    return height, width


def _packing(weight: Tensor, packed: Tensor | None) -> Tensor | None:
    """The handle given; for a weight in training an empty one, which asks to pack it for this call
    alone: the next one has other weights, and would only fill the cache."""
    if packed is None and weight.requires_grad and torch.is_grad_enabled():
        return weight.new_empty(0, dtype=torch.uint8)
    return packed


def _unpooled_size(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    output_size: Sequence[int] | None,
) -> tuple[int, int]:
    kernel = _pair("kernel_size", kernel_size)
    strides = kernel if stride is None else _pair("stride", stride)
    pads = _pair("padding", padding)
    parts = list(zip(x.shape[2:], kernel, strides, pads, strict=True))
    natural = [(side - 1) * s + k - 2 * p for side, k, s, p in parts]
    if output_size is None:
        return natural[0], natural[1]
    if len(output_size) not in (2, 4):
        raise ValueError(f"output_size is {tuple(output_size)}; it must be (height, width)")
    asked = list(output_size)[-2:]
    for side, default, s in zip(asked, natural, strides, strict=True):
        if not default - s < side < default + s:
            raise ValueError(
                f"output_size is {tuple(output_size)}; each side must be within the stride of "
                f"{natural[0]}x{natural[1]}"
            )
    return asked[0], asked[1]
