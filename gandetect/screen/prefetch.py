"""Decoding ahead of scoring: a few threads and a queue that is bounded in bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S")

STOP_SECONDS = 2.0


class _Stopped(Exception):
    """The consumer has gone; raised in producers to unwind them."""


class _ByteQueue(Generic[T]):
    """First in, first out; `put` waits while more than `limit` bytes are inside."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._stopped = False
        self._items: deque[tuple[T, int]] = deque()
        self._changed = threading.Condition()

    def put(self, item: T, size: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopped or not self._items or self._held + size <= self._limit
            )
            if self._stopped:
                raise _Stopped
            self._items.append((item, size))
            self._held += size
            self._changed.notify_all()

    def get(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items))
            item, size = self._items.popleft()
            self._held -= size
            self._changed.notify_all()
        return item

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def prefetch(
    sources: Iterable[S],
    produce: Callable[[int, S], Iterable[T]],
    size_of: Callable[[T], int],
    *,
    workers: int,
    limit_bytes: int,
) -> Generator[T, None, None]:
    """The records of `produce(number, source)` for every source, numbered from 0 in order.

    `workers` threads each work on one source at a time; the records of one source keep their
    order, those of several are mixed. At most `limit_bytes` of finished records (by `size_of`, but
    always at least one) wait. What `sources` or `produce` raise is raised here. Closing the
    iterator stops the threads at their next record, for which it waits STOP_SECONDS in all.
    """
    queue: _ByteQueue[T | BaseException | None] = _ByteQueue(limit_bytes)
    numbered = enumerate(sources)
    lock = threading.Lock()

    def work() -> None:
        last: BaseException | None = None
        try:
            while True:
                with lock:
                    number, source = next(numbered, (None, None))
                if number is None:
                    break
                for record in produce(number, source):  # type: ignore[arg-type]
                    queue.put(record, size_of(record))
        except _Stopped:
            return
        except BaseException as error:
            last = error
        try:
            queue.put(last, 0)
        except _Stopped:
            return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    running = workers
    try:
        while running:
            record = queue.get()
            if record is None:
                running -= 1
            elif isinstance(record, BaseException):
                raise record
            else:
                yield record
    finally:
        queue.stop()
        patience = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, patience - time.monotonic()))
