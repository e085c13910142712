"""ProGAN (Karras et al. 2018): both networks grow from 4x4 to the full size while they train.

Each resolution is first faded in and then trained on: with t from 0 to 1 the image is
(1 - t)·up(low) + t·high, and what the discriminator sees and reads is mixed alike. Batch norm is
replaced by pixel norm in the generator, by nothing in the discriminator, which has the deviation of
its batch as one feature; all weights are equalized.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.config import check_widths
from gandetect.gans.equalized import (
    MinibatchDeviation,
    PixelNorm,
    conv,
    dense,
    equalized_up_conv,
    leaky,
)
from gandetect.gans.losses import Discriminator as Judge
from gandetect.gans.losses import wgan_gp_penalty
from gandetect.gans.model import AdversarialConfig, AdversarialModel, Batch, Terms


@dataclass(frozen=True)
class ProGANConfig(AdversarialConfig):
    """`AdversarialConfig` of networks that grow.

    `widths`: channels of the generator at 4x4 and after each doubling; the discriminator has the
    same, mirrored. `grow_every`: iterations of which each resolution is faded in, and then trained
    on; the last one until the end. `penalty_weight`, `drift`: what the gradient penalty and the
    mean square of the logits of real images weigh.
    """

    latent: int = 64
    batch: int = 16
    steps: int = 3000
    ema: float = 0.99
    rate: float = 3e-3
    betas: tuple[float, float] = (0.0, 0.99)
    loss: str = "wasserstein"
    widths: tuple[int, ...] = (64, 64, 64, 32, 16)
    grow_every: int = 300
    penalty_weight: float = 10.0
    drift: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("widths", self.widths)
        doublings = len(self.widths) - 1
        if doublings < 1 or self.size != 4 << doublings:
            raise ValueError(
                f"{len(self.widths)} widths are for images of {4 << doublings} pixels; "
                f"size={self.size} given, want 8 or more"
            )
        if self.grow_every < 1:
            raise ValueError(f"grow_every={self.grow_every} given; want at least 1")
        if self.spectral == "discriminator":
            raise ValueError(
                'spectral="discriminator" given; it sees images of one size, and these grow; want '
                '"none" or "loss"'
            )

    def grown(self, step: int) -> tuple[int, float]:
        """How often the size is doubled in iteration `step`, and the t of the last doubling."""
        part, within = divmod(step, self.grow_every)
        doublings = (part + 1) // 2
        if doublings > len(self.widths) - 1:
            return len(self.widths) - 1, 1.0
        return doublings, within / self.grow_every if part % 2 else 1.0


class Growing(nn.Module):
    """A network of as many resolutions as it was grown to; whole until `grow` says otherwise."""

    def __init__(self, doublings: int) -> None:
        super().__init__()
        self.grow(doublings, 1.0)

    def grow(self, doublings: int, t: float) -> None:
        """Have so many doublings, the last of them by a share of t."""
        self.doublings, self.t = doublings, t


class Generator(Growing):
    """Latents (N, latent) to images (N, C, S, S), S = 4·2^doublings."""

    def __init__(self, config: ProGANConfig) -> None:
        widths = config.widths
        super().__init__(len(widths) - 1)
        ups = [config.up] * (len(widths) - 2) + [config.last]
        # The gain of the first layer, √2/4, is the paper's code's.
        self.first = nn.Sequential(
            PixelNorm(),
            dense(config.latent, 16 * widths[0], math.sqrt(2) / 4),
            nn.Unflatten(1, (widths[0], 4, 4)),
            leaky(),
            PixelNorm(),
            conv(widths[0], widths[0]),
            leaky(),
            PixelNorm(),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                equalized_up_conv(wide, narrow, up, activation="leaky_relu"),
                PixelNorm(),
                conv(narrow, narrow),
                leaky(),
                PixelNorm(),
            )
            for (wide, narrow), up in zip(pairwise(widths), ups, strict=True)
        )
        self.images = nn.ModuleList(conv(width, config.channels, 1, gain=1.0) for width in widths)

    def forward(self, latents: Tensor) -> Tensor:
        x = before = self.first(latents)
        for block in self.blocks[: self.doublings]:
            before, x = x, block(x)
        images: Tensor = self.images[self.doublings](x)
        if self.t == 1:
            return images
        low = self.images[self.doublings - 1](before)
        return _twice(low).lerp(images, self.t)


class Discriminator(Growing):
    """Images (N, C, S, S), S = 4·2^doublings, to logits (N,)."""

    def __init__(self, config: ProGANConfig) -> None:
        widths = config.widths
        super().__init__(len(widths) - 1)
        last = widths[0]
        self.features = nn.ModuleList(
            nn.Sequential(conv(config.channels, width, 1), leaky()) for width in widths
        )
        # Block i goes from the resolution after i + 1 doublings to that after i.
        self.blocks = nn.ModuleList(
            nn.Sequential(
                conv(narrow, narrow), leaky(), conv(narrow, wide), leaky(), nn.AvgPool2d(2)
            )
            for wide, narrow in pairwise(widths)
        )
        self.last = nn.Sequential(
            MinibatchDeviation(),
            conv(last + 1, last),
            leaky(),
            nn.Flatten(),
            dense(16 * last, last, math.sqrt(2)),
            leaky(),
            dense(last, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.features[self.doublings](images)
        for number in reversed(range(self.doublings)):
            x = self.blocks[number](x)
            if number == self.doublings - 1 and self.t < 1:
                low = self.features[number](F.avg_pool2d(images, 2))
                x = low.lerp(x, self.t)
        logits: Tensor = self.last(x)
        return logits[:, 0]


class ProGAN(AdversarialModel):
    name = "progan"
    source = (
        "Karras et al., 2018 (arXiv 1710.10196), written anew; `run` has widths of 64 for their "
        "512, and fades and trains for as many iterations as `grow_every` says for their 600,000 "
        "images, at Adam's rate 3e-3 for their 1e-3; the whole batch shares one interpolation of "
        "sizes, and the gradient penalty is that of WGAN-GP"
    )
    Configuration = ProGANConfig
    presets: ClassVar = {
        "run": ProGANConfig(),
        "smoke": ProGANConfig(
            size=32,
            latent=32,
            widths=(24, 24, 16, 8),
            batch=8,
            steps=70,
            grow_every=10,
            ema=0.8,
        ),
    }
    config: ProGANConfig
    generator: Generator
    discriminator: Discriminator

    def build(self, config: ProGANConfig) -> tuple[nn.Module, nn.Module]:
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        discriminator = Discriminator(config)
        return Generator(config), discriminator

    def at_step(self, step: int) -> None:
        for network in (self.generator, self.discriminator):
            network.grow(*self.config.grown(step))

    def restarts(self, step: int) -> tuple[str, ...]:
        """Both, where a resolution begins to be faded in."""
        part, within = divmod(step, self.config.grow_every)
        begins = within == 0 and part % 2 == 1 and part < 2 * len(self.config.widths) - 2
        return ("discriminator", "generator") if begins else ()

    def shrunk(self, images: Tensor) -> Tensor:
        """Images (N, C, S, S) at the size that the networks have now, faded as they are."""
        grown = self.generator
        small = F.avg_pool2d(images, self.config.size // (4 << grown.doublings))
        return small if grown.t == 1 else _twice(F.avg_pool2d(small, 2)).lerp(small, grown.t)

    def discriminator_terms(self, batch: Batch) -> Terms:
        return super().discriminator_terms({**batch, "images": self.shrunk(batch["images"])})

    def generator_terms(self, batch: Batch) -> Terms:
        return super().generator_terms({**batch, "images": self.shrunk(batch["images"])})

    def penalty(self, judge: Judge, real: Tensor, generated: Tensor) -> Tensor:
        config = self.config
        slope = wgan_gp_penalty(judge, real, generated)
        drift = judge(real).square().mean()
        return config.penalty_weight * slope + config.drift * drift

    def draw(self, latents: Tensor, **conditions: Any) -> Tensor:
        """Images (N, C, H, W), clipped to -1..1; pixels are repeated where it is not grown."""
        images = super().draw(latents, **conditions).clamp(-1, 1)
        factor = self.config.size // images.shape[-1]
        return images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def _twice(images: Tensor) -> Tensor:
    """Twice as large, each pixel four times."""
    return F.interpolate(images, scale_factor=2, mode="nearest")
