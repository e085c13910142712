"""One call in a process of its own, for the odd look at a hostile file outside a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gandetect.screen.pool import Beat, Chunk, Failure, Limits, Pool

T = TypeVar("T")
LIMITS = Limits(stall_s=60.0, total_s=60.0, memory_bytes=4 << 30)


class IsolationError(RuntimeError):
    """The call did not survive. `reason`: crashed, timeout, memory_limit or failed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def isolated(function: Callable[..., T], *args: Any, limits: Limits = LIMITS) -> T:
    """`function(*args)` in a worker process; the function is a module's own, everything pickles.

    Tried twice. Raises IsolationError where it raised, crashed, took too long or too much memory.
    """
    with Pool(_prepare, None, 1, limits) as pool:
        for outcome in pool.run([Chunk([(function, args)])]):
            if outcome is None:
                continue
            result: Any = outcome[1]
            if isinstance(result, Failure):
                raise IsolationError(result.reason, result.detail)
            return result  # type: ignore[no-any-return]
    raise AssertionError("a pool gives an outcome for every chunk")


def _prepare(_: None) -> Callable[[Chunk[Any], Beat], Any]:
    def call(chunk: Chunk[Any], beat: Beat) -> Any:
        beat(0, 0)
        function, args = chunk.items[0]
        return function(*args)

    return call
