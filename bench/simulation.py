"""How fast fakes are made of photographs, beside the loader that reads the photographs.

    python bench/simulation.py --json bench/results/simulation.json

One thread, interleaved: decoding photographs in color, which is all that training on files would
wait for; decoding them once and making pairs of each, delivered alike, by random layers; and the
same where half of the pairs are made by trained networks, if a bank of them is there. An image of a
pair is up to 384 pixels a side, a photograph as large as it is.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measure
import torch
from PIL import Image
from skimage import data

from gandetect.detect.simulate import simulate
from gandetect.detect.simulation.network import GeneratorNetwork, load_bank
from gandetect.media import read_rgb

PAIRS = 16
PICTURES = ("astronaut", "coffee", "chelsea", "rocket")


def photographs(folder: Path) -> list[Path]:
    """JPEG files of four photographs of about 512 pixels."""
    paths = []
    for name in PICTURES:
        paths.append(folder / f"{name}.jpg")
        Image.fromarray(getattr(data, name)()).save(paths[-1], quality=95)
    return paths


def making(paths: Sequence[Path], networks: Sequence[GeneratorNetwork]) -> Callable[[], int]:
    loads = [partial(read_rgb, path) for path in paths]
    return lambda: sum(2 for _ in simulate(loads, pairs=PAIRS, seed=0, networks=networks))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--networks", type=Path, default=Path("data/networks"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        paths = photographs(Path(work))
        table: dict[str, Callable[[], Any]] = {
            "reading": lambda: [read_rgb(path) for path in paths],
            "random layers": making(paths, ()),
        }
        if arguments.networks.is_dir():
            table["half by networks"] = making(paths, load_bank(arguments.networks))
        times = measure.interleaved(table, arguments.seconds)
    images = {way: len(paths) if way == "reading" else 2 * PAIRS * len(paths) for way in table}
    report = {
        "machine": measure.machine(),
        "pairs_of_a_photograph": PAIRS,
        "photographs": len(paths),
        "results": {way: measure.summary(own, images[way]) for way, own in times.items()},
        # Of an image of a pair over a photograph that is read.
        "over_reading": {
            way: measure.ratio(own, times["reading"]) * images["reading"] / images[way]
            for way, own in times.items()
            if way != "reading"
        },
    }
    text = json.dumps(report, indent=1)
    arguments.json.write_text(text + "\n") if arguments.json else print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
