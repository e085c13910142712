"""Results files without media, and a detector that says what a picture's brightness tells it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from making_media import image_bytes, noise
from torch import Tensor

from gandetect.detect.calibration import Thresholds, choose_thresholds
from gandetect.screen.schema import FRAME_COLUMNS, ITEM_COLUMNS, file_key, text_path
from gandetect.screen.store import iter_rows
from gandetect.screen.verdict import VIDEO_CARD
from gandetect.screen.writer import FileRows, Writer, plain

# How the videos of a calibration were sampled.
VIDEO_OPTIONS = "one frame a second"
SPEC = {
    "model": "m",
    "model_sha256": "ab" * 32,
    "convention": "centered",
    "region": "tiles",
    "options": "{}",
}
RUN = {
    "model_card": '{"name": "m"}',
    "threshold_generated": 1.5,
    "threshold_real": -1.5,
    "fpr": 0.05,
    "certified": True,
    "args": "{}",
    "versions": "{}",
    "tool_version": "0",
}


def file_rows(
    seq: int,
    path: str = "a.jpg",
    frames: Iterable[tuple[Any, ...]] = (),
    replaces: int | None = None,
    **values: Any,
) -> FileRows:
    """A file as Writer.add takes it; `values` by the names of ITEM_COLUMNS."""
    text, raw = text_path(path)
    row = {
        **dict.fromkeys(ITEM_COLUMNS),
        "path": text,
        "path_hex": raw,
        "size": 10,
        "mtime_ns": seq,
        "status": "ok",
        "media": "video",
        "judged": 1,
        "verdict": "real",
        **values,
    }
    row["detail"] = plain(row["detail"])
    row["key"] = file_key(path, row["size"], row["mtime_ns"])
    return FileRows(seq, tuple(row[name] for name in ITEM_COLUMNS[3:]), [*frames], replaces)


def frame_row(index: int, **values: Any) -> tuple[Any, ...]:
    row = {**dict.fromkeys(FRAME_COLUMNS), "frame": index, "verdict": "real", **values}
    return tuple(row[name] for name in FRAME_COLUMNS)


def write_results(path: Path, *files: FileRows) -> None:
    """A finished run that covers some files."""
    with Writer(path, SPEC, RUN) as writer:
        writer.add(files)
        writer.finish("done")


def shown_paths(db: Path, run: int | None = None) -> list[str]:
    return [row["path"] for row in iter_rows(db, run, "file")]


def ask(db: Path | str, query: str, *values: object) -> list[tuple[Any, ...]]:
    """The answer to one SQL query, by a connection of its own."""
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(query, values).fetchall()


class Brightness:
    """A detector whose logit is (mean - 128) / 8; real pictures scored as N(-2, 2) and generated
    ones as N(2, 2)."""

    tile = 64
    min_side = 32

    def __init__(self, name: str = "brightness", n: int = 400, videos: Tensor | None = None):
        scores = np.random.default_rng(0).normal(size=n)
        self.name = name
        self.sha256 = hashlib.sha256(name.encode()).hexdigest()
        self.card: dict[str, Any] = {"name": name}
        self.arrays = {
            "calibration.real": torch.from_numpy(np.sort(2 * scores - 2)),
            "calibration.generated": torch.from_numpy(np.sort(2 * scores + 2)),
        }
        if videos is not None:
            self.arrays["calibration.video"] = videos
            self.card[VIDEO_CARD] = {"options": VIDEO_OPTIONS}

    def logits(self, images: Tensor) -> Tensor:
        return (images.double().mean((1, 2)) - 128) / 8

    def probability(self, logits: Tensor | float) -> Tensor:
        return torch.sigmoid(torch.as_tensor(logits, dtype=torch.float32))

    def thresholds(self, fpr: float = 0.05, *, confidence: float | None = 0.95) -> Thresholds:
        real, generated = (self.arrays[f"calibration.{k}"].numpy() for k in ("real", "generated"))
        return choose_thresholds(real, generated, fpr)


def write_picture(path: Path, logit: float, seed: int = 0) -> Path:
    """A picture that Brightness scores as about `logit` (-10 .. 10)."""
    rough = noise(64, 64, seed)[:, :, 1].astype(float)
    gray = (rough - rough.mean()) / 8 + 128 + 8 * logit
    path.write_bytes(image_bytes(gray.round().astype(np.uint8), "PNG"))
    return path


def write_pictures(folder: Path, *logits: float) -> Path:
    """0.png, 1.png, ... in a new folder, all of other content."""
    os.makedirs(folder)
    for i, logit in enumerate(logits):
        write_picture(folder / f"{i}.png", logit, i)
    return folder
