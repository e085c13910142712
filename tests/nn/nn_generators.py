"""Small generators made of torch's own modules, with the statistics of trained ones."""

from __future__ import annotations

import copy

import torch
from torch import nn


def settled(module: nn.Module, seed: int = 0) -> nn.Module:
    """With running statistics and affine weights as after training, none of them the default."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high, like):
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
            if norm.running_mean is not None:
                norm.running_mean.copy_(uniform(-0.2, 0.2, norm.running_mean))
                norm.running_var.copy_(uniform(0.05, 0.5, norm.running_var))
            if norm.affine:
                norm.weight.copy_(uniform(-1.2, 1.2, norm.weight))
                norm.bias.copy_(uniform(-0.3, 0.3, norm.bias))
    return module


def dcgan(width: int = 8, latent: int = 100) -> nn.Sequential:
    """DCGAN for 64x64 pixels, its widths divided."""
    layers: list[nn.Module] = []
    channels, stride, padding = latent, 1, 0
    for factor in (8, 4, 2, 1):
        layers += [
            nn.ConvTranspose2d(channels, factor * width, 4, stride, padding, bias=False),
            nn.BatchNorm2d(factor * width),
            nn.ReLU(True),
        ]
        channels, stride, padding = factor * width, 2, 1
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


class UpBlock(nn.Module):
    """A residual block that enlarges, as in SNGAN: a Sequential and a shortcut around it."""

    def __init__(self, channels: int, mode: str) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode=mode),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.short = nn.Sequential(
            nn.Upsample(scale_factor=2, mode=mode), nn.Conv2d(channels, channels, 1)
        )

    def forward(self, x):
        return self.main(x) + self.short(x)


def resnet(mode: str, channels: int = 12) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(5, channels, 3, padding=1),
        UpBlock(channels, mode),
        UpBlock(channels, mode),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode=mode),
        nn.Conv2d(channels, 3, 3, padding=1),
        nn.Tanh(),
    )


def subpixel(channels: int = 8) -> nn.Sequential:
    """SRGAN's tail: convolutions and pixel shuffles in all their orders."""
    c = channels
    return nn.Sequential(
        nn.Conv2d(5, 4 * c, 3, padding=1),
        nn.PixelShuffle(2),
        nn.LeakyReLU(0.2),
        nn.Conv2d(c, 4 * c, 3, padding=1, bias=False),
        nn.BatchNorm2d(4 * c),
        nn.PixelShuffle(2),
        nn.BatchNorm2d(c),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Conv2d(c, 27, 3, padding="same", padding_mode="reflect"),
        nn.Sigmoid(),
        nn.PixelShuffle(3),
    )


def exact_output(module: nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
    """Of the module in eval mode, computed in float64."""
    exact = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        return exact(*(x.double() for x in inputs))


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference over the largest wanted value."""
    assert found.shape == wanted.shape
    wanted = wanted.detach().double()
    largest = (found.detach().double() - wanted).abs().max() / wanted.abs().max()
    return largest.item()
