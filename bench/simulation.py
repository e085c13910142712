"""How fast fakes are made of photographs, beside the loader that reads the photographs.

    python bench/simulation.py --json bench/results/simulation.json

Interleaved: decoding photographs in color, of the web's size and of a camera's, which is all that
training on files would wait for; decoding them once and making pairs of each, delivered alike, by
random layers; the same by two processes, and where half of the pairs are made by trained networks,
if a bank of them is there. Then what `gandetect fit` waits for: files read, audited and turned into
features, and simulated pairs likewise. One thread, unless two processes are named. An image of a
pair is up to 384 pixels a side, a photograph as large as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measure
import numpy as np
import torch
from PIL import Image
from skimage import data

from gandetect.detect.features import FeatureSpec
from gandetect.detect.simulate import simulate
from gandetect.detect.simulation.network import GeneratorNetwork, load_bank
from gandetect.detect.training import Dataset, load_folder, simulate_folder
from gandetect.media import read_rgb

PAIRS, TILE, WORKERS = 16, 128, 2
PICTURES = ("astronaut", "coffee", "chelsea", "rocket")
# Of a camera: 12 megapixels.
CAMERA = (3000, 4000)
READINGS = ("reading, web", "reading, camera", "fit from files, web", "fit from files, camera")


def photographs(folder: Path, size: tuple[int, int] | None = None) -> list[Path]:
    """JPEG files of four photographs of about 512 pixels, or mirrored until they have `size`."""
    folder.mkdir()
    paths = []
    for name in PICTURES:
        pixels = getattr(data, name)()
        if size:
            rest = [(0, wanted - own) for wanted, own in zip(size, pixels.shape, strict=False)]
            pixels = np.pad(pixels, (*rest, (0, 0)), mode="symmetric")
        paths.append(folder / f"{name}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=95)
    return paths


def making(
    paths: Sequence[Path], networks: Sequence[GeneratorNetwork] = (), workers: int = 0
) -> Callable[[], int]:
    loads = [partial(read_rgb, path) for path in paths]
    how: dict[str, Any] = {"pairs": PAIRS, "seed": 0, "networks": networks, "workers": workers}
    return lambda: sum(2 for _ in simulate(loads, **how))


def fitted_from(folder: Path, simulated: bool, workers: int = 0) -> Callable[[], int]:
    """What `fit` does before it fits."""

    def run() -> int:
        found, spec = Dataset(), FeatureSpec()
        if simulated:
            how: dict[str, Any] = {"pairs": PAIRS, "seed": 0, "workers": workers}
            simulate_folder(found, folder, spec, (TILE,), **how)
        else:
            load_folder(found, folder, 0, spec, TILE)
        return len(found.samples)

    return run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--networks", type=Path, default=Path("data/networks"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        web = photographs(Path(work, "web"))
        camera = photographs(Path(work, "camera"), CAMERA)
        table: dict[str, Callable[[], Any]] = {
            "reading, web": lambda: len([read_rgb(path) for path in web]),
            "reading, camera": lambda: len([read_rgb(path) for path in camera]),
            "random layers, web": making(web),
            "random layers, camera": making(camera),
            "fit from files, web": fitted_from(Path(work, "web"), simulated=False),
            "fit from files, camera": fitted_from(Path(work, "camera"), simulated=False),
            "fit from simulation, web": fitted_from(Path(work, "web"), simulated=True),
            "fit from simulation, camera": fitted_from(Path(work, "camera"), simulated=True),
        }
        if (os.cpu_count() or 1) >= WORKERS:
            table["random layers, web, two processes"] = making(web, workers=WORKERS)
            table["random layers, camera, two processes"] = making(camera, workers=WORKERS)
        if arguments.networks.is_dir():
            table["half by networks, web"] = making(web, load_bank(arguments.networks))
        # As many images as each of them makes.
        images = {way: run() for way, run in table.items()}
        times = measure.interleaved(table, arguments.seconds)
    report = {
        "machine": measure.machine(),
        "pairs_of_a_photograph": PAIRS,
        "photographs": len(web),
        "camera": list(CAMERA),
        "results": {way: measure.summary(own, images[way]) for way, own in times.items()},
        # An image made over one read.
        "over_reading": {
            way: {
                reading: measure.ratio(own, times[reading]) * images[reading] / images[way]
                for reading in READINGS
            }
            for way, own in times.items()
            if way not in READINGS
        },
    }
    text = json.dumps(report, indent=1)
    arguments.json.write_text(text + "\n") if arguments.json else print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
