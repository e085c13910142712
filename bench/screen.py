"""Screening against bare decoding, and against the same pipeline with other features.

    python bench/screen.py [--json FILE] [--rounds 5] [--quick]

Makes clips of 1080p and 256p H.264 and a folder of 256 x 256 JPEG files, then times on all
processors, interleaved and shuffled, every frame scored: bare decoding by the same decoders, one
file per process; `gandetect.screen.screen` with its results file, from the walk to the last row;
and the same pipeline with the features of torch and of the literature. Features are compared first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import numpy as np
import screen_work
import torch
from numpy.typing import NDArray

from gandetect.detect import Model, load_shipped
from gandetect.screen import screen
from gandetect.screen.pipeline import ScreenOptions, default_workers
from gandetect.screen.pool import Chunk, Pool
from gandetect.screen.sources import Source, find_files
from gandetect.screen.work import Worker

TOLERANCE = 2e-3
COPIES = 5


@dataclass(frozen=True)
class Way:
    """One way to screen: `side` of the tiles, and the model's features."""

    name: str
    region: str
    side: int
    model: type[Model] = Model
    # Slow ways see fewer files; rates are compared.
    n_files: int | None = None


VIDEO_1080P = (
    Way("full frame", "frame", 128),
    Way("28 tiles of 256", "tiles", 256),
    Way("16 tiles of 128 (default)", "tiles", 128),
    Way("center 512", "center", 512),
    Way("one tile of 256", "center", 256),
    Way("full frame, torch rfft2", "frame", 128, screen_work.TorchFeatures),
    Way("full frame, Durall's numpy", "frame", 128, screen_work.DurallFeatures, 2),
)
VIDEO_256P = (
    Way("4 tiles of 128 (default)", "tiles", 128),
    Way("full frame", "frame", 128),
    Way("full frame, torch rfft2", "frame", 128, screen_work.TorchFeatures),
    Way("full frame, Durall's numpy", "frame", 128, screen_work.DurallFeatures, 2),
)
IMAGES = (
    Way("4 tiles of 128 (default)", "tiles", 128),
    Way("one tile of 128", "center", 128),
    Way("4 tiles of 128, torch rfft2", "tiles", 128, screen_work.TorchFeatures),
    Way("4 tiles of 128, Durall's numpy", "tiles", 128, screen_work.DurallFeatures, 500),
)


def photographs() -> list[NDArray[Any]]:
    from skimage import data

    return [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]


def write_clip(path: Path, width: int, height: int, frames: int, rate: int, seed: int) -> None:
    """A camera that drifts over a photograph, with sensor noise; a key frame every two seconds."""
    import av
    from PIL import Image

    noise = np.random.default_rng(seed)
    picture = Image.fromarray(photographs()[seed % 4])
    wide = picture.resize((width * 5 // 4, height * 5 // 4), Image.Resampling.LANCZOS)
    scene = np.asarray(wide).astype(np.int16)
    grains = [noise.normal(0, 6, (height, width, 1)).astype(np.int16) for _ in range(5)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "g": "60"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = (
            width,
            height,
            "yuv420p",
            rate,
        )
        for t in range(frames):
            y = int((scene.shape[0] - height) * (0.5 + 0.5 * np.cos(t / 50 + seed)))
            x = int((scene.shape[1] - width) * (0.5 + 0.5 * np.sin(t / 40 + seed)))
            view = scene[y : y + height, x : x + width] + grains[t % 5]
            picture = np.ascontiguousarray(view.clip(0, 255).astype(np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))


def write_images(folder: Path, count: int) -> None:
    """Crops of photographs as they are and reduced, JPEG of quality 90."""
    from PIL import Image

    random_numbers = np.random.default_rng(1)
    pictures = [Image.fromarray(picture) for picture in photographs()]
    for i in range(count):
        picture = pictures[i % 4]
        if i % 2:
            scale = random_numbers.uniform(256 / min(picture.size), 1)
            size = (max(256, int(side * scale)) for side in picture.size)
            picture = picture.resize(tuple(size), Image.Resampling.LANCZOS)
        x, y = (int(random_numbers.integers(0, side - 255)) for side in picture.size)
        picture.crop((x, y, x + 256, y + 256)).save(folder / f"{i:05}.jpg", quality=90)
    # More names for the same files: enough of them that starting the workers does not count.
    for copy in range(1, COPIES):
        for i in range(count):
            os.link(folder / f"{i:05}.jpg", folder / f"{copy}-{i:05}.jpg")


def make_media(folder: Path, quick: bool) -> dict[str, Path]:
    places = {name: folder / name for name in ("1080p", "256p", "jpeg")}
    for place in places.values():
        place.mkdir()
    frames = 40 if quick else 200
    for i in range(4):
        write_clip(places["1080p"] / f"{i}.mp4", 1920, 1080, frames, 6_000_000, i)
        write_clip(places["256p"] / f"{i}.mp4", 256, 256, 10 * frames, 350_000, i)
    write_images(places["jpeg"], 300 if quick else 4000)
    return places


def sources(folder: Path) -> list[Source]:
    return [found for found in find_files([folder]) if isinstance(found, Source)]


def model_of(way: Way) -> Model:
    shipped = load_shipped()
    return way.model(shipped.arrays, {**shipped.card, "tile": way.side}, way.name)


def check_agreement() -> float:
    """Largest difference of the logits by torch's features from ours; refuses a real one."""
    picture = torch.from_numpy(photographs()[0][:, :, 1].copy())
    worst = 0.0
    for side in (128, 256, 512):
        squares = picture.unfold(0, side, side).unfold(1, side, side).reshape(-1, side, side)
        ours = load_shipped().logits(squares)
        theirs = model_of(Way("", "tiles", side, screen_work.TorchFeatures)).logits(squares)
        worst = max(worst, float((ours - theirs).abs().max()))
    if worst > TOLERANCE:
        raise SystemExit(f"the features do not agree: logits differ by {worst:g}")
    return worst


def bare(folder: Path) -> int:
    chunk = 32 if any(folder.glob("*.jpg")) else 1
    files = sources(folder)
    chunks = (Chunk(files[i : i + chunk]) for i in range(0, len(files), chunk))
    with Pool(screen_work.prepare_bare, None, default_workers()) as pool:
        return sum(outcome[1] for outcome in pool.run(chunks) if outcome is not None)


def screened(folder: Path, way: Way, db: Path) -> int:
    db.unlink(missing_ok=True)
    paths = [folder] if way.n_files is None else [s.path for s in sources(folder)[: way.n_files]]
    summary = screen(
        paths, model=model_of(way), db=db, region=way.region, max_tiles=28 if way.side > 128 else 16
    )
    assert not summary.n_errors
    return summary.n_frames


def timed(run: Callable[[], int]) -> float:
    """Pictures per second."""
    start = time.perf_counter()
    count = run()
    return count / (time.perf_counter() - start)


def compare(folder: Path, ways: tuple[Way, ...], rounds: int, db: Path) -> dict[str, Any]:
    """Rates of bare decoding and of every way; ratios are medians over rounds."""
    runs: dict[str, Callable[[], int]] = {"bare decoding": lambda: bare(folder)}
    for way in ways:
        runs[way.name] = lambda way=way: screened(folder, way, db)
    slow = {way.name for way in ways if way.n_files is not None}
    for name, run in runs.items():
        if name not in slow:
            run()
    rates: dict[str, list[float]] = {name: [] for name in runs}
    order, shuffler = list(runs), random.Random(5)
    for number in range(rounds):
        shuffler.shuffle(order)
        for name in order:
            if name not in slow or number < 2:
                rates[name].append(timed(runs[name]))
                print(f"{folder.name}: {name}: {rates[name][-1]:.0f}/s", file=sys.stderr)
    base = rates["bare decoding"]
    return {
        name: {
            "pictures_per_s": round(statistics.median(values), 1),
            "over_bare": round(
                statistics.median(a / b for a, b in zip(values, base, strict=False)), 4
            ),
            "rounds": [round(value, 1) for value in values],
        }
        for name, values in rates.items()
    }


def latencies(folder: Path, side: int) -> dict[str, float]:
    """Milliseconds from opening a file to its scores, one after the other in one process."""
    way = Way("latency", "tiles", side)
    worker = Worker(ScreenOptions().work(model_of(way)))
    files = sources(folder)[:400]
    samples = []
    for repeat in range(2):
        samples = []
        for source in files:
            start = time.perf_counter()
            worker(Chunk([source]), lambda position, steps: None)
            samples.append(1e3 * (time.perf_counter() - start))
        if repeat == 0 and len(files) < 10:
            break
    p50, p95 = np.percentile(samples, [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3), "files": len(samples)}


def bytes_written(folder: Path, db: Path) -> dict[str, float]:
    """Size of the results over the files and frames in them."""
    db.unlink(missing_ok=True)
    summary = screen([folder], db=db)
    size = db.stat().st_size
    return {
        "bytes": size,
        "per_file": round(size / summary.n_files, 1),
        "per_frame": round(size / summary.n_frames, 1),
    }


def report(places: dict[str, Path], rounds: int, db: Path) -> dict[str, Any]:
    cases = {"1080p": VIDEO_1080P, "256p": VIDEO_256P, "jpeg": IMAGES}
    return {
        "machine": measure.machine(),
        "workers": default_workers(),
        "largest_difference": check_agreement(),
        "media": {
            name: {
                "files": len(sources(place)),
                "mean_bytes": round(statistics.mean(s.size for s in sources(place))),
            }
            for name, place in places.items()
        },
        "rates": {name: compare(places[name], ways, rounds, db) for name, ways in cases.items()},
        "latency": {name: latencies(place, 128) for name, place in places.items()},
        "written": {name: bytes_written(place, db) for name, place in places.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", help="write the results to this file, too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="little material: does it run at all")
    args = parser.parse_args()
    # Workers import this folder's modules.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = make_media(folder, args.quick)
        found = report(places, 2 if args.quick else args.rounds, folder / "bench.sqlite")
    text = json.dumps(found, indent=2)
    print(text)
    if args.json:
        Path(args.json).write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
