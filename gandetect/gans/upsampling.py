"""One way to write "twice as large, then a convolution" for each up-sampler of the laboratory.

Generators that differ in nothing but their up-sampling are what the experiments compare, so every
model takes its up-sampling from here. All run on the fused layers of `gandetect.nn`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect import nn as gnn
from gandetect import ops
from gandetect.ops.conventions import member

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
UP = (*INTERPOLATIONS, "bed_of_nails", "pixel_shuffle", "conv_transpose")


def up_conv(
    inputs: int,
    outputs: int,
    up: str,
    *,
    kernel: int = 3,
    bias: bool = True,
    activation: str = "none",
    negative_slope: float = 0.2,
) -> nn.Module:
    """A layer from (N, inputs, H, W) to (N, outputs, 2H, 2W) that up-samples by `up` of `UP`.

    ==============  ===========================================================================
    interpolation,  up-sampling, then a convolution of side `kernel`, as one fused op
    bed_of_nails
    pixel_shuffle   a convolution of side `kernel` to 4 `outputs`, then the sub-pixel shuffle
    conv_transpose  a transposed convolution of side `kernel` + 1 and stride 2 (k 4, p 1 for 3)
    ==============  ===========================================================================

    `kernel` is odd, so that the size is exactly doubled. `activation` as in `gandetect.nn`.
    Raises ValueError for an unknown name or an even kernel.
    """
    member("up", up, UP)
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel={kernel} given; want an odd number")
    ending: dict[str, Any] = {"activation": activation, "negative_slope": negative_slope}
    pad = kernel // 2
    if up == "pixel_shuffle":
        return gnn.PixelShuffleConv2d(inputs, 4 * outputs, kernel, padding=pad, bias=bias, **ending)
    if up == "conv_transpose":
        return gnn.ConvTranspose2d(
            inputs, outputs, kernel + 1, stride=2, padding=pad, bias=bias, **ending
        )
    return gnn.UpsampleConv2d(inputs, outputs, kernel, padding=pad, bias=bias, mode=up, **ending)


def up_sample(x: Tensor, mode: str) -> Tensor:
    """(N, C, H, W) to (N, C, 2H, 2W) by interpolation or a bed of nails, without weights.

    Raises ValueError for the modes that have weights.
    """
    member("mode", mode, (*INTERPOLATIONS, "bed_of_nails"))
    if mode == "bed_of_nails":
        return ops.bed_of_nails(x, 2)
    corners = None if mode == "nearest" else False
    return F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners)


class UpProjection(nn.Module):
    """A 1x1 convolution and an up-sampling by two: the shortcut of a residual block.

    The convolution comes first where the two commute, which costs a quarter of the operations: for
    interpolations (their weights sum to 1) and for beds of nails, whose inserted zeros then stay
    free of the bias. Pixel shuffle takes a 1x1 convolution to four times the channels, the
    transposed convolution is one of side 2.
    """

    def __init__(self, inputs: int, outputs: int, up: str) -> None:
        super().__init__()
        self.up = member("up", up, UP)
        self.weightless = up in (*INTERPOLATIONS, "bed_of_nails")
        self.conv = (
            nn.Conv2d(inputs, outputs, 1)
            if self.weightless
            else up_conv(inputs, outputs, up, kernel=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return up_sample(y, self.up) if self.weightless else y


def even_start_(network: nn.Module) -> None:
    """Let the up-samplings by two of `network` start without a lattice, in place.

    With independent weights each pixel of a two by two block has a response of its own, which
    generators on the way to 64 pixels repeat at every scale and are slow to unlearn. Starting even,
    pixel shuffles are a convolution and then nearest up-sampling (ICNR), transposed convolutions
    nearest up-sampling and then a convolution, and beds of nails before a convolution of side 3 and
    more bilinear up-sampling and then a 1x1 convolution. Nothing keeps them there.
    """
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, gnn.PixelShuffleConv2d):
                layer.weight.copy_(_equal_phases(layer.weight))
            elif isinstance(layer, gnn.ConvTranspose2d) and _doubles(layer):
                layer.weight.copy_(_of_nearest(layer.weight))
            elif isinstance(layer, gnn.UpsampleConv2d) and layer.mode == "bed_of_nails":
                layer.weight.copy_(_of_bilinear(layer.weight))


def _doubles(layer: gnn.ConvTranspose2d) -> bool:
    """Whether each pixel becomes four that can be equal."""
    return tuple(layer.stride) == (2, 2) and layer.weight.shape[-1] % 2 == 0


def _equal_phases(weight: Tensor, scale: int = 2) -> Tensor:
    """(scale^2 C, ...), of the convolution before the shuffle: every phase has the first one's."""
    return weight[:: scale**2].repeat_interleave(scale**2, dim=0)


def _of_nearest(weight: Tensor) -> Tensor:
    """(I, O, K, K), of stride 2: one less wide, then each pixel as a block of two by two.

    Scaled to what Xavier's rule gives the narrower one.
    """
    side = weight.shape[-1]
    narrow = weight[..., : side - 1, : side - 1] * (side / (side - 1))
    block = weight.new_ones(1, 1, 2, 2)
    return F.conv2d(narrow.reshape(-1, 1, side - 1, side - 1), block, padding=1).view_as(weight)


def _of_bilinear(weight: Tensor) -> Tensor:
    """(O, I, K, K), after the nails: the middle of each kernel times the tent of side 3.

    Scaled to what Xavier's rule gives a 1x1 convolution.
    """
    side = weight.shape[-1]
    tent = torch.zeros_like(weight[0, 0, 0])
    tent[side // 2 - 1 : side // 2 + 2] = tent.new_tensor([0.5, 1.0, 0.5])
    middle = weight[..., side // 2 : side // 2 + 1, side // 2 : side // 2 + 1] * side
    return middle * tent[:, None] * tent if side > 1 else weight
