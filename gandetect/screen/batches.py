"""Squares of many files gathered into batches of one size, scored, and handed back file by file."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

K = TypeVar("K", bound=Hashable)


@dataclass
class _Bucket(Generic[K]):
    """Stacks of squares of one shape and dtype, with the keys of their owners."""

    keys: list[K] = field(default_factory=list)
    stacks: list[Tensor] = field(default_factory=list)
    n_squares: int = 0
    n_bytes: int = 0


class Batcher(Generic[K]):
    """Calls `logits` on batches of at most `batch_size` squares of one shape.

    `add` and `flush` yield (key, logits of its squares) for every stack that was scored, which may
    be some that were added earlier. `n_bytes` squares wait at most until it exceeds `limit_bytes`;
    many odd sizes therefore cost speed and not memory.
    """

    def __init__(
        self, logits: Callable[[Tensor], Tensor], batch_size: int, limit_bytes: int
    ) -> None:
        self._logits = logits
        self._batch_size = batch_size
        self._limit_bytes = limit_bytes
        self._buckets: dict[tuple[torch.Size, torch.dtype], _Bucket[K]] = {}
        self._n_bytes = 0

    def add(self, key: K, squares: Tensor) -> Iterator[tuple[K, list[float]]]:
        """Take the stack `squares` (T, S, S) that belongs to `key`."""
        kind = (squares.shape[1:], squares.dtype)
        bucket = self._buckets.setdefault(kind, _Bucket())
        bucket.keys.append(key)
        bucket.stacks.append(squares)
        bucket.n_squares += len(squares)
        bucket.n_bytes += squares.nbytes
        self._n_bytes += squares.nbytes
        if bucket.n_squares >= self._batch_size:
            yield from self._score(self._buckets.pop(kind))
        elif self._n_bytes >= self._limit_bytes:
            yield from self.flush()

    def flush(self) -> Iterator[tuple[K, list[float]]]:
        """Score everything that waits."""
        while self._buckets:
            _, bucket = self._buckets.popitem()
            yield from self._score(bucket)

    def _score(self, bucket: _Bucket[K]) -> Iterator[tuple[K, list[float]]]:
        self._n_bytes -= bucket.n_bytes
        squares = bucket.stacks[0] if len(bucket.stacks) == 1 else torch.cat(bucket.stacks)
        with torch.inference_mode():
            logits = torch.cat([self._logits(part) for part in squares.split(self._batch_size)])
        sizes = [len(stack) for stack in bucket.stacks]
        for key, part in zip(bucket.keys, logits.split(sizes), strict=True):
            yield key, part.tolist()
