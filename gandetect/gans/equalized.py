"""Layers of equalized learning rate, and what else ProGAN brought that its successors keep.

A weight is stored as w ~ N(0, 1) and used as w·gain/√fan_in: Adam's steps, which are of one size
for all weights, are then of one relative size for all layers (Karras et al. 2018).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from gandetect import nn as gnn
from gandetect.gans.upsampling import up_conv

# Of the ReLU that leaks: what keeps the variance of what passes through it, were its slope 0.
GAIN = math.sqrt(2)
SLOPE = 0.2
_GROUP = 4


class Times(nn.Module):
    """A parametrization: the stored weight, times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, stored: Tensor) -> Tensor:
        return stored * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:.4g}"


def equalize(layer: Any, gain: float = GAIN, *, rate: float = 1.0, bias: float = 0.0) -> Any:
    """Give a layer an equalized weight, N(0, 1)·gain/√fan_in, and the bias `bias`.

    `rate`: what its learning rate is multiplied by; weight and bias are stored that much larger.
    """
    nn.init.normal_(layer.weight, std=1 / rate)
    register_parametrization(layer, "weight", Times(rate * gain / math.sqrt(fan_in(layer))))
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias / rate)
        if rate != 1:
            register_parametrization(layer, "bias", Times(rate))
    return layer


def fan_in(layer: Any) -> float:
    """How many inputs a value of the layer's output has: on average, where some are zeros."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    area = math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):
        area /= math.prod(layer.stride)
    if isinstance(layer, gnn.UpsampleConv2d) and layer.mode == "bed_of_nails":
        area /= 4
    return layer.in_channels * area


def dense(
    inputs: int, outputs: int, gain: float = 1.0, *, rate: float = 1.0, bias: float = 0.0
) -> nn.Linear:
    """(N, inputs) to (N, outputs), equalized."""
    layer: nn.Linear = equalize(nn.Linear(inputs, outputs), gain, rate=rate, bias=bias)
    return layer


def conv(
    inputs: int, outputs: int, kernel: int = 3, gain: float = GAIN, **options: Any
) -> nn.Conv2d:
    """(N, inputs, H, W) to (N, outputs, H, W), equalized; `options` of ``torch.nn.Conv2d``."""
    options = {"padding": kernel // 2, **options}
    layer: nn.Conv2d = equalize(nn.Conv2d(inputs, outputs, kernel, **options), gain)
    return layer


def equalized_up_conv(
    inputs: int, outputs: int, up: str, gain: float = GAIN, **options: Any
) -> nn.Module:
    """`upsampling.up_conv`, equalized, for every `up` of `UP`."""
    layer: nn.Module = equalize(up_conv(inputs, outputs, up, **options), gain)
    return layer


def leaky() -> nn.LeakyReLU:
    """The activation of all these networks."""
    return nn.LeakyReLU(SLOPE)


class PixelNorm(nn.Module):
    """x / √(mean over channels of x² + 1e-8): the mean square at every pixel becomes 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to (N, C, ...)."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class MinibatchDeviation(nn.Module):
    """How much the images of a group differ, as one more channel that is the same everywhere.

    The standard deviation over the group of every feature at every pixel, averaged to one number.
    Groups are of four images, or of what divides the batch. Images that are all alike have 1e-4,
    for the root has no slope at 0.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + 1, H, W)."""
        count, _, height, width = x.shape
        group = math.gcd(count, _GROUP)
        # Image i is of group i modulo their number.
        variance = x.float().unflatten(0, (group, -1)).var(dim=0, correction=0)
        spread = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
        feature = spread.repeat(group)[:, None, None, None].expand(-1, -1, height, width)
        return torch.cat([x, feature.to(x.dtype)], dim=1)
