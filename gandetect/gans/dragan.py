"""DRAGAN (Kodali et al. 2017): the gradient is held at norm 1 around the real images alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gandetect.gans.dcgan import DCGAN, PenaltyConfig
from gandetect.gans.losses import Discriminator, dragan_penalty


@dataclass(frozen=True)
class DRAGANConfig(PenaltyConfig):
    """`PenaltyConfig` with the non-saturating loss."""


class DRAGAN(DCGAN):
    name = "dragan"
    source = (
        "Kodali et al., 2017; networks, settings and the uniform noise of the penalty as in "
        "github.com/LynnHo/DCGAN-LSGAN-WGAN-GP-DRAGAN-Pytorch, with d 32 in the place of 64 and "
        "0, .9 for Adam's .5, .999; up-samplings start even; the paper perturbs with Gaussian noise"
    )
    Configuration = DRAGANConfig
    presets: ClassVar = {
        "run": DRAGANConfig(steps=2000, betas=(0.0, 0.9)),
        "smoke": DRAGANConfig(size=32, latent=32, widths=(32, 16, 8), batch=16, steps=60, ema=0.9),
    }
    config: DRAGANConfig

    def penalty(self, judge: Discriminator, real: Tensor, generated: Tensor) -> Tensor:
        return self.config.penalty_weight * dragan_penalty(judge, real)
