"""Tiny image sets with traces as plain as can be, written the way the experiment writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.detect.networks.training import Progress
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL, SPLITS, Effort
from gandetect.experiments.upsampling.sets import set_step, write_set
from gandetect.experiments.upsampling.steps import Steps
from gandetect.experiments.upsampling.work import Work

SIDE = 32
EFFORT = Effort(
    squares=0,
    counts={"train": 40, "validation": 16, "test": 24},
    replicates=60,
    trees=5,
    epochs=1,
    draws=2,
    sizes=(16, 80, 1000),
    perturbations=("jpeg-75", "resize-0.75"),
)
# Squares of one photograph.
PER_PHOTOGRAPH = 4


def photographs(count: int, seed: int) -> Tensor:
    """Smooth random pictures with some noise, (count, 3, SIDE, SIDE) in 0..255."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=rng) * 200 + 25
    smooth = F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    return smooth + 4 * torch.randn(count, 3, SIDE, SIDE, generator=rng)


def nearest(images: Tensor) -> Tensor:
    """Halved, and brought back by repeating pixels."""
    return F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="nearest")


def striped(images: Tensor) -> Tensor:
    """With a faint pattern of every second column, as phases that differ leave it."""
    return images + 3 * (torch.arange(SIDE) % 2 * 2 - 1)


def blurred(images: Tensor) -> Tensor:
    """Halved, and brought back smoothly."""
    half = F.avg_pool2d(images, 2)
    return F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)


MAKERS = {REAL: lambda images: images, "striped": striped, "nearest": nearest, "blurred": blurred}


def as_bytes(images: Tensor) -> Tensor:
    return images.clamp(0, 255).round().to(torch.uint8)


@dataclass
class Sets:
    """Sets in `folder`, with the steps that wrote them."""

    folder: Path
    pictures: Pictures
    steps: Steps
    names: tuple[str, ...]
    effort: Effort

    def work(self, progress: Progress | None = None) -> Work:
        """What stages are given."""
        return Work(self.folder, self.steps, self.effort, progress=progress)


def sets(
    folder: Path, names: tuple[str, ...] = ("striped", "nearest"), effort: Effort = EFFORT
) -> Sets:
    """Write the reals and the sets of the makers `names`; those with `#` are another draw."""
    steps = Steps(folder / "steps")
    for number, name in enumerate((REAL, *names)):
        images = {
            split: as_bytes(MAKERS[name.partition("#")[0]](photographs(count, 10 * number + part)))
            for part, (split, count) in enumerate(effort.counts.items())
        }
        steps.document(set_step(name), [name], lambda n=name, i=images: write_set(folder, n, i))
    sources = {
        split: [f"{split}{number // PER_PHOTOGRAPH}" for number in range(effort.counts[split])]
        for split in SPLITS
    }
    return Sets(folder, Pictures(folder, effort.counts, sources), steps, names, effort)
