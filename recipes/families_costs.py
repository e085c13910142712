#!/usr/bin/env python3
"""Time again what drawing an image costs each family of an atlas, on a machine that is quiet.

    python recipes/families_costs.py data/experiments/families
    python recipes/families_pages.py data/experiments/families

The experiment times it when all else is done; where its machine had other work besides, this puts
other times into `results.json`, and the machine that they are of. The experiment, run again, would
put back its own.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import report_progress
from PIL import Image

from gandetect.experiments.families.costs import drawing_costs
from gandetect.experiments.upsampling.runner import machine
from gandetect.experiments.upsampling.training import RUNS
from gandetect.gans import Images
from gandetect.gans.sampling import TOGETHER
from gandetect.tensorfile import write_whole


def reals(folder: Path, channels: int) -> Images:
    """The first real images of a set."""
    files = sorted(folder.glob("*.png"))[:TOGETHER]
    mode = "L" if channels == 1 else "RGB"
    pixels = np.stack([np.array(Image.open(path).convert(mode)) for path in files])
    planes = pixels[:, None] if channels == 1 else pixels.transpose(0, 3, 1, 2)
    card = {"name": folder.name, "source": "the atlas"}
    return Images(torch.from_numpy(planes.copy()), card, sources=[path.stem for path in files])


def timed(place: Path, world: dict[str, Any]) -> None:
    """Put times into a `world` of results that lies in the folder `place`."""
    usable = [one for one in world["generators"] if one["failed"] is None]
    channels = int(usable[0]["config"]["channels"])
    images = reals(place / world["sets"]["folders"]["real"] / "test", channels)
    names = [one["name"] for one in usable]
    costs = drawing_costs(place / RUNS, names, images, report_progress)
    for one in usable:
        one["seconds_per_image"] = costs[one["name"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    path = arguments.folder / "results.json"
    results = json.loads(path.read_text())
    for name, world in results["worlds"].items():
        timed(arguments.folder / name, world)
    results["drawn_on"] = {**machine(), "threads": arguments.threads}
    write_whole(path, (json.dumps(results, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
