"""What models share that make an image of an image: "sources" of batches and of `draw`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gandetect.gans.config import Config
from gandetect.gans.losses import LOSSES
from gandetect.gans.model import Batch
from gandetect.gans.patch_discriminator import check_patches
from gandetect.ops.conventions import member


@dataclass(frozen=True)
class TranslationConfig(Config):
    """`Config` of an image-to-image network and a patch discriminator.

    `loss`: one of `losses.LOSSES`. `rate`, `betas`: of Adam, every player; the discriminator's rate
    is `d_factor` times that. `d_width`, `d_downs`: of `PatchDiscriminator`. There are no latents
    where `latent` is 0.
    """

    latent: int = 0
    ema: float = 0.99
    loss: str = "least_squares"
    rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    d_factor: float = 1.0
    d_width: int = 32
    d_downs: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        member("loss", self.loss, tuple(LOSSES))
        check_patches(self.size, self.d_width, self.d_downs)


def refuse_latents(config: Config) -> None:
    """Raise ValueError where a `config` has latents though images follow from their sources."""
    if config.latent:
        raise ValueError(f"latent={config.latent} given; images of images have none, want 0")


def sources_of(batch: Batch) -> Tensor:
    """What a batch's images are to be made of, (N, C, S, S) in -1..1; ValueError without."""
    if "sources" not in batch:
        raise ValueError(
            "the data have no sources; want two sets of images, see gandetect.gans.domains"
        )
    return batch["sources"]


def wanted_sources(name: str, config: Config, latents: Tensor, sources: Tensor | None) -> Tensor:
    """`sources` of `draw`, on the device of `latents`.

    Raises ValueError where they are missing or not one image for each row of `latents`.
    """
    shape = (len(latents), config.channels, config.size, config.size)
    if not isinstance(sources, Tensor):
        raise ValueError(f"{name} makes images of images; want sources {shape} in -1..1")
    if sources.shape != shape or not sources.is_floating_point():
        raise ValueError(
            f"sources of shape {tuple(sources.shape)} {sources.dtype} given; want {shape} in -1..1"
        )
    return sources.to(latents.device, torch.float32)
