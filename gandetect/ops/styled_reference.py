"""The ops of StyleGAN2's layers in pure torch: the oracle of the tests, and other devices' kernel.

Same arguments and results as `torch.ops.gandetect.*`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .upsampling_reference import in_layout_of


def styled_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    factors: Tensor,
    noise: Tensor,
    strength: Tensor,
    bias: Tensor,
    slope: float,
) -> Tensor:
    """Input times styles, convolution, and what `_ended` says."""
    y = F.conv2d(x * styles[:, :, None, None], weight, padding=1)
    return in_layout_of(x, _ended(y, factors, noise, strength, bias, slope))


def styled_filter(
    x: Tensor, factors: Tensor, noise: Tensor, strength: Tensor, bias: Tensor, slope: float
) -> Tensor:
    """The filter [1, 3, 3, 1] / 4 along both axes, and what `_ended` says."""
    taps = x.new_tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    y = F.conv2d(x, kernel, padding=1, groups=x.shape[1])
    return in_layout_of(x, _ended(y, factors, noise, strength, bias, slope))


def _ended(
    y: Tensor, factors: Tensor, noise: Tensor, strength: Tensor, bias: Tensor, slope: float
) -> Tensor:
    added = strength * noise + bias[:, None, None]
    return F.leaky_relu(y * factors[:, :, None, None] + added, slope)
