"""PixelRNN with Row LSTMs (van den Oord et al. 2016): an LSTM that goes down the image row by row.

A row's gates come from the features of the row by a masked 1x3 convolution, and from the state of
the row above by a 1x3 convolution that needs no mask. A place so sees a triangle above itself that
widens by one pixel on each side from row to row, and in its own row what is to the left. The states
of a row are computed at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gandetect.gans.masked import Head, HeadScan, MaskedConv2d, Places, Scan
from gandetect.gans.pixels import PixelConfig, PixelModel

_GATES = 4


@dataclass(frozen=True)
class PixelRNNConfig(PixelConfig):
    """`PixelConfig` of `layers` Row LSTMs with `width` units each."""

    batch: int = 8
    width: int = 24
    layers: int = 3


def lstm(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The state and the cell (N, units, ...) after gates (N, 4 units, ...) and a cell."""
    output, forget, enter, content = gates.unflatten(1, (-1, _GATES)).unbind(2)
    cell = forget.sigmoid() * cell + enter.sigmoid() * content.tanh()
    return output.sigmoid() * cell.tanh(), cell


class RowLSTM(nn.Module):
    """(N, 2 width, H, W) to the same, by an LSTM of `width` units and a residual connection."""

    def __init__(self, width: int, colors: int) -> None:
        super().__init__()
        self.width = width
        self.enter = MaskedConv2d(2 * width, _GATES * width, (1, 3), "B", colors, each=_GATES)
        # The row above is known as a whole, and `enter` has the biases.
        self.recur = nn.Conv1d(width, _GATES * width, 3, padding=1, bias=False)
        self.leave = MaskedConv2d(width, 2 * width, (1, 1), "B", colors)

    def forward(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        state = cell = entered.new_zeros(len(x), self.width, x.shape[3])
        states = []
        for gates in entered.unbind(2):
            state, cell = lstm(gates + self.recur(state), cell)
            states.append(state)
        y: Tensor = self.leave(torch.stack(states, dim=2))
        return x + y


class RowScan:
    """`RowLSTM`, place after place."""

    def __init__(self, layer: RowLSTM, count: int, height: int, width: int) -> None:
        self._enter = Places(layer.enter, count, height, width)
        self._leave = Places(layer.leave, count, height, width)
        self._recur, self._row = layer.recur, 0
        self._state = layer.recur.weight.new_zeros(count, layer.width, width)
        self._above = torch.zeros_like(self._state)
        self._cell = torch.zeros_like(self._state)
        self._gates = self._recur(self._above)

    def through(self, row: int, column: int, values: Tensor) -> Tensor:
        """Features (N, 2 width) at a place to the layer's output there."""
        if row != self._row:
            self._row, self._above = row, self._cell.clone()
            self._gates = self._recur(self._state)
        gates = self._enter.through(row, column, values) + self._gates[:, :, column]
        state, cell = lstm(gates, self._above[:, :, column])
        self._state[:, :, column], self._cell[:, :, column] = state, cell
        return values + self._leave.through(row, column, state)


class RowNetwork(nn.Module):
    """Images (N, C, H, W) to logits (N, C levels, H, W), each blind for what comes later."""

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__()
        width, colors = config.width, config.channels
        self.first = MaskedConv2d(colors, 2 * width, (config.kernel,) * 2, "A", colors)
        self.layers = nn.ModuleList(RowLSTM(width, colors) for _ in range(config.layers))
        self.head = Head(2 * width, colors * config.levels, colors)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(x)
        return logits


class NetworkScan:
    """`RowNetwork`, place after place."""

    def __init__(self, network: RowNetwork, count: int, size: int) -> None:
        self._first = Places(network.first, count, size, size)
        layers = [one for one in network.layers if isinstance(one, RowLSTM)]
        self._layers = [RowScan(one, count, size, size) for one in layers]
        self._head = HeadScan(network.head, count, size, size)

    def put(self, row: int, column: int, values: Tensor) -> None:
        """See `masked.Scan`."""
        self._first.put(row, column, values)

    def logits(self, row: int, column: int) -> Tensor:
        """See `masked.Scan`."""
        x = self._first.at(row, column)
        for layer in self._layers:
            x = layer.through(row, column, x)
        return self._head.through(row, column, x)


class PixelRNN(PixelModel):
    name = "pixelrnn"
    source = (
        "van den Oord, Kalchbrenner, Kavukcuoglu, 2016, the Row LSTM; `run` is gray with 16 "
        "levels, 24 units in 3 layers for their 128 in 12; Adam in the place of RMSProp"
    )
    Configuration = PixelRNNConfig
    presets: ClassVar = {
        "run": PixelRNNConfig(),
        "smoke": PixelRNNConfig(
            channels=3, batch=8, steps=60, ema=0.9, levels=4, width=9, layers=2, rate=5e-3
        ),
    }
    config: PixelRNNConfig
    network: RowNetwork

    def build(self, config: PixelRNNConfig) -> RowNetwork:
        return RowNetwork(config)

    def scan(self, count: int) -> Scan:
        return NetworkScan(self.network, count, self.config.size)
