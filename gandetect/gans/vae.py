"""VAE (Kingma and Welling 2014): an auto-encoder whose codes have a distribution.

The encoder gives a Gaussian q(z|x) for each image, z = μ + σ ε is drawn from it, and what is
minimized is a bound of -ln p(x): -E ln p(x|z) + β KL(q(z|x) ‖ p(z)), the likelihood summed over the
pixels. Images are drawn as the mean of p(x|z), z from the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.gans.coding import Coder, CodingConfig
from gandetect.gans.model import Batch, Terms
from gandetect.ops.conventions import member

LIKELIHOODS = ("gaussian", "bernoulli")


@dataclass(frozen=True)
class VAEConfig(CodingConfig):
    """`CodingConfig` of a VAE.

    `likelihood`: of a pixel, "gaussian" about the decoder's image with the standard deviation
    `deviation` (images are in -1..1), or "bernoulli", which counts a gray value as a probability.
    `beta`: weight of the divergence.
    """

    likelihood: str = "gaussian"
    deviation: float = 0.5
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        member("likelihood", self.likelihood, LIKELIHOODS)
        if not 1e-3 <= self.deviation <= 10:
            raise ValueError(f"deviation={self.deviation} given; want 0.001 to 10")


@dataclass(frozen=True)
class Gaussian:
    """Independent normal variables of these means and logarithms of variances, both (N, latent)."""

    mean: Tensor
    log_variance: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """μ + σ ε for `noise` ε: a sample where ε is N(0, 1)."""
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def sample(self) -> Tensor:
        """One sample (N, latent), through which gradients reach the mean and the variance."""
        return self.at(torch.randn_like(self.mean))

    def log_density(self, z: Tensor) -> Tensor:
        """(N,) logarithms of the density at z (N, latent)."""
        off = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (off + self.log_variance + math.log(2 * math.pi)).sum(dim=-1)

    def divergence(self, other: Gaussian) -> Tensor:
        """(N,) KL(self ‖ other) in nats; ½ Σ (μ² + σ² - 1 - ln σ²) for a standard `other`."""
        ratio = self.log_variance - other.log_variance
        off = (self.mean - other.mean).square() * (-other.log_variance).exp()
        return 0.5 * (off + ratio.exp() - 1 - ratio).sum(dim=-1)


class VAE(Coder):
    name = "vae"
    source = (
        "Kingma and Welling, 2014, with convolutions; the deviation of the Gaussian likelihood is "
        "a number of the configuration, not learned"
    )
    Configuration: ClassVar[type[VAEConfig]] = VAEConfig
    presets: ClassVar = {
        "run": VAEConfig(),
        "smoke": VAEConfig(
            size=32, latent=16, widths=(8, 16, 32), batch=16, steps=60, ema=0.9, rate=5e-3
        ),
    }
    config: VAEConfig

    def __init__(self, config: VAEConfig, *, extra: int = 0) -> None:
        super().__init__(config, extra=extra, outputs=2)

    def posterior(self, images: Tensor, labels: Tensor | None = None) -> Gaussian:
        """q(z|x) of images (N, C, S, S)."""
        # float32: exponents in half precision overflow, and their errors are summed.
        mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
        return Gaussian(mean, log_variance)

    def prior(self, count: int, labels: Tensor | None = None) -> Gaussian:
        """p(z), (count, latent)."""
        zero = next(self.parameters()).new_zeros(count, self.config.latent)
        return Gaussian(zero, zero)

    def decoded(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """What `decoder` makes of codes (N, latent): (N, C, S, S), see `mean_image`."""
        values: Tensor = self.decoder(codes)
        return values.float()

    def labels_of(self, batch: Batch) -> Tensor | None:
        """The labels (N,) of a batch, where the model has classes."""
        return None

    def terms(self, batch: Batch) -> Terms:
        """The bound of -ln p(x) in nats an image, and its two parts."""
        images, labels = batch["images"], self.labels_of(batch)
        posterior = self.posterior(images, labels)
        values = self.decoded(posterior.sample(), labels)
        likelihood = self.log_likelihood(images, values).mean()
        divergence = posterior.divergence(self.prior(len(images), labels)).mean()
        loss = self.config.beta * divergence - likelihood
        return {"loss": loss, "likelihood": likelihood, "divergence": divergence}

    def mean_image(self, values: Tensor) -> Tensor:
        """The mean of p(x|z) (N, C, S, S) in -1..1, of the decoder's `values`."""
        if self.config.likelihood == "bernoulli":
            return 2 * values.sigmoid() - 1
        return values.clamp(-1, 1)

    def log_likelihood(self, images: Tensor, values: Tensor) -> Tensor:
        """ln p(x|z) in nats (N,), summed over the pixels of images (N, C, S, S)."""
        if self.config.likelihood == "bernoulli":
            losses = F.binary_cross_entropy_with_logits(
                values, 0.5 * (images + 1), reduction="none"
            )
        else:
            deviation = self.config.deviation
            off = (images - values) / deviation
            losses = 0.5 * off.square() + math.log(deviation * math.sqrt(2 * math.pi))
        return -losses.flatten(1).sum(dim=1)

    def bound(self, images: Tensor, samples: int, labels: Tensor | None = None) -> Tensor:
        """A lower bound of ln p(x) in nats (N,), the higher the more `samples` (Burda et al. 2016).

        ln of the mean of p(x|z) p(z) / q(z|x) over samples z of q; with one it is, in the mean, the
        bound that is trained with β = 1.
        """
        posterior, prior = self.posterior(images, labels), self.prior(len(images), labels)
        ratios = []
        for _ in range(samples):
            z = posterior.sample()
            likelihood = self.log_likelihood(images, self.decoded(z, labels))
            ratios.append(likelihood + prior.log_density(z) - posterior.log_density(z))
        return torch.stack(ratios).logsumexp(dim=0) - math.log(samples)

    def reconstruct(self, images: Tensor, **conditions: Any) -> Tensor:
        """Images (N, C, S, S) in -1..1, from the mean code of each."""
        if conditions:
            raise ValueError(f"{self.name} has no conditions; {sorted(conditions)} given")
        return self.mean_image(self.decoded(self.posterior(images).mean))

    def draw(self, latents: Tensor, **conditions: Any) -> Tensor:
        if conditions:
            raise ValueError(f"{self.name} has no conditions; {sorted(conditions)} given")
        return self.mean_image(self.decoded(latents))
