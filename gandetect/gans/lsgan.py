"""LSGAN (Mao et al. 2017): DCGAN's networks, with squared distances in the place of logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gandetect.gans.dcgan import DCGAN, DCGANConfig


@dataclass(frozen=True)
class LSGANConfig(DCGANConfig):
    """`DCGANConfig` with the squares."""

    latent: int = 128
    steps: int = 1500
    loss: str = "least_squares"
    even_start: bool = True


class LSGAN(DCGAN):
    name = "lsgan"
    source = (
        "Mao et al., 2017, with (a, b, c) = (0, 1, 1) and the paper's halves, which public code "
        "drops; networks and rates of github.com/LynnHo/DCGAN-LSGAN-WGAN-GP-DRAGAN-Pytorch, "
        "widths min(d 2^i, 8 d) with d 32 in the place of 64; up-samplings start even"
    )
    Configuration = LSGANConfig
    presets: ClassVar = {
        "run": LSGANConfig(),
        "smoke": LSGANConfig(size=32, latent=32, widths=(32, 16, 8), batch=16, steps=60, ema=0.9),
    }
