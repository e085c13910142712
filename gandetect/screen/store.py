"""The results of runs in one SQLite file, and their export.

Each screened file is one transaction, so that a killed run leaves whole files only; readers may
look while it runs (write-ahead log). A power failure may lose the last transactions, never damage
the file. Several runs live side by side in one file, told apart by `run`.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

APPLICATION_ID = 0x67616E64  # "gand"
SCHEMA_VERSION = 1
_MAX_DETAIL = 1000

# Column -> type of the exported rows, in order. A frame row repeats what it shares with its file.
COLUMNS: dict[str, type] = {
    "path": str,
    "kind": str,
    "media": str,
    "frame": int,
    "time_s": float,
    "region": str,
    "width": int,
    "height": int,
    "p_generated": float,
    "verdict": str,
    "reason": str,
    "detail": str,
    "model": str,
    "logit": float,
    "n_tiles": int,
    "key_frame": bool,
    "pict_type": str,
    "status": str,
    "n_frames": int,
    "n_decoded": int,
    "n_errors": int,
    "n_expected": int,
    "codec": str,
    "size": int,
    "mtime_ns": int,
    "path_hex": str,
    "model_sha256": str,
    "run": int,
}

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, status TEXT NOT NULL,
    model TEXT NOT NULL, model_sha256 TEXT NOT NULL, model_card TEXT NOT NULL,
    threshold_generated REAL, threshold_real REAL, fpr REAL, certified INTEGER,
    args TEXT NOT NULL, versions TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS item (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run, seq INTEGER NOT NULL,
    path TEXT NOT NULL, path_hex TEXT, media TEXT, region TEXT, width INTEGER, height INTEGER,
    p_generated REAL, verdict TEXT NOT NULL, reason TEXT, detail TEXT, logit REAL,
    status TEXT NOT NULL, n_frames INTEGER, n_decoded INTEGER, n_errors INTEGER,
    n_expected INTEGER, codec TEXT, size INTEGER, mtime_ns INTEGER,
    UNIQUE (run, seq)
);
CREATE TABLE IF NOT EXISTS frame (
    item INTEGER NOT NULL REFERENCES item, frame INTEGER NOT NULL, time_s REAL,
    width INTEGER, height INTEGER, p_generated REAL, verdict TEXT NOT NULL, reason TEXT,
    logit REAL, n_tiles INTEGER, key_frame INTEGER, pict_type TEXT,
    PRIMARY KEY (item, frame)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS skip (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run,
    path TEXT NOT NULL, path_hex TEXT, reason TEXT NOT NULL
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""

ITEM_COLUMNS = (
    "seq", "path", "path_hex", "media", "region", "width", "height", "p_generated", "verdict",
    "reason", "detail", "logit", "status", "n_frames", "n_decoded", "n_errors", "n_expected",
    "codec", "size", "mtime_ns",
)  # fmt: skip
FRAME_COLUMNS = (
    "frame", "time_s", "width", "height", "p_generated", "verdict", "reason", "logit", "n_tiles",
    "key_frame", "pict_type",
)  # fmt: skip


# How long one run waits for another to let go of the file.
_LOCK_SECONDS = 30.0


class StoreError(Exception):
    """Results could not be written or read: the disk is full, the file is not ours, ..."""


def text_path(path: str) -> tuple[str, str | None]:
    """A path as text that any program can read, and its bytes in hexadecimal where that loses them.

    Bytes that are not UTF-8 become \\xNN in the text.
    """
    raw = os.fsencode(path)
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace"), raw.hex()


class Store:
    """Writes one run into the results file `path`, which is made where it is missing.

        with Store("screen.sqlite", model=..., args=...) as store:
            store.add_file(item, frames)
            store.finish("done")

    Raises StoreError where the file is something else, or the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str], run: Mapping[str, Any]) -> None:
        """Open the file and begin a run; `run` holds the columns of the `run` table that
        describe it (model, model_sha256, model_card, thresholds, fpr, args, versions)."""
        self.path = os.fspath(path)
        with _errors(self.path):
            self._db = _connect(self.path)
            try:
                self.run = self._begin(run)
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, run: Mapping[str, Any]) -> int:
        row = {"started": _now(), "status": "running", **run}
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        with self._db:
            cursor = self._db.execute(
                f"INSERT INTO run ({names}) VALUES ({marks})", [*row.values()]
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add_file(self, item: Mapping[str, Any], frames: Sequence[Sequence[Any]]) -> None:
        """One file and its frames (values in the order of FRAME_COLUMNS), in one transaction."""
        path, path_hex = text_path(item["path"])
        item = {**item, "path": path, "path_hex": path_hex, "detail": _plain(item["detail"])}
        values = [self.run, *(_fitting(item[name]) for name in ITEM_COLUMNS)]
        with _errors(self.path), self._db:
            cursor = self._db.execute(_INSERT_ITEM, values)
            self._db.executemany(_INSERT_FRAME, ((cursor.lastrowid, *frame) for frame in frames))

    def add_skip(self, path: str, reason: str) -> None:
        """Something that was seen and not screened."""
        with _errors(self.path), self._db:
            self._db.execute(
                "INSERT INTO skip (run, path, path_hex, reason) VALUES (?, ?, ?, ?)",
                (self.run, *text_path(path), reason),
            )

    def finish(self, status: str) -> None:
        """Record how the run ended: done, interrupted or failed."""
        with _errors(self.path), self._db:
            self._db.execute(
                "UPDATE run SET status = ?, finished = ? WHERE id = ?", (status, _now(), self.run)
            )

    def close(self) -> None:
        self._db.close()


_INSERT_ITEM = (
    f"INSERT INTO item (run, {', '.join(ITEM_COLUMNS)}) "
    f"VALUES (?, {', '.join('?' * len(ITEM_COLUMNS))})"
)
_INSERT_FRAME = (
    f"INSERT INTO frame (item, {', '.join(FRAME_COLUMNS)}) "
    f"VALUES (?, {', '.join('?' * len(FRAME_COLUMNS))})"
)


_SELECT_FRAMES = "SELECT * FROM frame WHERE item = ? ORDER BY frame"


def _fitting(value: Any) -> Any:
    """None for an integer beyond SQLite's 64 bits: a time stamp after the year 2262, or the number
    of frames that a damaged header claims."""
    return None if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _plain(text: str | None) -> str | None:
    """What a decoder said, fit for the file: it may quote a name of any bytes, or run on."""
    return text and text.encode(errors="backslashreplace").decode()[:_MAX_DETAIL]


def run_info(path: str | os.PathLike[str], run: int | None = None) -> dict[str, Any]:
    """The row of the `run` table (None: the latest), with args, versions and model_card decoded."""
    with _reading(path) as db:
        row = db.execute("SELECT * FROM run WHERE id = ?", (_run_id(db, run),)).fetchone()
    info = dict(row)
    for name in ("args", "versions", "model_card"):
        info[name] = json.loads(info[name])
    info["certified"] = bool(info["certified"])
    return info


def iter_rows(
    path: str | os.PathLike[str], run: int | None = None, kind: str | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a run (None: the latest) as dictionaries with the keys COLUMNS, one at a time.

    In the order of the files found; of each file its frames by number, then the file itself. `kind`
    "file" or "frame" gives only those.
    """
    if kind not in (None, "file", "frame"):
        raise ValueError(f"kind {kind!r} given; choose file, frame or None for both")
    with _reading(path) as db:
        number = _run_id(db, run)
        shared = db.execute(
            "SELECT model, model_sha256 FROM run WHERE id = ?", (number,)
        ).fetchone()
        items = db.execute("SELECT * FROM item WHERE run = ? ORDER BY seq", (number,))
        for item in items:
            base = dict.fromkeys(COLUMNS) | dict(shared) | {k: item[k] for k in _SHARED}
            if kind != "file":
                for frame in db.execute(_SELECT_FRAMES, (item["id"],)):
                    yield _row(base, frame, "frame")
            if kind != "frame":
                yield _row(base, item, "file")


_SHARED = ("path", "path_hex", "media", "region", "codec", "size", "mtime_ns", "run")


def _row(base: Mapping[str, Any], values: sqlite3.Row, kind: str) -> dict[str, Any]:
    row = {**base, "kind": kind}
    row.update((key, values[key]) for key in values.keys() if key in COLUMNS)  # noqa: SIM118
    if row["key_frame"] is not None:
        row["key_frame"] = bool(row["key_frame"])
    return row


def iter_skips(path: str | os.PathLike[str], run: int | None = None) -> Iterator[dict[str, Any]]:
    """What a run saw and did not screen: path, path_hex, reason."""
    with _reading(path) as db:
        yield from map(
            dict,
            db.execute(
                "SELECT path, path_hex, reason FROM skip WHERE run = ? ORDER BY id",
                (_run_id(db, run),),
            ),
        )


def export(path: str | os.PathLike[str], out: str, run: int | None = None) -> int:
    """Write the rows of a run (None: the latest) to `out`; returns how many.

    The extension chooses: .parquet (needs pyarrow), .jsonl, .csv; "-" streams JSON lines to
    standard output. The file appears whole or not at all. Raises StoreError where it cannot be
    written, ValueError for another extension.
    """
    rows = iter_rows(path, run)
    if out == "-":
        return _write_jsonl(rows, sys.stdout)
    writer = _WRITERS.get(export_format(out))
    assert writer is not None
    partial = Path(f"{out}.part{os.getpid()}")
    try:
        count = writer(rows, partial)
        os.replace(partial, out)
    except OSError as error:
        raise StoreError(_disk_message(out, error)) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def export_format(out: str) -> str:
    """The extension of an export file; raises ValueError where there is no writer for it."""
    extension = Path(out).suffix.lower()
    if extension not in _WRITERS:
        raise ValueError(f"cannot export to {out!r}: give a name ending in {', '.join(_WRITERS)}")
    return extension


def _write_jsonl(rows: Iterator[dict[str, Any]], file: IO[str]) -> int:
    count = 0
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")
        count += 1
    return count


def _write_jsonl_file(rows: Iterator[dict[str, Any]], path: Path) -> int:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        count = _write_jsonl(rows, file)
        _to_disk(file)
    return count


def _write_csv(rows: Iterator[dict[str, Any]], path: Path) -> int:
    count = 0
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            count += 1
        _to_disk(file)
    return count


def _write_parquet(rows: Iterator[dict[str, Any]], path: Path) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise StoreError("Parquet needs pyarrow: pip install 'gandetect[parquet]'") from error
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    count = 0
    with open(path, "wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in _batches(rows, 50_000):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                count += len(batch)
        _to_disk(file)
    return count


_WRITERS = {".parquet": _write_parquet, ".jsonl": _write_jsonl_file, ".csv": _write_csv}


def _batches(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _open(path: str) -> sqlite3.Connection:
    """By absolute path: SQLite keeps "" and ":memory:" for databases that nobody else can read."""
    return sqlite3.connect(os.path.abspath(path), timeout=_LOCK_SECONDS)


def _connect(path: str) -> sqlite3.Connection:
    """Open for writing; makes the tables in a new file and refuses one that is not ours."""
    fresh = not os.path.exists(path) or os.path.getsize(path) == 0
    db = _open(path)
    try:
        if fresh:
            # Several runs may begin at once: the lock is taken before looking, and the tables
            # are there before the mode changes, so that no other run sees one without the other.
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        _check_ours(db, path)
        _write_ahead(db)
        db.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def _write_ahead(db: sqlite3.Connection) -> None:
    """WAL mode. SQLite does not wait for another connection here, whatever its timeout."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _check_ours(db: sqlite3.Connection, path: str) -> None:
    try:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: not a results file ({error}); give another --db") from error
    if application != APPLICATION_ID:
        raise StoreError(f"{path}: a database, but not of gandetect; give another --db")
    if version != SCHEMA_VERSION:
        raise StoreError(f"{path}: schema version {version}, this gandetect has {SCHEMA_VERSION}")


@contextlib.contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise StoreError(f"{name}: there is no such results file")
    with _errors(name), contextlib.closing(_open(name)) as db:
        _check_ours(db, name)
        db.execute("PRAGMA query_only = ON")
        db.row_factory = sqlite3.Row
        yield db


def _run_id(db: sqlite3.Connection, run: int | None) -> int:
    if run is None:
        row = db.execute("SELECT max(id) AS id FROM run").fetchone()
    else:
        row = db.execute("SELECT id FROM run WHERE id = ?", (run,)).fetchone()
    if row is None or row["id"] is None:
        raise StoreError(f"there is no run {'' if run is None else run} in this results file")
    return int(row["id"])


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        hint = "; free some space and run again" if "full" in str(error) else ""
        raise StoreError(f"{path}: {error}{hint}") from error


def _disk_message(path: str, error: OSError) -> str:
    hint = "; free some space and export again" if error.errno == errno.ENOSPC else ""
    return f"{path}: {error.strerror or error}{hint}"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
