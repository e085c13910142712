"""The tables of a results file, and how it is opened.

    run     one row per run: model, thresholds, options, versions
    spec    what a score depends on besides the file: model, sampling, region
    item    one row per file as it was found (`key`: path, size, time of change) and spec
    frame   one row per scored frame of an item
    visit   which items a run covers, in the order found, screened by it or before
    skip    what a run saw and did not screen
    review  what a person decided of a content

Views `files` and `frames` show those of the latest run, for queries by hand.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

APPLICATION_ID = 0x67616E64  # "gand"
SCHEMA_VERSION = 3

# Column -> type of the exported rows, in order. A frame row repeats what it shares with its file.
COLUMNS: dict[str, type] = {
    "path": str,
    "kind": str,
    "media": str,
    "frame": int,
    "time_s": float,
    "shot": int,
    "region": str,
    "delivery": str,
    "width": int,
    "height": int,
    "p_generated": float,
    "verdict": str,
    "reason": str,
    "detail": str,
    "model": str,
    "convention": str,
    "logit": float,
    "p_value": float,
    "n_tiles": int,
    "key_frame": bool,
    "pict_type": str,
    "status": str,
    "attempts": int,
    "n_frames": int,
    "n_shots": int,
    "n_effective": float,
    "n_decoded": int,
    "n_errors": int,
    "n_expected": int,
    "container": str,
    "codec": str,
    "duration_s": float,
    "frame_rate": float,
    "size": int,
    "mtime_ns": int,
    "sha256": str,
    "review": str,
    "path_hex": str,
    "model_sha256": str,
    "options": str,
    "tool_version": str,
    "run": int,
}

# What screening finds of a file, and what is concluded from it; the second part can change later.
FOUND_COLUMNS = (
    "id", "spec", "run", "path", "path_hex", "size", "mtime_ns", "key", "sha256", "media",
    "container", "codec", "width", "height", "duration_s", "frame_rate", "status", "detail",
    "attempts", "n_decoded", "n_errors", "n_expected", "delivery",
)  # fmt: skip
JUDGED_COLUMNS = (
    "judged", "verdict", "reason", "logit", "p_generated", "p_value", "n_frames", "n_shots",
    "n_effective",
)  # fmt: skip
ITEM_COLUMNS = FOUND_COLUMNS + JUDGED_COLUMNS
FRAME_COLUMNS = (
    "frame", "time_s", "width", "height", "reason", "logit", "n_tiles", "key_frame", "pict_type",
    "shot", "delivery", "p_generated", "verdict",
)  # fmt: skip

# What a person decided -> the verdict that it stands for.
DECISIONS = {"false_positive": "real", "confirmed": "generated"}
REVIEWED = "reviewed"


# Size and time of change of what could not be reached.
UNKNOWN = -1


def _concluded(column: str) -> str:
    """SQL of an item's column as it is shown: a person's decision goes before the detector's."""
    if column == "verdict":
        cases = " ".join(f"WHEN '{word}' THEN '{verdict}'" for word, verdict in DECISIONS.items())
        return f"CASE review.decision {cases} ELSE item.verdict END AS verdict"
    if column == "reason":
        return f"iif(review.decision IS NULL, item.reason, '{REVIEWED}') AS reason"
    if column in ("size", "mtime_ns"):
        return f"nullif(item.{column}, {UNKNOWN}) AS {column}"
    return f"item.{column}"


# The items of runs as they are shown. Nobody can decide about a file without a score.
SHOWN_ITEM = (
    ", ".join(_concluded(column) for column in ITEM_COLUMNS if column != "key")
    + ", review.decision AS review"
)
SHOWN_FROM = (
    "visit JOIN item ON item.id = visit.item "
    "LEFT JOIN review ON review.sha256 = item.sha256 AND item.verdict != 'error'"
)

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, status TEXT NOT NULL,
    spec INTEGER NOT NULL REFERENCES spec, model_card TEXT NOT NULL,
    fpr REAL, fdr REAL, certified INTEGER, threshold_generated REAL, threshold_real REAL,
    video_fpr REAL, video_threshold_generated REAL, video_threshold_real REAL,
    prevalence REAL, class_thresholds TEXT,
    args TEXT NOT NULL, versions TEXT NOT NULL, tool_version TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS spec (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, model_sha256 TEXT NOT NULL,
    convention TEXT NOT NULL, region TEXT NOT NULL, options TEXT NOT NULL,
    UNIQUE (model_sha256, options)
);
CREATE TABLE IF NOT EXISTS item (
    id INTEGER PRIMARY KEY, spec INTEGER NOT NULL REFERENCES spec,
    run INTEGER NOT NULL REFERENCES run, path TEXT NOT NULL, path_hex TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, key BLOB NOT NULL,
    sha256 TEXT, media TEXT, container TEXT,
    codec TEXT, width INTEGER, height INTEGER, duration_s REAL, frame_rate REAL,
    status TEXT NOT NULL, detail TEXT, attempts INTEGER, n_decoded INTEGER, n_errors INTEGER,
    n_expected INTEGER, delivery TEXT,
    judged INTEGER NOT NULL REFERENCES run, verdict TEXT NOT NULL, reason TEXT, logit REAL,
    p_generated REAL, p_value REAL, n_frames INTEGER, n_shots INTEGER, n_effective REAL,
    UNIQUE (key, spec)
);
CREATE TABLE IF NOT EXISTS frame (
    item INTEGER NOT NULL REFERENCES item, frame INTEGER NOT NULL, time_s REAL,
    width INTEGER, height INTEGER, reason TEXT, logit REAL, n_tiles INTEGER, key_frame INTEGER,
    pict_type TEXT, shot INTEGER, delivery TEXT, p_generated REAL, verdict TEXT NOT NULL,
    PRIMARY KEY (item, frame)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS visit (
    run INTEGER NOT NULL REFERENCES run, seq INTEGER NOT NULL,
    item INTEGER NOT NULL REFERENCES item,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS skip (
    run INTEGER NOT NULL REFERENCES run, seq INTEGER NOT NULL,
    path TEXT NOT NULL, path_hex TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS review (
    sha256 TEXT PRIMARY KEY, decision TEXT NOT NULL, note TEXT, path TEXT, decided TEXT NOT NULL
) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS files AS
    SELECT {SHOWN_ITEM}, spec.model, spec.model_sha256, spec.convention, spec.region, spec.options
    FROM {SHOWN_FROM} JOIN spec ON spec.id = item.spec
    WHERE visit.run = (SELECT max(id) FROM run);
CREATE VIEW IF NOT EXISTS frames AS
    SELECT files.path, frame.* FROM files JOIN frame ON frame.item = files.id;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""

# How long SQLite waits for a reader or a review to let go of the file.
_LOCK_SECONDS = 30.0


class StoreError(Exception):
    """Results could not be written or read: the disk is full, the file is not ours, ..."""


def text_path(path: str) -> tuple[str, str]:
    """A path as text that any program can read, and its bytes in hexadecimal where that loses them.

    Bytes that are not UTF-8 become \\xNN in the text; of all other paths the second is "".
    """
    try:
        path.encode()
        return path, ""
    except UnicodeEncodeError:
        raw = os.fsencode(path)
        return raw.decode(errors="backslashreplace"), raw.hex()


def file_key(path: str, size: int, mtime_ns: int) -> bytes:
    """What a file is known by, 16 bytes: its place, however it is spelled, its size and the time of
    its change."""
    place = os.fsencode(os.path.abspath(path))
    return hashlib.blake2b(b"%b\0%d\0%d" % (place, size, mtime_ns), digest_size=16).digest()


def file_path(path: str, path_hex: str | None) -> str:
    """The inverse of `text_path`."""
    return os.fsdecode(bytes.fromhex(path_hex)) if path_hex else path


def open_to_write(path: str) -> sqlite3.Connection:
    """Open for writing; makes the tables in a new file and refuses one that is not ours."""
    db = _open(path)
    try:
        if _is_empty(db):
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        _check_ours(db, path)
        _write_ahead(db)
        # A crash of the system may lose the last transactions, never the file.
        db.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def opened_to_read(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    """A connection that can change nothing, with named columns; StoreError for its failures."""
    name = os.fspath(path)
    if not os.path.isfile(name):
        raise StoreError(f"{name}: there is no such results file")
    with store_errors(name), contextlib.closing(_open_to_read(name)) as db:
        _check_ours(db, name)
        db.execute("PRAGMA query_only = ON")
        db.row_factory = sqlite3.Row
        yield db


@contextlib.contextmanager
def store_errors(path: str) -> Iterator[None]:
    """SQLite's errors as StoreError, with what to do."""
    try:
        yield
    except sqlite3.Error as error:
        hint = ""
        if "full" in str(error):
            hint = "; free some space and run again"
        elif "disk I/O" in str(error):
            hint = "; is the disk sound, and its quota not spent? then run again"
        raise StoreError(f"{path}: {error}{hint}") from error


def disk_message(path: str, error: OSError) -> str:
    hint = "; free some space and export again" if error.errno == errno.ENOSPC else ""
    return f"{path}: {error.strerror or error}{hint}"


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _open(path: str) -> sqlite3.Connection:
    """By absolute path: SQLite keeps "" and ":memory:" for databases that nobody else can read."""
    return sqlite3.connect(os.path.abspath(path), timeout=_LOCK_SECONDS)


def _open_to_read(path: str) -> sqlite3.Connection:
    """Where nothing can be written, not even the index that readers share, the file is read as it
    is: nobody can be writing to it."""
    folder = os.path.dirname(os.path.abspath(path))
    if os.access(folder, os.W_OK) or os.path.exists(f"{path}-wal"):
        return _open(path)
    return sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1", uri=True)


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


def _is_empty(db: sqlite3.Connection) -> bool:
    """By its pages and not by its bytes, which may be those of a run that was killed at once."""
    try:
        return bool(db.execute("PRAGMA page_count").fetchone()[0] == 0)
    except sqlite3.DatabaseError:
        return False


def _check_ours(db: sqlite3.Connection, path: str) -> None:
    try:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: not a results file ({error}); give another --db") from error
    if application != APPLICATION_ID:
        raise StoreError(f"{path}: a database, but not of gandetect; give another --db")
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema version {version}, this gandetect has {SCHEMA_VERSION}; "
            "give another --db"
        )
