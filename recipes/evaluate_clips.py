#!/usr/bin/env python3
"""Screen clips of generated pictures, and of the photographs that they were made from.

    python recipes/third_party.py --photographs data/held_out --side 512 --out data/third_party_512
    python recipes/evaluate_clips.py --out docs/clips.json

Nobody's generated videos can be had here. So a window pans over each picture that an up-scaler of
others made, and over the photograph that it was made of, and both are encoded as H.264 at several
rates: what a video of enlarged frames would leave, but for what moves inside of it. Told is how
well clips are ranked, and what `screen` calls them at 5 % false alarms of videos.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from common import made_by, parser, write_figures
from jpeg_transfer import paired_sets
from numpy.typing import NDArray
from PIL import Image

from gandetect.detect import load_shipped
from gandetect.detect.evaluation import Item, folder_items
from gandetect.detect.metrics import ranking
from gandetect.screen import screen
from gandetect.screen.store import iter_rows

CRFS = (18, 23, 28)
FRAMES, RATE = 16, 25
# The window, and how far it moves from frame to frame.
WINDOW, STEP = 448, 4
# Of each set.
CLIPS = 12


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    model = load_shipped()
    report: dict[str, Any] = {
        "model": {"name": model.name, "sha256": model.sha256},
        "fpr": args.fpr,
        "frames": FRAMES,
        "window": WINDOW,
        **made_by(args),
        "sets": {},
    }
    for name in paired_sets(args.sets):
        if not name.endswith("_reduced"):
            continue
        items = [
            item
            for folder, label in ((f"{name}_real", 0), (name, 1))
            for item in folder_items(args.sets / folder, label)[:CLIPS]
        ]
        report["sets"][name] = {f"crf-{crf}": judged(items, crf, args) for crf in CRFS}
        print(f"{name}: {report['sets'][name]}", file=sys.stderr, flush=True)
    write_figures(args.out, report)
    return 0


def arguments() -> argparse.Namespace:
    found = parser(__doc__, Path("docs/clips.json"), seeded=False)
    found.add_argument("--sets", type=Path, default=Path("data/third_party_512"))
    found.add_argument("--fpr", type=float, default=0.05)
    return found.parse_args()


def judged(items: list[Item], crf: int, args: argparse.Namespace) -> dict[str, Any]:
    """How the clips of `items` are ranked and called."""
    with tempfile.TemporaryDirectory() as place:
        made = {}
        for number, item in enumerate(items):
            made[Path(place) / f"{number}.mp4"] = item
        for path, item in made.items():
            encode(path, panned(item.path), crf)
        db = Path(place) / "clips.sqlite"
        summary = screen(list(made), db=db, fpr=args.fpr, workers=args.threads)
        rows = {Path(row["path"]): row for row in iter_rows(db, summary.run, "file")}
    labels = [item.label for item in made.values()]
    scores = [rows[path]["p_generated"] or 0.0 for path in made]
    verdicts = {
        kind: dict(Counter(rows[p]["verdict"] for p, item in made.items() if item.label == label))
        for label, kind in ((0, "real"), (1, "generated"))
    }
    auc = ranking(labels, scores, [item.source for item in made.values()])["auc"]
    return {"clips": labels.count(1), "auc": auc.to_list(), "verdicts": verdicts}


def panned(path: Path) -> list[NDArray[np.uint8]]:
    """Frames (WINDOW, WINDOW, 3) of a window that moves down and to the right over a picture."""
    pixels = np.array(Image.open(path).convert("RGB"))
    starts = [STEP * number for number in range(FRAMES)]
    return [pixels[at : at + WINDOW, at : at + WINDOW] for at in starts]


def encode(path: Path, frames: list[NDArray[np.uint8]], crf: int) -> None:
    """H.264 at the rate factor `crf`, 4:2:0."""
    with av.open(str(path), "w") as target:
        track = target.add_stream("libx264", rate=RATE)
        track.height, track.width = frames[0].shape[:2]
        track.pix_fmt, track.options = "yuv420p", {"crf": str(crf), "preset": "medium"}
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            target.mux(track.encode(frame))
        target.mux(track.encode())


if __name__ == "__main__":
    raise SystemExit(main())
