"""What a person decided of a file, kept by its content in the results file.

A decision outlives renaming, copies, other models and other thresholds: later runs into the same
results file give the person's verdict, with the reason `reviewed`, beside the detector's score.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from gandetect.screen.schema import (
    DECISIONS,
    StoreError,
    now,
    open_to_write,
    opened_to_read,
    store_errors,
    text_path,
)

_READ_BYTES = 1 << 20


def review(
    db_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    decision: str | None,
    note: str | None = None,
) -> int:
    """Record a decision (None: take it back) about the file `path`; returns how many rows of files
    with that content it changed.

    The file is known from the results, or read to know its content. Raises StoreError where it is
    neither there nor in the results, ValueError for an unknown decision.
    """
    if decision is not None and decision not in DECISIONS:
        raise ValueError(f"decision {decision!r} given; choose from {', '.join(DECISIONS)}")
    sha256 = _content_now(os.fspath(path))
    with _writing(db_path) as db:
        sha256 = sha256 or _content_then(db, os.fspath(path))
        return _decide(db, sha256, decision, note, text_path(os.fspath(path))[0], now())


def iter_reviews(db_path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """The decisions: sha256, decision, note, path, decided (when), the oldest first."""
    with opened_to_read(db_path) as db:
        yield from map(dict, db.execute("SELECT * FROM review ORDER BY decided, sha256"))


def import_reviews(db_path: str | os.PathLike[str], rows: Iterable[dict[str, Any]]) -> int:
    """Take decisions over from rows as `iter_reviews` gives them; returns how many."""
    # All of them before the first is written: they may come slowly, and runs would wait.
    decisions = [_checked(row) for row in rows]
    with _writing(db_path) as db:
        for sha256, decision, note, path, when in decisions:
            _decide(db, sha256, decision, note, path, when)
    return len(decisions)


def _checked(row: dict[str, Any]) -> tuple[str, str, str | None, str | None, str]:
    sha256, decision = row.get("sha256"), row.get("decision")
    note, path, when = row.get("note"), row.get("path"), row.get("decided")
    texts = all(text is None or isinstance(text, str) for text in (note, path, when))
    if str(decision) not in DECISIONS or not _is_hash(sha256) or not texts:
        raise ValueError(f"{row!r:.200} is no decision: want sha256 and decision")
    return str(sha256), str(decision), note, path, when or now()


def _decide(
    db: sqlite3.Connection,
    sha256: str,
    decision: str | None,
    note: str | None,
    path: str | None,
    when: str,
) -> int:
    if decision is None:
        changed = db.execute("DELETE FROM review WHERE sha256 = ?", (sha256,)).rowcount
    else:
        db.execute(
            "INSERT OR REPLACE INTO review (sha256, decision, note, path, decided) "
            "VALUES (?, ?, ?, ?, ?)",
            (sha256, decision, note, path, when),
        )
        changed = 1
    (count,) = db.execute(
        "SELECT count(*) FROM item WHERE sha256 = ? AND verdict != 'error'", (sha256,)
    ).fetchone()
    return int(count) if changed else 0


def _content_now(path: str) -> str | None:
    """The content of a file as it is; None where it cannot be read."""
    if not os.path.isfile(path):
        return None
    with contextlib.suppress(OSError), open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_READ_BYTES):
            digest.update(block)
        return digest.hexdigest()
    return None


def _content_then(db: sqlite3.Connection, path: str) -> str:
    """The content of a file as it was screened last."""
    row = db.execute(
        "SELECT sha256 FROM item WHERE path = ? AND path_hex = ? AND sha256 IS NOT NULL "
        "ORDER BY id DESC LIMIT 1",
        text_path(path),
    ).fetchone()
    if row is None:
        raise StoreError(f"{path}: neither on disk nor in the results")
    return str(row[0])


def _is_hash(text: object) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


@contextlib.contextmanager
def _writing(db_path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    """A short transaction, which may come between those of a run."""
    name = os.fspath(db_path)
    if not os.path.isfile(name):
        raise StoreError(f"{name}: there is no such results file")
    with store_errors(name), contextlib.closing(open_to_write(name)) as db, db:
        yield db
