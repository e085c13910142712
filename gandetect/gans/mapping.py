"""StyleGAN's mapping network, from latents z to styles w, and what is done with w.

Around the running mean of w samples are truncated; two latents are mixed by giving the layers from
one on the styles of the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.equalized import GAIN, SLOPE, PixelNorm, dense

# Of its learning rate over that of the rest.
_RATE = 0.01


class Mapping(nn.Module):
    """Latents (N, latent) to styles w (N, width): dense layers of a hundredth of the rate.

    `extra`: the length of a vector that every layer has beside what the one before it made.
    `decay`: of the running mean of w.
    """

    mean: Tensor

    def __init__(
        self, latent: int, width: int, layers: int, *, extra: int = 0, decay: float = 0.998
    ) -> None:
        super().__init__()
        sides = [latent] + [width] * layers
        self.norm = PixelNorm()
        self.layers = nn.ModuleList(
            dense(inputs + extra, width, GAIN, rate=_RATE) for inputs in sides[:-1]
        )
        self.decay = decay
        # A float buffer: samples are drawn with its running average, as with that of the weights.
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, latents: Tensor, extra: Tensor | None = None) -> Tensor:
        w = self.norm(latents)
        for layer in self.layers:
            seen = w if extra is None else torch.cat([w, extra.to(w.dtype)], dim=1)
            w = F.leaky_relu(layer(seen), SLOPE)
        if self.training:
            center = w.detach().mean(dim=0).to(self.mean.dtype)
            self.mean.copy_(center.lerp(self.mean, self.decay))
        return w

    def truncated(self, w: Tensor, truncation: float) -> Tensor:
        """w̄ + truncation (w - w̄), w̄ the running mean; w itself for 1."""
        return w if truncation == 1 else self.mean.to(w.dtype).lerp(w, truncation)


def for_layers(w: Tensor, count: int) -> Tensor:
    """The same w (N, width) for each of so many layers (N, count, width)."""
    return w[:, None].expand(-1, count, -1)


def mixed(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Styles (N, L, width) of two: `second` from a layer on, drawn for each image.

    `share` of the images are mixed, the others have `first` alone.
    """
    count, layers, _ = first.shape
    at = first.device
    begin = torch.randint(1, layers, (count,), device=at) if layers > 1 else torch.ones(count)
    is_mixed = torch.rand(count, device=at) < share
    begin = torch.where(is_mixed, begin, layers)
    is_first = torch.arange(layers, device=at) < begin[:, None]
    return torch.where(is_first[:, :, None], first, second)
