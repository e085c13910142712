"""What Ray costs against the local engine, and how both grow with processors.

    python bench/screen_ray.py [--images 2000] [--clips 10] [--rounds 3] [--json FILE] [--fill]

Screens a folder of small JPEG files and some clips with the local engine and on a local Ray, with
one and with two processors, rounds interleaved, and once more from the parts of an earlier run,
which is what the driver of a cluster does for every file: read, judge, write. The rows must be the
same each time. `--fill` writes the figures of the JSON file into docs/scaling.md and measures
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from killing import rows_hash
from measure import machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "screen_ray.json"
PAGE = ROOT / "docs" / "scaling.md"
START, END = "<!-- figures:ray -->\n", "<!-- /figures -->"
EVERY = 1.0
SHARD_FILES = 128
CASES = [(engine, cpus) for cpus in (1, 2) for engine in ("local", "ray")]
# Workers are there before the clock starts: one shard or chunk for each.
CHILD = """
import json, logging, os, sys, time
engine, cpus, every, shard_files, folder, warm, db = sys.argv[1:]
cpus = int(cpus)
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
began = time.monotonic()
every, shard_files = float(every), int(shard_files)
options = {"every": every}
if engine == "local":
    from gandetect.screen import screen as run
    options["workers"] = cpus
else:
    import ray
    from gandetect.screen.on_ray import screen_on_ray as run
    ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False,
             logging_level=logging.ERROR, object_store_memory=128 << 20)
    options |= {"workers": 1, "shard_files": 8}
run([warm], db=db + ".warm", **options)
start = time.monotonic() - began
if engine == "ray":
    options |= {"shard_files": shard_files, "parts": db + ".parts"}
summary = run([folder], db=db, **options)
report = {"seconds": summary.seconds, "start_seconds": start, "files": summary.n_files,
          "frames": summary.n_frames}
if engine == "ray":
    again = run([folder], db=db + ".again", **options)
    report["from_parts_seconds"] = again.seconds
print(json.dumps(report))
"""


def make_media(folder: Path, n_images: int, n_clips: int) -> None:
    """Images of 256 x 256 pixels, of which every one is another, and clips of 10 s, 1280 x 720."""
    import av
    from PIL import Image

    chance = np.random.default_rng(0)

    def picture(height: int, width: int) -> np.ndarray:
        coarse = chance.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        grain = chance.integers(-8, 9, (height, width, 3))
        return np.clip(np.asarray(image).astype(np.int16) + grain, 0, 255).astype(np.uint8)

    for i in range(n_images):
        Image.fromarray(picture(256, 256)).save(folder / f"{i:05}.jpg", quality=90)
    for i in range(n_clips):
        still = picture(720, 1280)
        with av.open(str(folder / f"clip{i:02}.mp4"), "w") as container:
            stream: Any = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
            stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
            for shift in range(250):
                frame = np.ascontiguousarray(np.roll(still, 2 * shift, axis=1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode(None))


def measure(folder: Path, warm: Path, db: Path, engine: str, cpus: int) -> dict[str, Any]:
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", CHILD, engine, str(cpus), str(EVERY), str(SHARD_FILES)]
    command += [str(folder), str(warm), str(db)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def run(n_images: int, n_clips: int, rounds: int) -> dict[str, Any]:
    samples: dict[tuple[str, int], list[dict[str, Any]]] = {case: [] for case in CASES}
    hashes = set()
    with tempfile.TemporaryDirectory() as name:
        folder, warm = Path(name, "media"), Path(name, "warm")
        folder.mkdir()
        warm.mkdir()
        make_media(folder, n_images, n_clips)
        for path in sorted(folder.iterdir())[:16]:
            os.link(path, warm / path.name)
        shuffler, order = random.Random(0), list(CASES)
        for number in range(rounds):
            shuffler.shuffle(order)
            for engine, cpus in order:
                db = Path(name, f"{engine}{cpus}-{number}.sqlite")
                samples[engine, cpus].append(measure(folder, warm, db, engine, cpus))
                hashes.add(rows_hash(db))
                if engine == "ray":
                    hashes.add(rows_hash(Path(f"{db}.again")))
    if len(hashes) != 1:
        raise SystemExit("the engines disagree")
    return report_of(samples, n_images, n_clips)


def report_of(
    samples: dict[tuple[str, int], list[dict[str, Any]]], n_images: int, n_clips: int
) -> dict[str, Any]:
    def median(case: tuple[str, int], name: str) -> float:
        return statistics.median(sample[name] for sample in samples[case])

    first = samples[CASES[0]][0]
    cases = {
        f"{engine}, {cpus}": {
            "seconds": round(median((engine, cpus), "seconds"), 3),
            "start_seconds": round(median((engine, cpus), "start_seconds"), 3),
            "frames_per_s": round(first["frames"] / median((engine, cpus), "seconds"), 1),
            "rounds": [round(sample["seconds"], 3) for sample in samples[engine, cpus]],
        }
        for engine, cpus in CASES
    }
    driver = min(median(("ray", cpus), "from_parts_seconds") for cpus in (1, 2))
    return {
        "machine": machine(),
        "time": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "images": n_images,
        "clips": n_clips,
        "frames": first["frames"],
        "shard_files": SHARD_FILES,
        "cases": cases,
        "overhead": {
            str(cpus): round(
                cases[f"ray, {cpus}"]["seconds"] / cases[f"local, {cpus}"]["seconds"] - 1, 3
            )
            for cpus in (1, 2)
        },
        "speedup": {
            engine: round(cases[f"{engine}, 1"]["seconds"] / cases[f"{engine}, 2"]["seconds"], 2)
            for engine in ("local", "ray")
        },
        "driver_seconds": round(driver, 3),
        "driver_files_per_s": round(first["files"] / driver),
        "driver_frames_per_s": round(first["frames"] / driver),
    }


def figures(report: dict[str, Any]) -> str:
    """The block of docs/scaling.md."""
    rows = ["| engine | 1 processor | 2 processors | speedup | start |", "|---|--:|--:|--:|--:|"]
    for engine in ("local", "ray"):
        one, two = (report["cases"][f"{engine}, {cpus}"] for cpus in (1, 2))
        rows.append(
            f"| {engine} | {one['frames_per_s']:,.0f} frames/s | {two['frames_per_s']:,.0f} "
            f"frames/s | {report['speedup'][engine]:.2f}x | {two['start_seconds']:.1f} s |"
        )
    of = report["machine"]
    overhead = ", ".join(f"{100 * share:+.0f} %" for share in report["overhead"].values())
    return "\n".join(
        [
            *rows,
            "",
            f"{report['images']:,} JPEG files of 256² and {report['clips']} clips of 10 s at 720p, "
            f"one frame a second ({report['frames']:,} frames), shards of {report['shard_files']} "
            f"files; {of['cpu']}, {of['cores']} cores, torch {of['torch']}, {of['date']}. Time of "
            f"Ray against the local engine with 1 and 2 processors: {overhead}. The driver alone, "
            f"from parts that are there: {report['driver_files_per_s']:,} files or "
            f"{report['driver_frames_per_s']:,} frames a second. All rows equal.",
        ]
    )


def filled(text: str, report: dict[str, Any]) -> str:
    """The page with the figures in it."""
    head, _, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE} has no block for the figures")
    return f"{head}{START}{figures(report)}\n{END}{tail}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    parser.add_argument("--fill", action="store_true", help="only fill docs/scaling.md")
    args = parser.parse_args()
    if args.fill:
        report = json.loads(RESULTS.read_text())
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")
        return 0
    report = run(args.images, args.clips, args.rounds)
    print(json.dumps(report, indent=2))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
