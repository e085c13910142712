"""The layers of ours as what a user would write with torch alone, on the same parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import type_before_parametrizations

from gandetect import nn as gnn
from gandetect.gans.equalized import SLOPE
from gandetect.gans.modulation import ModulatedConv2d, SkipUp
from gandetect.gans.upsampling import UpProjection

ACTIVATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "none": lambda x, slope: x,
    "relu": lambda x, slope: F.relu(x),
    "leaky_relu": F.leaky_relu,
    "tanh": lambda x, slope: torch.tanh(x),
    "sigmoid": lambda x, slope: torch.sigmoid(x),
}


def ended(layer: Any, y: Tensor) -> Tensor:
    return ACTIVATIONS[layer.activation](y, layer.negative_slope)


def enlarged(x: Tensor, mode: str) -> Tensor:
    """Twice as large, as torch does it."""
    if mode == "bed_of_nails":
        y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        y[..., ::2, ::2] = x
        return y
    return F.interpolate(x, scale_factor=2, mode=mode)


class TorchUpsampleConv2d(gnn.UpsampleConv2d):
    def forward(self, input: Tensor) -> Tensor:
        return ended(self, self._conv_forward(enlarged(input, self.mode), self.weight, self.bias))


class TorchPixelShuffleConv2d(gnn.PixelShuffleConv2d):
    def forward(self, input: Tensor) -> Tensor:
        y = self._conv_forward(input, self.weight, self.bias)
        return ended(self, F.pixel_shuffle(y, self.scale))


class TorchConvTranspose2d(gnn.ConvTranspose2d):
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return ended(self, nn.ConvTranspose2d.forward(self, input, output_size))


class TorchUpProjection(UpProjection):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return enlarged(y, self.up) if self.weightless else y


class TorchModulatedConv2d(ModulatedConv2d):
    def convolve(self, x: Tensor) -> Tensor:
        if self.up is None:
            return F.conv2d(x, self.weight, padding=1)
        if self.up == "pixel_shuffle":
            return F.pixel_shuffle(F.conv2d(x, self.weight, padding=1), 2)
        if self.up == "conv_transpose":
            return F.conv_transpose2d(x, self.weight, stride=2, padding=1)
        if self.up != "fir":
            return F.conv2d(enlarged(x, self.up), self.weight, padding=1)
        y = F.conv_transpose2d(x, self.weight, stride=2)
        return F.conv2d(y, self.kernel, padding=1, groups=self.outputs)

    def ended(
        self, x: Tensor, w: Tensor, gain: float, noise: Tensor, strength: Tensor, bias: Tensor
    ) -> Tensor:
        # In place, which costs torch least.
        y = self(x, w, gain).add_(noise * strength).add_(bias[:, None, None])
        return F.leaky_relu_(y, SLOPE)


class TorchSkipUp(SkipUp):
    def forward(self, images: Tensor) -> Tensor:
        return enlarged(images, self.up) if self.up == "bed_of_nails" else super().forward(images)


PEERS: dict[type[nn.Module], type[nn.Module]] = {
    gnn.UpsampleConv2d: TorchUpsampleConv2d,
    gnn.PixelShuffleConv2d: TorchPixelShuffleConv2d,
    gnn.ConvTranspose2d: TorchConvTranspose2d,
    UpProjection: TorchUpProjection,
    ModulatedConv2d: TorchModulatedConv2d,
    SkipUp: TorchSkipUp,
}


def as_torch(model: nn.Module) -> None:
    """Make every layer of ours in `model` torch's composition, in place."""
    for module in model.modules():
        kind = type_before_parametrizations(module)
        if kind not in PEERS:
            continue
        if kind is type(module):
            module.__class__ = PEERS[kind]
        else:
            # A module with parametrizations has a class of its own.
            type(module).__bases__ = (PEERS[kind],)
