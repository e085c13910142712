"""The image sets that are compared: real and generated, as many of each, written alike.

    sets/<real or a generator>/<train, validation or test>/00000.png

Real images are divided by photograph, generated ones by the number of their latents. All are RGB,
8 bits, written by one function, so that a file tells nothing of who made it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from gandetect.experiments.upsampling.photographs import chosen, digests
from gandetect.experiments.upsampling.plan import REAL, SPLITS
from gandetect.experiments.upsampling.training import RUNS, step_name
from gandetect.experiments.upsampling.work import Work
from gandetect.gans import load_model, sample
from gandetect.gans.data import Images

FOLDER = "sets"
FORMAT = "PNG, RGB, 8 bits"
# Away from the seeds of the training, whose sample grids a person may have looked at.
_LATENTS = 1_000_003


def write_sets(
    work: Work, generators: Sequence[str], parts: Mapping[str, Images]
) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Write the sets of the reals and of the trained `generators` that are not there yet.

    `parts`: the real squares by split. Returns how many images of a class each split has, and the
    photograph of each real image, by split.
    """
    real = {name: chosen(parts[name], work.effort.counts[name]) for name in SPLITS}
    counts = {name: len(one) for name, one in real.items()}
    pixels = {name: one.images for name, one in real.items()}
    work.steps.document(
        set_step(REAL),
        [digests(parts), counts],
        partial(write_set, work.folder, REAL, pixels),
    )
    for number, name in enumerate(generators):
        work.tell(f"generating images of {name}", number, len(generators))
        work.steps.document(
            set_step(name),
            [work.steps.digest(step_name(name)), counts, work.seed],
            partial(_write_generated, work.folder, name, counts, work.seed),
        )
    return counts, {name: list(one.sources or ()) for name, one in real.items()}


def set_step(name: str) -> str:
    """The step that writes the images of `name`."""
    return f"sets/{name}"


def _write_generated(
    folder: Path, name: str, counts: Mapping[str, int], seed: int
) -> dict[str, Any]:
    model = load_model(folder / RUNS / name)
    images = sample(model, sum(counts.values()), seed=seed + _LATENTS)
    parts = images.split(list(counts.values()))
    return write_set(folder, name, dict(zip(counts, parts, strict=True)))


def write_set(folder: Path, name: str, images: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write the `images` (N, C, S, S) uint8 of each split; their counts and a digest."""
    digest = hashlib.sha256()
    for split, part in images.items():
        place = folder / FOLDER / name / split
        place.mkdir(parents=True, exist_ok=True)
        # Of a run with other counts.
        for old in place.glob("*.png"):
            old.unlink()
        for number, image in enumerate(part):
            pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
            digest.update(pixels.tobytes())
            Image.fromarray(pixels).save(place / f"{number:05d}.png")
    return {
        "counts": {one: len(part) for one, part in images.items()},
        "sha256": digest.hexdigest(),
    }
