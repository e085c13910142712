"""StyleGAN (Karras et al. 2019): styles of a mapping network enter by adaptive instance norms.

The generator starts from a learned constant of 4x4. After each convolution come noise, bias,
LeakyReLU and AdaIN: every channel is brought to mean 0 and deviation 1 and then to those that the
styles ask for. Nearest up-sampling and the blur [1, 2, 1] after the convolution, as published, are
bilinear up-sampling before it, but for the border: that is what `up` is here by default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.equalized import (
    SLOPE,
    MinibatchDeviation,
    conv,
    dense,
    equalized_up_conv,
    leaky,
)
from gandetect.gans.styles import StyleConfig, StyleGenerator, StyleModel, noises


@dataclass(frozen=True)
class StyleGANConfig(StyleConfig):
    """`StyleConfig` of the generator with adaptive instance norms."""

    up: str = "bilinear"
    mean_decay: float = 0.995
    r1: float = 10.0


class AdaptiveNorm(nn.Module):
    """AdaIN: y_s (x - μ) / σ + y_b, μ and σ of each channel of each image, (y_s, y_b) of w."""

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.scale = dense(styles, channels, bias=1.0)
        self.shift = dense(styles, channels)
        self.norm = nn.InstanceNorm2d(channels, eps=1e-8)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Features (N, channels, H, W) and w (N, styles) to features."""
        scale, shift = (one(w)[:, :, None, None] for one in (self.scale, self.shift))
        return scale * self.norm(x) + shift


class Epilogue(nn.Module):
    """What follows a convolution: noise, bias, LeakyReLU, AdaIN."""

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = AdaptiveNorm(channels, styles)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """Features (N, channels, H, W), w (N, styles) and one map of noise (N, 1, H, W)."""
        strength, bias = (one[:, None, None] for one in (self.strength, self.bias))
        y: Tensor = self.norm(F.leaky_relu(x + strength * noise + bias, SLOPE), w)
        return y


class Synthesis(nn.Module):
    """Styles w (N, layers, styles) to images (N, C, S, S)."""

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        widths = config.widths
        ups = [config.up] * (len(widths) - 2) + [config.last]
        # Random: what is the same at every pixel, the first norm would take away.
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        convolutions: list[nn.Module] = [nn.Identity(), conv(widths[0], widths[0], bias=False)]
        for (wide, narrow), up in zip(pairwise(widths), ups, strict=True):
            convolutions += [
                equalized_up_conv(wide, narrow, up, bias=False),
                conv(narrow, narrow, bias=False),
            ]
        self.convolutions = nn.ModuleList(convolutions)
        doubled = [width for width in widths for _ in range(2)]
        self.epilogues = nn.ModuleList(Epilogue(width, config.styles) for width in doubled)
        self.image = conv(widths[-1], config.channels, 1, gain=1.0)
        self.noise_sides = [4 << i // 2 for i in range(len(doubled))]

    def forward(self, w: Tensor) -> Tensor:
        return self.synthesized(w, noises(len(w), self.noise_sides, w))

    def synthesized(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        """Images (N, C, S, S) of styles and the noise of each layer, (N, 1, side, side)."""
        x = self.constant.expand(len(w), -1, -1, -1)
        layers = zip(self.convolutions, self.epilogues, strict=True)
        for i, (convolution, epilogue) in enumerate(layers):
            x = epilogue(convolution(x), w[:, i], noise[i])
        images: Tensor = self.image(x)
        return images


class Discriminator(nn.Module):
    """Images (N, C, S, S) to logits (N,): ProGAN's, of its full size from the start."""

    def __init__(self, config: StyleGANConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        last = widths[-1]
        layers: list[nn.Module] = [conv(config.channels, widths[0], 1), leaky()]
        for narrow, wide in pairwise(widths):
            layers += [conv(narrow, narrow), leaky()]
            layers += [conv(narrow, wide), nn.AvgPool2d(2), leaky()]
        self.layers = nn.Sequential(
            *layers,
            MinibatchDeviation(),
            conv(last + 1, last),
            leaky(),
            nn.Flatten(),
            dense(16 * last, last, math.sqrt(2)),
            leaky(),
            dense(last, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits[:, 0]


class StyleGAN(StyleModel):
    name = "stylegan"
    source = (
        "Karras et al., 2019 (arXiv 1812.04948), written anew; it does not grow, w has 128 values "
        "of 4 layers for their 512 of 8 and widths are at most 64; R1 is taken every 16 "
        "iterations, as in StyleGAN2; up-sampling is bilinear before the convolution for nearest "
        "before and a blur after it; samples are truncated in all layers, theirs in the first 8"
    )
    Configuration = StyleGANConfig
    presets: ClassVar = {
        "run": StyleGANConfig(),
        "smoke": StyleGANConfig(
            size=32,
            latent=32,
            styles=32,
            mapping=2,
            widths=(24, 24, 16, 8),
            batch=8,
            steps=60,
            rate=5e-3,
            d_factor=0.2,
            ema=0.8,
        ),
    }
    config: StyleGANConfig

    def build(self, config: StyleGANConfig) -> tuple[nn.Module, nn.Module]:
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        discriminator = Discriminator(config)
        return StyleGenerator(config, Synthesis(config)), discriminator
