#!/usr/bin/env python3
"""Screen the real recordings with the detector that ships, as they are and encoded again.

    python recipes/videos.py --out data/videos --archives data/archives
    python recipes/evaluate_videos.py --out docs/videos.json

Thirteen sources certify nothing (no false alarm among thirteen leaves up to 21 %); they find gross
errors. Encoded again are the first seconds of each: enlarged, as players and platforms do it,
reduced, and with more compression.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import torch
from common import made_by, parser, write_figures

from gandetect.detect import load_shipped
from gandetect.detect.metrics import exact_interval
from gandetect.screen import screen
from gandetect.screen.store import iter_rows

SECONDS, RATE = 20.0, 25
# Pixels a side beyond which nothing is enlarged.
LARGEST = 1920


@dataclass(frozen=True)
class Encoding:
    """H.264 after scaling both sides by `scale`, bicubic."""

    name: str
    scale: float
    crf: int


ENCODINGS = (
    Encoding("enlarged by 1.5", 1.5, 23),
    Encoding("enlarged by 2", 2.0, 23),
    Encoding("reduced by 2", 0.5, 23),
    Encoding("CRF 28", 1.0, 28),
    Encoding("CRF 35", 1.0, 35),
    Encoding("CRF 40", 1.0, 40),
)


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    manifest = json.loads((args.videos / "manifest.json").read_text(encoding="utf-8"))
    groups = {entry["file"]: entry["group"] for entry in manifest}
    originals = [args.videos / name for name in groups]
    sets = {"as they are": judged(originals, groups, args)}
    for encoding in ENCODINGS:
        with tempfile.TemporaryDirectory() as folder:
            made = list(encoded(originals, encoding, Path(folder)))
            sets[encoding.name] = judged(made, groups, args)
        print(f"{encoding.name}: {sets[encoding.name]['verdicts']}", file=sys.stderr, flush=True)
    report = {
        "model": {"name": load_shipped().name, "sha256": load_shipped().sha256},
        "fpr": args.fpr,
        "every": args.every,
        **made_by(args),
        "sets": sets,
    }
    write_figures(args.out, report)
    return 0


def arguments() -> argparse.Namespace:
    found = parser(__doc__, Path("docs/videos.json"), seeded=False)
    found.add_argument("--videos", type=Path, default=Path("data/videos"))
    found.add_argument("--fpr", type=float, default=0.05)
    found.add_argument("--every", type=float, default=0.25, help="seconds between frames")
    return found.parse_args()


def judged(files: list[Path], groups: dict[str, str], args: argparse.Namespace) -> dict[str, Any]:
    """Verdicts on `files`, whose names begin with those of the recordings."""
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "videos.sqlite"
        summary = screen(files, db=db, fpr=args.fpr, every=args.every, workers=args.threads)
        rows = list(iter_rows(db, summary.run, "file"))
    alarms = {groups[_original(row, groups)] for row in rows if row["verdict"] == "generated"}
    sources = {groups[_original(row, groups)] for row in rows}
    return {
        "videos": len(rows),
        "sources": len(sources),
        "verdicts": dict(Counter(row["verdict"] for row in rows)),
        "sources_called_generated": len(alarms),
        "interval": list(exact_interval(len(alarms), len(sources))),
        "highest_p": max(row["p_generated"] or 0.0 for row in rows),
    }


def _original(row: dict[str, Any], groups: dict[str, str]) -> str:
    name = Path(row["path"]).name
    return name if name in groups else name.removesuffix(".again.mp4")


def encoded(originals: list[Path], encoding: Encoding, folder: Path) -> Iterator[Path]:
    """The first seconds of each of `originals` in `folder`; too large ones are left out."""
    for path in originals:
        made = folder / f"{path.name}.again.mp4"
        with av.open(str(path)) as source:
            stream = source.streams.video[0]
            sides = [int(side * encoding.scale) // 2 * 2 for side in (stream.width, stream.height)]
            if encoding.scale > 1 and max(sides) > LARGEST:
                continue
            _encode(source, stream, sides, encoding.crf, made)
        yield made


def _encode(source: Any, stream: Any, sides: list[int], crf: int, path: Path) -> None:
    rate = Fraction(stream.average_rate or RATE).limit_denominator(1001)
    with av.open(str(path), "w") as target:
        track = target.add_stream("libx264", rate=rate)
        track.width, track.height = sides
        track.pix_fmt, track.options = "yuv420p", {"crf": str(crf), "preset": "medium"}
        for number, frame in enumerate(source.decode(stream)):
            if number >= SECONDS * float(rate):
                break
            frame = frame.reformat(*sides, "yuv420p", interpolation="BICUBIC")
            frame.pts, frame.time_base = number, 1 / rate
            target.mux(track.encode(frame))
        target.mux(track.encode())


if __name__ == "__main__":
    raise SystemExit(main())
