"""U-Net (Ronneberger et al. 2015) as a generative model: images made of images.

The network of the paper, with an image in the place of a segmentation: it learns from pairs, by the
L1 distance to the image that is wanted, and with `adversarial` also by a discriminator of patches
that sees source and image together, as pix2pix does (Isola et al. 2017). Losses for segmentations
are in `gandetect.nn.segmentation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.config import check_widths
from gandetect.gans.losses import LOSSES
from gandetect.gans.model import Batch, GenerativeModel, Phase, Player, Terms
from gandetect.gans.patch_discriminator import PatchDiscriminator
from gandetect.gans.translation import (
    TranslationConfig,
    refuse_latents,
    sources_of,
    wanted_sources,
)
from gandetect.gans.upsampling import UpProjection
from gandetect.nn import unet


@dataclass(frozen=True)
class UNetConfig(TranslationConfig):
    """`TranslationConfig` of a U-Net.

    `widths`: channels at full size, at half and so on; the size is a multiple of
    2^(len(widths) - 1). `unpool`: enlarge by un-pooling, `up` and `up_last` then count for nothing.
    `adversarial`: weight of the discriminator beside the L1 distance; 0 for none. The others are
    the discriminator's.
    """

    up: str = "conv_transpose"
    batch: int = 8
    steps: int = 3000
    loss: str = "nonsaturating"
    widths: tuple[int, ...] = (16, 32, 64, 128)
    unpool: bool = False
    adversarial: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_latents(self)
        check_widths("widths", self.widths)
        halvings = len(self.widths) - 1
        if halvings < 1 or self.size % (1 << halvings) or self.size >> halvings < 2:
            raise ValueError(
                f"size={self.size} given for {len(self.widths)} widths; want a multiple of "
                f"{1 << halvings}, 4 or more, and two widths or more"
            )


class Generator(nn.Module):
    """Images (N, C, S, S) to images of the same shape, in -1..1."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        # The smallest first.
        ups = iter([config.up] * (len(config.widths) - 2) + [config.last])

        def enlarge(inputs: int, outputs: int) -> nn.Module:
            if config.unpool:
                return unet.Unpool(inputs, outputs)
            return UpProjection(inputs, outputs, next(ups))

        self.network = unet.UNet(config.channels, config.channels, config.widths, enlarge)

    def forward(self, sources: Tensor) -> Tensor:
        images: Tensor = self.network(sources).tanh()
        return images


class UNet(GenerativeModel):
    name = "unet"
    source = (
        "Ronneberger, Fischer, Brox, 2015, with padded convolutions and batch norm; trained on "
        "pairs of images after Isola et al., 2017, without dropout; widths of `run` are a quarter "
        "of the 64 to 512 there; the weights are 1 for L1 and .01 for the discriminator, which are "
        "their 100 and 1"
    )
    learns_from: ClassVar = "pairs"
    Configuration = UNetConfig
    presets: ClassVar = {
        "run": UNetConfig(),
        "smoke": UNetConfig(
            size=32, widths=(8, 16, 16), d_width=8, batch=8, rate=2e-3, steps=60, ema=0.9
        ),
    }
    config: UNetConfig

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config)
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        self.discriminator = (
            PatchDiscriminator(2 * config.channels, config.d_width, config.d_downs)
            if config.adversarial
            else None
        )
        self.generator = Generator(config)

    def players(self) -> Mapping[str, Player]:
        config = self.config
        found = {"generator": Player([self.generator], config.rate, config.betas)}
        if self.discriminator is not None:
            rate = config.rate * config.d_factor
            found["discriminator"] = Player([self.discriminator], rate, config.betas)
        return found

    def phases(self) -> list[Phase]:
        found = [Phase("generator", "generator", self.generator_terms)]
        if self.discriminator is not None:
            found.insert(0, Phase("discriminator", "discriminator", self.discriminator_terms))
        return found

    def discriminator_terms(self, batch: Batch) -> Terms:
        """Real and made images, each beside its source."""
        images, sources = batch["images"], sources_of(batch)
        with torch.no_grad():
            made = self.generator(sources)
        on_real, on_generated = self._judged(images, sources), self._judged(made, sources)
        return {
            "loss": LOSSES[self.config.loss].discriminator(on_real, on_generated),
            "real": on_real.mean(),
            "generated": on_generated.mean(),
        }

    def generator_terms(self, batch: Batch) -> Terms:
        """The L1 distance to the images that are wanted, and whether the patches are deceived."""
        sources = sources_of(batch)
        made = self.generator(sources)
        distance = F.l1_loss(made, batch["images"])
        if self.discriminator is None:
            return {"loss": distance, "l1": distance}
        adversarial = LOSSES[self.config.loss].generator(self._judged(made, sources))
        loss = distance + self.config.adversarial * adversarial
        return {"loss": loss, "l1": distance, "adversarial": adversarial}

    def _judged(self, images: Tensor, sources: Tensor) -> Tensor:
        """Logits of the patches of images beside their sources."""
        assert self.discriminator is not None
        logits: Tensor = self.discriminator(torch.cat((sources, images), dim=1))
        return logits

    def conditions(self, batch: Batch) -> dict[str, Tensor]:
        return {"sources": sources_of(batch)}

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Nothing: what is drawn follows from the sources."""
        return torch.randn(count, self.config.latent, generator=rng)

    def draw(self, latents: Tensor, *, sources: Tensor | None = None, **conditions: Any) -> Tensor:
        """Images (N, C, S, S) in -1..1 of `sources`, the same; `latents` have a row for each."""
        if conditions:
            raise ValueError(f"unet has no {sorted(conditions)}; it has sources")
        images: Tensor = self.generator(wanted_sources(self.name, self.config, latents, sources))
        return images
