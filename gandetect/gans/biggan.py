"""BigGAN (Brock et al. 2019): SNGAN's blocks, larger, conditioned everywhere, truncated in the end.

All classes share one embedding. Latents are cut into chunks: the first goes into the dense layer,
one into each block, where with the embedding it decides the gains and biases of batch norm. Both
players have spectral norms and self-attention at one resolution; the generator pays for kernels
that are not orthogonal, which lets its latents be truncated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gandetect.gans.attention import SelfAttention
from gandetect.gans.model import Batch, Terms
from gandetect.gans.residual import Conditional, DownBlock, UpBlock
from gandetect.gans.sngan import SNGAN, SNGANConfig
from gandetect.gans.spectral_norm import original, spectrally_normalized
from gandetect.gans.upsampling import even_start_

_MOST_EMBEDDING = 1024
_LEAST_TRUNCATION = 0.01
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)


@dataclass(frozen=True)
class BigGANConfig(SNGANConfig):
    """`SNGANConfig` of BigGAN; `latent` is a multiple of the chunks, one more than blocks.

    `embedding`: length of the shared embedding of classes. `attention`: the side of the feature
    maps that have self-attention, in both networks; 0 for none. `orthogonality`: weight of the
    generator's penalty.
    """

    latent: int = 120
    rate: float = 2e-4
    d_factor: float = 2.0
    d_steps: int = 1
    betas: tuple[float, float] = (0.0, 0.999)
    widths: tuple[int, ...] = (128, 128, 64, 32, 16)
    d_widths: tuple[int, ...] = (16, 32, 32, 64, 128)
    d_downs: int = 4
    decay: bool = False
    embedding: int = 128
    attention: int = 16
    orthogonality: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        chunks = len(self.widths)
        if self.latent == 0 or self.latent % chunks:
            raise ValueError(f"latent={self.latent} given; want a multiple of {chunks}")
        if not 1 <= self.embedding <= _MOST_EMBEDDING:
            raise ValueError(f"embedding={self.embedding} given; want 1 to {_MOST_EMBEDDING}")
        sides = [s for s in up_sides(self) if s in down_sides(self)]
        if self.attention not in (0, *sides):
            raise ValueError(f"attention={self.attention} given; choose from {(0, *sides)}")


def up_sides(config: SNGANConfig) -> list[int]:
    """The side after each of the generator's blocks."""
    return [8 << number for number in range(len(config.widths) - 1)]


def down_sides(config: SNGANConfig) -> list[int]:
    """The side after each of the discriminator's blocks."""
    return [config.size >> min(n + 1, config.d_downs) for n in range(len(config.d_widths))]


class VectorBatchNorm2d(Conditional):
    """Batch norm whose gain 1 + A v and bias B v are linear in a vector of each image."""

    def __init__(self, channels: int, vector: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(vector, channels, bias=False)
        self.bias = nn.Linear(vector, channels, bias=False)

    def forward(self, x: Tensor, vectors: Tensor) -> Tensor:
        """(N, C, H, W) and vectors (N, V) to (N, C, H, W)."""
        gain, bias = (one(vectors)[:, :, None, None] for one in (self.gain, self.bias))
        return (1 + gain) * self.norm(x) + bias


class Generator(nn.Module):
    """Latents (N, latent) to images (N, C, S, S); with classes also labels (N,), or (N, classes):
    how much there is of each."""

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        widths, classes = config.widths, config.classes
        ups = [config.up] * (len(widths) - 2) + [config.last]
        self.chunk = config.latent // len(widths)
        self.embedding = nn.Embedding(classes, config.embedding) if classes else None
        norm = partial(VectorBatchNorm2d, vector=self.chunk + (config.embedding if classes else 0))
        self.dense = nn.Linear(self.chunk, 16 * widths[0])
        self.blocks = nn.ModuleList(
            UpBlock(wide, narrow, up, norm)
            for (wide, narrow), up in zip(pairwise(widths), ups, strict=True)
        )
        self.attentions = _attentions(up_sides(config), widths[1:], config.attention)
        self.image = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
            nn.Conv2d(widths[-1], config.channels, 3, padding=1),
            nn.Tanh(),
        )
        _begin_(self)
        if config.even_start:
            even_start_(self)
        for layer in _layers(self):
            if layer is not self.embedding:
                spectrally_normalized(layer)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        first, *others = latents.split(self.chunk, dim=1)
        x: Tensor = self.dense(first).unflatten(1, (-1, 4, 4))
        for block, attention, chunk in zip(self.blocks, self.attentions, others, strict=True):
            x = attention(block(x, self._vectors(chunk, labels)))
        images: Tensor = self.image(x)
        return images

    def _vectors(self, chunk: Tensor, labels: Tensor | None) -> Tensor:
        """What decides the norms of a block, (N, V)."""
        if self.embedding is None or labels is None:
            return chunk
        mixed = labels.is_floating_point()
        of_class = labels @ self.embedding.weight if mixed else self.embedding(labels)
        return torch.cat((chunk, of_class), dim=1)


class Discriminator(nn.Module):
    """Images (N, C, S, S), and labels (N,) where there are classes, to logits (N,)."""

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        last = config.d_widths[-1]
        self.blocks = nn.ModuleList(
            DownBlock(inputs, outputs, halve=number < config.d_downs, is_first=number == 0)
            for number, (inputs, outputs) in enumerate(
                pairwise((config.channels, *config.d_widths))
            )
        )
        self.attentions = _attentions(down_sides(config), config.d_widths, config.attention)
        self.dense = nn.Linear(last, 1)
        self.embedding = nn.Embedding(config.classes, last) if config.classes else None
        _begin_(self)
        for layer in _layers(self):
            spectrally_normalized(layer)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        x = images
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(block(x))
        features = x.relu().sum(dim=(2, 3))
        logits: Tensor = self.dense(features)[:, 0]
        if self.embedding is not None:
            logits = logits + (self.embedding(labels) * features).sum(dim=1)
        return logits


def _attentions(sides: list[int], widths: tuple[int, ...], wanted: int) -> nn.ModuleList:
    """For each block what follows it: attention after the first of side `wanted`."""
    at = sides.index(wanted) if wanted else None
    return nn.ModuleList(
        SelfAttention(width) if number == at else nn.Identity()
        for number, width in enumerate(widths)
    )


def _layers(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, _LAYERS)]


def _begin_(network: nn.Module) -> None:
    """Orthogonal weights; biases stay as torch has them."""
    for layer in _layers(network):
        nn.init.orthogonal_(layer.get_parameter("weight"))


def orthogonality_penalty(weight: Tensor) -> Tensor:
    """‖W Wᵀ ⊙ (1 - I)‖²_F of `weight` (outputs, ...): 0 where the rows are orthogonal.

    Its gradient is 4 (W Wᵀ ⊙ (1 - I)) W; the paper's code adds half of that to the gradients, so
    that the same weight counts twice as much here.
    """
    # float32: squares of products of weights vanish in half precision.
    with torch.autocast(weight.device.type, enabled=False):
        rows = weight.flatten(1)
        if len(rows) <= rows.shape[1]:
            products = rows @ rows.T
            return (products - products.diag().diag()).square().sum()
        # The smaller of the two products has the same norm.
        return (rows.T @ rows).square().sum() - rows.square().sum(dim=1).square().sum()


def truncated(latents: Tensor, threshold: float) -> Tensor:
    """N(0, 1) values, those beyond +-`threshold` drawn anew from what is within.

    What takes the place of a value follows from how far out in its tail that was, which is uniform
    and independent of all else: so the same latents are truncated alike everywhere. ValueError
    for a threshold below `_LEAST_TRUNCATION`.
    """
    if not threshold >= _LEAST_TRUNCATION:
        raise ValueError(f"truncation={threshold} given; want at least {_LEAST_TRUNCATION}")
    # In double precision, for tails.
    values = latents.double()
    outside = 0.5 * math.erfc(threshold / math.sqrt(2))
    place = (torch.special.ndtr(-values.abs()) / max(outside, 1e-300)).clamp(0, 1)
    within = torch.special.ndtri(outside + place * (1 - 2 * outside))
    within = within.clamp(-threshold, threshold)
    return torch.where(values.abs() > threshold, within, values).to(latents.dtype)


class BigGAN(SNGAN):
    name = "biggan"
    truncates = True
    source = (
        "Brock, Donahue, Simonyan, 2019, with the settings of github.com/ajbrock/BigGAN-PyTorch "
        "where the paper leaves them open; widths of `run` start at 128 for 1536, a batch of 32 "
        "for 2048, one discriminator step for two, Adam 2e-4 and 4e-4 (0, .999), a running average "
        "of .99 for .9999 in 1,500 iterations; middle widths of the discriminator's blocks and "
        "labels of generated images as in SNGAN here; orthogonality is a term of the loss, so its "
        "weight counts twice what it does in that code, and of the generator alone"
    )
    Configuration = BigGANConfig
    presets: ClassVar = {
        "run": BigGANConfig(),
        "smoke": BigGANConfig(
            size=32,
            latent=32,
            widths=(32, 16, 16, 8),
            d_widths=(8, 16, 16, 16),
            d_downs=2,
            embedding=16,
            rate=1e-3,
            batch=16,
            steps=60,
            ema=0.9,
        ),
    }
    config: BigGANConfig

    def build(self, config: BigGANConfig) -> tuple[nn.Module, nn.Module]:  # type: ignore[override]
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        discriminator = Discriminator(config)
        return Generator(config), discriminator

    def generator_terms(self, batch: Batch) -> Terms:
        """The generator's loss, with the penalty of its kernels."""
        terms = super().generator_terms(batch)
        if not self.config.orthogonality:
            return terms
        penalty = torch.stack([orthogonality_penalty(one) for one in self._kernels()]).sum()
        loss = terms["loss"] + self.config.orthogonality * penalty
        return terms | {"loss": loss, "orthogonality": penalty}

    def _kernels(self) -> Iterator[Tensor]:
        """The generator's weights (outputs, ...), without the embedding."""
        for layer in _layers(self.generator):
            if not isinstance(layer, nn.Embedding):
                weight = original(layer)
                transposed = isinstance(layer, nn.ConvTranspose2d)
                yield weight.transpose(0, 1) if transposed else weight

    def draw(
        self,
        latents: Tensor,
        *,
        labels: Tensor | int | None = None,
        mixture: Tensor | None = None,
        truncation: float | None = None,
        **conditions: Any,
    ) -> Tensor:
        """Images (N, C, H, W) in -1..1 from `latents`; deterministic in eval mode.

        `labels`: (N,) or one class for all; where they are not given, the classes in turn.
        `mixture` in their place: (N, classes), how much there is of each class's embedding.
        `truncation`: latents beyond it are drawn anew, see `truncated`. Raises ValueError for what
        the model does not have.
        """
        if truncation is not None:
            latents = truncated(latents, truncation)
        if mixture is None:
            return super().draw(latents, labels=labels, **conditions)
        wanted = (len(latents), self.config.classes)
        if labels is not None or not self.config.classes or mixture.shape != wanted:
            raise ValueError(
                f"mixture of shape {tuple(mixture.shape)} given for {len(latents)} images of "
                f"{self.config.classes} classes; want a row for each image, a column for each "
                "class, and no labels"
            )
        images: Tensor = self.generator(latents, mixture.to(latents))
        return images
