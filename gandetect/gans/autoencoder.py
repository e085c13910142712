"""Auto-encoder (Hinton and Salakhutdinov 2006): the shortest way through a narrow code and back.

It has no distribution to draw codes from. Ours remembers the mean and the covariance of the codes
it meets in training, and draws codes from the Gaussian that has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.gans.coding import Coder, CodingConfig
from gandetect.gans.model import Batch, Terms


@dataclass(frozen=True)
class AutoEncoderConfig(CodingConfig):
    """`CodingConfig` of an auto-encoder.

    `memory`: how much of the codes' mean and covariance an iteration keeps; what is new has the
    rest of the weight.
    """

    memory: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.memory < 1:
            raise ValueError(f"memory={self.memory} given; want 0 <= memory < 1")


class AutoEncoder(Coder):
    name = "autoencoder"
    source = (
        "Hinton and Salakhutdinov, 2006, with strided convolutions in the place of stacked "
        "Boltzmann machines; codes are drawn from a Gaussian with the mean and covariance of the "
        "codes in training, which is no part of the paper"
    )
    Configuration = AutoEncoderConfig
    presets: ClassVar = {
        "run": AutoEncoderConfig(),
        "smoke": AutoEncoderConfig(
            size=32,
            latent=16,
            widths=(8, 16, 32),
            batch=16,
            steps=60,
            ema=0.9,
            rate=5e-3,
            memory=0.9,
        ),
    }
    config: AutoEncoderConfig
    code_mean: Tensor
    code_covariance: Tensor

    def __init__(self, config: AutoEncoderConfig) -> None:
        super().__init__(config)
        # Moments are linear in the codes' distribution: a running average of them, which the loop
        # keeps of every float buffer, is a mean and a covariance again.
        self.register_buffer("code_mean", torch.zeros(config.latent))
        self.register_buffer("code_covariance", torch.eye(config.latent))
        self._step = 0

    def at_step(self, step: int) -> None:
        self._step = step

    def terms(self, batch: Batch) -> Terms:
        """The mean squared error of a pixel."""
        images = batch["images"]
        codes = self.encoder(images)
        self._remember(codes)
        error = F.mse_loss(self.decoder(codes).float(), images)
        return {"loss": error, "deviation": self.code_covariance.diagonal().mean().sqrt()}

    def reconstruct(self, images: Tensor, **conditions: Any) -> Tensor:
        if conditions:
            raise ValueError(f"{self.name} has no conditions; {sorted(conditions)} given")
        images = self.decoder(self.encoder(images))
        return images.clamp(-1, 1)

    def draw(self, latents: Tensor, **conditions: Any) -> Tensor:
        if conditions:
            raise ValueError(f"{self.name} has no conditions; {sorted(conditions)} given")
        codes = self.code_mean + latents @ _root(self.code_covariance)
        images: Tensor = self.decoder(codes)
        return images.clamp(-1, 1)

    @torch.no_grad()
    def _remember(self, codes: Tensor) -> None:
        """Take codes (N, latent) into their mean and covariance; the first ones count fully."""
        # In several processes the first one's are everybody's.
        share = max(1 - self.config.memory, 1 / (self._step + 1))
        with torch.autocast(codes.device.type, enabled=False):
            codes = codes.to(self.code_mean.dtype)
            self.code_mean.lerp_(codes.mean(dim=0), share)
            off = codes - self.code_mean
            self.code_covariance.lerp_(off.T @ off / len(off), share)


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root; a negative variance, which only rounding makes, counts as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T
