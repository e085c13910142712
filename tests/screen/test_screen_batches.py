"""Batches: every frame comes back once, with its own mean, whatever the batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gandetect.screen.batches import Batcher


def stacks() -> list[NDArray[Any]]:
    generator = np.random.default_rng(0)
    shapes = [(3, 8), (5, 8), (1, 6), (9, 8), (2, 6), (1, 8), (4, 10)]
    made = [generator.integers(0, 256, (n, s, s), dtype=np.uint8) for n, s in shapes]
    return [s if i % 2 else s.astype(np.float32) for i, s in enumerate(made)]


def total(squares: torch.Tensor) -> torch.Tensor:
    return squares.double().sum((1, 2))


def expected() -> dict[int, tuple[int, float]]:
    sums = [stack.astype(np.float64).sum((1, 2)) for stack in stacks()]
    return {key: (len(values), float(values.mean())) for key, values in enumerate(sums)}


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
@pytest.mark.parametrize("limit", [1, 300, 1 << 30])
def test_each_frame_gets_the_mean_of_its_squares(batch_size: int, limit: int) -> None:
    sizes = []

    def logits(squares: torch.Tensor) -> torch.Tensor:
        sizes.append(len(squares))
        return total(squares)

    batcher: Batcher[int] = Batcher(logits, batch_size, limit)
    results: dict[int, tuple[int, float]] = {}

    def take(scored: Any) -> None:
        for key, count, mean in scored:
            assert key not in results
            results[key] = count, mean

    for key, stack in enumerate(stacks()):
        take(batcher.add(key, list(stack)))
        stack[:] = 0  # what was added is the batcher's own
    take(batcher.flush())
    assert results == {key: pytest.approx(value) for key, value in expected().items()}
    assert max(sizes) <= batch_size


def test_one_size_waits_for_a_full_batch() -> None:
    def ones(count: int, side: int) -> list[NDArray[Any]]:
        return [np.ones((side, side), np.float32)] * count

    batcher: Batcher[str] = Batcher(total, 4, 1 << 30)
    assert not list(batcher.add("a", ones(3, 8)))
    assert not list(batcher.add("b", ones(3, 6)))
    assert [key for key, _, _ in batcher.add("c", ones(1, 8))] == ["a", "c"]
    assert not list(batcher.add("d", ones(2, 8)))
    assert [key for key, _, _ in batcher.add("e", ones(3, 8))] == ["d"]
    assert sorted(key for key, _, _ in batcher.flush()) == ["b", "e"]
    assert not list(batcher.flush())


def test_room_is_bounded() -> None:
    limit = 4 * 8 * 8 * 10
    batcher: Batcher[int] = Batcher(total, 1000, limit)
    waiting = 0
    for key in range(100):
        side = 8 + 2 * (key % 5)
        scored = list(batcher.add(key, [np.ones((side, side), np.float32)]))
        waiting += 1 - len(scored)
        assert batcher.n_bytes <= limit
        assert waiting < 10


def test_dropped_frames_are_not_scored() -> None:
    batcher: Batcher[int] = Batcher(total, 100, 1 << 30)
    for key, stack in enumerate(stacks()):
        assert not list(batcher.add(key, list(stack)))
    batcher.drop({1, 3, 4})
    results = {key: (count, mean) for key, count, mean in batcher.flush()}
    kept = {key: value for key, value in expected().items() if key not in (1, 3, 4)}
    assert results == {key: pytest.approx(value) for key, value in kept.items()}


def test_cleared_frames_are_forgotten() -> None:
    batcher: Batcher[int] = Batcher(total, 100, 1 << 30)
    list(batcher.add(0, [np.ones((8, 8), np.uint8)]))
    batcher.clear()
    assert not list(batcher.flush())
