"""PixelCNN (van den Oord et al. 2016, Pixel Recurrent Neural Networks): masked convolutions.

All values of an image are predicted at once in training. What a stack of masked convolutions never
sees, although it comes before: the pixels to the right of the place, in the triangle above it that
3x3 convolutions reach only by way of places that come later. The paper's successors have a second
stack for it; here it stays, and `test_gans_pixelcnn.py` says where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandetect.gans.masked import MaskedStack, Scan
from gandetect.gans.pixels import PixelConfig, PixelModel


@dataclass(frozen=True)
class PixelCNNConfig(PixelConfig):
    """`PixelConfig` of `layers` residual blocks."""


class PixelCNN(PixelModel):
    name = "pixelcnn"
    source = (
        "van den Oord, Kalchbrenner, Kavukcuoglu, 2016; `run` is gray with 16 levels, 32 features "
        "in 5 blocks for their 128 in 15; Adam in the place of RMSProp; the blind spot is theirs"
    )
    Configuration = PixelCNNConfig
    presets: ClassVar = {
        "run": PixelCNNConfig(),
        "smoke": PixelCNNConfig(
            channels=3, batch=8, steps=60, ema=0.9, levels=4, width=9, layers=2, rate=5e-3
        ),
    }
    config: PixelCNNConfig
    network: MaskedStack

    def build(self, config: PixelCNNConfig) -> MaskedStack:
        return MaskedStack(
            config.channels,
            config.channels * config.levels,
            width=config.width,
            blocks=config.layers,
            kernel=config.kernel,
            colors=config.channels,
        )

    def scan(self, count: int) -> Scan:
        return self.network.scan(count, self.config.size, self.config.size)
