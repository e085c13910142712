"""GAN (Goodfellow et al. 2014): two multilayer perceptrons that train each other.

Algorithm 1 of the paper is `AdversarialModel`: `d_steps` (its k) steps of the discriminator, each
on fresh images and fresh latents, then one of the generator on fresh latents. With
`loss="saturating"` the generator descends ln(1 - D(G(z))), whose gradient vanishes where the
discriminator is sure; with "nonsaturating" it descends -ln D(G(z)), as the paper does in practice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from gandetect.gans.config import check_widths
from gandetect.gans.model import AdversarialConfig, AdversarialModel, UniformLatents

_SLOPE = 0.2


@dataclass(frozen=True)
class GANConfig(AdversarialConfig):
    """`AdversarialConfig` of perceptrons.

    `widths`: of the generator's hidden layers; the discriminator has them mirrored. `dropout`: the
    share of the discriminator's hidden values that a training step drops. Nothing is up-sampled,
    so that `up` and `up_last` are refused.
    """

    latent: int = 100
    widths: tuple[int, ...] = (256, 512)
    dropout: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("widths", self.widths)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} given; want 0 <= dropout < 1")
        if self.up != "nearest" or self.up_last is not None:
            raise ValueError(
                f"up={self.up!r}, up_last={self.up_last!r} given; perceptrons have no up-sampling: "
                "leave both out, or take another model"
            )


class GAN(UniformLatents, AdversarialModel):
    name = "gan"
    up_samples: ClassVar = False
    source = (
        "Goodfellow et al., 2014; Adam 2e-4, .5 in the place of momentum and leaky ReLU in the "
        "place of maxout; latents uniform in -1..1"
    )
    draws_photographs = False
    Configuration = GANConfig
    presets: ClassVar = {
        "run": GANConfig(size=32, channels=1, batch=64, steps=12000, ema=0.99),
        "smoke": GANConfig(size=32, latent=32, widths=(32, 64), batch=16, steps=60, ema=0.9),
    }

    def build(self, config: GANConfig) -> tuple[nn.Module, nn.Module]:
        shape = (config.channels, config.size, config.size)
        return _generator(config, shape), _discriminator(config, shape)

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        return 2 * torch.rand(count, self.config.latent, generator=rng) - 1


def _generator(config: GANConfig, shape: tuple[int, int, int]) -> nn.Module:
    """Latents (N, latent) to images (N, *shape) in -1..1."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((config.latent, *config.widths)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    pixels = torch.Size(shape).numel()
    last = nn.Linear(config.widths[-1], pixels)
    return nn.Sequential(*layers, last, nn.Tanh(), nn.Unflatten(1, shape))


def _discriminator(config: GANConfig, shape: tuple[int, int, int]) -> nn.Module:
    """Images (N, *shape) to logits (N,)."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise((torch.Size(shape).numel(), *config.widths[::-1])):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(_SLOPE), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers, nn.Linear(config.widths[0], 1), nn.Flatten(0))
