"""The same work on one item after the other, in this process or shared among several.

Results come in the order of the items and are the same bits either way: each item is worked on by
one thread, of torch and of numpy's products, since more would add in another order.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController, threadpool_limits
from torch.utils.data import DataLoader, Dataset

from gandetect.processes import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerError(RuntimeError):
    """A process that shared the work is gone: killed, out of memory, or crashed by its item."""


def in_order(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int = 0
) -> Iterator[Result]:
    """`work` of each of `items`, in order; by `workers` processes, none: in this one.

    A few results wait for each worker and no more. What `work` raises is raised here; WorkerError
    where a process died, ValueError where `workers` is negative.
    """
    if workers < 0:
        raise ValueError(f"workers={workers} given; 0 works in this process")
    if workers == 0 or len(items) < 2:
        return _here(work, items)
    return _shared(work, items, min(workers, len(items)))


def _here(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    pools = ThreadpoolController()
    for item in items:
        with threads(1), pools.limit(limits=1):
            result = work(item)
        yield result


def _shared(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    loader: DataLoader[bytes] = DataLoader(
        _Outcomes(work, items),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
        # Of its own, or the loader would take a number from the caller's random ones.
        generator=torch.Generator(),
        # At once, and nothing has to be pickled; elsewhere as the system prefers.
        multiprocessing_context="fork" if sys.platform == "linux" else None,
    )
    outcomes = iter(loader)
    while True:
        try:
            outcome = next(outcomes)
        except StopIteration:
            return
        except RuntimeError as error:
            # What `work` raised in a worker is told apart from its end by the words alone.
            if not str(error).startswith("DataLoader worker (pid"):
                raise
            raise WorkerError(
                f"{str(error).rstrip('. ')}. It was killed, for lack of memory perhaps, or its "
                "item crashed it: try fewer workers, or 0 to work in this process"
            ) from error
        result, raised = pickle.loads(outcome)
        if raised is not None:
            raise raised
        yield result


class _Outcomes(Dataset[bytes]):
    """(result, None) or (None, what was raised) of each item, as bytes: tensors would go through
    shared memory, of which containers have little."""

    def __init__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self._work, self._items = work, items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> bytes:
        try:
            return pickle.dumps((self._work(self._items[number]), None))
        except (ValueError, OSError) as error:
            # Any other is a fault of ours: the loader adds the traceback of the worker.
            return pickle.dumps((None, error))


def _begin(_: int) -> None:
    """Of a worker: the loader gives it one thread of torch, but as many of numpy as there are."""
    end_with_parent()
    threadpool_limits(1)


def _as_it_is(outcome: Any) -> Any:
    return outcome


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """torch with `count` threads, None for as many as it has, and then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
