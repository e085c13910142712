"""Peak memory of `gandetect screen` over few and over many files: it must not grow.

    python bench/screen_memory.py [--files 100 10000] [--model FILE] [--out FILE.json]

Screens a folder of hard links to eight small media files (JPEG, PNG and H.264), each count in a
process of its own, and prints JSON: {files: peak resident memory in MB} and the ratio of the last
to the first. Exits with 1 where the ratio is above 1.1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

MAX_RATIO = 1.1

CHILD = """
import json, resource, sys
from gandetect.screen import screen
summary = screen([sys.argv[1]], model=sys.argv[3] or None, db=sys.argv[2], every=0.5, workers=2)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"peak_mb": round(peak, 1), "files": summary.n_files, "errors": summary.n_errors,
                  "frames": summary.n_frames, "seconds": round(summary.seconds, 2)}))
"""


def make_originals(folder: Path) -> list[Path]:
    """Four JPEG, two PNG and two H.264 files of 256 x 256 pixels."""
    import av
    from PIL import Image

    def noise(seed: int) -> np.ndarray:
        coarse = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC)
        return np.asarray(image)

    paths = []
    for i in range(6):
        paths.append(folder / (f"{i}.jpg" if i < 4 else f"{i}.png"))
        Image.fromarray(noise(i)).save(paths[-1])
    for i in range(2):
        paths.append(folder / f"{i}.mp4")
        with av.open(str(paths[-1]), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width = stream.height = 256
            stream.pix_fmt = "yuv420p"
            for shift in range(50):
                picture = np.ascontiguousarray(np.roll(noise(i), 2 * shift, axis=1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode(None))
    return paths


def measure(originals: list[Path], count: int, folder: Path, model: str) -> dict[str, float]:
    """What a run over `count` links reports."""
    links = folder / f"links{count}"
    links.mkdir()
    for i in range(count):
        source = originals[i % len(originals)]
        os.link(source, links / f"{i:06}{source.suffix}")
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(links), str(folder / f"{count}.sqlite"), model],
        stdout=subprocess.PIPE,
        check=True,
    )
    report: dict[str, float] = json.loads(result.stdout)
    if report["files"] != count or report["errors"]:
        raise SystemExit(f"{report['files']} of {count} files, {report['errors']} errors")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--model", default="", help="model file (default: the one that ships)")
    parser.add_argument("--out", help="write the JSON to this file, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        originals = make_originals(Path(name))
        runs = {n: measure(originals, n, Path(name), args.model) for n in args.files}
    peaks = {str(count): run["peak_mb"] for count, run in runs.items()}
    ratio = round(runs[args.files[-1]]["peak_mb"] / runs[args.files[0]]["peak_mb"], 3)
    report = json.dumps(
        {"peak_mb": peaks, "ratio": ratio, "limit": MAX_RATIO, "runs": runs}, indent=2
    )
    print(report)
    if args.out:
        Path(args.out).write_text(report + "\n")
    return int(ratio > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(main())
