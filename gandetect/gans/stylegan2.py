"""StyleGAN2 (Karras et al. 2020): modulated convolutions, RGB skips and lazy penalties.

Every convolution of the generator is scaled by the styles w of the image and demodulated
(`modulation`); the image is the sum of what each resolution adds to the up-sampled one below. The
discriminator is residual. R1 is taken every 16 iterations; every 4 the lengths of the paths from w
to the image are held at their running mean, which takes second derivatives through the generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.equalized import MinibatchDeviation, conv, dense, leaky
from gandetect.gans.model import Batch, Phase, Player, Terms
from gandetect.gans.modulation import UPS, SkipUp, StyledConv, ToImage, fir_kernel
from gandetect.gans.styles import StyleConfig, StyleGenerator, StyleModel, lazily, noises


@dataclass(frozen=True)
class StyleGAN2Config(StyleConfig):
    """`StyleConfig` with the penalty of path lengths.

    `up`, `up_last`: of `UP`, or "fir", the model's own. `path`: weight of the penalty, every
    `path_every` iterations on half a batch; 0 for none. `path_decay`: of the mean length.
    """

    up: str = "fir"
    path: float = 2.0
    path_every: int = 4
    path_decay: float = 0.99
    ups: ClassVar[tuple[str, ...]] = UPS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path_every < 1:
            raise ValueError(f"path_every={self.path_every} given; want at least 1")
        if self.path_decay > 1:
            raise ValueError(f"path_decay={self.path_decay} given; want 0 to 1")


class UpBlock(nn.Module):
    """Features (N, inputs, H, W) and the image so far to both at twice the size."""

    def __init__(self, config: StyleGAN2Config, inputs: int, outputs: int, up: str) -> None:
        super().__init__()
        self.enlarge = StyledConv(inputs, outputs, config.styles, up)
        self.conv = StyledConv(outputs, outputs, config.styles)
        self.skip = SkipUp(config.channels, up)
        self.image = ToImage(outputs, config.channels, config.styles)

    def forward(
        self, x: Tensor, images: Tensor, w: Tensor, noise: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`w`: styles (N, 3, styles) of the two convolutions and of the image."""
        x = self.conv(self.enlarge(x, w[:, 0], noise[0]), w[:, 1], noise[1])
        return x, self.skip(images) + self.image(x, w[:, 2])


class Synthesis(nn.Module):
    """Styles w (N, layers, styles) to images (N, C, S, S), from a learned constant of 4x4."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        widths = config.widths
        ups = [config.up] * (len(widths) - 2) + [config.last]
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.first = StyledConv(widths[0], widths[0], config.styles)
        self.image = ToImage(widths[0], config.channels, config.styles)
        self.blocks = nn.ModuleList(
            UpBlock(config, wide, narrow, up)
            for (wide, narrow), up in zip(pairwise(widths), ups, strict=True)
        )
        doubled = [side for block in range(len(ups)) for side in [8 << block] * 2]
        self.noise_sides = [4, *doubled]
        # Everything follows the layout of the weights, and on a CPU this one is the faster.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, w: Tensor) -> Tensor:
        return self.synthesized(w, noises(len(w), self.noise_sides, w))

    def synthesized(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        """Images (N, C, S, S) of styles and the noise of each layer, (N, 1, side, side)."""
        x = self.first(self.constant.expand(len(w), -1, -1, -1), w[:, 0], noise[0])
        images = self.image(x, w[:, 1])
        for i, block in enumerate(self.blocks):
            # What makes an image of a block has the styles of the next block's first layer.
            styles = w[:, 2 * i + 1 : 2 * i + 4]
            x, images = block(x, images, styles, noise[2 * i + 1 : 2 * i + 3])
        return images


class DownBlock(nn.Module):
    """(N, inputs, H, W) to (N, outputs, H/2, W/2); what is left out is filtered before."""

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(inputs, inputs)
        self.halve = conv(inputs, outputs, stride=2, padding=0)
        self.shortcut = conv(inputs, outputs, 1, gain=1.0, bias=False)
        self.register_buffer("kernel", fir_kernel(inputs), persistent=False)
        self.activation = leaky()

    def forward(self, x: Tensor) -> Tensor:
        short = self.shortcut(self._filtered(x, stride=2, padding=1))
        y = self._filtered(self.activation(self.conv(x)), stride=1, padding=2)
        return (self.activation(self.halve(y)) + short) / math.sqrt(2)

    def _filtered(self, x: Tensor, stride: int, padding: int) -> Tensor:
        return F.conv2d(x, self.kernel, None, stride, padding, groups=len(self.kernel))


class Discriminator(nn.Module):
    """Images (N, C, S, S) to logits (N,), or to `outputs` values (N, outputs)."""

    def __init__(self, config: StyleGAN2Config, outputs: int = 1) -> None:
        super().__init__()
        widths = config.widths[::-1]
        last = widths[-1]
        self.trunk = nn.Sequential(
            conv(config.channels, widths[0], 1),
            leaky(),
            *(DownBlock(narrow, wide) for narrow, wide in pairwise(widths)),
            MinibatchDeviation(),
            conv(last + 1, last),
            leaky(),
            nn.Flatten(),
            dense(16 * last, last, math.sqrt(2)),
            leaky(),
        )
        self.head = dense(last, outputs)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(images))
        return logits[:, 0] if self.head.out_features == 1 else logits


def path_lengths(images: Tensor, w: Tensor) -> Tensor:
    """‖∂⟨G(w), y⟩/∂w‖ of each image (N,), y ~ N(0, I)/√(HW): root mean square over the layers.

    `images` (N, C, H, W) were made of w (N, layers, styles); differentiable once more.
    """
    layers = w.shape[1]
    y = torch.randn_like(images) / math.sqrt(math.prod(images.shape[2:]))
    (slope,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
    return (slope.square().sum(dim=(1, 2)) / layers).sqrt()


class StyleGAN2(StyleModel):
    name = "stylegan2"
    source = (
        "Karras et al., 2020 (arXiv 1912.04958), written anew; widths of `run` are at most 64, w "
        "has 128 values of 4 layers for their 512 of 8, R1 weighs 1 for their 10 at 1024 pixels; "
        "crossovers of mixed styles are drawn for each image, and the running mean of w is "
        "updated by every forward pass in training"
    )
    Configuration = StyleGAN2Config
    presets: ClassVar = {
        "run": StyleGAN2Config(),
        "smoke": StyleGAN2Config(
            size=32,
            latent=32,
            styles=32,
            mapping=2,
            widths=(24, 24, 16, 8),
            batch=8,
            steps=60,
            rate=5e-3,
            ema=0.8,
        ),
    }
    config: StyleGAN2Config
    path_mean: Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__(config)
        self.register_buffer("path_mean", torch.zeros(()))

    def build(self, config: StyleGAN2Config) -> tuple[nn.Module, nn.Module]:
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        discriminator = Discriminator(config)
        return StyleGenerator(config, Synthesis(config)), discriminator

    def players(self) -> dict[str, Player]:
        found = super().players()
        if self.config.path:
            found["generator"] = lazily(found["generator"], self.config.path_every)
        return found

    def phases(self) -> list[Phase]:
        found = super().phases()
        if self.config.path:
            every = self.config.path_every
            found.append(Phase("path", "generator", self.path_terms, every=every))
        return found

    def path_terms(self, batch: Batch) -> Terms:
        """How far the path lengths of half a batch are from their running mean."""
        config, at = self.config, batch["images"].device
        count = max(len(batch["images"]) // 2, 1)
        # float32, as R1: squares of slopes vanish in half precision.
        with torch.autocast(at.type, enabled=False):
            w = self.styles(self.latents(count).to(at), batch)
            lengths = path_lengths(self.generator.synthesis(w), w)
        mean = lengths.detach().mean().lerp(self.path_mean, config.path_decay)
        self.path_mean.copy_(mean)
        penalty = (lengths - mean).square().mean()
        return {
            "loss": config.path_every * config.path * penalty,
            "penalty": penalty,
            "length": lengths.mean(),
        }

    def styles(self, latents: Tensor, batch: Batch) -> Tensor:
        """w (N, layers, styles) of latents; `batch` gives conditions where there are."""
        return self.generator.styles(latents)
