"""SNGAN (Miyato et al. 2018): residual networks, and a discriminator of bounded slope.

The largest singular value of every layer of the discriminator is divided out of its weight, which
stands in for a penalty. With `classes` it is the conditional form (Miyato and Koyama 2018): batch
norms of the generator have a gain and a bias for each class, and the discriminator adds the inner
product of the class's embedding and its last features. Up-samplers are interchangeable: only `up`
and `up_last` differ between the generators of the up-sampling experiment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gandetect.gans import residual
from gandetect.gans.config import check_widths
from gandetect.gans.labels import labels_asked, labels_of
from gandetect.gans.model import AdversarialConfig, AdversarialModel, Batch
from gandetect.gans.residual import Conditional, DownBlock, through, xavier_
from gandetect.gans.upsampling import even_start_

_MOST_CLASSES = 10_000


@dataclass(frozen=True)
class SNGANConfig(AdversarialConfig):
    """`AdversarialConfig` of residual networks.

    `widths`: channels of the generator at 4x4 and after each of its up-sampling blocks.
    `d_widths`: channels after each of the discriminator's blocks, of which the first `d_downs`
    halve the size. `classes`: 0, or for the conditional form their number. `decay`: whether the
    rates fall to 0 in a line over `steps`. `even_start`: whether up-samplings with weights of their
    own start without a lattice, see `upsampling.even_start_`.
    """

    latent: int = 128
    batch: int = 32
    steps: int = 1500
    ema: float = 0.99
    rate: float = 5e-4
    loss: str = "hinge"
    betas: tuple[float, float] = (0.5, 0.999)
    d_steps: int = 2
    widths: tuple[int, ...] = (96, 64, 32, 16, 16)
    d_widths: tuple[int, ...] = (32, 32, 64, 128, 128)
    d_downs: int = 5
    classes: int = 0
    decay: bool = True
    even_start: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("widths", self.widths)
        check_widths("d_widths", self.d_widths)
        blocks = len(self.widths) - 1
        if blocks < 1 or self.size != 4 << blocks:
            raise ValueError(
                f"{len(self.widths)} widths are {blocks} blocks, for images of {4 << blocks} "
                f"pixels; size={self.size} given, want 8 or more"
            )
        most = min(len(self.d_widths), blocks + 2)
        if not 1 <= self.d_downs <= most:
            raise ValueError(f"d_downs={self.d_downs} given; want 1 to {most}")
        if self.classes > _MOST_CLASSES:
            raise ValueError(f"classes={self.classes} given; want 0 to {_MOST_CLASSES}")


class ClassBatchNorm2d(Conditional):
    """Batch norm with a gain and a bias for each class; it starts with gains 1 and biases 0."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(N, C, H, W) and labels (N,) to (N, C, H, W)."""
        gain, bias = (one(labels)[:, :, None, None] for one in (self.gain, self.bias))
        return gain * self.norm(x) + bias


class UpBlock(residual.UpBlock):
    """(N, inputs, H, W) to (N, outputs, 2H, 2W)."""

    def __init__(self, inputs: int, outputs: int, up: str, classes: int) -> None:
        super().__init__(inputs, outputs, up, partial(_norm, classes=classes))


class Generator(nn.Module):
    """Latents (N, latent), and labels (N,) of the conditional form, to images (N, C, S, S)."""

    def __init__(self, config: SNGANConfig) -> None:
        super().__init__()
        widths = config.widths
        ups = [config.up] * (len(widths) - 2) + [config.last]
        self.dense = nn.Linear(config.latent, 16 * widths[0])
        self.blocks = nn.ModuleList(
            UpBlock(wide, narrow, up, config.classes)
            for (wide, narrow), up in zip(pairwise(widths), ups, strict=True)
        )
        self.image = nn.Sequential(
            _norm(widths[-1], config.classes),
            nn.ReLU(),
            nn.Conv2d(widths[-1], config.channels, 3, padding=1),
            nn.Tanh(),
        )
        xavier_(self.dense)
        xavier_(self.image)
        if config.even_start:
            even_start_(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        x: Tensor = self.dense(latents).unflatten(1, (-1, 4, 4))
        for block in self.blocks:
            x = block(x, labels)
        return through(self.image, x, labels)


class Discriminator(nn.Module):
    """Images (N, C, S, S), and labels (N,) of the conditional form, to logits (N,)."""

    def __init__(self, config: SNGANConfig) -> None:
        super().__init__()
        last = config.d_widths[-1]
        self.blocks = nn.Sequential(
            *(
                DownBlock(inputs, outputs, halve=number < config.d_downs, is_first=number == 0)
                for number, (inputs, outputs) in enumerate(
                    pairwise((config.channels, *config.d_widths))
                )
            ),
            nn.ReLU(),
        )
        self.dense = nn.Linear(last, 1)
        xavier_(self.dense)
        self.embedding = nn.Embedding(config.classes, last) if config.classes else None
        if self.embedding is not None:
            nn.init.xavier_uniform_(self.embedding.weight)
        for layer in list(self.modules()):
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
                spectral_norm(layer)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.blocks(images).sum(dim=(2, 3))
        logits: Tensor = self.dense(features)[:, 0]
        if self.embedding is not None:
            logits = logits + (self.embedding(labels) * features).sum(dim=1)
        return logits


def _norm(channels: int, classes: int) -> nn.Module:
    return ClassBatchNorm2d(channels, classes) if classes else nn.BatchNorm2d(channels)


class SNGAN(AdversarialModel):
    name = "sngan"
    source = (
        "Miyato et al., 2018, and Miyato and Koyama, 2018, after "
        "github.com/pfnet-research/sngan_projection, whose up-sampling is `nearest`; widths of "
        "`run` are about a tenth of its 1024 to 64; two discriminator steps for its 5, Adam 5e-4 "
        "(.5, .999) for its 2e-4 (0, .9) and a batch of 32 for 64, with which 1,500 iterations "
        "learn more; generated images have the labels of the batch, not uniform ones; "
        "up-samplings start without a lattice"
    )
    Configuration = SNGANConfig
    presets: ClassVar = {
        "run": SNGANConfig(),
        "smoke": SNGANConfig(
            size=32,
            latent=32,
            widths=(32, 16, 16, 8),
            d_widths=(8, 16, 16, 16),
            d_downs=2,
            d_steps=1,
            batch=16,
            steps=60,
            ema=0.9,
        ),
    }
    config: SNGANConfig

    def build(self, config: SNGANConfig) -> tuple[nn.Module, nn.Module]:
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        discriminator = Discriminator(config)
        return Generator(config), discriminator

    def rate_at(self, step: int) -> float:
        return max(0.0, 1 - step / self.config.steps) if self.config.decay else 1.0

    def generate(self, count: int, batch: Batch) -> Tensor:
        """Images (count, C, H, W) from fresh latents, with the labels of the batch."""
        latents = self.latents(count).to(batch["images"].device)
        images: Tensor = self.generator(latents, self._labels(batch))
        return images

    def judge(self, images: Tensor, batch: Batch) -> Tensor:
        logits: Tensor = self.discriminator(images, self._labels(batch))
        return logits

    def draw(
        self, latents: Tensor, *, labels: Tensor | int | None = None, **conditions: Any
    ) -> Tensor:
        """Images (N, C, H, W) in -1..1 from `latents`; deterministic in eval mode.

        `labels`: (N,) or one class for all; where they are not given, the classes in turn. Raises
        ValueError for labels that the model does not have.
        """
        if conditions:
            raise ValueError(f"{self.name} has labels alone; {sorted(conditions)} given")
        wanted = labels_asked(labels, len(latents), self.config.classes, latents.device)
        images: Tensor = self.generator(latents, wanted)
        return images

    def _labels(self, batch: Batch) -> Tensor | None:
        return labels_of(batch, self.config.classes)
