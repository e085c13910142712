"""MC²-StyleGAN2 (Saseendran et al. 2021): StyleGAN2 told how many objects of each kind to draw.

The vector of counts, [2, 1] for two cars and a person, goes with z into every layer of the mapping
network. The discriminator has a second head on the same trunk that counts: it learns from real
images and their counts, and the generator learns to be counted as it was asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gandetect.gans.model import Batch, Terms
from gandetect.gans.stylegan2 import Discriminator, StyleGAN2, StyleGAN2Config, Synthesis
from gandetect.gans.styles import StyleGenerator

_MOST_KINDS = 64
_MOST_COUNT = 1000


@dataclass(frozen=True)
class MC2StyleGAN2Config(StyleGAN2Config):
    """`StyleGAN2Config` with counts.

    `kinds`: how many kinds of objects are counted. `counting`: weight of ‖C(x) - c‖₂, of both
    players. Samples are not truncated: the mean of w is that of all counts.
    """

    kinds: int = 3
    counting: float = 0.2
    truncation: float = 1.0
    r1: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.kinds <= _MOST_KINDS:
            raise ValueError(f"kinds={self.kinds} given; want 1 to {_MOST_KINDS}")


class CountingDiscriminator(Discriminator):
    """Images (N, C, S, S) to logits (N,); `counted` also gives how many of each kind are seen."""

    def __init__(self, config: MC2StyleGAN2Config) -> None:
        super().__init__(config, 1 + config.kinds)

    def forward(self, images: Tensor) -> Tensor:
        return self.counted(images)[0]

    def counted(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,) and counts (N, kinds)."""
        found = super().forward(images)
        return found[:, 0], found[:, 1:]


class MC2StyleGAN2(StyleGAN2):
    name = "mc2-stylegan2"
    learns_from: ClassVar = "counts"
    source = (
        "Saseendran, Skubch and Keuper, 2021 (arXiv 2103.16795), written anew on the StyleGAN2 "
        "here; the dense skips of its generator are read as the counts at every layer of the "
        "mapping network; the norm of the counting error is averaged over images and weighs 0.2, "
        "which is ours; generated images have the counts of the batch"
    )
    draws_photographs = False
    Configuration = MC2StyleGAN2Config
    presets: ClassVar = {
        "run": MC2StyleGAN2Config(),
        "smoke": MC2StyleGAN2Config(
            size=32,
            latent=32,
            styles=32,
            mapping=2,
            widths=(24, 24, 16, 8),
            counting=1.0,
            batch=16,
            steps=60,
            rate=5e-3,
            ema=0.8,
        ),
    }
    config: MC2StyleGAN2Config
    discriminator: CountingDiscriminator

    def build(self, config: Any) -> tuple[nn.Module, nn.Module]:
        # First, so that models of one seed start with the same one, whatever they up-sample with.
        discriminator = CountingDiscriminator(config)
        return StyleGenerator(config, Synthesis(config), extra=config.kinds), discriminator

    def discriminator_terms(self, batch: Batch) -> Terms:
        """StyleGAN2's, and the counting error at real images."""
        with self._heard() as found:
            terms = super().discriminator_terms(batch)
        return self._with_counting(terms, found[0], batch)

    def generator_terms(self, batch: Batch) -> Terms:
        """StyleGAN2's, and the counting error at images that were asked for these counts."""
        with self._heard() as found:
            terms = super().generator_terms(batch)
        return self._with_counting(terms, found[0], batch)

    def _with_counting(self, terms: Terms, found: Tensor, batch: Batch) -> Terms:
        counting = miscounted(found[:, 1:], self.counts(batch))
        loss = terms["loss"] + self.config.counting * counting
        return {**terms, "loss": loss, "counting": counting}

    @contextmanager
    def _heard(self) -> Iterator[list[Tensor]]:
        """What both heads say meanwhile, real images first, so that each is looked at once."""
        found: list[Tensor] = []
        handle = self.discriminator.head.register_forward_hook(lambda *call: found.append(call[2]))
        try:
            yield found
        finally:
            handle.remove()

    def generate(self, count: int, batch: Batch) -> Tensor:
        """Images (count, C, H, W) from fresh latents, with the counts of the batch."""
        counts = self.counts(batch)
        images: Tensor = self.generator(self.latents(count).to(counts.device), counts)
        return images

    def styles(self, latents: Tensor, batch: Batch) -> Tensor:
        return self.generator.styles(latents, self.counts(batch)[: len(latents)])

    def conditions(self, batch: Batch) -> dict[str, Tensor]:
        return {"counts": batch["counts"]}

    def counts(self, batch: Batch) -> Tensor:
        """Counts (N, kinds) of a batch; ValueError where it has none."""
        if "counts" not in batch:
            raise ValueError(f"the data have no counts; want (N, {self.config.kinds}) by the image")
        return self._checked(batch["counts"], len(batch["images"]))

    def draw(
        self,
        latents: Tensor,
        *,
        counts: Tensor | None = None,
        truncation: float | None = None,
        **conditions: Any,
    ) -> Tensor:
        """Images (N, C, H, W), clipped to -1..1, of so many objects of each kind.

        `counts`: (N, kinds) whole numbers, or (kinds,) for all images; zeros are legal.
        """
        if conditions:
            raise ValueError(f"{self.name} is conditioned on counts; {sorted(conditions)} given")
        if counts is None:
            raise ValueError(
                f"no counts given; want counts=(N, {self.config.kinds}) or ({self.config.kinds},): "
                "how many objects of each kind"
            )
        wanted = self._checked(torch.as_tensor(counts), len(latents)).to(latents.device)
        return self.generator(latents, wanted, self.truncation(truncation)).clamp(-1, 1)

    def _checked(self, counts: Tensor, images: int) -> Tensor:
        """Counts (images, kinds) as floats."""
        kinds = self.config.kinds
        if counts.dtype == torch.bool or counts.is_floating_point() or counts.is_complex():
            raise ValueError(f"counts of {counts.dtype} given; want whole numbers")
        if counts.shape not in {(images, kinds), (kinds,)}:
            raise ValueError(
                f"counts of shape {tuple(counts.shape)} given; want ({images}, {kinds}) or "
                f"({kinds},)"
            )
        if not 0 <= int(counts.min()) <= int(counts.max()) <= _MOST_COUNT:
            raise ValueError(f"counts={counts.tolist()} given; want 0 to {_MOST_COUNT}")
        return counts.float().expand(images, kinds)


def miscounted(seen: Tensor, counts: Tensor) -> Tensor:
    """The mean over images of ‖seen - counts‖₂, with a slope where they are equal."""
    return ((seen.float() - counts).square().sum(dim=1) + 1e-8).sqrt().mean()
