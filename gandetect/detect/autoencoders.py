"""Training small generators on photographs, for self-made fakes with kernels that were learned.

Random kernels are either near an interpolation or make patterns that no trained network would
leave: training makes kernels smooth, takes noise away and paints texture. So a bank of small
networks with different up-samplers is trained, minutes each on one core, and
`gandetect.detect.simulate` draws from it. The L1 distance alone gives blurred images; a patch
discriminator (least squares) or the distance of log spectra, added for some, gives sharp ones.

Nothing here is anybody's generator: the networks learn to draw the photographs they are given.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gandetect.detect.simulation.delivery import MIN_CROP, draw_delivery, original_crop
from gandetect.detect.simulation.network import (
    SKIPS,
    TASKS,
    GeneratorNetwork,
    Network,
    NetworkConfig,
    load_bank,
    load_network,
    network_input,
)
from gandetect.detect.simulation.pictures import Photograph, as_picture, as_planes, log_uniform
from gandetect.detect.simulation.upsamplers import MODES

__all__ = [
    "TASKS",
    "GeneratorNetwork",
    "NetworkConfig",
    "draw_config",
    "load_bank",
    "load_network",
    "train_autoencoder",
]

Progress = Callable[[str, int, int], None]

BATCH = 8
PATCHES = 32
# Steps before the discriminator is asked: it would otherwise learn from noise.
WARM_UP = 200


def draw_config(seed: int, *, task: str | None = None, mode: str | None = None) -> NetworkConfig:
    """A random configuration; `task` and `mode` where they are given."""
    rng = np.random.default_rng([seed, 0])
    task = task or str(rng.choice(TASKS))
    mode = mode or str(rng.choice(MODES))
    encodes = task == "autoencoder"
    choices = ((2,), (2, 2), (2, 2), (4,))
    factors = choices[rng.integers(len(choices))]
    scale = int(np.prod(factors))
    # Values in the image for each one in the code: more than one, or the code would be a copy.
    squeeze = rng.uniform(1.5, 4.0) * len(factors)
    sharpness = rng.random()
    return NetworkConfig(
        task=task,
        mode=mode,
        factors=factors,
        width=int(rng.choice((16, 24, 32))),
        blocks=int(rng.integers(1, 5)),
        kernel=int(rng.choice((3, 3, 5))),
        code=max(2, min(48, round(3 * scale**2 / squeeze))),
        skip="" if encodes else str(rng.choice(SKIPS)),
        smoothing=bool(rng.random() < 0.15),
        tanh=bool(rng.random() < 0.5),
        degraded=not encodes and bool(rng.random() < 0.5),
        adversarial=log_uniform(rng, 0.02, 0.2) if sharpness < 0.6 else 0.0,
        spectral=log_uniform(rng, 0.003, 0.03) if 0.3 < sharpness < 0.9 else 0.0,
    )


def train_autoencoder(
    photographs: Sequence[Photograph],
    config: NetworkConfig,
    seed: int,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> GeneratorNetwork:
    """Train a network of `config` on crops of `photographs`, luma (H, W) or RGB (3, H, W).

    It ends after `steps`, or after the step in which `seconds` of processor time have passed; one
    of the two. The result depends on the photographs, `config`, `seed`, the number of steps and of
    threads alone, and says how many steps they were. Raises ValueError where both or neither are
    given, and for a photograph of less than `MIN_CROP` pixels a side.
    """
    if (steps is None) == (seconds is None):
        raise ValueError(f"steps={steps} and seconds={seconds} given; give one of the two")
    rng = np.random.default_rng([seed, 1])
    patches = _patches(photographs, rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trainer = _Trainer(Network(config))
    most, longest = (math.inf if end is None else end for end in (steps, seconds))
    begun, passed = time.process_time(), 0.0
    while trainer.steps < most and passed < longest:
        trainer.step(*_batch(patches, config, rng))
        passed = time.process_time() - begun
        if progress:
            done, total = (passed, longest) if steps is None else (trainer.steps, most)
            progress("training", int(done), int(total))
    return trainer.finished(seed)


class _Trainer:
    """One network, its running average and, where the configuration wants it, its adversary."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))
        self.optimizer = torch.optim.Adam(network.parameters(), 3e-3, (0.9, 0.99))
        self.adversary = _discriminator()
        self.adversary_optimizer = torch.optim.Adam(self.adversary.parameters(), 5e-4, (0.5, 0.9))
        self.steps = 0

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """One step on `inputs` (N, 3, h, w), to be drawn as `targets` (N, 3, H, W)."""
        config = self.network.config
        drawn = self.network(inputs)
        loss = F.l1_loss(drawn, targets)
        if config.spectral:
            loss = loss + config.spectral * _spectral_distance(drawn, targets)
        if config.adversarial and self.steps >= WARM_UP:
            self._train_adversary(drawn.detach(), targets)
            loss = loss + config.adversarial * 0.5 * (self.adversary(drawn) - 1).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.averaged.update_parameters(self.network)
        self.steps += 1

    def finished(self, seed: int) -> GeneratorNetwork:
        """The running average; the trainer is spent."""
        self.network.load_state_dict(self.averaged.module.state_dict())
        return GeneratorNetwork(self.network, seed, self.steps)

    def _train_adversary(self, drawn: Tensor, targets: Tensor) -> None:
        """Least squares: 1 for patches of photographs, 0 for drawn ones."""
        real, generated = self.adversary(targets), self.adversary(drawn)
        loss = 0.5 * ((real - 1).square().mean() + generated.square().mean())
        self.adversary_optimizer.zero_grad()
        loss.backward()
        self.adversary_optimizer.step()


def _discriminator(width: int = 24) -> nn.Module:
    """Logits of overlapping patches; the first layer keeps the resolution, to see single pixels."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
    for _ in range(2):
        layers += [nn.Conv2d(width, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))


def _spectral_distance(drawn: Tensor, targets: Tensor) -> Tensor:
    """L1 distance of the log mean power of two batches, over frequencies and channels."""
    # Far below what rounding to 8 bits leaves, 5e-6.
    drawn_log, target_log = (
        torch.log(torch.fft.rfft2(images, norm="ortho").abs().square().mean(dim=0) + 1e-6)
        for images in (drawn, targets)
    )
    return F.l1_loss(drawn_log, target_log)


def _patches(photographs: Sequence[Photograph], rng: Generator) -> Tensor:
    """`PATCHES` crops of each photograph as simulation makes them, (N, 3, S, S) uint8."""
    crops = []
    for photograph in photographs:
        picture = as_picture(photograph()).convert("RGB")
        for _ in range(PATCHES):
            delivery = draw_delivery(picture.height, picture.width, MIN_CROP, rng)
            crops.append(as_planes(original_crop(picture, delivery)))
    return torch.stack(crops)


def _batch(patches: Tensor, config: NetworkConfig, rng: Generator) -> tuple[Tensor, Tensor]:
    """Inputs (N, 3, h, w) and targets (N, 3, H, W) in -1..1; half of the batches are transposed."""
    chosen = patches[torch.from_numpy(rng.integers(len(patches), size=BATCH))]
    if rng.random() < 0.5:
        chosen = chosen.transpose(2, 3)
    side = MIN_CROP // config.scale * config.scale
    chosen = chosen[..., :side, :side]
    inputs = torch.stack([network_input(as_picture(patch), config, rng) for patch in chosen])
    return inputs, chosen.float() / 127.5 - 1
