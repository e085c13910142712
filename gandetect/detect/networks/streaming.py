"""Training on examples that are made without end: every step sees new ones.

Networks that predict a map (a mask, a flow) learn from edits of photographs, of which there are as
many as one has time for. So nothing is seen twice, nothing needs to be stored, and there is nothing
to stop early for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from gandetect.detect.edits import make_edits
from gandetect.detect.networks.base import Network
from gandetect.detect.networks.mask import MaskNetwork
from gandetect.detect.networks.training import Progress
from gandetect.detect.networks.warp import WarpNetwork
from gandetect.detect.simulate import Photograph
from gandetect.detect.warps import make_warps

# A tile (S, S) and its target.
Example = tuple[Tensor, Tensor]
AnyNetwork = TypeVar("AnyNetwork", bound=Network)
# Examples that wait to be drawn in random order.
POOL = 256
# Examples of a photograph in one pass over the photographs: reading it once pays for all of them.
PER_PASS = 4


@dataclass(frozen=True)
class Steps:
    """How long and how fast to train: `count` steps of `batch` examples, at most at `rate`."""

    count: int = 600
    batch: int = 16
    rate: float = 3e-3
    decay: float = 1e-4


def train_mask(
    photographs: Sequence[Photograph],
    *,
    side: int = 128,
    seed: int = 0,
    steps: Steps | None = None,
    progress: Progress | None = None,
) -> MaskNetwork:
    """A mask network taught by edits of luma `photographs`, new ones in every step.

    Raises ValueError as `make_edits` does.
    """

    def make(number: int) -> Iterator[Example]:
        edits = make_edits(photographs, count=PER_PASS, side=side, seed=number)
        return ((edit.image, edit.mask) for edit in edits)

    return train_on(endless(make, seed), MaskNetwork, seed, steps or Steps(), progress)


def train_warp(
    photographs: Sequence[Photograph],
    *,
    side: int = 128,
    seed: int = 0,
    steps: Steps | None = None,
    progress: Progress | None = None,
) -> WarpNetwork:
    """A warp network taught by warps of luma `photographs`, new ones in every step.

    Raises ValueError as `make_warps` does.
    """

    def make(number: int) -> Iterator[Example]:
        warps = make_warps(photographs, count=PER_PASS, side=side, seed=number)
        return ((warp.image, torch.cat((warp.flow, warp.original[None]))) for warp in warps)

    return train_on(endless(make, seed), WarpNetwork, seed, steps or Steps(), progress)


def endless(make: Callable[[int], Iterable[Example]], seed: int) -> Iterator[Example]:
    """The examples of `make` with one random seed after the other, in random order.

    Deterministic by `seed`. Raises ValueError where `make` makes none.
    """
    rng = np.random.default_rng(seed)
    pool: list[Example] = []
    for example in _passes(make, rng):
        if len(pool) < POOL:
            pool.append(example)
            continue
        place = int(rng.integers(POOL))
        drawn, pool[place] = pool[place], example
        yield drawn


def _passes(
    make: Callable[[int], Iterable[Example]], rng: np.random.Generator
) -> Iterator[Example]:
    while True:
        empty = True
        for example in make(int(rng.integers(2**31))):
            empty = False
            yield example
        if empty:
            raise ValueError("no photographs given; there is nothing to learn from")


def train_on(
    examples: Iterator[Example],
    make: Callable[[], AnyNetwork],
    seed: int,
    steps: Steps,
    progress: Progress | None = None,
) -> AnyNetwork:
    """Train the network that `make` builds; the same seed and examples give the same weights.

    Raises ValueError where the loss is no number any more.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make().train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=steps.rate, weight_decay=steps.decay)
        slope = torch.optim.lr_scheduler.OneCycleLR(optimizer, steps.rate, max(steps.count, 2))
        for step in range(steps.count):
            if progress:
                progress("training", step, steps.count)
            tiles, targets = zip(*islice(examples, steps.batch), strict=True)
            loss = network.losses(torch.stack(tiles), torch.stack(targets)).mean()
            if not torch.isfinite(loss):
                raise ValueError(f"the loss is {float(loss)} at step {step}: lower the rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            slope.step()
    return network.eval().requires_grad_(False)
