"""What models have in common that take images to a code and back: AE, VAE and conditional VAE.

The encoder halves the image by strided convolutions and ends in a dense layer; the decoder begins
with one and doubles the size by `up`, as often. The papers have no batch norms between the layers,
but with them a few thousand iterations learn more.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gandetect.gans.config import Config, check_widths
from gandetect.gans.model import Batch, GenerativeModel, Phase, Player, Terms
from gandetect.gans.upsampling import up_conv

# Values of the smallest map: with the longest code this makes a dense layer of two gigabytes.
_MOST_VALUES = 65536


@dataclass(frozen=True)
class CodingConfig(Config):
    """`Config` of an encoder and a decoder.

    `widths`: channels of the encoder after each halving, from the image on; the decoder has them
    mirrored. `latent`: length of the code. `rate`: of Adam.
    """

    latent: int = 64
    batch: int = 32
    steps: int = 3000
    ema: float = 0.99
    rate: float = 1e-3
    widths: tuple[int, ...] = (32, 64, 128, 128)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("widths", self.widths)
        halvings = len(self.widths)
        if self.size % (1 << halvings):
            raise ValueError(
                f"{halvings} widths halve the image {halvings} times; size={self.size} given, want "
                f"a multiple of {1 << halvings}"
            )
        if self.widths[-1] * self.coarse**2 > _MOST_VALUES:
            raise ValueError(
                f"widths[-1]={self.widths[-1]} at {self.coarse}x{self.coarse} given; want at most "
                f"{_MOST_VALUES} values before the code: take more or smaller widths"
            )
        if self.latent < 1:
            raise ValueError(f"latent={self.latent} given; want at least 1")

    @property
    def coarse(self) -> int:
        """The side of the smallest map."""
        return self.size >> len(self.widths)


class Encoder(nn.Module):
    """Images (N, inputs, S, S) to (N, outputs)."""

    def __init__(self, config: CodingConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *config.widths)):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        values = config.widths[-1] * config.coarse**2
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(values, outputs))

    def forward(self, images: Tensor) -> Tensor:
        codes: Tensor = self.layers(images)
        return codes


class Decoder(nn.Module):
    """Codes (N, inputs) to (N, C, S, S), not bounded: at the end of a tanh nothing is learned."""

    def __init__(self, config: CodingConfig, inputs: int) -> None:
        super().__init__()
        widths, coarse = config.widths[::-1], config.coarse
        layers: list[nn.Module] = [
            nn.Linear(inputs, widths[0] * coarse**2, bias=False),
            nn.Unflatten(1, (widths[0], coarse, coarse)),
        ]
        for wide, narrow in pairwise(widths):
            layers += [
                nn.BatchNorm2d(wide),
                nn.ReLU(),
                up_conv(wide, narrow, config.up, bias=False),
            ]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU()]
        self.layers = nn.Sequential(*layers, up_conv(widths[-1], config.channels, config.last))

    def forward(self, codes: Tensor) -> Tensor:
        values: Tensor = self.layers(codes)
        return values


class Coder(GenerativeModel):
    """An encoder and a decoder that one optimizer trains together.

    `extra`: channels that the encoder sees besides the image, and values that the decoder sees
    besides the code. `outputs`: of the encoder, for each value of the code.
    """

    drawn_from: ClassVar[Sequence[str]] = ("decoder",)
    config: CodingConfig

    def __init__(self, config: CodingConfig, *, extra: int = 0, outputs: int = 1) -> None:
        super().__init__(config)
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        self.encoder = Encoder(config, config.channels + extra, outputs * config.latent)
        self.decoder = Decoder(config, config.latent + extra)

    def players(self) -> dict[str, Player]:
        return {"coder": Player([self.encoder, self.decoder], self.config.rate)}

    def phases(self) -> list[Phase]:
        return [Phase("coder", "coder", self.terms)]

    @abstractmethod
    def terms(self, batch: Batch) -> Terms:
        """What is minimized, and what is logged."""

    @abstractmethod
    def reconstruct(self, images: Tensor, **conditions: Any) -> Tensor:
        """Images (N, C, S, S) in -1..1, encoded and decoded; deterministic."""

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, self.config.latent, generator=rng)
