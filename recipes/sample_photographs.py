#!/usr/bin/env python3
"""Gather the photographs that come with scikit-image, scikit-learn and this repository.

    python recipes/sample_photographs.py demo/photographs

Two dozen, enough to see `gandetect experiment ... --preset smoke` at work without any download, and
too few to learn anything from them; `recipes/photographs.py` gets hundreds.
"""

from __future__ import annotations

import argparse
import shutil
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).parent.parent
SAMPLES = {
    "skimage.data": (
        "astronaut.png",
        "brick.png",
        "camera.png",
        "chelsea.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "moon.png",
        "motorcycle_left.png",
        "retina.jpg",
        "rocket.jpg",
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}


def gather(folder: Path) -> list[Path]:
    """Copy every sample to `folder`; the copies."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = [Path(str(files(package) / name)) for package in SAMPLES for name in SAMPLES[package]]
    sources += sorted(HERE.glob("examples/media/real_*.[jp][pn]g"))
    return [Path(shutil.copy(source, folder / source.name)) for source in sources]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    copied = gather(parser.parse_args().folder)
    print(f"{len(copied)} photographs in {copied[0].parent}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
