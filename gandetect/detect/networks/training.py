"""One training loop for every network that detects.

A fifth of the sources is held out to stop by; the weights of the best epoch are kept. Where the
target of a tile is a label, tiles are turned and mirrored at random, which changes no trace of
up-sampling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect.folds import source_folds
from gandetect.detect.networks.base import Network

Progress = Callable[[str, int, int], None]
_EVALUATED_AT_ONCE = 64


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train. `patience`: epochs without a better held-out loss."""

    epochs: int = 30
    batch: int = 32
    rate: float = 1e-3
    decay: float = 1e-4
    patience: int = 6


@dataclass(frozen=True)
class Examples:
    """Tiles (N, S, S) in 0..255 with labels (N,), weights (N,) and sources `groups` (N,).

    `targets`: what the network learns of each tile, (N, ...); None where that is the label.
    """

    tiles: Tensor
    labels: Tensor
    weights: Tensor
    groups: NDArray[Any]
    targets: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tiles)

    def subset(self, chosen: NDArray[Any]) -> Examples:
        """The examples at the indices `chosen`."""
        at = torch.from_numpy(chosen)
        targets = None if self.targets is None else self.targets[at]
        return Examples(
            self.tiles[at], self.labels[at], self.weights[at], self.groups[chosen], targets
        )

    def losses(self, network: Network) -> Tensor:
        """The weighted losses (N,) of `network`."""
        targets = self.labels if self.targets is None else self.targets
        return network.losses(self.tiles, targets) * self.weights


def train(
    make: Callable[[], Network],
    examples: Examples,
    *,
    seed: int,
    schedule: Schedule | None = None,
    progress: Progress | None = None,
) -> Network:
    """Train the network that `make` builds; the same seed and data give the same weights.

    Raises ValueError where a class has fewer than two sources, or the loss is no number any more.
    """
    schedule = schedule or Schedule()
    kept, held_out = _split(examples, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make()
        best, best_weights, waited = float("inf"), network.state_dict(), 0
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=schedule.rate, weight_decay=schedule.decay
        )
        steps = schedule.epochs * -(-len(kept) // schedule.batch)
        slope = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.rate * 3, max(steps, 2))
        rng = np.random.default_rng(seed)
        for epoch in range(schedule.epochs):
            if progress:
                progress("training", epoch, schedule.epochs)
            _epoch(network, kept, optimizer, slope, schedule.batch, rng)
            found = _held_out_loss(network, held_out)
            if not np.isfinite(found):
                raise ValueError(f"the loss is {found} after epoch {epoch}: lower the rate")
            if found < best:
                best, best_weights, waited = found, copy.deepcopy(network.state_dict()), 0
                continue
            waited += 1
            if waited > schedule.patience:
                break
    network.load_state_dict(best_weights)
    return network.eval().requires_grad_(False)


def _split(examples: Examples, seed: int) -> tuple[Examples, Examples]:
    """(train, held out): one fold of the sources."""
    train_part, test_part = next(source_folds(examples.labels.numpy(), examples.groups, seed))
    return examples.subset(train_part), examples.subset(test_part)


def _epoch(
    network: Network,
    examples: Examples,
    optimizer: torch.optim.Optimizer,
    slope: torch.optim.lr_scheduler.LRScheduler,
    batch: int,
    rng: np.random.Generator,
) -> None:
    network.train()
    for part in _batches(examples, batch, rng):
        loss = _turned(part, rng).losses(network).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        slope.step()


def _batches(examples: Examples, batch: int, rng: np.random.Generator) -> Iterator[Examples]:
    order = rng.permutation(len(examples))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        # Batch normalization has no deviation of a single example.
        if len(chosen) > 1 or len(order) == 1:
            yield examples.subset(chosen)


def _turned(examples: Examples, rng: np.random.Generator) -> Examples:
    if examples.targets is not None:
        return examples
    tiles = torch.rot90(examples.tiles, int(rng.integers(4)), dims=(1, 2))
    if rng.random() < 0.5:
        tiles = tiles.flip(2)
    return replace(examples, tiles=tiles)


@torch.no_grad()
def _held_out_loss(network: Network, examples: Examples) -> float:
    network.eval()
    total = 0.0
    for start in range(0, len(examples), _EVALUATED_AT_ONCE):
        part = np.arange(start, min(start + _EVALUATED_AT_ONCE, len(examples)))
        total += float(examples.subset(part).losses(network).sum())
    return total / float(examples.weights.sum())
