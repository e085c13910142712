"""What PixelCNN and PixelRNN share: images of few levels, a value after the other.

p(x) is the product of p(value | values before it), rows from above, each from the left, at each
pixel R, then G given R, then B given both; each factor is a softmax over the levels. So the
likelihood is exact, and an image is drawn value after value, by the inverse of the cumulative
probabilities at a uniform random number: the latents are these numbers.

Nothing is up-sampled. Among the models of the laboratory these are the control, whose images have
no trace of an up-sampling.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.config import Config, check_widths
from gandetect.gans.masked import Scan
from gandetect.gans.model import Batch, GenerativeModel, Phase, Player, Terms, UniformLatents

_MOST_LEVELS, _MOST_LAYERS, _MOST_KERNEL = 256, 32, 15


@dataclass(frozen=True)
class PixelConfig(Config):
    """`Config` of a model that predicts value after value.

    `levels`: of a value, spread evenly from black to full; 256 are those of the files. `width`:
    features of a layer, of which its input and output have twice as many. `layers`: their number.
    `kernel`: side of the first convolution. `rate`: of Adam. There are neither codes nor
    up-sampling, so that `up` and `up_last` are refused, and `latent` has no meaning.
    """

    size: int = 32
    channels: int = 1
    batch: int = 16
    steps: int = 3000
    ema: float = 0.99
    levels: int = 16
    width: int = 32
    layers: int = 5
    kernel: int = 7
    rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("width", (self.width,))
        if not 2 <= self.levels <= _MOST_LEVELS:
            raise ValueError(f"levels={self.levels} given; want 2 to {_MOST_LEVELS}")
        if not 1 <= self.layers <= _MOST_LAYERS:
            raise ValueError(f"layers={self.layers} given; want 1 to {_MOST_LAYERS}")
        if self.kernel % 2 == 0 or not 3 <= self.kernel <= _MOST_KERNEL:
            raise ValueError(
                f"kernel={self.kernel} given; want an odd number from 3 to {_MOST_KERNEL}"
            )
        if self.up != "nearest" or self.up_last is not None:
            raise ValueError(
                f"up={self.up!r}, up_last={self.up_last!r} given; pixel after pixel there is no "
                "up-sampling: leave both out, or take another model"
            )


def quantize(images: Tensor, levels: int) -> Tensor:
    """Images in -1..1 as the nearest of `levels` values, 0 to `levels` - 1."""
    return (0.5 * (images.float() + 1) * (levels - 1)).round().clamp(0, levels - 1).long()


def as_images(values: Tensor, levels: int) -> Tensor:
    """Values 0 to `levels` - 1 as images in -1..1."""
    return values.float() * (2 / (levels - 1)) - 1


def draw_values(
    scan: Scan,
    uniform: Tensor,
    levels: int,
    embed: Callable[[Tensor], Tensor],
    known: Tensor | None = None,
    rows: int = 0,
) -> Tensor:
    """Values (N, C, H, W) drawn in raster order at `uniform` (N, C, H, W) random numbers.

    `embed`: values (N, C) of a place to what the network takes there. The first `rows` rows are
    those of `known` (N, C, H, W).
    """
    values = torch.zeros_like(uniform, dtype=torch.int64)
    colors, height, width = uniform.shape[1:]
    for place in range(height * width):
        row, column = divmod(place, width)
        if known is not None and row < rows:
            values[:, :, row, column] = known[:, :, row, column]
            scan.put(row, column, embed(values[:, :, row, column]))
            # For the features that later places see.
            scan.logits(row, column)
            continue
        for color in range(colors):
            logits = scan.logits(row, column).unflatten(1, (colors, levels))[:, color]
            chosen = pick(logits, uniform[:, color, row, column])
            values[:, color, row, column] = chosen
            scan.put(row, column, embed(values[:, :, row, column]))
    return values


def pick(logits: Tensor, uniform: Tensor) -> Tensor:
    """The level (N,) at which the cumulative probabilities of logits (N, levels) pass (N,)."""
    passed = logits.double().softmax(dim=1).cumsum(dim=1) <= uniform[:, None]
    return passed.sum(dim=1).clamp(max=logits.shape[1] - 1)


class PixelModel(UniformLatents, GenerativeModel):
    """A causal `network` from images (N, C, H, W) to logits (N, C levels, H, W)."""

    drawn_from: ClassVar[Sequence[str]] = ("network",)
    up_samples: ClassVar = False
    config: PixelConfig
    network: nn.Module

    def __init__(self, config: PixelConfig) -> None:
        super().__init__(config)
        self.network = self.build(config)

    @abstractmethod
    def build(self, config: Any) -> nn.Module:
        """The network."""

    @abstractmethod
    def scan(self, count: int) -> Scan:
        """The network on `count` images, place after place."""

    def players(self) -> dict[str, Player]:
        return {"network": Player([self.network], self.config.rate)}

    def phases(self) -> list[Phase]:
        return [Phase("network", "network", self.terms)]

    def terms(self, batch: Batch) -> Terms:
        """Bits that a value costs: the negative log likelihood, for each pixel and color."""
        images = batch["images"]
        dimensions = images[0].numel() * math.log(2)
        return {"loss": -self.log_likelihood(images).mean() / dimensions}

    def log_likelihood(self, images: Tensor) -> Tensor:
        """ln p(x) in nats (N,) of images (N, C, H, W), quantized to the model's levels."""
        values = quantize(images, self.config.levels)
        logits = self.logits(as_images(values, self.config.levels).to(images.dtype))
        # float32 at least: the errors of half precision would be summed.
        precise = torch.promote_types(logits.dtype, torch.float32)
        losses = F.cross_entropy(logits.to(precise), values, reduction="none")
        return -losses.flatten(1).sum(dim=1)

    def logits(self, images: Tensor) -> Tensor:
        """(N, levels, C, H, W) of images (N, C, H, W)."""
        logits: Tensor = self.network(images)
        return logits.unflatten(1, (-1, self.config.levels)).transpose(1, 2)

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Uniform random numbers (count, C, S, S), one for each value."""
        size = self.config.size
        return torch.rand(count, self.config.channels, size, size, generator=rng)

    def draw(
        self,
        latents: Tensor,
        *,
        images: Tensor | None = None,
        rows: int = 0,
        **conditions: Any,
    ) -> Tensor:
        """Images (N, C, S, S) in -1..1 at `latents`, uniform random numbers of that shape.

        `images`: (N, C, S, S) whose first `rows` rows are kept, at the model's levels, and
        completed. Raises ValueError where they do not fit.
        """
        if conditions:
            raise ValueError(f"{self.name} has images and rows alone; {sorted(conditions)} given")
        known = None if images is None else self._known(images, latents, rows)
        if images is None and rows:
            raise ValueError(f"rows={rows} given without images; want those that are completed")
        levels = self.config.levels
        with torch.no_grad():
            values = draw_values(
                self.scan(len(latents)),
                latents,
                levels,
                lambda v: as_images(v, levels),
                known,
                rows,
            )
        return as_images(values, levels)

    def _known(self, images: Tensor, latents: Tensor, rows: int) -> Tensor:
        """The values of images to complete."""
        if images.shape != latents.shape or not images.is_floating_point():
            raise ValueError(
                f"images of shape {tuple(images.shape)} {images.dtype} given; want "
                f"{tuple(latents.shape)} in -1..1"
            )
        if not 0 <= rows <= self.config.size:
            raise ValueError(f"rows={rows} given; want 0 to {self.config.size}")
        return quantize(images.to(latents.device), self.config.levels)
