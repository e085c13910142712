"""Conditional VAE (Sohn et al. 2015): a VAE whose encoder, decoder and prior know the class.

The label goes to the encoder as maps, one for each class, all ones for the image's and zeros for
the others, and to the decoder as the same vector beside the code. What the label says the code
need not, so that one code with another label is the same image of another class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.labels import labels_asked, labels_of
from gandetect.gans.model import Batch, Player
from gandetect.gans.vae import VAE, Gaussian, VAEConfig
from gandetect.ops.conventions import member

PRIORS = ("standard", "learned")
# Each is a map of the encoder's input.
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class CVAEConfig(VAEConfig):
    """`VAEConfig` with classes.

    `classes`: their number. `prior`: "standard", N(0, 1) for every class, or "learned", a Gaussian
    p(z|y) for each.
    """

    classes: int = 10
    prior: str = "standard"

    def __post_init__(self) -> None:
        super().__post_init__()
        member("prior", self.prior, PRIORS)
        if not 1 <= self.classes <= _MOST_CLASSES:
            raise ValueError(f"classes={self.classes} given; want 1 to {_MOST_CLASSES}")


class CVAE(VAE):
    name = "cvae"
    source = (
        "Sohn, Lee, Yan, 2015, with a class in the place of an image as the condition; the prior "
        "is N(0, 1), or with prior=learned a Gaussian for each class"
    )
    draws_photographs = False
    Configuration = CVAEConfig
    presets: ClassVar = {
        # Of digits: photographs have no classes.
        "run": CVAEConfig(
            size=32, channels=1, latent=16, widths=(32, 64, 128), batch=64, likelihood="bernoulli"
        ),
        "smoke": CVAEConfig(
            size=32,
            latent=8,
            widths=(8, 16, 32),
            deviation=2.0,
            batch=16,
            steps=60,
            ema=0.9,
            rate=1e-2,
            classes=3,
        ),
    }
    config: CVAEConfig

    def __init__(self, config: CVAEConfig) -> None:
        super().__init__(config, extra=config.classes)
        learned = config.prior == "learned"
        # Mean and logarithm of the variance of each class; zeros are N(0, 1).
        self.class_prior = nn.Embedding(config.classes, 2 * config.latent) if learned else None
        if self.class_prior is not None:
            nn.init.zeros_(self.class_prior.weight)

    def players(self) -> dict[str, Player]:
        networks: list[nn.Module] = [self.encoder, self.decoder]
        if self.class_prior is not None:
            networks.append(self.class_prior)
        return {"coder": Player(networks, self.config.rate)}

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> Gaussian:
        """q(z|x, y) of images (N, C, S, S) and labels (N,)."""
        maps = self._one_hot(len(images), labels, images)[:, :, None, None]
        maps = maps.expand(-1, -1, *images.shape[-2:])
        return super().posterior(torch.cat([images, maps], dim=1))

    def prior(self, count: int, labels: Tensor | None = None) -> Gaussian:
        """p(z|y) for labels (count,)."""
        if self.class_prior is None:
            return super().prior(count)
        mean, log_variance = self.class_prior(labels).chunk(2, dim=1)
        return Gaussian(mean, log_variance)

    def decoded(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().decoded(torch.cat([codes, self._one_hot(len(codes), labels, codes)], dim=1))

    def labels_of(self, batch: Batch) -> Tensor | None:
        return labels_of(batch, self.config.classes)

    def reconstruct(self, images: Tensor, **conditions: Any) -> Tensor:
        """Images (N, C, S, S) in -1..1, from the mean code of each; needs their `labels`."""
        if conditions.keys() != {"labels"}:
            raise ValueError(f"{sorted(conditions)} given; want the labels of the images")
        labels = self._asked(conditions["labels"], images)
        return self.mean_image(self.decoded(self.posterior(images, labels).mean, labels))

    def draw(
        self, latents: Tensor, *, labels: Tensor | int | None = None, **conditions: Any
    ) -> Tensor:
        """Images (N, C, H, W) in -1..1 from `latents`; deterministic in eval mode.

        `labels`: (N,) or one class for all; where they are not given, the classes in turn. Raises
        ValueError for labels that the model does not have.
        """
        if conditions:
            raise ValueError(f"{self.name} has labels alone; {sorted(conditions)} given")
        wanted = self._asked(labels, latents)
        return self.mean_image(self.decoded(self.prior(len(latents), wanted).at(latents), wanted))

    def _asked(self, labels: Tensor | int | None, like: Tensor) -> Tensor | None:
        return labels_asked(labels, len(like), self.config.classes, like.device)

    def _one_hot(self, count: int, labels: Tensor | None, like: Tensor) -> Tensor:
        """(count, classes)."""
        if labels is None:
            raise ValueError(f"no labels given; {self.name} wants one for each of {count} images")
        return F.one_hot(labels, self.config.classes).to(like.dtype)
