"""WGAN-GP (Gulrajani et al. 2017): a critic whose gradient is held at norm 1 between the images.

The critic estimates the Wasserstein distance; its logits are no log-odds. It has no batch norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gandetect.gans.dcgan import DCGAN, PenaltyConfig
from gandetect.gans.losses import Discriminator, wgan_gp_penalty


@dataclass(frozen=True)
class WGANGPConfig(PenaltyConfig):
    """`PenaltyConfig` with the Wasserstein distance."""

    loss: str = "wasserstein"


class WGANGP(DCGAN):
    name = "wgan-gp"
    source = (
        "Gulrajani et al., 2017; networks and settings of `run` as in "
        "github.com/LynnHo/DCGAN-LSGAN-WGAN-GP-DRAGAN-Pytorch (one critic step, Adam 2e-4) with d "
        "32 in the place of 64 and the paper's 0, .9 for Adam's .5, .999; up-samplings start even; "
        "`paper` has five steps and Adam 1e-4"
    )
    Configuration = WGANGPConfig
    presets: ClassVar = {
        "run": WGANGPConfig(steps=2000, betas=(0.0, 0.9)),
        "paper": WGANGPConfig(steps=3000, d_steps=5, rate=1e-4, betas=(0.0, 0.9)),
        "smoke": WGANGPConfig(size=32, latent=32, widths=(32, 16, 8), batch=16, steps=60, ema=0.9),
    }
    config: WGANGPConfig

    def penalty(self, judge: Discriminator, real: Tensor, generated: Tensor) -> Tensor:
        return self.config.penalty_weight * wgan_gp_penalty(judge, real, generated)
