#!/usr/bin/env python3
"""How often photographs that nothing was fitted to are called generated at stated rates.

    python recipes/photographs.py --archives data/archives
    python recipes/fresh_photographs.py --out docs/fresh.json

The photographs of the role `fresh` come from other packages than those that the detector was
trained on, and than those that its thresholds rest on. They are screened as any archive is: as they
are, and delivered in other ways. A group of photographs, by one photographer or of one series,
raises a false alarm where one of them does; intervals are of groups. The package with the most
photographs is counted by itself as well: one person chose its pictures, and one program wrote them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import made_by, parser, write_figures
from PIL import Image
from scipy.stats import binom
from shipped import listed

from gandetect.detect import load_shipped
from gandetect.detect.calibration import CONFIDENCE
from gandetect.detect.metrics import exact_interval
from gandetect.screen import screen
from gandetect.screen.store import iter_rows

# Stated rates, and whether with confidence or on average over calibrations.
RATES = ((0.05, CONFIDENCE), (0.01, CONFIDENCE), (0.05, None), (0.01, None))


@dataclass(frozen=True)
class Delivery:
    """`write(picture, path)`: what becomes of a photograph; None: the file as it is."""

    name: str
    suffix: str
    write: Callable[[Image.Image, Path], None] | None


def as_jpeg(picture: Image.Image, path: Path, *, quality: int) -> None:
    picture.save(path, quality=quality)


def reduced(picture: Image.Image, path: Path, *, factor: int) -> None:
    width, height = (max(1, side // factor) for side in picture.size)
    picture.resize((width, height), Image.Resampling.LANCZOS).save(path)


DELIVERIES = (
    Delivery("as they are", "", None),
    Delivery("JPEG 90", ".jpg", partial(as_jpeg, quality=90)),
    Delivery("JPEG 75", ".jpg", partial(as_jpeg, quality=75)),
    Delivery("reduced by 2, lossless", ".png", partial(reduced, factor=2)),
)


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    rows = listed(args.photographs)
    groups = {row["file"]: row["group"] for row in rows}
    packages = Counter(row["package"] for row in rows)
    largest = packages.most_common(1)[0][0]
    by_itself = {row["group"] for row in rows if row["package"] == largest}
    report: dict[str, Any] = {
        "model": {"name": load_shipped().name, "sha256": load_shipped().sha256},
        **made_by(args),
        "photographs": len(groups),
        "groups": len(set(groups.values())),
        "packages": len(packages),
        "largest_package": {"name": largest, "groups": len(by_itself)},
        "deliveries": {},
    }
    for delivery in DELIVERIES:
        with tempfile.TemporaryDirectory() as folder:
            files = delivered([args.photographs / row["file"] for row in rows], delivery, folder)
            found = [judged(files, groups, by_itself, rate, folder, args.workers) for rate in RATES]
        report["deliveries"][delivery.name] = found
        print(f"{delivery.name}: {found[0]['verdicts']}", file=sys.stderr, flush=True)
    write_figures(args.out, report)
    return 0


def arguments() -> argparse.Namespace:
    found = parser(__doc__, Path("docs/fresh.json"), seeded=False)
    found.add_argument("--photographs", type=Path, default=Path("data/fresh"))
    found.add_argument("--workers", type=int, default=1)
    return found.parse_args()


def delivered(photographs: list[Path], delivery: Delivery, folder: str) -> dict[Path, str]:
    """The files that are screened, and the name of the photograph that each is of."""
    if delivery.write is None:
        return {path: path.name for path in photographs}
    made = {}
    for path in photographs:
        target = Path(folder) / f"{path.name}{delivery.suffix}"
        with Image.open(path) as picture:
            delivery.write(picture.convert("RGB"), target)
        made[target] = path.name
    return made


def judged(
    files: dict[Path, str],
    groups: dict[str, str],
    by_itself: set[str],
    rate: tuple[float, float | None],
    folder: str,
    workers: int,
) -> dict[str, Any]:
    """False alarms at a stated rate; the scores are those of the first call in `folder`."""
    fpr, confidence = rate
    db = Path(folder) / "fresh.sqlite"
    summary = screen(files, db=db, fpr=fpr, confidence=confidence, workers=workers)
    rows = list(iter_rows(db, summary.run, "file"))
    verdicts = Counter(row["verdict"] for row in rows)
    called = {Path(row["path"]) for row in rows if row["verdict"] == "generated"}
    judged_groups = {groups[name] for name in files.values()}
    alarms = {groups[name] for path, name in files.items() if path in called}
    return {
        "fpr": fpr,
        "confidence": confidence,
        "photographs": len(rows),
        "verdicts": dict(verdicts),
        "called_generated": sorted(files[path] for path in called),
        "groups": len(judged_groups),
        "groups_called_generated": len(alarms),
        "of_the_largest_package": len(alarms & by_itself),
        "interval": list(exact_interval(len(alarms), len(judged_groups))),
        # So many alarms at most, with 95 % probability, where the stated rate is the true one.
        "most_by_chance": int(binom.ppf(0.975, len(judged_groups), fpr)),
    }


if __name__ == "__main__":
    raise SystemExit(main())
