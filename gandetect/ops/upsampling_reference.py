"""Every up-sampling op in pure torch: the oracle of the tests, and what runs without a kernel.

Same arguments and results as `torch.ops.gandetect.*`; each is the composition that its docstring
in `upsampling` names, so it is also what a user would write instead.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class Activation(IntEnum):
    """What an op ends with, as its schema numbers it."""

    NONE = 0
    RELU = 1
    LEAKY_RELU = 2
    TANH = 3
    SIGMOID = 4


class Mode(IntEnum):
    """How `upsample_conv2d` up-samples, as its schema numbers it."""

    NEAREST = 0
    BILINEAR = 1
    BICUBIC = 2
    BED_OF_NAILS = 3


def bias_activation(x: Tensor, bias: Tensor | None, activation: int, slope: float) -> Tensor:
    """activation(x + bias) for (N, C, H, W) and a bias (C)."""
    if bias is not None:
        x = x + bias[:, None, None]
    if activation == Activation.RELU:
        return torch.relu(x)
    if activation == Activation.LEAKY_RELU:
        return F.leaky_relu(x, slope)
    if activation == Activation.TANH:
        return torch.tanh(x)
    if activation == Activation.SIGMOID:
        return torch.sigmoid(x)
    if activation != Activation.NONE:
        raise ValueError(f"activation {activation} is unknown; it is 0 to {max(Activation)}")
    return x.clone() if bias is None else x


def activation_gradient(gradient: Tensor, output: Tensor, activation: int, slope: float) -> Tensor:
    """Gradient before the activation from that behind it and the activation's output."""
    if activation == Activation.RELU:
        return torch.ops.aten.threshold_backward(gradient, output, 0)
    if activation == Activation.LEAKY_RELU:
        return torch.ops.aten.leaky_relu_backward(gradient, output, slope, True)
    if activation == Activation.TANH:
        return torch.ops.aten.tanh_backward(gradient, output)
    if activation == Activation.SIGMOID:
        return torch.ops.aten.sigmoid_backward(gradient, output)
    return gradient


def zeros_between(x: Tensor, scale_height: int, scale_width: int) -> Tensor:
    """(N, C, H, W) to (N, C, sH, sW): x at the multiples of the scales, zeros elsewhere."""
    n, c, height, width = x.shape
    spread = F.pad(x[:, :, :, None, :, None], (0, scale_width - 1, 0, 0, 0, scale_height - 1))
    return spread.reshape(n, c, scale_height * height, scale_width * width)


def bed_of_nails(
    x: Tensor,
    scale_height: int,
    scale_width: int,
    bias: Tensor | None,
    activation: int,
    slope: float,
) -> Tensor:
    """Zero insertion, then bias and activation."""
    y = zeros_between(x, scale_height, scale_width)
    return in_layout_of(x, bias_activation(y, bias, activation, slope))


def pixel_shuffle(
    x: Tensor, scale: int, bias: Tensor | None, activation: int, slope: float
) -> Tensor:
    """Bias (of the channels that come in) and activation, then the shuffle."""
    return in_layout_of(x, F.pixel_shuffle(bias_activation(x, bias, activation, slope), scale))


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    activation: int,
    slope: float,
    packed: Tensor | None,
) -> Tensor:
    """Transposed convolution, then bias and activation; `packed` is not looked at."""
    y = F.conv_transpose2d(
        x, weight, None, stride, padding, output_padding, dilation=tuple(dilation)
    )
    return in_layout_of(x, bias_activation(y, bias, activation, slope))


def conv_transpose2d_adjoint(gradient: Tensor, weight: Tensor) -> Tensor:
    """Adjoint in x of the transposed convolution of a 4x4 kernel, stride 2 and padding 1."""
    return in_layout_of(gradient, F.conv2d(gradient, weight, None, 2, 1))


def interpolated(
    x: Tensor,
    height: int,
    width: int,
    scale_height: float,
    scale_width: float,
    mode: int,
    align_corners: bool,
) -> Tensor:
    """(N, C, H, W) to (N, C, height, width) as torch interpolates; a scale of 0: from the sizes."""
    aten, size = torch.ops.aten, [height, width]
    scales = (scale_height or None, scale_width or None)
    if mode == Mode.NEAREST:
        return aten.upsample_nearest2d(x, size, *scales)
    if mode == Mode.BILINEAR:
        return aten.upsample_bilinear2d(x, size, align_corners, *scales)
    if mode == Mode.BICUBIC:
        return aten.upsample_bicubic2d(x, size, align_corners, *scales)
    if mode != Mode.BED_OF_NAILS:
        raise ValueError(f"mode {mode} is unknown; it is 0 to {max(Mode)}")
    return zeros_between(x, height // x.shape[2], width // x.shape[3])


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int = 1,
) -> Tensor:
    """torch's, in float32 for dilated kernels of bfloat16 on a CPU.

    There torch 2.13 ends the process on processors with AMX, where no tap meets the image.
    """
    is_dilated = any(one != 1 for one in dilation)
    types = {one.dtype for one in (x, weight, bias) if one is not None}
    if not (is_dilated and types == {torch.bfloat16} and x.device.type == "cpu"):
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    wide = None if bias is None else bias.float()
    y = F.conv2d(x.float(), weight.float(), wide, stride, padding, dilation, groups)
    return y.to(x.dtype)


def upsample_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    height: int,
    width: int,
    scale_height: float,
    scale_width: float,
    mode: int,
    align_corners: bool,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    activation: int,
    slope: float,
    packed: Tensor | None,
) -> Tensor:
    """Up-sampling, convolution, bias, activation; `packed` is not looked at."""
    high = interpolated(x, height, width, scale_height, scale_width, mode, align_corners)
    y = conv2d(high, weight, None, stride, padding, dilation)
    return in_layout_of(x, bias_activation(y, bias, activation, slope))


def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    height: int,
    width: int,
    bias: Tensor | None,
    activation: int,
    slope: float,
) -> Tensor:
    """Each value at its index within (height, width), zeros elsewhere; then bias and activation."""
    y = torch.ops.aten.max_unpool2d(x, indices, [height, width])
    return in_layout_of(x, bias_activation(y, bias, activation, slope))


def pack_conv_transpose2d(
    weight: Tensor, stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor:
    """Nothing: torch packs weights itself, on every call."""
    return weight.new_empty(0, dtype=torch.uint8)


def pack_upsample_conv2d(weight: Tensor, bed_of_nails: bool) -> Tensor:
    """Nothing, as above."""
    return weight.new_empty(0, dtype=torch.uint8)


def bias_activation_(x: Tensor, bias: Tensor | None, activation: int, slope: float) -> None:
    """`bias_activation` in place."""
    x.copy_(bias_activation(x, bias, activation, slope))


def tap_gather_(
    out: Tensor,
    z: Tensor,
    rows: Tensor,
    row_weights: Tensor,
    columns: Tensor,
    column_weights: Tensor,
    span: Tensor,
    bias: Tensor | None,
    activation: int,
    slope: float,
) -> None:
    """What tap planes z (N, kH, kW, O, H, W) make of an up-sampling and a convolution.

    ``out[n, o, Y, X]`` is the activation of the bias and the sum over the entries of Y and X of
    ``row weight * column weight * z[n, ty, tx, o, h, w]``. rows, columns: (2, L, OH or OW), taps
    and sources, a list down each column, which ends at a tap of -1; `span` bounds the sources of
    columns, for kernels.
    """
    by_row = _listed(z, 1, 4, rows, row_weights)  # (N, kW, O, W, OH)
    by_column = _listed(by_row, 1, 3, columns, column_weights)  # (N, O, OH, OW)
    out.copy_(bias_activation(by_column, bias, activation, slope))


def _listed(z: Tensor, taps: int, sources: int, table: Tensor, weights: Tensor) -> Tensor:
    """Sums z over the entries of a table; two dimensions go, that of the lists comes last."""
    z = z.movedim((taps, sources), (-2, -1))
    total = z.new_zeros((*z.shape[:-2], table.shape[2]))
    for (tap, source), weight in zip(table.long().unbind(1), weights, strict=True):
        there = tap >= 0
        value = weight * z[..., tap.clamp(min=0), source]
        total += torch.where(there, value, torch.zeros_like(value))
    return total


def is_channels_last(x: Tensor) -> bool:
    """Whether an op answers in channels_last: where the layout of x is that and no other."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def in_layout_of(x: Tensor, y: Tensor) -> Tensor:
    if is_channels_last(x):
        return y.contiguous(memory_format=torch.channels_last)
    return y.contiguous()
