"""A DCGAN of a few hundred weights and the images it is trained on, for tests of the loop."""

from dataclasses import replace

import torch

from gandetect.gans import Images
from gandetect.gans.dcgan import DCGANConfig

TINY = DCGANConfig(size=8, latent=4, widths=(4,), batch=4, steps=6, ema=0.5)


def tiny(**changes):
    return replace(TINY, **changes)


def tiny_images(count=24, size=8, channels=3):
    """Smooth random images: noise made four times larger."""
    rng = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, channels, size // 4, size // 4, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return Images((255 * smooth).to(torch.uint8), {"name": "smooth", "source": "random numbers"})
