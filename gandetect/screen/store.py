"""The reading side of a results file, which may be read while a run writes to it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from gandetect.screen.schema import COLUMNS, SHOWN_FROM, SHOWN_ITEM, StoreError, opened_to_read

__all__ = ["COLUMNS", "StoreError", "iter_rows", "iter_skips", "run_info"]

_FRAMES = "SELECT * FROM frame WHERE item = ? ORDER BY frame"
_ITEMS = (
    f"SELECT {SHOWN_ITEM}, visit.seq, owner.tool_version FROM {SHOWN_FROM} "
    "JOIN run AS owner ON owner.id = item.run "
    "WHERE visit.run = ? ORDER BY visit.seq"
)
_SPEC = (
    "SELECT model, model_sha256, convention, region, options FROM spec "
    "JOIN run ON run.spec = spec.id WHERE run.id = ?"
)
_SHARED = (
    "path", "path_hex", "media", "container", "codec", "size", "mtime_ns", "sha256", "run",
    "tool_version",
)  # fmt: skip


def run_info(path: str | os.PathLike[str], run: int | None = None) -> dict[str, Any]:
    """The row of the `run` table (None: the latest) and of its spec, with args, versions, options,
    model_card and class_thresholds decoded."""
    with opened_to_read(path) as db:
        number = _run_id(db, run)
        row = db.execute("SELECT * FROM run WHERE id = ?", (number,)).fetchone()
        spec = db.execute(_SPEC, (number,)).fetchone()
    info = {**dict(spec), **dict(row)}
    for name in ("args", "versions", "model_card", "options"):
        info[name] = json.loads(info[name])
    info["class_thresholds"] = json.loads(info["class_thresholds"] or "{}")
    info["certified"] = bool(info["certified"])
    return info


def holds_on_average(info: Mapping[str, Any]) -> bool:
    """Whether the rate of the run `info` (see `run_info`) holds on average over calibrations, and
    not with a stated confidence."""
    return "confidence" in info["args"] and info["args"]["confidence"] is None


def iter_rows(
    path: str | os.PathLike[str], run: int | None = None, kind: str | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a run (None: the latest) as dictionaries with the keys COLUMNS, one at a time.

    All files that the run covers, those screened before it included, in the order found; of each
    its frames by number, then the file itself. `kind` "file" or "frame" gives only those.
    """
    if kind not in (None, "file", "frame"):
        raise ValueError(f"kind {kind!r} given; choose file, frame or None for both")
    with opened_to_read(path) as db:
        number = _run_id(db, run)
        shared = dict(db.execute(_SPEC, (number,)).fetchone())
        for item in db.execute(_ITEMS, (number,)):
            base = dict.fromkeys(COLUMNS) | shared | {name: item[name] for name in _SHARED}
            base["path_hex"] = item["path_hex"] or None
            if kind != "file":
                for frame in db.execute(_FRAMES, (item["id"],)):
                    yield _row(base, frame, "frame")
            if kind != "frame":
                yield _row(base, item, "file")


def count_deliveries(path: str | os.PathLike[str], run: int | None = None) -> dict[str, int]:
    """How many images of a run (None: the latest) are of each class; videos are of none."""
    with opened_to_read(path) as db:
        found = db.execute(
            "SELECT item.delivery, count(*) FROM visit JOIN item ON item.id = visit.item "
            "WHERE visit.run = ? AND item.delivery IS NOT NULL GROUP BY 1 ORDER BY 1",
            (_run_id(db, run),),
        )
        return {name: count for name, count in found}


def _row(base: Mapping[str, Any], values: sqlite3.Row, kind: str) -> dict[str, Any]:
    row = {**base, "kind": kind}
    for name in values.keys():  # noqa: SIM118
        if name in COLUMNS and name not in _SHARED:
            row[name] = values[name]
    if row["key_frame"] is not None:
        row["key_frame"] = bool(row["key_frame"])
    return row


def iter_skips(path: str | os.PathLike[str], run: int | None = None) -> Iterator[dict[str, Any]]:
    """What a run saw and did not screen: path, path_hex, reason."""
    with opened_to_read(path) as db:
        found = db.execute(
            "SELECT path, nullif(path_hex, '') AS path_hex, reason FROM skip WHERE run = ? "
            "ORDER BY seq",
            (_run_id(db, run),),
        )
        yield from map(dict, found)


def _run_id(db: sqlite3.Connection, run: int | None) -> int:
    if run is None:
        row = db.execute("SELECT max(id) AS id FROM run").fetchone()
    else:
        row = db.execute("SELECT id FROM run WHERE id = ?", (run,)).fetchone()
    if row is None or row["id"] is None:
        raise StoreError(f"there is no run {'' if run is None else run} in this results file")
    return int(row["id"])
