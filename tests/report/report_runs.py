"""Rows of made-up runs, as the results file takes them."""

from __future__ import annotations

import json
from typing import Any

from gandetect.screen.store import FRAME_COLUMNS, ITEM_COLUMNS

RUN = {
    "model": "test-v1",
    "model_sha256": "ab" * 32,
    "model_card": json.dumps({"name": "test-v1", "trained_on": "<b>nothing</b>"}),
    "threshold_generated": 2.0,
    "threshold_real": -1.0,
    "fpr": 0.05,
    "certified": 1,
    "args": json.dumps({"region": "tiles", "paths": ["<img src=x>"]}),
    "versions": json.dumps({"gandetect": "0.1.0"}),
}


def item(path: str, verdict: str = "real", **values: Any) -> dict[str, Any]:
    """A file row as `Store.add_file` takes it."""
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


def frame(number: int, p: float, verdict: str = "generated") -> list[Any]:
    """A frame row as `Store.add_file` takes it."""
    row = {
        **dict.fromkeys(FRAME_COLUMNS),
        "frame": number,
        "time_s": number / 10,
        "p_generated": p,
        "logit": 10 * p - 5,
        "verdict": verdict,
        "n_tiles": 4,
    }
    return [row[name] for name in FRAME_COLUMNS]
