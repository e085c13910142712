"""CycleGAN (Zhu et al. 2017): images of one domain into another and back, without pairs.

Two generators, G from sources X to images Y and F back, two discriminators of patches. What holds
them to the image they were given is the way there and back: F(G(x)) = x and G(F(y)) = y.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect import nn as gnn
from gandetect.gans.losses import LOSSES
from gandetect.gans.model import Batch, GenerativeModel, Phase, Player, Terms
from gandetect.gans.patch_discriminator import PatchDiscriminator, begin_
from gandetect.gans.pool import ImagePool
from gandetect.gans.translation import (
    TranslationConfig,
    refuse_latents,
    sources_of,
    wanted_sources,
)
from gandetect.gans.upsampling import up_conv
from gandetect.ops.conventions import member

_MOST_WIDTH, _MOST_BLOCKS, _MOST_POOL = 256, 32, 1000
_DOWNS = 2
# An instance norm takes the mean and the contrast of every channel away: of a square of sky it
# leaves no blue, but its noise as large as anything.
_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": nn.InstanceNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
}


@dataclass(frozen=True)
class CycleGANConfig(TranslationConfig):
    """`TranslationConfig` of two generators and two discriminators.

    `width`: channels at full size, doubled by each of the two halvings; `blocks`: residual ones
    between. `cycle`, `identity`: weights of the L1 losses there and back, and of an image that is
    of the target domain already. `adversarial`: weight of the discriminators' part; 2 for the
    half that least squares have here and not in the paper. `pool`: past images that the
    discriminators are shown. `decay_from`: the share of `steps` after which the rates fall to 0.
    `norm`: of the generators, "instance" as in the paper or "layer", over all channels together,
    which leaves colors to images without detail.
    """

    up: str = "conv_transpose"
    batch: int = 2
    steps: int = 4000
    width: int = 16
    blocks: int = 3
    cycle: float = 10.0
    identity: float = 5.0
    adversarial: float = 2.0
    pool: int = 50
    decay_from: float = 0.5
    norm: str = "instance"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_latents(self)
        member("norm", self.norm, tuple(_NORMS))
        if self.size % (1 << _DOWNS) or self.size < 16:
            raise ValueError(f"size={self.size} given; want a multiple of {1 << _DOWNS} from 16 up")
        if not 1 <= self.width <= _MOST_WIDTH or self.blocks > _MOST_BLOCKS:
            raise ValueError(
                f"width={self.width}, blocks={self.blocks} given; want 1 to {_MOST_WIDTH} channels "
                f"and 0 to {_MOST_BLOCKS} blocks"
            )
        if self.pool > _MOST_POOL:
            raise ValueError(f"pool={self.pool} given; want 0 to {_MOST_POOL}")
        if not 0 <= self.decay_from <= 1:
            raise ValueError(f"decay_from={self.decay_from} given; want 0 to 1")


class ResidualBlock(nn.Module):
    """(N, C, H, W) to the same, plus two convolutions of it."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            _NORMS[norm](channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=False),
            _NORMS[norm](channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.residual(x)
        return y


class Generator(nn.Module):
    """Images (N, C, S, S) to images of the other domain, in -1..1."""

    def __init__(self, config: CycleGANConfig) -> None:
        super().__init__()
        width, channels = config.width, config.channels
        widest = width << _DOWNS

        def normed(convolution: nn.Module, outputs: int) -> list[nn.Module]:
            # Without a bias: an instance norm takes it away again, a layer norm has its own.
            return [convolution, _NORMS[config.norm](outputs), nn.ReLU()]

        layers = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(channels, width, 7, bias=False), width)]
        for wide in (2 * width, 4 * width):
            layers += normed(nn.Conv2d(wide // 2, wide, 3, 2, 1, bias=False), wide)
        layers += [ResidualBlock(widest, config.norm) for _ in range(config.blocks)]
        for wide, up in ((4 * width, config.up), (2 * width, config.last)):
            layers += normed(enlarging(wide, wide // 2, up), wide // 2)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(begin_)

    def forward(self, images: Tensor) -> Tensor:
        translated: Tensor = self.layers(images)
        return translated


def enlarging(inputs: int, outputs: int, up: str) -> nn.Module:
    """(N, inputs, H, W) to (N, outputs, 2H, 2W); a transposed convolution has side 3, as there."""
    if up == "conv_transpose":
        return gnn.ConvTranspose2d(
            inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False
        )
    return up_conv(inputs, outputs, up, bias=False)


class CycleGAN(GenerativeModel):
    """`generator` makes images of sources, `inverse` sources of images; `draw` the former."""

    name = "cyclegan"
    learns_from: ClassVar = "domains"
    source = (
        "Zhu, Park, Isola, Efros, 2017, with the settings of "
        "github.com/junyanz/pytorch-CycleGAN-and-pix2pix; widths of `run` are a quarter of its, "
        "three residual blocks for nine, batches of 2 for 1, two strided layers in the "
        "discriminators for three, which learn from a fresh batch, not from the generators', layer "
        "norms in the generators for instance norms"
    )
    Configuration = CycleGANConfig
    presets: ClassVar = {
        "run": CycleGANConfig(norm="layer", steps=1500),
        "smoke": CycleGANConfig(
            size=32,
            width=8,
            blocks=1,
            norm="layer",
            d_width=8,
            pool=8,
            batch=4,
            rate=2e-3,
            steps=60,
            ema=0.9,
        ),
    }
    config: CycleGANConfig

    def __init__(self, config: CycleGANConfig) -> None:
        super().__init__(config)
        # First, so that models of one seed start with the same ones, whatever they up-sample with.
        self.discriminator, self.source_discriminator = (
            PatchDiscriminator(config.channels, config.d_width, config.d_downs) for _ in range(2)
        )
        self.generator, self.inverse = (Generator(config) for _ in range(2))
        self.pool, self.source_pool = (
            ImagePool(config.pool, config.channels, config.size) for _ in range(2)
        )

    def players(self) -> Mapping[str, Player]:
        config = self.config
        judges = [self.discriminator, self.source_discriminator]
        return {
            "generator": Player([self.generator, self.inverse], config.rate, config.betas),
            "discriminator": Player(judges, config.rate * config.d_factor, config.betas),
        }

    def phases(self) -> list[Phase]:
        return [
            Phase("generator", "generator", self.generator_terms),
            Phase("discriminator", "discriminator", self.discriminator_terms),
        ]

    def rate_at(self, step: int) -> float:
        begin = self.config.decay_from * self.config.steps
        left = (self.config.steps - step) / max(self.config.steps - begin, 1)
        return min(1.0, max(0.0, left))

    def generator_terms(self, batch: Batch) -> Terms:
        """Both generators: deceive the patches, come back, leave alone what is right already."""
        images, sources, config = batch["images"], sources_of(batch), self.config
        made, unmade = self.generator(sources), self.inverse(images)
        deceive = LOSSES[config.loss].generator
        adversarial = deceive(self.discriminator(made)) + deceive(self.source_discriminator(unmade))
        cycle = F.l1_loss(self.inverse(made), sources) + F.l1_loss(self.generator(unmade), images)
        terms = {"adversarial": adversarial, "cycle": cycle}
        loss = config.adversarial * adversarial + config.cycle * cycle
        if config.identity:
            kept = F.l1_loss(self.generator(images), images)
            kept = kept + F.l1_loss(self.inverse(sources), sources)
            terms["identity"] = kept
            loss = loss + config.identity * kept
        return {"loss": loss, **terms}

    def discriminator_terms(self, batch: Batch) -> Terms:
        """Both discriminators, on real images and on images that were made now or before."""
        images, sources = batch["images"], sources_of(batch)
        with torch.no_grad():
            made = self.pool(self.generator(sources))
            unmade = self.source_pool(self.inverse(images))
        on_real, on_generated = self.discriminator(images), self.discriminator(made)
        others = self.source_discriminator(sources), self.source_discriminator(unmade)
        judge = LOSSES[self.config.loss].discriminator
        return {
            "loss": judge(on_real, on_generated) + judge(*others),
            "real": on_real.mean(),
            "generated": on_generated.mean(),
        }

    def conditions(self, batch: Batch) -> dict[str, Tensor]:
        return {"sources": sources_of(batch)}

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Nothing: what is drawn follows from the sources."""
        return torch.randn(count, self.config.latent, generator=rng)

    def draw(self, latents: Tensor, *, sources: Tensor | None = None, **conditions: Any) -> Tensor:
        """Images (N, C, S, S) in -1..1 of `sources`, the same; `latents` have a row for each."""
        if conditions:
            raise ValueError(f"cyclegan has no {sorted(conditions)}; it has sources")
        images: Tensor = self.generator(wanted_sources(self.name, self.config, latents, sources))
        return images
