"""Masked convolutions (van den Oord et al. 2016): a place sees only what comes before it.

Places are in raster order, the rows from above and each from the left, and at one place colors come
one after the other. The features of a layer are shared out among the colors. A convolution with
mask A sees, at its own place, the colors before its own; with mask B its own too. One A, then only
B, and no logit depends on the value that it predicts or on a later one.

A network is evaluated in two ways: `forward` on whole images, for training, and by a `Scan`, which
computes one place from what it kept of the places before. Drawing an image so costs about as much
as one forward pass for each of its colors, where repeated forward passes cost one for each value.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.ops.conventions import member

MASKS = ("A", "B")


class Scan(Protocol):
    """A causal network, place after place in raster order, on a batch of maps."""

    def put(self, row: int, column: int, values: Tensor) -> None:
        """Say what the network's input (N, inputs) is at a place; of later colors, anything."""

    def logits(self, row: int, column: int) -> Tensor:
        """What the network gives at a place: (N, outputs)."""


def colors_of(features: int, colors: int) -> Tensor:
    """The color (features,) that each feature belongs to, in order and about as many for each."""
    return torch.arange(features) * colors // features


class MaskedConv2d(nn.Conv2d):
    """(N, inputs, H, W) to (N, outputs, H, W); `mask` "A" or "B", sides of `kernel` are odd.

    `each`: neighboring outputs that are of one color in any case, as the gates of a unit.
    """

    mask: Tensor
    bias: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        mask: str,
        colors: int = 1,
        each: int = 1,
    ) -> None:
        above, side = kernel[0] // 2, kernel[1] // 2
        super().__init__(inputs, outputs, kernel, padding=(above, side))
        seen, own = colors_of(inputs, colors), colors_of(outputs // each, colors)
        own = own.repeat_interleave(each)[:, None]
        allowed = torch.zeros(outputs, inputs, *kernel)
        allowed[:, :, :above] = 1
        allowed[:, :, above, :side] = 1
        is_first = member("mask", mask, MASKS) == "A"
        allowed[:, :, above, side] = (seen < own if is_first else seen <= own).float()
        # No part of checkpoints, which could otherwise let a network look ahead.
        self.register_buffer("mask", allowed, persistent=False)
        with torch.no_grad():
            self.weight.mul_(allowed)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=self.padding)


class Places:
    """A masked convolution, place after place: what it read so far, with zeros around it."""

    def __init__(self, conv: MaskedConv2d, count: int, height: int, width: int) -> None:
        self.above, self.side = conv.kernel_size[0] // 2, conv.kernel_size[1] // 2
        # Rows below are masked: (rows, columns, inputs) by outputs.
        kept = (conv.weight * conv.mask)[:, :, : self.above + 1]
        self._weight, self._bias = kept.permute(2, 3, 1, 0).flatten(0, 2), conv.bias
        self._read = kept.new_zeros(
            count, height + self.above, width + 2 * self.side, conv.in_channels
        )

    def put(self, row: int, column: int, values: Tensor) -> None:
        """The input (N, inputs) at a place."""
        self._read[:, row + self.above, column + self.side] = values

    def at(self, row: int, column: int) -> Tensor:
        """The output (N, outputs) at a place."""
        rows, columns = self.above + 1, 2 * self.side + 1
        window = self._read[:, row : row + rows, column : column + columns]
        return torch.addmm(self._bias, window.flatten(1), self._weight)

    def through(self, row: int, column: int, values: Tensor) -> Tensor:
        """The input at a place to the output there."""
        self.put(row, column, values)
        return self.at(row, column)


class Head(nn.Module):
    """Two 1x1 convolutions from features (N, inputs, H, W) to logits (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, colors: int) -> None:
        super().__init__()
        self.first = MaskedConv2d(inputs, inputs, (1, 1), "B", colors)
        self.last = MaskedConv2d(inputs, outputs, (1, 1), "B", colors, each=outputs // colors)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(F.relu(self.first(F.relu(x))))
        return logits


class HeadScan:
    """`Head`, place after place."""

    def __init__(self, head: Head, count: int, height: int, width: int) -> None:
        self._first = Places(head.first, count, height, width)
        self._last = Places(head.last, count, height, width)

    def through(self, row: int, column: int, values: Tensor) -> Tensor:
        """Features (N, inputs) to logits (N, outputs)."""
        hidden = self._first.through(row, column, F.relu(values))
        return self._last.through(row, column, F.relu(hidden))


class MaskedBlock(nn.Module):
    """A residual block of (N, 2 width, H, W): 1x1, 3x3 and 1x1 convolutions with mask B.

    `condition`: channels of a map (N, condition, H, W) that every place sees; 0 for none.
    """

    def __init__(self, width: int, colors: int, condition: int = 0) -> None:
        super().__init__()
        self.enter = MaskedConv2d(2 * width, width, (1, 1), "B", colors)
        self.spread = MaskedConv2d(width, width, (3, 3), "B", colors)
        self.leave = MaskedConv2d(width, 2 * width, (1, 1), "B", colors)
        self.shift = nn.Conv2d(condition, width, 1, bias=False) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = self.enter(F.relu(x))
        if self.shift is not None:
            h = h + self.shift(condition)
        y: Tensor = self.leave(F.relu(self.spread(F.relu(h))))
        return x + y


class BlockScan:
    """`MaskedBlock`, place after place."""

    def __init__(
        self, block: MaskedBlock, count: int, height: int, width: int, condition: Tensor | None
    ) -> None:
        convs = (block.enter, block.spread, block.leave)
        self._enter, self._spread, self._leave = (
            Places(one, count, height, width) for one in convs
        )
        self._shift = None if block.shift is None else block.shift(condition)

    def through(self, row: int, column: int, values: Tensor) -> Tensor:
        """Features (N, 2 width) at a place to the block's output there."""
        h = self._enter.through(row, column, F.relu(values))
        if self._shift is not None:
            h = h + self._shift[:, :, row, column]
        h = self._spread.through(row, column, F.relu(h))
        return values + self._leave.through(row, column, F.relu(h))


class MaskedStack(nn.Module):
    """PixelCNN: (N, inputs, H, W) to logits (N, outputs, H, W), each blind for what comes later.

    A `kernel` x `kernel` convolution with mask A, `blocks` residual blocks, a head. `colors`: the
    parts that inputs and outputs have at one place. `condition`: see `MaskedBlock`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        blocks: int,
        kernel: int = 7,
        colors: int = 1,
        condition: int = 0,
    ) -> None:
        super().__init__()
        self.first = MaskedConv2d(inputs, 2 * width, (kernel, kernel), "A", colors)
        self.blocks = nn.ModuleList(MaskedBlock(width, colors, condition) for _ in range(blocks))
        self.head = Head(2 * width, outputs, colors)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = block(x, condition)
        logits: Tensor = self.head(x)
        return logits

    def scan(
        self, count: int, height: int, width: int, condition: Tensor | None = None
    ) -> StackScan:
        """The same for `count` maps, place after place."""
        return StackScan(self, count, height, width, condition)


class StackScan:
    """`MaskedStack`, place after place."""

    def __init__(
        self, stack: MaskedStack, count: int, height: int, width: int, condition: Tensor | None
    ) -> None:
        self._first = Places(stack.first, count, height, width)
        blocks = [one for one in stack.blocks if isinstance(one, MaskedBlock)]
        self._blocks = [BlockScan(one, count, height, width, condition) for one in blocks]
        self._head = HeadScan(stack.head, count, height, width)

    def put(self, row: int, column: int, values: Tensor) -> None:
        """See `Scan`."""
        self._first.put(row, column, values)

    def logits(self, row: int, column: int) -> Tensor:
        """See `Scan`."""
        x = self._first.at(row, column)
        for block in self._blocks:
            x = block.through(row, column, x)
        return self._head.through(row, column, x)
