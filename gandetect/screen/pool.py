"""A small pool of supervised processes that may crash, hang or grow without taking the run along.

Work comes in chunks of items. A worker has one item in hand at a time and notes in shared memory
which, since when, and when it last made progress; so that whatever becomes of the worker, exactly
one item is to blame. That item is tried once more, alone; when it fails again it is given up with
the reason, and everything else of its chunk is done by others.

    task ----> worker (prepare(settings) once, then handle(chunk, beat)) ----> payload per chunk
                  |  shared: chunk, item, started, last sign of life, steps
    supervisor: exit code, time without progress, time per item, resident memory

Workers fork from a server process that has loaded the libraries once, so that another starts in
some 30 ms. They ignore the keyboard, die with the server, may not write files, and have an upper
limit on memory. They never import the caller's main module: a script needs no `__main__` guard.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import connection, forkserver
from typing import Any, Generic, TypeVar

from gandetect.processes import end_with_parent

ATTEMPTS = 2
# One chunk in work and one at hand, so that a worker never waits for the supervisor.
CHUNKS_AHEAD = 2
CHECK_SECONDS = 0.1
START_SECONDS = 120.0
MAX_START_FAILURES = 3
MAX_RETURNS = 3
MAX_OPEN_FILES = 256
_SLACK_BYTES = 512 << 20
_PRELOAD = ["gandetect.screen.work", "gandetect.screen.isolation"]
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38

Item = TypeVar("Item")
Payload = TypeVar("Payload")

# Called by the handler before item `position` (the number of items: closing work on the chunk),
# and with the number of steps done in it.
Beat = Callable[[int, int], None]


class PoolError(RuntimeError):
    """Workers cannot be started at all."""


@dataclass(frozen=True)
class Limits:
    """What one item may cost.

    stall_s: seconds without progress. total_s: seconds in all (None: any). memory_bytes: what a
    worker may hold beyond what it has after starting (None: any). hard: the process is refused more
    memory than that, and some, besides being watched; not for drivers that map more than they use.
    """

    stall_s: float = 60.0
    total_s: float | None = 4 * 3600.0
    memory_bytes: int | None = 4 << 30
    hard: bool = True

    def __post_init__(self) -> None:
        for name in ("stall_s", "total_s", "memory_bytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value} given; a positive number is needed")


@dataclass(frozen=True)
class Chunk(Generic[Item]):
    """Items for one worker; `threads`: how many of its own each may use. `attempt`: counted from
    1; from the second on a chunk has one item. `returns`: how often its worker died with no item in
    hand."""

    items: Sequence[Item]
    threads: int = 1
    attempt: int = 1
    returns: int = 0


@dataclass(frozen=True)
class Failure:
    """Why an item was given up: crashed, timeout, memory_limit or failed (an exception)."""

    reason: str
    detail: str
    attempts: int = ATTEMPTS


class _State:
    """What a worker shares with its supervisor: five numbers without a lock, each written by the
    worker alone."""

    CHUNK, POSITION, STARTED, BEAT, STEPS = range(5)
    IDLE = -1.0

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    @classmethod
    def new(cls, context: Any) -> _State:
        state = cls(context.RawArray(ctypes.c_double, 5))
        state.clear()
        return state

    def clear(self) -> None:
        self._shared[self.POSITION] = self.IDLE

    def begin(self, number: int) -> None:
        self._shared[self.CHUNK] = number

    def beat(self, position: int, steps: int) -> None:
        shared, now = self._shared, time.monotonic()
        if shared[self.POSITION] != position:
            shared[self.STARTED] = now
        shared[self.BEAT] = now
        shared[self.POSITION] = position
        shared[self.STEPS] = steps

    def read(self) -> tuple[int, int, float, float, int]:
        chunk, position, started, beat, steps = self._shared[:]
        return int(chunk), int(position), started, beat, int(steps)


@dataclass
class _Worker(Generic[Item]):
    """A process and the chunks it was given, by number."""

    process: Any
    pipe: connection.Connection
    state: _State
    chunks: dict[int, Chunk[Item]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    ready: bool = False
    base_bytes: int = 0
    verdict: Failure | None = None


class Pool(Generic[Item, Payload]):
    """`workers` processes that call `prepare(settings)(chunk, beat)`.

    `prepare` is a module-level function that gives the handler; the handler takes a Chunk and a
    Beat and returns a payload that can be pickled. Use as a context manager.
    """

    def __init__(
        self,
        prepare: Callable[[Any], Callable[[Chunk[Item], Beat], Payload]],
        settings: Any,
        workers: int,
        limits: Limits | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers} given; at least 1 is needed")
        self._prepare = prepare
        self._settings = settings
        self._n_workers = workers
        self._limits = limits or Limits()
        self._context: Any = _context()
        self._workers: list[_Worker[Item]] = []
        self._again: deque[Chunk[Item]] = deque()
        self._n_chunks = 0
        self._start_failures = 0
        self._checked = 0.0

    def __enter__(self) -> Pool[Item, Payload]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The processes at work."""
        return [worker.process.pid for worker in self._workers]

    @property
    def steps(self) -> int:
        """Steps done in the items in hand, for a display of progress."""
        return sum(worker.state.read()[-1] for worker in self._workers if worker.chunks)

    def run(
        self, chunks: Iterable[Chunk[Item]]
    ) -> Generator[tuple[Chunk[Item], Payload | Failure] | None, None, None]:
        """(chunk, payload) of every chunk as it is done, in any order, parts of a broken one apart;
        (chunk of one item, Failure) of what was given up; None now and then while nothing happens.
        """
        source = iter(chunks)
        while True:
            source_ended = self._feed(source)
            busy = [worker for worker in self._workers if worker.chunks]
            if not busy:
                if source_ended and not self._again:
                    return
                continue
            happened = False
            for outcome in self._events(busy):
                happened = True
                yield outcome
            if not happened:
                yield None

    def close(self) -> None:
        """Stop all workers at once, whatever they do."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _feed(self, source: Iterator[Chunk[Item]]) -> bool:
        """Give every worker what it can hold; True once there is nothing more to give."""
        for ahead in range(CHUNKS_AHEAD):
            for position in range(self._n_workers):
                if position < len(self._workers) and len(self._workers[position].chunks) > ahead:
                    continue
                chunk = self._again.popleft() if self._again else next(source, None)
                if chunk is None:
                    return True
                if position >= len(self._workers):
                    started = self._start()
                    if started is None:
                        self._again.appendleft(chunk)
                        return False
                    self._workers.append(started)
                self._give(self._workers[position], chunk)
        return False

    def _give(self, worker: _Worker[Item], chunk: Chunk[Item]) -> None:
        self._n_chunks += 1
        worker.chunks[self._n_chunks] = chunk
        # A worker that has died meanwhile is noticed by its sentinel.
        with contextlib.suppress(OSError):
            worker.pipe.send((self._n_chunks, chunk))

    def _events(self, busy: list[_Worker[Item]]) -> Iterator[tuple[Chunk[Item], Payload | Failure]]:
        """What happened within CHECK_SECONDS."""
        by_source: dict[Any, _Worker[Item]] = {}
        for worker in busy:
            by_source[worker.pipe] = by_source[worker.process.sentinel] = worker
        ready = connection.wait(list(by_source), CHECK_SECONDS)
        # Pipes first: what a dying worker still managed to send counts.
        ready.sort(key=lambda source: isinstance(source, int))
        for source in ready:
            worker = by_source[source]
            if worker not in self._workers:
                continue
            if isinstance(source, int):
                yield from self._bury(worker)
            else:
                yield from self._receive(worker)
        self._check_limits()

    def _receive(self, worker: _Worker[Item]) -> Iterator[tuple[Chunk[Item], Payload | Failure]]:
        try:
            kind, number, payload = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if kind == "ready":
            worker.ready, worker.base_bytes = True, _resident_bytes(worker.process.pid)
            self._start_failures = 0
        elif kind == "broken":
            raise PoolError(f"workers cannot be prepared: {payload}")
        elif kind == "done":
            yield worker.chunks.pop(number), payload
        else:
            chunk = worker.chunks.pop(number)
            position, reason, text = payload
            yield from self._blame(chunk, position, Failure(reason, text, chunk.attempt))

    def _bury(self, worker: _Worker[Item]) -> Iterator[tuple[Chunk[Item], Payload | Failure]]:
        """Take a dead worker's chunks back, less the item that it died of."""
        worker.process.join(1.0)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        self._workers.remove(worker)
        worker.pipe.close()
        if not worker.ready:
            self._count_start_failure(_exit_text(worker.process.exitcode))
        number, position, *_ = worker.state.read()
        for key, chunk in worker.chunks.items():
            if key == number and position >= 0:
                detail = _exit_text(worker.process.exitcode)
                failure = worker.verdict or Failure("crashed", detail, chunk.attempt)
                yield from self._blame(chunk, position, failure)
            elif key == number and chunk.returns >= MAX_RETURNS:
                # It goes with its workers, though never between two beats: each item by itself.
                failure = Failure("crashed", _exit_text(worker.process.exitcode), chunk.attempt)
                yield from self._blame(chunk, len(chunk.items), failure)
            else:
                self._again.append(replace(chunk, returns=chunk.returns + (key == number)))

    def _blame(
        self, chunk: Chunk[Item], position: int, failure: Failure
    ) -> Iterator[tuple[Chunk[Item], Payload | Failure]]:
        """Item `position` failed: once more by itself, or given up. The others are as new; where
        the chunk broke as a whole, each is tried by itself."""
        items, threads = chunk.items, chunk.threads
        if position >= len(items) and len(items) > 1:
            self._again.extend(Chunk([item], threads) for item in items)
            return
        position = min(position, len(items) - 1)
        for part in (items[:position], items[position + 1 :]):
            if part:
                self._again.append(Chunk(part, threads))
        if chunk.attempt < ATTEMPTS:
            self._again.append(Chunk([items[position]], threads, chunk.attempt + 1))
        else:
            yield Chunk([items[position]], threads, chunk.attempt), failure

    def _check_limits(self) -> None:
        """Kill who has been without progress or at one item for too long, or holds too much."""
        now = time.monotonic()
        if now - self._checked < CHECK_SECONDS:
            return
        self._checked = now
        for worker in self._workers:
            if not worker.ready:
                if now - worker.started > START_SECONDS:
                    worker.process.kill()
                continue
            failure = self._offence(worker, now)
            if failure is not None and worker.verdict is None:
                worker.verdict = failure
                worker.process.kill()

    def _offence(self, worker: _Worker[Item], now: float) -> Failure | None:
        limits = self._limits
        _, position, started, beat, steps = worker.state.read()
        if position < 0:
            return None
        if now - beat > limits.stall_s:
            detail = f"no progress for {limits.stall_s:g} s after {steps} frames"
            return Failure("timeout", detail)
        if limits.total_s is not None and now - started > limits.total_s:
            detail = f"not done after {limits.total_s:g} s and {steps} frames"
            return Failure("timeout", detail)
        if limits.memory_bytes is not None:
            held = _resident_bytes(worker.process.pid) - worker.base_bytes
            if held > limits.memory_bytes:
                return Failure("memory_limit", f"needed more than {limits.memory_bytes >> 20} MB")
        return None

    def _start(self) -> _Worker[Item] | None:
        """A new worker; None where it died before it was one."""
        ours, theirs = self._context.Pipe()
        state = _State.new(self._context)
        process = self._context.Process(
            target=_serve,
            args=(theirs, state._shared, self._prepare, self._settings, self._limits),
            daemon=True,
        )
        try:
            with _no_main_module():
                process.start()
        except (OSError, EOFError) as error:
            ours.close()
            self._count_start_failure(f"{type(error).__name__}: {error}")
            return None
        except AssertionError as error:
            raise PoolError(f"{error}: give workers=0 to screen in this process") from error
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PoolError(
                f"the model cannot be sent to worker processes ({error}): define its class in a "
                "module, or give workers=0 to screen in this process"
            ) from error
        finally:
            theirs.close()
        return _Worker(process, ours, state)

    def _count_start_failure(self, detail: str) -> None:
        self._start_failures += 1
        if self._start_failures >= MAX_START_FAILURES:
            raise PoolError(f"workers do not start ({detail})")


def _serve(pipe: Any, shared: Any, prepare: Any, settings: Any, limits: Limits) -> None:
    """A worker's life."""
    _die_with_parent()
    confine(limits)
    _silence()
    state = _State(shared)
    try:
        handle = prepare(settings)
    except Exception as error:
        pipe.send(("broken", 0, f"{type(error).__name__}: {error}"))
        return
    pipe.send(("ready", 0, None))
    while True:
        try:
            number, chunk = pipe.recv()
        except (EOFError, OSError):
            return
        state.begin(number)
        try:
            answer = ("done", number, handle(chunk, state.beat))
        except Exception as error:
            text = "".join(traceback.format_exception_only(type(error), error)).strip()
            answer = ("failed", number, (state.read()[1], _reason(error), text))
        state.clear()
        try:
            _send(pipe, answer)
        except OSError:
            return


def _send(pipe: Any, answer: tuple[str, int, Any]) -> None:
    """The answer, or why it cannot be sent; whose fault that is nobody knows."""
    try:
        data = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        text = f"the result cannot be sent: {type(error).__name__}: {error}"
        data = pickle.dumps(("failed", answer[1], (sys.maxsize, _reason(error), text)))
    pipe.send_bytes(data)


def _die_with_parent() -> None:
    """A thread that waits for the end of the supervisor, however it ends. And, for a decoder that
    never lets a thread run: the server ends once nobody holds its pipe, and we end with the server
    (see `confine`); this process would hold it only to start others, which it does not."""
    end_with_parent()
    server = getattr(forkserver, "_forkserver", None)
    pipe = getattr(server, "_forkserver_alive_fd", None)
    if isinstance(pipe, int):
        with contextlib.suppress(OSError):
            os.close(pipe)
        server._forkserver_alive_fd = None  # type: ignore[union-attr]


def confine(limits: Limits) -> None:
    """Give up, for good, what decoding hostile files must not need.

    On Linux the process dies with its parent and gains no privileges by starting others. No core
    files, no writing of files, few descriptors, and a limit on data segments so that one huge
    allocation fails at once instead of waking the kernel's own killer; it leaves the supervisor
    time to see slow growth first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if limits.memory_bytes is not None and limits.hard:
            _lower(resource.RLIMIT_DATA, _data_bytes() + limits.memory_bytes + _SLACK_BYTES)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)


def _reason(error: Exception) -> str:
    """torch says with a RuntimeError that memory was refused."""
    refused = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
    return "memory_limit" if refused else "failed"


def _silence() -> None:
    """Image libraries print what they think of damaged files on standard error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard == resource.RLIM_INFINITY or value < hard:
        resource.setrlimit(which, (value, value))


def _data_bytes() -> int:
    """Size of this process' data segments, as RLIMIT_DATA counts them."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData")) << 10


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _exit_text(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"the worker died of {signal.Signals(-code).name}"
    return f"the worker ended with exit code {code}"


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


_STARTING = threading.Lock()


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the main module from `multiprocessing`, which would run it again in each worker: a
    script without a guard would start itself, and nothing of ours lives there."""
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
