"""Rows of made-up runs, and results files that hold them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gandetect.screen.schema import FRAME_COLUMNS, ITEM_COLUMNS, file_key, text_path
from gandetect.screen.writer import FileRows, Writer, plain

SPEC = {
    "model": "test-v1",
    "model_sha256": "ab" * 32,
    "convention": "centered",
    "region": "tiles",
    "options": "{}",
}
RUN = {
    "model_card": json.dumps({"name": "test-v1", "trained_on": "<b>nothing</b>"}),
    "threshold_generated": 2.0,
    "threshold_real": -1.0,
    "fpr": 0.05,
    "certified": 1,
    "video_fpr": 0.1,
    "video_threshold_generated": 2.5,
    "video_threshold_real": -1.0,
    "args": json.dumps({"region": "tiles", "paths": ["<img src=x>"]}),
    "versions": json.dumps({"gandetect": "0.1.0"}),
    "tool_version": "0.1.0",
}


def item(path: str, verdict: str = "real", **values: Any) -> dict[str, Any]:
    """A file row by the names of its columns."""
    scored = verdict != "error"
    row = {
        **dict.fromkeys(ITEM_COLUMNS),
        "path": path,
        "media": "image",
        "verdict": verdict,
        "status": "ok" if scored else "error",
        "logit": 0.5 if scored else None,
        "p_generated": 0.6 if scored else None,
        "n_frames": 1 if scored else 0,
        "size": 1234,
        **values,
    }
    return row


def frame(number: int, p: float, verdict: str = "generated") -> tuple[Any, ...]:
    """A frame row as it is stored."""
    row = {
        **dict.fromkeys(FRAME_COLUMNS),
        "frame": number,
        "time_s": number / 10,
        "p_generated": p,
        "logit": 10 * p - 5,
        "verdict": verdict,
        "n_tiles": 4,
    }
    return tuple(row[name] for name in FRAME_COLUMNS)


def write_run(
    path: Path, items: Sequence[Any], status: str | None = "done", skips: Iterable[str] = ()
) -> Path:
    """A results file with one run; an item may be (item, frames), a skip is its reason."""
    with Writer(path, SPEC, RUN) as writer:
        for seq, entry in enumerate(items):
            row, frames = entry if isinstance(entry, tuple) else (entry, [])
            text, raw = text_path(row["path"])
            known = {"path": text, "path_hex": raw, "mtime_ns": seq, "judged": writer.run}
            known["detail"] = plain(row["detail"])
            known["key"] = file_key(row["path"], row["size"], seq)
            values = tuple(({**row, **known})[name] for name in ITEM_COLUMNS[3:])
            writer.add([FileRows(seq, values, frames)])
        for place, reason in enumerate(skips):
            writer.skip(len(items) + place, "skipped", reason)
        if status:
            writer.finish(status)
    return path
