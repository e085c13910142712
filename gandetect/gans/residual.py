"""Residual blocks that double or halve the size, of SNGAN and of what is built like it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from gandetect.gans.upsampling import UpProjection, up_conv


class Conditional(nn.Module):
    """A layer that takes what is asked for, a row for each image, besides its input."""


class UpBlock(nn.Module):
    """(N, inputs, H, W) to (N, outputs, 2H, 2W); `norm` makes the norm of so many channels."""

    def __init__(
        self, inputs: int, outputs: int, up: str, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            norm(inputs),
            nn.ReLU(),
            up_conv(inputs, outputs, up, bias=False),
            norm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.shortcut = UpProjection(inputs, outputs, up)
        xavier_(self.residual, math.sqrt(2))
        xavier_(self.shortcut)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        y: Tensor = self.shortcut(x)
        return y + through(self.residual, x, condition)


class DownBlock(nn.Module):
    """(N, inputs, H, W) to (N, outputs, H, W), or half the size. The first takes an image."""

    def __init__(self, inputs: int, outputs: int, *, halve: bool, is_first: bool) -> None:
        super().__init__()
        hidden = outputs if is_first else inputs
        pool = [nn.AvgPool2d(2)] if halve else []
        self.residual = nn.Sequential(
            *([] if is_first else [nn.ReLU()]),
            nn.Conv2d(inputs, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, outputs, 3, padding=1),
            *pool,
        )
        # Means commute with a 1x1 convolution, which is cheaper after them.
        projection = [nn.Conv2d(inputs, outputs, 1)] if halve or inputs != outputs else []
        self.shortcut = nn.Sequential(*pool, *projection)
        xavier_(self.residual, math.sqrt(2))
        xavier_(self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.shortcut(x)
        return y + self.residual(x)


def through(layers: Iterable[nn.Module], x: Tensor, condition: Tensor | None) -> Tensor:
    """One layer after the other, with the condition for those that take it."""
    for layer in layers:
        x = layer(x, condition) if isinstance(layer, Conditional) else layer(x)
    return x


def xavier_(module: nn.Module, gain: float = 1.0) -> None:
    """Uniform weights by Xavier's rule with `gain`, and biases of 0, in every layer."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
