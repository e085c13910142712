"""DCGAN (Radford et al. 2016): a generator and a discriminator of strided convolutions alone.

The five rules: (1) transposed and strided convolutions in the place of pooling; (2) no fully
connected hidden layers; (3) batch norm, but for the generator's output and the discriminator's
input; (4) ReLU in the generator, tanh at its end; (5) LeakyReLU in the discriminator.

With `last_convs` the last layer is the literature's variant U.k.s: `up_last`, then k = `last_convs`
convolutions of side s = `last_kernel` (Chandrasegaran et al. 2021; Durall et al. 2020 have nearest
and three 5x5; Jung and Keuper 2021 a transposed convolution 8x8 and three 5x5 with ReLU).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from gandetect import nn as gnn
from gandetect.gans.config import check_widths
from gandetect.gans.model import AdversarialConfig, AdversarialModel
from gandetect.gans.upsampling import even_start_, up_conv
from gandetect.ops.conventions import member

NORMS = ("batch", "layer", "none")
_SLOPE = 0.2
_MOST_LAST_CONVS, _MOST_LAST_KERNEL = 8, 15


@dataclass(frozen=True)
class DCGANConfig(AdversarialConfig):
    """`AdversarialConfig` of DCGAN and of what is built on its networks.

    `widths`: channels of the generator from 4x4 on, one for each resolution below `size`; the
    discriminator has the same, mirrored. `last_convs`, `last_kernel`, `last_relu`: of the variants
    U.k.s; 0 for the plain last layer. `norm`: of the discriminator, "batch", "layer" (which
    gradient penalties need) or "none". `even_start`: whether up-samplings with weights of their own
    start without a lattice, see `upsampling.even_start_`; the paper's do not.
    """

    latent: int = 100
    up: str = "conv_transpose"
    batch: int = 32
    steps: int = 3000
    ema: float = 0.99
    widths: tuple[int, ...] = (256, 128, 64, 32)
    last_convs: int = 0
    last_kernel: int = 5
    last_relu: bool = False
    norm: str = "batch"
    even_start: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("widths", self.widths)
        member("norm", self.norm, NORMS)
        if self.size != 4 << len(self.widths):
            raise ValueError(
                f"{len(self.widths)} widths give images of {4 << len(self.widths)} pixels; "
                f"size={self.size} given"
            )
        if self.last_convs > _MOST_LAST_CONVS:
            raise ValueError(f"last_convs={self.last_convs} given; want 0 to {_MOST_LAST_CONVS}")
        if self.last_kernel % 2 == 0 or self.last_kernel > _MOST_LAST_KERNEL:
            raise ValueError(
                f"last_kernel={self.last_kernel} given; want an odd number up to "
                f"{_MOST_LAST_KERNEL}"
            )


@dataclass(frozen=True)
class PenaltyConfig(DCGANConfig):
    """`DCGANConfig` of a discriminator with a gradient penalty, of weight `penalty_weight`.

    Batch norm is refused: through it the gradient at one image depends on the others.
    """

    latent: int = 128
    steps: int = 1500
    norm: str = "layer"
    even_start: bool = True
    penalty_weight: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm == "batch":
            raise ValueError('norm="batch" given; a gradient penalty wants "layer" or "none"')


class Generator(nn.Module):
    """Latents (N, latent) to images (N, C, S, S) in -1..1."""

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        widths = config.widths
        layers: list[nn.Module] = [gnn.ConvTranspose2d(config.latent, widths[0], 4, bias=False)]
        for wide, narrow in pairwise(widths):
            layers += [
                nn.BatchNorm2d(wide),
                nn.ReLU(),
                up_conv(wide, narrow, config.up, bias=False),
            ]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(), *last_layers(config, widths[-1])]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialize)
        if config.even_start:
            even_start_(self)

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.layers(latents[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Images (N, C, S, S) to logits (N,)."""

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        layers: list[nn.Module] = [
            nn.Conv2d(config.channels, widths[0], 4, 2, 1),
            nn.LeakyReLU(_SLOPE),
        ]
        for narrow, wide in pairwise(widths):
            layers += [
                nn.Conv2d(narrow, wide, 4, 2, 1, bias=config.norm == "none"),
                *_norm(config.norm, wide),
                nn.LeakyReLU(_SLOPE),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4))
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits.flatten()


def last_layers(config: DCGANConfig, inputs: int) -> list[nn.Module]:
    """From `inputs` channels at half the size to the image, with tanh."""
    up, side = config.last, config.last_kernel
    if config.last_convs == 0:
        return [up_conv(inputs, config.channels, up, activation="tanh")]
    # An interpolation and the first convolution are one layer; a transposed convolution (8x8 where
    # the others are 5x5) is one before all of them.
    transposed = up == "conv_transpose"
    outputs = [inputs] * (config.last_convs - (not transposed)) + [config.channels]
    first, *others = outputs
    layers = [up_conv(inputs, first, up, kernel=side + 2 if transposed else side)]
    for channels in others:
        if config.last_relu:
            layers.append(nn.ReLU())
        layers.append(nn.Conv2d(inputs, channels, side, padding=side // 2))
    return [*layers, nn.Tanh()]


def _norm(name: str, channels: int) -> list[nn.Module]:
    if name == "none":
        return []
    # One group is layer normalization with a gain and a bias for each channel.
    return [nn.GroupNorm(1, channels) if name == "layer" else nn.BatchNorm2d(channels)]


def _initialize(module: nn.Module) -> None:
    """N(0, .02) for kernels, N(1, .02) for gains."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1, 0.02)
        nn.init.zeros_(module.bias)


class DCGAN(AdversarialModel):
    name = "dcgan"
    source = "Radford, Metz, Chintala, 2016; widths of `run` are a quarter of theirs"
    Configuration = DCGANConfig
    presets: ClassVar = {
        "run": DCGANConfig(),
        "smoke": DCGANConfig(size=32, latent=32, widths=(32, 16, 8), batch=16, steps=60, ema=0.9),
    }

    def build(self, config: DCGANConfig) -> tuple[nn.Module, nn.Module]:
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        discriminator = Discriminator(config)
        return Generator(config), discriminator
