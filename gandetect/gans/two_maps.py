"""The networks of VQ-VAE-2: images to vectors of two maps, and codes of both back to images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.upsampling import up_conv

if TYPE_CHECKING:
    from gandetect.gans.vqvae2 import VQVAE2Config


class Residual(nn.Module):
    """(N, width, H, W) to the same: ReLU, 3x3, ReLU, 1x1, and the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(8, width // 4)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


def _residuals(inputs: int, config: VQVAE2Config) -> list[nn.Module]:
    """(N, inputs, H, W) to (N, width, H, W), not negative."""
    blocks = [Residual(config.width) for _ in range(config.blocks)]
    return [nn.Conv2d(inputs, config.width, 3, padding=1), *blocks, nn.ReLU()]


def _vectors(inputs: int, config: VQVAE2Config) -> nn.Module:
    """(N, inputs, H, W) to what is quantized, (N, latent, H, W).

    Of mean 0 and deviation 1 (Łańcucki et al. 2020): the commitment alone would shrink the vectors
    of the top until its codes say nothing and the decoder does without them.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, config.latent, 1), nn.BatchNorm2d(config.latent, affine=False)
    )


def finer(x: Tensor) -> Tensor:
    """(N, C, 2H, 2W) less the mean of every two by two, which is one cell of the map above."""
    return x - F.interpolate(F.avg_pool2d(x, 2), scale_factor=2)


class Encoder(nn.Module):
    """Images (N, C, S, S) to the bottom's features and the top's vectors, S/4 and S/8 a side."""

    def __init__(self, config: VQVAE2Config) -> None:
        super().__init__()
        width = config.width
        self.of_bottom = finer if config.fine_bottom else nn.Identity()
        self.bottom = nn.Sequential(
            nn.Conv2d(config.channels, width // 2, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 4, 2, 1),
            nn.ReLU(),
            *_residuals(width, config),
        )
        self.top = nn.Sequential(
            nn.Conv2d(width, width, 4, 2, 1), nn.ReLU(), *_residuals(width, config)
        )
        self.top_vectors = _vectors(width, config)
        self.from_top = nn.Sequential(
            *_residuals(config.latent, config), up_conv(width, config.latent, config.up)
        )
        self.bottom_vectors = _vectors(width + config.latent, config)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                # Torch's own start lets signals fade.
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                # Zeros would have the codes of the top say where they are, and nothing else.
                layer.padding_mode = "replicate" if any(layer.padding) else "zeros"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        bottom = self.bottom(images)
        return bottom, self.top_vectors(self.top(bottom))

    def join(self, bottom: Tensor, top: Tensor) -> Tensor:
        """Features of the bottom and the quantized top to the vectors of the bottom."""
        parts = [self.of_bottom(bottom), self.from_top(top)]
        vectors: Tensor = self.bottom_vectors(torch.cat(parts, dim=1))
        return vectors


class Decoder(nn.Module):
    """Codes of the top and the bottom, both (N, latent, ...), to images (N, C, S, S) in -1..1."""

    def __init__(self, config: VQVAE2Config) -> None:
        super().__init__()
        width = config.width
        self.of_bottom = finer if config.fine_bottom else nn.Identity()
        self.up_top = up_conv(config.latent, config.latent, config.up)
        self.layers = nn.Sequential(
            *_residuals(2 * config.latent, config),
            up_conv(width, width // 2, config.up, activation="relu"),
            up_conv(width // 2, config.channels, config.last, activation="tanh"),
        )

    def forward(self, top: Tensor, bottom: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.cat([self.up_top(top), self.of_bottom(bottom)], dim=1))
        return images
