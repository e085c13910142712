"""Screening on Ray: shards of files as tasks, on this machine or on a cluster.

    find_files -> known? -> chunks -> shards -> tasks (process_shard) -> parts -> judge -> results

Tasks, not actors: a file that takes its process along must not stop or fail the job. Inside a task
supervised workers see to that; a task that is lost nevertheless, with its machine or its memory, is
tried again by Ray, and after that file by file, so that one file at most is given up for it.

The results file stays the truth: what parts hold is read, judged and written there as if it came
from workers of this machine, so that resuming, reports and reviews know no difference. Parts that a
killed run left behind are used and not made again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from gandetect.detect.calibration import CONFIDENCE
from gandetect.processes import processors
from gandetect.screen import shards
from gandetect.screen.decode import FileEnd
from gandetect.screen.export import parquet_schema
from gandetect.screen.frames import Frames
from gandetect.screen.pipeline import (
    Outcome,
    Progress,
    ScreenOptions,
    Summary,
    check_options,
    described,
    load_scorer,
    path_names,
    run_over,
)
from gandetect.screen.pool import Chunk, Failure, Limits, Pool, PoolError
from gandetect.screen.schema import COLUMNS, StoreError, file_path
from gandetect.screen.shards import Key, PartIndex, ShardSettings, process_shard, read_part
from gandetect.screen.sources import Found, Skipped, Source, find_files
from gandetect.screen.verdict import EVEN, image_thresholds
from gandetect.screen.work import Scored, prepare

if TYPE_CHECKING:
    from gandetect.screen.verdict import Scorer

SHARD_FILES = 256
# Long videos make a shard by their size, so that no task runs for hours.
SHARD_BYTES = 4 << 30
# A shard is tried once and this many times more, should its machine be lost, then file by file.
RETRIES = 3
RETRIES_ALONE = 1
# Shards submitted for each that can run at once, so that no machine waits for this one.
SHARDS_AHEAD = 2
# The last files are shared out, but not into smaller shards than this.
MIN_SHARD_FILES = 8
_WAIT_SECONDS = 0.5
_CONNECT_SECONDS = 10.0
# Of a local Ray: it passes names and settings only.
_OBJECT_STORE_BYTES = 128 << 20
# Files of a part that go to the results at once.
_TOGETHER_FILES = 32
_TOGETHER_FRAMES = 4096


class RayError(PoolError):
    """Ray is missing, cannot be reached, or was lost; what to do is in the message."""


def screen_on_ray(
    paths: Iterable[str | os.PathLike[str]],
    *,
    model: Scorer | str | os.PathLike[str] | None = None,
    db: str | os.PathLike[str] = "screen.sqlite",
    fpr: float = 0.05,
    fdr: float | None = None,
    confidence: float | None = CONFIDENCE,
    prevalence: float = EVEN,
    every: float | None = None,
    max_frames: int | None = None,
    keyframes: bool = False,
    region: str = "tiles",
    max_tiles: int = 16,
    batch_size: int = 64,
    workers: int | None = None,
    limits: Limits | None = None,
    device: str = "cpu",
    again: bool = False,
    retry_errors: bool = False,
    progress: Callable[[Progress], None] | None = None,
    address: str | None = None,
    parts: str | os.PathLike[str] | None = None,
    shard_files: int = SHARD_FILES,
) -> Summary:
    """Screen files and folders as `gandetect.screen.screen` does, on Ray; the rows are the same.

    `address`: of a running cluster ("auto", host:port, ray://host:port); None uses the Ray that
    this process is connected to, or starts one on this machine and ends it. `parts`: folder or URI
    (file://, s3://, gs://) for the finished shards, which all machines share, as they share the
    files to screen (None: beside the results file). `shard_files`: at most so many files make a
    shard. `workers`: supervised processes for one shard, which asks Ray for as many CPUs (None: 2,
    or what the smallest machine has).

    Raises RayError where Ray is missing or cannot be reached, and what `screen` raises.
    """
    check_options(batch_size, workers, fdr, device, region, prevalence, confidence)
    if workers == 0:
        raise ValueError("workers=0 given; a shard needs at least 1")
    if shard_files < 1:
        raise ValueError(f"shard_files={shard_files} given; at least 1 is needed")
    options = ScreenOptions(every, max_frames, keyframes, region, max_tiles)
    scorer = load_scorer(model)
    settings = ShardSettings(
        scorer, options, batch_size, 1, limits, fpr, device, confidence=confidence
    )
    settings.work()
    image_thresholds(scorer, fpr, confidence)
    names = path_names(paths)
    folder = os.path.abspath(f"{os.fspath(db)}.parts") if parts is None else os.fspath(parts)
    with Cluster(address) as cluster:
        settings = dataclasses.replace(settings, workers=workers or cluster.default_workers())
        shards.make_folder(folder)
        cluster.use(settings)
        engine = _RayEngine(cluster, settings, folder, shard_files, again, retry_errors)
        return run_over(
            find_files(names), engine, scorer, options, db=db, fpr=fpr, fdr=fdr, workers=1,
            again=again, retry_errors=retry_errors, progress=progress, prevalence=prevalence,
            confidence=confidence,
            args={**described(names), "batch_size": batch_size, "engine": "ray"},
        )  # fmt: skip


class Cluster:
    """A Ray to work on; leaving it stops what still runs, and Ray itself if it was started here."""

    def __init__(self, address: str | None = None) -> None:
        self._ray = _import_ray()
        self._address = address
        self._started = False
        self._running: set[Any] = set()
        self._settings: Any = None
        self._shard: Any = None

    def __enter__(self) -> Cluster:
        if not self._ray.is_initialized():
            with _own_signals():
                _start(self._ray, self._address)
            self._started = True
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._running:
            # Its workers die with it.
            with contextlib.suppress(Exception):
                self._ray.cancel(task, force=True)
        self._running.clear()
        if self._started:
            self._ray.shutdown()

    def default_workers(self) -> int:
        """Two for a shard, or one where a machine has no two processors."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        counts = [int(resources["CPU"]) for resources in alive if resources.get("CPU")]
        return max(1, min([2, *counts]))

    def slots(self, workers: int) -> int:
        """How many shards can run at once, now: a cluster may grow."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)) // workers)

    def use(self, settings: ShardSettings) -> None:
        """What shards are processed with: sent once."""
        self._settings = self._ray.put(settings)
        self._shard = self._ray.remote(
            num_cpus=settings.workers,
            num_gpus=0 if settings.device == "cpu" else 1,
            # Raised where the disk of a machine is full or its network gone.
            retry_exceptions=[StoreError, OSError],
        )(process_shard)

    def submit(self, sources: list[Source], part: str, replace: bool, retries: int) -> Any:
        """`process_shard` as a task; `finished` gives the same handle once it is done."""
        shard = self._shard.options(max_retries=retries)
        task = shard.remote(sources, self._settings, part, replace, keep_workers=True)
        self._running.add(task)
        return task

    def finished(self) -> list[Any]:
        """Tasks that ended, within a moment."""
        ready, _ = self._ray.wait(
            list(self._running), num_returns=1, timeout=_WAIT_SECONDS, fetch_local=False
        )
        return list(ready)

    def result(self, task: Any) -> str | None:
        """What became of a finished task: None, or how the machinery under it was lost.

        Raises what `process_shard` raised, and RayError where Ray itself is gone.
        """
        self._running.discard(task)
        errors = self._ray.exceptions
        lost = (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.LocalRayletDiedError,
        )
        try:
            self._ray.get(task)
        except lost as error:
            return _first_line(error)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, StoreError | PoolError):
                raise type(cause)(str(cause)) from error
            raise RayError(f"a shard failed: {type(cause).__name__}: {cause}") from error
        except errors.RayError as error:
            raise RayError(f"Ray was lost: {_first_line(error)}; run again to go on") from error
        return None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _import_ray() -> Any:
    # No reports to its makers, and no endless retries where memory is short, unless wanted.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise RayError("the Ray engine needs ray: pip install 'gandetect[ray]'") from error


def _start(ray: Any, address: str | None) -> None:
    """Connect to a cluster, or start a Ray on this machine for this process."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {
            "num_cpus": processors(),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    else:
        _check_reachable(address)
    try:
        ray.init(address=address or "local", **options)
    # What it raises where its processes do not come up has no type of its own.
    except Exception as error:
        what = f"no Ray cluster at {address}" if address else "Ray does not start on this machine"
        raise RayError(f"{what}: {_first_line(error)}") from error


def _check_reachable(address: str) -> None:
    """Ray waits two minutes for a host that does not answer, and then ends the process."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RayError(
            f"no Ray cluster at {address}: {error}; `ray status` on its head node says whether it "
            "runs"
        ) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray handles SIGTERM for itself; who called us may have done so before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@dataclasses.dataclass
class _Task:
    """A shard on its way: its files by the key that its part knows them by."""

    part: str
    sources: dict[Key, Source]
    alone: bool
    replaced: bool


class _RayEngine:
    """Chunks of files in, scored files out; see `gandetect.screen.pipeline.Engine`."""

    def __init__(
        self,
        cluster: Cluster,
        settings: ShardSettings,
        folder: str,
        shard_files: int,
        again: bool,
        retry_errors: bool,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._folder = folder
        self._shard_files = shard_files
        self._again = again
        self._retry_errors = retry_errors
        self._here = os.getcwd()
        self._tasks: dict[Any, _Task] = {}
        # Files whose shard was lost, to be tried one by one.
        self._alone: deque[Source] = deque()
        self._damaged: set[str] = set()

    def __call__(self, chunks: Iterator[Chunk[Source]]) -> Iterator[Outcome]:
        windows = _windows(chunks, self._shard_files)
        index: PartIndex | None = None
        rest: list[Source] = []
        more = True
        while more or self._tasks or self._alone:
            while more and self._slots_free() > 0:
                window = next(windows, None)
                more = window is not None
                if window and not self._again:
                    if index is None:
                        index = PartIndex(self._folder, self._settings, self._with_errors)
                    window = yield from self._serve(window, index)
                rest += window or []
                for shard in self._cut(rest, last=not more):
                    self._submit(shard)
            while self._alone and self._slots_free() > 0:
                self._submit([self._alone.popleft()], alone=True)
            if self._tasks:
                yield from self._collect()

    @property
    def _with_errors(self) -> bool:
        return not self._retry_errors

    def _slots_free(self) -> int:
        """How many more shards to submit."""
        slots = self._cluster.slots(self._settings.workers)
        return SHARDS_AHEAD * slots - len(self._tasks)

    def _serve(
        self, window: list[Source], index: PartIndex
    ) -> Generator[Outcome, None, list[Source]]:
        """Yield what earlier parts hold of some files; returns the others."""
        rest: list[Source] = []
        by_part: dict[str, dict[Key, Source]] = {}
        for source in window:
            key = self._key(source)
            part = index.part_of(key)
            if part is None or part in self._damaged:
                rest.append(source)
            else:
                by_part.setdefault(part, {})[key] = source
        for part, sources in by_part.items():
            yield from self._read(part, sources, exact=False)
            rest.extend(sources.values())
        return rest

    def _read(self, part: str, sources: dict[Key, Source], exact: bool) -> Iterator[Outcome]:
        """Yield what a part holds of `sources`, and remove it there; the rest was not told.

        `exact`: the part was made of these sources.
        """
        together = _Together()
        try:
            for key, end, frames in read_part(part):
                source = sources.get(key)
                if source is None or not (exact or _is_told(source, end)):
                    continue
                del sources[key]
                together.add(source, end, frames)
                if together.is_full:
                    yield together.outcome()
        except StoreError:
            if part in self._damaged:
                raise
            self._damaged.add(part)
        if together.sources:
            yield together.outcome()

    def _cut(self, rest: list[Source], last: bool) -> Iterator[list[Source]]:
        """Take shards from `rest`; of the last files as many as there is room for at once."""
        n_files = self._shard_files
        if last:
            even = -(-len(rest) // self._cluster.slots(self._settings.workers))
            n_files = min(n_files, max(MIN_SHARD_FILES, even))
        while rest:
            sizes = accumulate(source.size for source in rest[:n_files])
            count = max(1, sum(size <= SHARD_BYTES for size in sizes))
            if count == len(rest) and count < n_files and not last:
                return
            yield rest[:count]
            del rest[:count]

    def _submit(self, sources: list[Source], alone: bool = False) -> None:
        by_key = {self._key(source): source for source in sources}
        absolute = [dataclasses.replace(source, path=key.path) for key, source in by_key.items()]
        part = shards.join(self._folder, shards.part_name(absolute, self._settings))
        replace = self._again or self._retry_errors or part in self._damaged
        task = self._cluster.submit(absolute, part, replace, RETRIES_ALONE if alone else RETRIES)
        self._tasks[task] = _Task(part, by_key, alone, replace)

    def _key(self, source: Source) -> Key:
        """With an absolute path: a worker of Ray is in a folder of its own."""
        key = Key.of(source)
        return key._replace(path=os.path.join(self._here, key.path))

    def _collect(self) -> Iterator[Outcome]:
        """What ended within a moment."""
        handles = self._cluster.finished()
        if not handles:
            yield 0
        for handle in handles:
            task = self._tasks.pop(handle)
            lost = self._cluster.result(handle)
            if lost is None:
                yield from self._read(task.part, task.sources, exact=True)
                if task.sources and task.replaced:
                    raise StoreError(f"{task.part}: does not hold what was written there")
                if task.sources:
                    # The part is an old one that is damaged.
                    self._damaged.add(task.part)
                    self._submit([*task.sources.values()], task.alone)
            elif task.alone:
                detail = f"the process that screened it was lost: {lost}"
                for source in task.sources.values():
                    yield Chunk([source]), Failure("crashed", detail, 1 + RETRIES_ALONE)
            else:
                self._alone.extend(task.sources.values())


@dataclasses.dataclass
class _Together:
    """Files of a part that go to the results in one transaction."""

    sources: list[Source] = dataclasses.field(default_factory=list)
    scored: Scored = dataclasses.field(default_factory=Scored)

    @property
    def is_full(self) -> bool:
        n_frames = len(self.scored.frames)
        return len(self.sources) >= _TOGETHER_FILES or n_frames >= _TOGETHER_FRAMES

    def add(self, source: Source, end: FileEnd | Skipped, frames: Frames) -> None:
        if isinstance(end, Skipped):
            end = Skipped(source.path, end.reason)
        self.sources.append(source)
        self.scored.ends.append(end)
        self.scored.counts.append(len(frames))
        _extend(self.scored.frames, frames)

    def outcome(self) -> Outcome:
        """What was gathered; it starts anew."""
        outcome = Chunk(self.sources), self.scored
        self.sources, self.scored = [], Scored()
        return outcome


def _extend(frames: Frames, more: Frames) -> None:
    for name in Frames.__slots__:
        getattr(frames, name).extend(getattr(more, name))


def _is_told(source: Source, end: FileEnd | Skipped) -> bool:
    """Whether a part tells what was asked of this file: what is no media is an error of a file
    that was named, and passed over in a folder."""
    if isinstance(end, Skipped):
        return not source.wanted
    return source.wanted or end.reason not in ("not_media", "empty")


def _windows(chunks: Iterator[Chunk[Source]], size: int) -> Iterator[list[Source]]:
    """The files of the chunks, some `size` at a time."""
    window: list[Source] = []
    for chunk in chunks:
        window.extend(chunk.items)
        if len(window) >= size:
            yield window
            window = []
    if window:
        yield window


class ScreenBatch:
    """A stage for those who have a Ray Data pipeline: paths in, a row for each file out.

        ds.map_batches(ScreenBatch, fn_constructor_kwargs={"every": 1.0}, concurrency=2,
                       batch_size=64)

    Batches are {"path": array of str, ...}; what comes back has the columns of an export's file
    rows (`gandetect.screen.schema.COLUMNS`) as an Arrow table, and the other columns of the batch.
    Files run through `workers` supervised processes: one that crashes its decoder, or cannot be
    read, is a row with verdict `error`. Something that is no file is a row of kind `skip`.

    `model`: the path of a model file on all machines, or an object; other arguments as those of
    `screen`. Paths should be absolute: actors are in folders of their own.
    """

    def __init__(
        self,
        model: Scorer | str | os.PathLike[str] | None = None,
        *,
        fpr: float = 0.05,
        confidence: float | None = CONFIDENCE,
        every: float | None = None,
        max_frames: int | None = None,
        keyframes: bool = False,
        region: str = "tiles",
        max_tiles: int = 16,
        batch_size: int = 64,
        workers: int = 1,
        limits: Limits | None = None,
        device: str = "cpu",
    ) -> None:
        check_options(batch_size, workers, None, device, region, confidence=confidence)
        options = ScreenOptions(every, max_frames, keyframes, region, max_tiles)
        scorer = load_scorer(model)
        image_thresholds(scorer, fpr, confidence)
        self._settings = ShardSettings(
            scorer, options, batch_size, workers, limits, fpr, device, confidence=confidence
        )
        self._pool: Pool[Source, Any] = Pool(prepare, self._settings.work(), workers, limits)

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        """An Arrow table with one row for each path, in their order."""
        import pyarrow as pa

        paths = [str(path) for path in batch["path"]]
        found = [_look_at(path) for path in dict.fromkeys(paths)]
        engine = shards.supervised(self._pool)
        rows = {
            file_path(row["path"], row["path_hex"]): row
            for row in shards.screened_rows(found, self._settings, engine)
            if row["kind"] != "frame"
        }
        table = pa.Table.from_pylist([rows[path] for path in paths], schema=parquet_schema())
        for name, values in batch.items():
            if name not in COLUMNS:
                table = table.append_column(name, pa.array(list(values)))
        return table

    def close(self) -> None:
        """End the supervised processes; they end with this process in any case."""
        self._pool.close()


def _look_at(path: str) -> Found:
    """The file of that name; never what is in a folder."""
    if os.path.isdir(path):
        return Skipped(path, "folder")
    return next(find_files([path]))
