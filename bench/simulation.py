"""How fast fakes are made of photographs, beside the loader that reads the photographs.

    python bench/simulation.py --json bench/results/simulation.json

Interleaved, for photographs of the web's size, of a camera's, and every fourth of those that the
shipped detector is trained on, where they are: decoding them in color, which is all that training
on files would wait for; decoding them once and making pairs of each, delivered alike, by random
layers; what `gandetect fit` waits for, files or simulated pairs, read, audited and turned into
features. For the web's besides: by two processes, and half of the pairs by trained networks, if a
bank of them is there. One thread, unless two processes are named. An image of a pair is up to 384
pixels a side, a photograph as large as it is.
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
from gandetect.detect.training import Dataset, image_files, load_folder, simulate_folder
from gandetect.media import read_rgb

PAIRS, TILE, WORKERS = 16, 128, 2
PICTURES = ("astronaut", "coffee", "chelsea", "rocket")
# Of a camera: 12 megapixels.
CAMERA = (3000, 4000)
READING, FILES, LAYERS, FIT = "reading", "fit from files", "random layers", "fit from simulation"
# Of the photographs that the detector is trained on.
EVERY = 4


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


def fitted_from(folder: Path, simulated: bool) -> Callable[[], int]:
    """What `fit` does before it fits."""

    def run() -> int:
        found, spec = Dataset(), FeatureSpec()
        if simulated:
            simulate_folder(found, folder, spec, (TILE,), pairs=PAIRS, seed=0)
        else:
            load_folder(found, folder, 0, spec, TILE)
        return len(found.samples)

    return run


def ways_of(paths: Sequence[Path]) -> dict[str, Callable[[], int]]:
    """What is timed of photographs in a folder of their own."""
    folder = paths[0].parent
    return {
        READING: lambda: len([read_rgb(path) for path in paths]),
        FILES: fitted_from(folder, simulated=False),
        LAYERS: making(paths),
        FIT: fitted_from(folder, simulated=True),
    }


def megapixels(paths: Sequence[Path]) -> list[float]:
    """Of each photograph, smallest first."""
    sizes = []
    for path in paths:
        with Image.open(path) as picture:
            sizes.append(picture.width * picture.height / 1e6)
    return sorted(sizes)


def trained_on(folder: Path, copies: Path) -> list[Path]:
    """Links to every fourth of the photographs in `folder`, in `copies`."""
    copies.mkdir()
    for path in image_files(folder)[::EVERY]:
        (copies / path.name).symlink_to(path.resolve())
    return image_files(copies)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    parser.add_argument("--networks", type=Path, default=Path("data/networks"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        kinds = {
            "web": photographs(Path(work, "web")),
            "camera": photographs(Path(work, "camera"), CAMERA),
        }
        if arguments.photographs.is_dir():
            kinds["training"] = trained_on(arguments.photographs, Path(work, "training"))
        table = {
            f"{way}, {kind}": run
            for kind, paths in kinds.items()
            for way, run in ways_of(paths).items()
        }
        if (os.cpu_count() or 1) >= WORKERS:
            table[f"{LAYERS}, web, two processes"] = making(kinds["web"], workers=WORKERS)
        if arguments.networks.is_dir():
            table["half by networks, web"] = making(kinds["web"], load_bank(arguments.networks))
        # As many images as each of them makes.
        images = {name: run() for name, run in table.items()}
        times = measure.interleaved(table, arguments.seconds)
        sizes = {kind: megapixels(paths) for kind, paths in kinds.items()}

    def cost(way: str, than: str, kind: str) -> float:
        """An image of the one way over an image of the other, of the same photographs."""
        one, other = f"{way}, {kind}", f"{than}, {kind}"
        return measure.ratio(times[one], times[other]) * images[other] / images[one]

    report = {
        "machine": measure.machine(),
        "pairs_of_a_photograph": PAIRS,
        "megapixels": sizes,
        "results": {name: measure.summary(own, images[name]) for name, own in times.items()},
        "layers_over_reading": {kind: cost(LAYERS, READING, kind) for kind in kinds},
        "fit_over_fit_from_files": {kind: cost(FIT, FILES, kind) for kind in kinds},
    }
    text = json.dumps(report, indent=1)
    arguments.json.write_text(text + "\n") if arguments.json else print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
