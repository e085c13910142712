"""Batches: every stack comes back once, with its own logits, whatever the batch size."""

from __future__ import annotations

import pytest
import torch

from gandetect.screen.batches import Batcher


def stacks() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 8), (5, 8), (1, 6), (9, 8), (2, 6), (1, 8), (4, 10)]
    made = [torch.randint(0, 256, (n, s, s), generator=generator) for n, s in shapes]
    return [s.to(torch.uint8 if i % 2 else torch.float32) for i, s in enumerate(made)]


def total(squares: torch.Tensor) -> torch.Tensor:
    return squares.double().sum((1, 2)).float()


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
@pytest.mark.parametrize("limit", [1, 300, 1 << 30])
def test_each_stack_gets_its_own_logits(batch_size: int, limit: int) -> None:
    sizes = []

    def logits(squares: torch.Tensor) -> torch.Tensor:
        sizes.append(len(squares))
        return total(squares)

    batcher: Batcher[int] = Batcher(logits, batch_size, limit)
    results: dict[int, list[float]] = {}
    for key, squares in enumerate(stacks()):
        for done, values in batcher.add(key, squares):
            assert done not in results
            results[done] = values
    results.update(batcher.flush())
    assert results == {key: total(squares).tolist() for key, squares in enumerate(stacks())}
    assert max(sizes) <= batch_size


def test_one_size_waits_for_a_full_batch() -> None:
    batcher: Batcher[str] = Batcher(total, 4, 1 << 30)
    assert not list(batcher.add("a", torch.ones(3, 8, 8)))
    assert not list(batcher.add("b", torch.ones(3, 6, 6)))
    assert [key for key, _ in batcher.add("c", torch.ones(1, 8, 8))] == ["a", "c"]
    assert [key for key, _ in batcher.flush()] == ["b"]
    assert not list(batcher.flush())


def test_waiting_bytes_are_bounded() -> None:
    batcher: Batcher[int] = Batcher(total, 1000, 4 * 8 * 8 * 10)
    waiting = 0
    for key in range(100):
        waiting += 1 - len(
            list(batcher.add(key, torch.ones(1, 8 + 2 * (key % 5), 8 + 2 * (key % 5))))
        )
        assert waiting < 10
