"""What the training loop and the commands ask of a generative model, and what GANs share.

A model has players, each a set of networks with one optimizer, and phases: what one iteration of
the loop does, in order. `training` knows nothing else, so that a new model is one file here and one
line in `gandetect.gans.MODELS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gandetect.gans.config import SPECTRAL, Config
from gandetect.gans.losses import LOSSES, AdversarialLoss, Discriminator
from gandetect.nn.spectral import SpectralDiscriminator, SpectralLoss
from gandetect.ops.conventions import member

# What a batch holds: always "images" (N, C, H, W) in -1..1; what else, the model and data agree.
Batch = Mapping[str, Tensor]
# Radians between latents below which their circle is a line.
_STRAIGHT = 1e-4
# "loss" is what is minimized; everything else is logged.
Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Player:
    """Networks that are trained together, by Adam with these settings."""

    networks: Sequence[nn.Module]
    rate: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [one for network in self.networks for one in network.parameters()]


@dataclass(frozen=True)
class Phase:
    """One part of an iteration: `repeats` steps of a player, each on a fresh batch.

    `every`: the iterations that have this phase, one in so many; of those from `begin` on and
    before `end`. The player's other phases share its optimizer.
    """

    name: str
    player: str
    terms: Callable[[Batch], Terms]
    repeats: int = 1
    every: int = 1
    begin: int = 0
    end: int | None = None

    def is_due(self, step: int) -> bool:
        """Whether iteration `step` has this phase."""
        in_time = self.begin <= step and (self.end is None or step < self.end)
        return in_time and step % self.every == 0


class GenerativeModel(nn.Module, ABC):
    """Networks, how they are trained, and how images are drawn from them.

    Attributes
    ----------
    name : as in `gandetect.gans.MODELS`.
    source : the paper, and what differs from it.
    Configuration : the dataclass of its settings.
    presets : configurations by name; every model has `smoke` (for tests) and `run`.
    drawn_from : the submodules that draw samples; a running average of them is kept.
    learns_from : what batches have besides images, see `gandetect.gans.preparing`.
    up_samples : whether it has up-samplings that `up` and `up_last` choose.
    draws_photographs : whether photographs alone teach it to draw some, which makes it a family of
        the atlas; not so of digits, classes and counted things.
    truncates : whether `draw` takes `truncation`, which gives up variety for quality.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    Configuration: ClassVar[type[Config]]
    presets: ClassVar[Mapping[str, Config]]
    drawn_from: ClassVar[Sequence[str]] = ("generator",)
    learns_from: ClassVar[str] = "images"
    up_samples: ClassVar[bool] = True
    draws_photographs: ClassVar[bool] = True
    truncates: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def players(self) -> Mapping[str, Player]:
        """Who is trained, by name."""

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """What an iteration does, in order."""

    def at_step(self, step: int) -> None:
        """Called before iteration `step`, from 0; for what changes with time. Does nothing here.

        It must depend on `step` alone: training that goes on from a checkpoint calls it once.
        """

    def rate_at(self, step: int) -> float:
        """What the players' rates are multiplied by in iteration `step`."""
        return 1.0

    def restarts(self, step: int) -> Sequence[str]:
        """The players whose optimizers forget their moments before iteration `step`."""
        return ()

    def conditions(self, batch: Batch) -> dict[str, Tensor]:
        """What `draw` is given to show what the model makes of a batch, a row for each image.

        Nothing here; a model that makes images from images or from counts says what of them.
        """
        return {}

    @abstractmethod
    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """Latents (count, ...) on the CPU; by torch's own generator where `rng` is None."""

    def between(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """Latents (N, ...) that are `share` of the way from `first` to `second`.

        On the great circle, where normal latents have the length that the model knows.
        """
        a, b = (one.flatten(1) for one in (first, second))
        cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1)
        angle = cosine.acos()[:, None]
        # As the angle vanishes, so does the difference from the straight line.
        weights = [torch.sin(part * angle) / torch.sin(angle) for part in (1 - share, share)]
        straight = angle < _STRAIGHT
        u, v = (
            torch.where(straight, torch.full_like(angle, part), weight)
            for part, weight in zip((1 - share, share), weights, strict=True)
        )
        return (u * a + v * b).view_as(first)

    @abstractmethod
    def draw(self, latents: Tensor, **conditions: Any) -> Tensor:
        """Images (N, C, H, W) in -1..1 from `latents`; deterministic in eval mode."""


class UniformLatents:
    """For models whose latents are uniform random numbers; named before the model's own base."""

    def between(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        """Latents that are `share` of the way, in a line: a circle would leave their range."""
        return torch.lerp(first, second, share)


@dataclass(frozen=True)
class AdversarialConfig(Config):
    """`Config` of a generator and a discriminator.

    `loss`: one of `losses.LOSSES`. `rate`, `betas`: of Adam, both players; the discriminator's rate
    is `d_factor` times that. `d_steps`: its steps before each of the generator. `spectral`: "none",
    "loss" (`SpectralLoss` joins the generator's) or "discriminator" (`SpectralDiscriminator` is a
    second adversary), with `spectral_weight`.
    """

    loss: str = "nonsaturating"
    rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    d_factor: float = 1.0
    d_steps: int = 1
    spectral: str = "none"
    spectral_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        member("loss", self.loss, tuple(LOSSES))
        member("spectral", self.spectral, SPECTRAL)
        if self.d_steps < 1:
            raise ValueError(f"d_steps={self.d_steps} given; want at least 1")


class AdversarialModel(GenerativeModel):
    """A generator against a discriminator (Goodfellow et al. 2014, Algorithm 1).

    Each iteration takes `d_steps` steps of the discriminator, each on fresh real images and fresh
    latents, then one of the generator on fresh latents. A subclass builds `generator` and
    `discriminator` in `build` and may add a `penalty`. The spectral parts are the same for all: the
    spectral discriminator takes as many steps as the other, with the same penalty.
    """

    config: AdversarialConfig
    generator: nn.Module
    discriminator: nn.Module

    def __init__(self, config: AdversarialConfig) -> None:
        super().__init__(config)
        self.generator, self.discriminator = self.build(config)
        # Convolutions follow their weight's layout, and on a CPU this one is the faster.
        self.discriminator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if config.spectral == "discriminator":
            self.spectral_discriminator = SpectralDiscriminator(config.size)
        if config.spectral == "loss":
            self.spectral_loss = SpectralLoss()

    @abstractmethod
    def build(self, config: Any) -> tuple[nn.Module, nn.Module]:
        """The generator, from latents to images, and the discriminator, from images to logits."""

    @property
    def loss(self) -> AdversarialLoss:
        """The losses of both players."""
        return LOSSES[self.config.loss]

    def players(self) -> dict[str, Player]:
        config = self.config
        judges = {"discriminator": self.discriminator}
        if config.spectral == "discriminator":
            judges["spectral_discriminator"] = self.spectral_discriminator
        found = {
            name: Player([network], config.rate * config.d_factor, config.betas)
            for name, network in judges.items()
        }
        return {**found, "generator": Player([self.generator], config.rate, config.betas)}

    def phases(self) -> list[Phase]:
        repeats = self.config.d_steps
        found = [Phase("discriminator", "discriminator", self.discriminator_terms, repeats)]
        if self.config.spectral == "discriminator":
            terms = self.spectral_discriminator_terms
            found.append(Phase("spectral", "spectral_discriminator", terms, repeats))
        return [*found, Phase("generator", "generator", self.generator_terms)]

    def discriminator_terms(self, batch: Batch) -> Terms:
        """The discriminator's loss on real images and as many generated ones."""
        real = batch["images"]
        generated = self._generated(batch)
        on_real, on_generated = self.judge(real, batch), self.judge(generated, batch)
        adversarial = self.loss.discriminator(on_real, on_generated)
        terms = {
            "loss": adversarial,
            "adversarial": adversarial,
            "real": on_real.mean(),
            "generated": on_generated.mean(),
        }
        penalty = self.penalty(lambda images: self.judge(images, batch), real, generated)
        if penalty is not None:
            terms |= {"loss": adversarial + penalty, "penalty": penalty}
        return terms

    def penalty(self, judge: Discriminator, real: Tensor, generated: Tensor) -> Tensor | None:
        """What the loss of a discriminator, `judge`, has besides, weighted; None for nothing."""
        return None

    def spectral_discriminator_terms(self, batch: Batch) -> Terms:
        """The same loss and penalty for the discriminator that sees profiles alone."""
        judge, real = self.spectral_discriminator, batch["images"]
        generated = self._generated(batch)
        adversarial = self.loss.discriminator(judge(real), judge(generated))
        penalty = self.penalty(judge, real, generated)
        if penalty is None:
            return {"loss": adversarial}
        return {"loss": adversarial + penalty, "adversarial": adversarial, "penalty": penalty}

    def generator_terms(self, batch: Batch) -> Terms:
        """The generator's loss on fresh latents, with the spectral part that was asked for."""
        generated = self.generate(len(batch["images"]), batch)
        adversarial = self.loss.generator(self.judge(generated, batch))
        terms = {"loss": adversarial, "adversarial": adversarial}
        weight = self.config.spectral_weight
        if self.config.spectral == "loss":
            distance = self.spectral_loss(generated, batch["images"])
            terms |= {"loss": adversarial + weight * distance, "spectral": distance}
        if self.config.spectral == "discriminator":
            spectral = self.loss.generator(self.spectral_discriminator(generated))
            mixed = (adversarial + weight * spectral) / (1 + weight)
            terms |= {"loss": mixed, "spectral": spectral}
        return terms

    def generate(self, count: int, batch: Batch) -> Tensor:
        """Images (count, C, H, W) from fresh latents; `batch` gives conditions where there are."""
        at = batch["images"].device
        images: Tensor = self.generator(self.latents(count).to(at))
        return images

    def judge(self, images: Tensor, batch: Batch) -> Tensor:
        """Logits (N,), high for real; `batch` gives conditions where there are."""
        logits: Tensor = self.discriminator(images)
        return logits

    def _generated(self, batch: Batch) -> Tensor:
        """As many images as the batch has, which no gradient goes back into."""
        with torch.no_grad():
            return self.generate(len(batch["images"]), batch)

    def latents(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.randn(count, self.config.latent, generator=rng)

    def draw(self, latents: Tensor, **conditions: Any) -> Tensor:
        if conditions:
            raise ValueError(f"{self.name} has no conditions; {sorted(conditions)} given")
        images: Tensor = self.generator(latents)
        return images
