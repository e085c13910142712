"""Peak memory of `gandetect screen` over few and over many files: it must not grow.

    python bench/screen_memory.py [--files 1000 100000] [--model FILE] [--out FILE.json]

Screens a folder of hard links to eight small media files (JPEG, PNG and H.264), each count by a
command of its own, and prints JSON: {files: peak memory in MB} and the ratio of the last to the
first. The peak is that of the command with all its workers, each page shared by several counted
once (proportional set size), looked at ten times a second. Exits with 1 where the ratio is above
1.1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MAX_RATIO = 1.1

CHILD = """
import json, sys
from gandetect.screen import screen
summary = screen([sys.argv[1]], model=sys.argv[3] or None, db=sys.argv[2], every=0.5, workers=2)
print(json.dumps({"files": summary.n_files, "errors": summary.n_errors,
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


def members(session: int) -> list[int]:
    """The processes of a session: a command, the server of its workers, and these."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            found.append(int(path.parent.name))
    return found


def held_bytes(pid: int) -> int:
    """Memory of a process, pages that it shares counted by its share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def measure(originals: list[Path], count: int, folder: Path, model: str) -> dict[str, float]:
    """What a run over `count` links reports."""
    links = folder / f"links{count}"
    links.mkdir()
    for i in range(count):
        source = originals[i % len(originals)]
        os.link(source, links / f"{i:06}{source.suffix}")
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(links), str(folder / f"{count}.sqlite"), model],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(held_bytes, members(process.pid))))
        time.sleep(0.1)
    assert process.stdout is not None
    if process.returncode:
        raise SystemExit(f"screening {count} files ended with {process.returncode}")
    report: dict[str, float] = json.loads(process.stdout.read())
    report["peak_mb"] = round(peak / 2**20, 1)
    if report["files"] != count or report["errors"]:
        raise SystemExit(f"{report['files']} of {count} files, {report['errors']} errors")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[1000, 100_000])
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
