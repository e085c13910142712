"""The U-Net (Ronneberger et al. 2015): down to a small map and up again, with what was seen on the
way down beside it. The forgery mask and the image-to-image network are made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.nn.layers import MaxUnpool2d


class Unpool(nn.Module):
    """(N, inputs, H, W) to (N, outputs, 2H, 2W): each value where the maximum was, zeros elsewhere.

    A 1x1 convolution first, for there are as many channels as were pooled.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.unpool = MaxUnpool2d(2)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        """`places` (N, outputs, H, W) as max-pooling gives them."""
        y: Tensor = self.unpool(self.conv(x), places)
        return y


class UNet(nn.Module):
    """(N, inputs, H, W) to (N, outputs, H, W); sides are multiples of 2^(len(widths) - 1).

    `widths`: channels at full size, at half and so on, of two 3x3 convolutions with batch norm and
    ReLU each. `enlarge(inputs, outputs)` makes the layer that doubles a size, the smallest first;
    `Unpool` also gets the places of the maxima on the way down.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        enlarge: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(map(_two_convolutions, (inputs, *widths[:-1]), widths))
        pairs = list(pairwise(widths))[::-1]
        self.enlarge = nn.ModuleList(enlarge(low, high) for high, low in pairs)
        self.up = nn.ModuleList(_two_convolutions(2 * high, high) for high, _ in pairs)
        self.classify = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ValueError where the sides cannot be halved often enough."""
        multiple = 2 ** (len(self.down) - 1)
        if any(side % multiple for side in x.shape[2:]):
            raise ValueError(
                f"images of shape {tuple(x.shape)} given; sides must be multiples of {multiple}"
            )
        skips, places = [], []
        for level, convolutions in enumerate(self.down):
            if level:
                x, place = F.max_pool2d(x, 2, return_indices=True)
                places.append(place)
            x = convolutions(x)
            skips.append(x)
        levels = zip(self.enlarge, self.up, skips[-2::-1], places[::-1], strict=True)
        for enlarge, convolutions, skip, place in levels:
            high = enlarge(x, place) if isinstance(enlarge, Unpool) else enlarge(x)
            x = convolutions(torch.cat((high, skip), dim=1))
        found: Tensor = self.classify(x)
        return found


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
