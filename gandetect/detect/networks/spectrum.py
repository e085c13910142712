"""A convolutional network on the log spectrum: directional traces that a profile smears."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.networks.base import Network

# |F| of a windowed tile in [-1, 1] below this is rounding.
FLOOR = 1e-3
LOW, HIGH = 0.05, 0.95


def scaled_log_spectrum(tiles: Tensor) -> Tensor:
    """Log spectra (N, 1, S, S/2 + 1) of tiles (N, S, S) in 0..255, each scaled and clipped.

    `ln(|F| + 1e-3)` of the Hann-windowed tile, rows shifted so that DC is in the middle; its 5th
    to 95th percentile become -1 to 1 (Zhang et al. 2019), so gain and offset cancel.
    """
    x = (tiles.float() - tiles.float().mean(dim=(1, 2), keepdim=True)) / 127.5
    side = tiles.shape[-1]
    line = torch.hann_window(side, device=x.device)
    spectrum = torch.fft.rfft2(x * (line[:, None] * line)).abs()
    values = torch.log(spectrum.roll(side // 2, dims=1) + FLOOR)
    ends = torch.tensor([LOW, HIGH], device=x.device)
    low, high = torch.quantile(values.flatten(1), ends, dim=1)[:, :, None, None]
    scaled = 2 * (values - low) / (high - low).clamp(min=1e-6) - 1
    return scaled.clamp(-1, 1)[:, None]


class SpectrumNetwork(Network):
    """Three 3x3 convolutions with batch normalization and pooling, a 4x4 grid, two dense layers.

    `widths`: channels. `hidden`: of the dense layer. Tiles of one size, to be scored at that size:
    a filter over frequencies is no filter over cycles per pixel.
    """

    def __init__(
        self,
        widths: tuple[int, int, int] = (16, 32, 64),
        hidden: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.settings = {"widths": list(widths), "hidden": hidden, "dropout": dropout}
        inputs = (1, *widths[:-1])
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in zip(inputs, widths, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.pool = nn.AdaptiveAvgPool2d(4)
        self.dense1 = nn.Linear(widths[-1] * 16, hidden)
        self.dropout = nn.Dropout(dropout)
        self.dense2 = nn.Linear(hidden, 1)

    def forward(self, tiles: Tensor) -> Tensor:
        return self.judge(scaled_log_spectrum(tiles))

    def judge(self, x: Tensor) -> Tensor:
        """Logits (N,) of scaled log spectra `x` (N, 1, S, S/2 + 1)."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(conv(x))), 2)
        hidden = F.relu(self.dense1(self.pool(x).flatten(1)))
        logits: Tensor = self.dense2(self.dropout(hidden))
        return logits[:, 0]
