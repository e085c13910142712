"""The writing side of a results file: one run at a time.

All rows of a file enter in one transaction, with those of other files done within the same quarter
of a second; so a killed run leaves whole files only, and the next one goes on from there; readers
may look meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from gandetect.screen.frames import Frames
from gandetect.screen.schema import (
    FRAME_COLUMNS,
    ITEM_COLUMNS,
    JUDGED_COLUMNS,
    StoreError,
    file_key,
    now,
    open_to_write,
    store_errors,
    text_path,
)

_MAX_DETAIL = 1000
# Small files come by the thousand in a second: each by itself would write most pages of the indexes
# again. What a crash takes back is screened again by the next run.
COMMIT_SECONDS = 0.25
COMMIT_ROWS = 5000
_JUDGED_OF_FRAMES = ("p_generated", "verdict")
_BESIDE = ("", "-wal", "-shm", "-journal", ".lock")


class Known(NamedTuple):
    """A file that is in the results already."""

    id: int
    judged: int
    verdict: str
    status: str
    n_frames: int


class FileRows(NamedTuple):
    """A file to write: its place in the run, the values of ITEM_COLUMNS after `id`, `spec` and
    `run`, and those of FRAME_COLUMNS for each frame. `replaces`: the item whose place it takes, in
    earlier runs too."""

    seq: int
    item: tuple[Any, ...]
    frames: Sequence[tuple[Any, ...]]
    replaces: int | None = None


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({marks})"


# An interrupt may come between a transaction and the note that it is done: what it wrote is then
# written again, and must not be there twice.
_INSERT_ITEM = _insert("item", ITEM_COLUMNS)
_INSERT_FRAME = _insert("frame", ("item", *FRAME_COLUMNS))
_INSERT_VISIT = _insert("visit", ("run", "seq", "item"))
_INSERT_SKIP = _insert("skip", ("run", "seq", "path", "path_hex", "reason"))
_UPDATE_ITEM = f"UPDATE item SET {', '.join(f'{name} = ?' for name in JUDGED_COLUMNS)} WHERE id = ?"
_FIND = "SELECT id, judged, verdict, status, n_frames FROM item WHERE key = ? AND spec = ?"


class Writer:
    """Writes one run into the results file `path`, which is made where it is missing.

        with Writer("screen.sqlite", spec, run) as writer:
            writer.add([FileRows(...)])
            writer.finish("done")

    Raises StoreError where the file is something else, another run writes to it, or the disk is
    full.
    """

    def __init__(
        self, path: str | os.PathLike[str], spec: Mapping[str, Any], run: Mapping[str, Any]
    ) -> None:
        """Begin a run. `spec`, `run`: the columns of these tables, less what is made here."""
        self.path = os.fspath(path)
        self._lock = _locked(self.path)
        try:
            with store_errors(self.path):
                self._db = open_to_write(self.path)
                try:
                    self.spec, self.run = self._begin(spec, run)
                    (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM item").fetchone()
                except BaseException:
                    self._db.close()
                    raise
        except BaseException:
            self._lock.release()
            raise
        place = os.path.realpath(self.path)
        self._folder, self._name = os.path.dirname(place), os.path.basename(place)
        self._next = last + 1
        self._has_known = last > 0
        self._since: float | None = None
        self._replaced: list[tuple[int]] = []
        self._items: list[tuple[Any, ...]] = []
        self._frames: list[tuple[Any, ...]] = []
        self._visits: list[tuple[int, int, int]] = []
        self._skips: list[tuple[int, int, str, str, str]] = []

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def owns(self, path: str) -> bool:
        """Whether this is the results file or one of those beside it. Opening these and closing
        them again would take its locks from SQLite."""
        name = os.path.basename(path)
        if not name.startswith(self._name) or name[len(self._name) :] not in _BESIDE:
            return False
        try:
            return os.path.samefile(os.path.dirname(path) or ".", self._folder)
        except OSError:
            return False

    def _begin(self, spec: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[int, int]:
        with self._db as db:
            key = (spec["model_sha256"], spec["options"])
            found = "SELECT id FROM spec WHERE model_sha256 = ? AND options = ?"
            row = db.execute(found, key).fetchone()
            if row is None:
                db.execute(_insert("spec", tuple(spec)), [*spec.values()])
                row = db.execute(found, key).fetchone()
            full = {"started": now(), "status": "running", "spec": row[0], **run}
            cursor = db.execute(_insert("run", tuple(full)), [*full.values()])
        assert cursor.lastrowid is not None
        return int(row[0]), cursor.lastrowid

    def known(self, path: str, size: int, mtime_ns: int) -> Known | None:
        """What is there of a file, if it was screened as it is with the same model and options."""
        if not self._has_known:
            return None
        with store_errors(self.path):
            row = self._db.execute(_FIND, (file_key(path, size, mtime_ns), self.spec)).fetchone()
        return None if row is None else Known(*row)

    def add(self, files: Sequence[FileRows]) -> None:
        """Write some files with all their rows, soon: see `tick`."""
        for file in files:
            number = file.replaces
            if number is None:
                number = self._next
                self._next += 1
            else:
                self._replaced.append((number,))
            self._items.append((number, self.spec, self.run, *file.item))
            self._frames.extend([(number, *frame) for frame in file.frames])
            self._visits.append((self.run, file.seq, number))
        self.tick()

    def tick(self) -> None:
        """Write what waits, if it is much or has waited for long."""
        count = len(self._items) + len(self._visits) + len(self._skips) + len(self._frames)
        if not count:
            return
        now_s = time.monotonic()
        if self._since is None:
            self._since = now_s
        if count >= COMMIT_ROWS or now_s - self._since >= COMMIT_SECONDS:
            self.flush()

    def visit(self, seq: int, item: int) -> None:
        """This run covers a file that was screened before. Written with what comes next."""
        self._visits.append((self.run, seq, item))
        self.tick()

    def skip(self, seq: int, path: str, reason: str) -> None:
        """Something that was seen and not screened. Written with what comes next."""
        self._skips.append((self.run, seq, *text_path(path), reason))
        self.tick()

    def judge(self, item: int, values: tuple[Any, ...], frames: Iterable[tuple[Any, ...]]) -> None:
        """Put other conclusions in the place of an item's: JUDGED_COLUMNS without `judged`, and
        (p_generated, verdict, reason, frame number) of each frame."""
        with store_errors(self.path), self._db as db:
            db.execute(_UPDATE_ITEM, (self.run, *values, item))
            db.executemany(
                "UPDATE frame SET p_generated = ?, verdict = ?, reason = ? "
                "WHERE item = ? AND frame = ?",
                ((p, verdict, reason, item, frame) for p, verdict, reason, frame in frames),
            )

    def frames_of(self, item: int) -> Frames:
        """The stored frames of an item."""
        columns = ", ".join(name for name in FRAME_COLUMNS if name not in _JUDGED_OF_FRAMES)
        with store_errors(self.path):
            rows = self._db.execute(
                f"SELECT {columns} FROM frame WHERE item = ? ORDER BY frame", (item,)
            )
            frames = Frames()
            for row in rows:
                frames.add_scored(row)
        return frames

    def row_of(self, item: int) -> dict[str, Any]:
        """A stored item by the names of its columns."""
        with store_errors(self.path):
            cursor = self._db.execute("SELECT * FROM item WHERE id = ?", (item,))
            names = [column[0] for column in cursor.description]
            return dict(zip(names, cursor.fetchone(), strict=True))

    def run_values(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """(id, values) of all runs."""
        with store_errors(self.path):
            yield from self._db.execute(f"SELECT id, {', '.join(names)} FROM run").fetchall()

    def verdicts(self) -> dict[str, int]:
        """How many files of this run have each verdict, as they are shown."""
        self.flush()
        with store_errors(self.path):
            return dict(self._db.execute("SELECT verdict, count(*) FROM files GROUP BY verdict"))

    @property
    def connection(self) -> sqlite3.Connection:
        """For work on all items at once; see `significance`."""
        return self._db

    def finish(self, status: str) -> None:
        """Record how the run ended: done, interrupted or failed. What a failed run cannot write
        any more is left to the next."""
        try:
            self.flush()
        except StoreError:
            if status != "failed":
                raise
            self._forget_waiting()
        with store_errors(self.path), self._db as db:
            db.execute(
                "UPDATE run SET status = ?, finished = ? WHERE id = ?", (status, now(), self.run)
            )

    def close(self) -> None:
        self._db.close()
        self._lock.release()

    def flush(self) -> None:
        """Write what waits, in one transaction."""
        with store_errors(self.path), self._db:
            self._write_waiting()
        self._forget_waiting()

    def _write_waiting(self) -> None:
        db = self._db
        db.executemany("DELETE FROM frame WHERE item = ?", self._replaced)
        db.executemany(_INSERT_ITEM, self._items)
        db.executemany(_INSERT_FRAME, self._frames)
        db.executemany(_INSERT_VISIT, self._visits)
        db.executemany(_INSERT_SKIP, self._skips)

    def _forget_waiting(self) -> None:
        """What waited is in the file; a transaction that fails keeps it waiting."""
        for waiting in (self._replaced, self._items, self._frames, self._visits, self._skips):
            waiting.clear()
        self._since = None


def fitting(value: Any) -> Any:
    """None for an integer beyond SQLite's 64 bits: a time stamp after the year 2262, or the number
    of frames that a damaged header claims."""
    return None if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def plain(text: str | None) -> str | None:
    """What a decoder said, fit for the file: it may quote a name of any bytes, or run on."""
    return text and text.encode(errors="backslashreplace").decode()[:_MAX_DETAIL]


def _locked(path: str) -> FileLock:
    """The right to write to the results file, given up when the process ends, however it ends."""
    place = os.path.realpath(path)
    if os.path.isdir(place):
        raise StoreError(f"{path}: unable to open a folder; give another --db")
    lock = FileLock(f"{place}.lock")
    try:
        os.stat(os.path.dirname(place))  # FileLock would make a folder that is missing.
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            f"{path}: another run is writing to it; wait for it, or give another --db"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; give another --db") from error
    return lock
