"""What StyleGAN and its successors share besides layers: configuration, training, truncation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gandetect.gans.config import check_widths
from gandetect.gans.losses import Discriminator, r1_penalty
from gandetect.gans.mapping import Mapping, for_layers, mixed
from gandetect.gans.model import AdversarialConfig, AdversarialModel, Batch, Phase, Player, Terms

_MOST_TRUNCATION = 2.0


@dataclass(frozen=True)
class StyleConfig(AdversarialConfig):
    """`AdversarialConfig` of generators with a mapping network.

    `widths`: channels of the generator at 4x4 and after each doubling; the discriminator has the
    same, mirrored. `styles`: length of w; `mapping`: layers that make it. `mixing`: the share of
    images with the styles of two latents. `truncation`: of the samples that are drawn, 1 for none.
    `mean_decay`: of the running mean of w. `r1`: weight γ of γ/2 E‖∇D(x)‖² on real images, every
    `r1_every` iterations and then that many times as strong; 0 for none.
    """

    latent: int = 128
    batch: int = 16
    steps: int = 3000
    ema: float = 0.998
    rate: float = 2e-3
    betas: tuple[float, float] = (0.0, 0.99)
    widths: tuple[int, ...] = (64, 64, 64, 32, 16)
    styles: int = 128
    mapping: int = 4
    mixing: float = 0.9
    truncation: float = 0.7
    mean_decay: float = 0.998
    r1: float = 1.0
    r1_every: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("widths", self.widths)
        check_widths("styles", (self.styles,) * max(self.mapping, 1))
        doublings = len(self.widths) - 1
        if self.mapping < 1:
            raise ValueError(f"mapping={self.mapping} given; want at least 1 layer")
        if doublings < 1 or self.size != 4 << doublings:
            raise ValueError(
                f"{len(self.widths)} widths are for images of {4 << doublings} pixels; "
                f"size={self.size} given, want 8 or more"
            )
        for name in ("mixing", "mean_decay"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}={getattr(self, name)} given; want 0 to 1")
        if self.truncation > _MOST_TRUNCATION:
            raise ValueError(f"truncation={self.truncation} given; want 0 to {_MOST_TRUNCATION}")
        if self.r1_every < 1:
            raise ValueError(f"r1_every={self.r1_every} given; want at least 1")

    @property
    def layers(self) -> int:
        """How many layers have styles of their own: two at each resolution."""
        return 2 * len(self.widths)


class StyleGenerator(nn.Module):
    """Latents (N, latent) to images (N, C, S, S): a mapping network, then `synthesis`."""

    def __init__(self, config: StyleConfig, synthesis: nn.Module, extra: int = 0) -> None:
        super().__init__()
        self.layers, self.mixing = config.layers, config.mixing
        self.mapping = Mapping(
            config.latent, config.styles, config.mapping, extra=extra, decay=config.mean_decay
        )
        self.synthesis = synthesis

    def forward(
        self, latents: Tensor, extra: Tensor | None = None, truncation: float = 1.0
    ) -> Tensor:
        images: Tensor = self.synthesis(self.styles(latents, extra, truncation))
        return images

    def styles(
        self, latents: Tensor, extra: Tensor | None = None, truncation: float = 1.0
    ) -> Tensor:
        """w (N, layers, styles); of two latents for some images in training."""
        w = self.mapping.truncated(self.mapping(latents, extra), truncation)
        first = for_layers(w, self.layers)
        if not self.training or self.mixing == 0:
            return first
        other = self.mapping(torch.randn_like(latents), extra)
        return mixed(first, for_layers(other, self.layers), self.mixing)


class StyleModel(AdversarialModel):
    """An `AdversarialModel` of a `StyleGenerator`, with R1 in a phase of its own.

    Penalties that are taken every k iterations make k + 1 steps of k; the rate and the decays of
    Adam are those that k steps would have had (Karras et al. 2020).
    """

    truncates = True
    config: StyleConfig
    generator: StyleGenerator

    def players(self) -> dict[str, Player]:
        config, found = self.config, super().players()
        if config.r1:
            judges = {"discriminator", "spectral_discriminator"} & found.keys()
            found |= {name: lazily(found[name], config.r1_every) for name in judges}
        return found

    def phases(self) -> list[Phase]:
        found = super().phases()
        every = self.config.r1_every
        if self.config.r1:
            found.insert(1, Phase("r1", "discriminator", self.r1_terms, every=every))
        if self.config.r1 and self.config.spectral == "discriminator":
            terms = self.spectral_r1_terms
            found.insert(3, Phase("spectral_r1", "spectral_discriminator", terms, every=every))
        return found

    def r1_terms(self, batch: Batch) -> Terms:
        """The penalty of the discriminator's slope at real images."""
        return self._r1_terms(lambda images: self.judge(images, batch), batch)

    def spectral_r1_terms(self, batch: Batch) -> Terms:
        """The same of the discriminator that sees profiles alone."""
        return self._r1_terms(self.spectral_discriminator, batch)

    def _r1_terms(self, judge: Discriminator, batch: Batch) -> Terms:
        penalty = r1_penalty(judge, batch["images"])
        return {"loss": self.config.r1_every * self.config.r1 * penalty, "penalty": penalty}

    def draw(
        self, latents: Tensor, *, truncation: float | None = None, **conditions: Any
    ) -> Tensor:
        """Images (N, C, H, W), clipped to -1..1; noise is of torch's random numbers.

        `truncation`: 1 for none, 0 for the mean image, None for the configuration's.
        """
        if conditions:
            raise ValueError(f"{self.name} has no conditions; {sorted(conditions)} given")
        return self.generator(latents, truncation=self.truncation(truncation)).clamp(-1, 1)

    def truncation(self, given: float | None) -> float:
        """What to truncate by; ValueError for what makes no sense."""
        found = self.config.truncation if given is None else given
        if not 0 <= found <= _MOST_TRUNCATION:
            raise ValueError(f"truncation={found} given; want 0 to {_MOST_TRUNCATION}")
        return found


def lazily(player: Player, every: int) -> Player:
    """A player with one more step in every so many."""
    share = every / (every + 1)
    betas = (player.betas[0] ** share, player.betas[1] ** share)
    return replace(player, rate=player.rate * share, betas=betas)


def noises(count: int, sides: Sequence[int], like: Tensor) -> list[Tensor]:
    """N(0, 1) maps (count, 1, side, side), one for each of `sides`."""
    return [torch.randn(count, 1, side, side, device=like.device) for side in sides]
