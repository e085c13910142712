"""Squares of many files in batches of one size, scored, and handed back frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

K = TypeVar("K", bound=Hashable)


class _Bucket(Generic[K]):
    """Room for squares of one shape and type, and whose they are."""

    def __init__(self, capacity: int, square: NDArray[Any]) -> None:
        self.room = np.empty((capacity, *square.shape), square.dtype)
        self.owners: list[tuple[K, int]] = []
        self.count = 0

    def put(self, key: K, squares: Sequence[NDArray[Any]]) -> None:
        for place, square in zip(self.room[self.count :], squares, strict=False):
            place[:] = square
        self.owners.append((key, len(squares)))
        self.count += len(squares)


class Batcher(Generic[K]):
    """Calls `logits` on batches of about `batch_size` squares of one shape.

    `add` copies what it is given. `add` and `flush` yield (key, number of squares, mean of their
    logits) for everything that was scored, which may have been added earlier. The rooms of all
    shapes hold `limit_bytes` each at most, and together, unless one frame alone needs more: many
    odd sizes cost speed and not memory. `n_bytes`: of all rooms.
    """

    def __init__(
        self, logits: Callable[[Tensor], Tensor], batch_size: int, limit_bytes: int
    ) -> None:
        self._logits = logits
        self._batch_size = batch_size
        self._limit_bytes = limit_bytes
        self._buckets: dict[Any, _Bucket[K]] = {}
        self.n_bytes = 0

    def add(self, key: K, squares: Sequence[NDArray[Any]]) -> Iterator[tuple[K, int, float]]:
        """Take the squares (S, S), at least one and all of one size, that belong to `key`."""
        kind = squares[0].shape, squares[0].dtype
        bucket = self._buckets.get(kind)
        if bucket is not None and bucket.count + len(squares) > len(bucket.room):
            yield from self._score(bucket)
        if bucket is None or len(squares) > len(bucket.room):
            bucket = yield from self._make_room(kind, squares)
        bucket.put(key, squares)
        if bucket.count == len(bucket.room):
            yield from self._score(bucket)

    def _make_room(self, kind: Any, squares: Sequence[NDArray[Any]]) -> Any:
        size = squares[0].size * squares[0].itemsize
        capacity = max(len(squares), min(self._batch_size, self._limit_bytes // size))
        if self.n_bytes + capacity * size > self._limit_bytes:
            yield from self.flush()
            self.clear()
        bucket: _Bucket[K] = _Bucket(capacity, squares[0])
        self._buckets[kind] = bucket
        self.n_bytes += bucket.room.nbytes
        return bucket

    def clear(self) -> None:
        """Forget everything that waits, and give its room back."""
        self._buckets.clear()
        self.n_bytes = 0

    def drop(self, keys: Container[K]) -> None:
        """Forget the squares of some keys."""
        for bucket in self._buckets.values():
            owners, bucket.owners, start, bucket.count = bucket.owners, [], 0, 0
            for key, length in owners:
                if key not in keys:
                    bucket.put(key, bucket.room[start : start + length].copy())
                start += length

    def flush(self) -> Iterator[tuple[K, int, float]]:
        """Score everything that waits."""
        for bucket in self._buckets.values():
            if bucket.count:
                yield from self._score(bucket)

    def _score(self, bucket: _Bucket[K]) -> Iterator[tuple[K, int, float]]:
        squares = torch.from_numpy(bucket.room[: bucket.count])
        with torch.inference_mode():
            parts = squares.split(self._batch_size)
            logits = [value for part in parts for value in self._logits(part).tolist()]
        start = 0
        for key, length in bucket.owners:
            yield key, length, math.fsum(logits[start : start + length]) / length
            start += length
        bucket.owners.clear()
        bucket.count = 0
