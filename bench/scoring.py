"""What scoring and the look at softness add to screening, above the extraction of features.

    python bench/scoring.py --json bench/results/scoring.json

One worker in one process with one thread, from file to score, interleaved: with the detector that
ships, and with the same features and no score, after which no image is looked into. An image that
scores above half of the reals is looked into for softness and for a hidden JPEG where its file is
lossless: of photographs some are, of soft ones all.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import measure
import torch
from PIL import Image, ImageFilter
from screen import write_images
from threadpoolctl import threadpool_limits
from torch import Tensor

from gandetect.detect import Model, load_shipped
from gandetect.screen.pipeline import ScreenOptions
from gandetect.screen.pool import Chunk
from gandetect.screen.sources import Source, find_files
from gandetect.screen.verdict import LOOK_RATES
from gandetect.screen.work import Scored, Worker

FILES = 64


class FeaturesAlone(Model):
    """Extracts the features of the model and forgets them."""

    class_scores: ClassVar = {}  # type: ignore[misc]

    def logits(self, images: Tensor) -> Tensor:
        return torch.zeros_like(self.features(images)[:, 0])


def folders(work: Path) -> Iterator[tuple[str, Path]]:
    """Crops of photographs: as JPEG, as PNG, and as PNG after a blur of 1.5 pixels."""
    jpeg = work / "jpeg"
    jpeg.mkdir()
    write_images(jpeg, FILES)
    yield "JPEG", jpeg
    for name, sigma in (("PNG", 0.0), ("PNG, blurred", 1.5)):
        folder = work / name
        folder.mkdir()
        for path in sorted(jpeg.iterdir()):
            picture = Image.open(path).convert("L").filter(ImageFilter.GaussianBlur(sigma))
            picture.save(folder / f"{path.stem}.png")
        yield name, folder


def screening(model: Model, files: list[Source]) -> Callable[[], Scored]:
    worker = Worker(ScreenOptions().work(model, 64, "cpu"))
    chunk = Chunk(files, 1)
    return lambda: worker(chunk, lambda position, steps: None)


def measured(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    files = [one for one in find_files([folder]) if isinstance(one, Source)]
    shipped = load_shipped()
    bare = FeaturesAlone(shipped.arrays, shipped.card, shipped.sha256)
    table = {"screened": screening(shipped, files), "features alone": screening(bare, files)}
    scored = table["screened"]()
    assert len(scored.ends) == len(files)
    logits = scored.frames.logits()
    times = measure.interleaved(table, seconds)
    return {
        "case": name,
        "files": len(files),
        "looked_into": float((logits > shipped.suspicious_from(LOOK_RATES[0])["128"]).mean()),
        "throughput_kept": measure.ratio(times["features alone"], times["screened"]),
        "results": {way: measure.summary(own, len(files)) for way, own in times.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each case")
    arguments = parser.parse_args()
    # As `gandetect.screen.work.prepare` has it.
    torch.set_num_threads(1)
    threadpool_limits(1)
    with tempfile.TemporaryDirectory() as work:
        cases = [measured(*one, arguments.seconds) for one in folders(Path(work))]
    report = {"machine": measure.machine(), "threads": 1, "cases": cases}
    text = json.dumps(report, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
