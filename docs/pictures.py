#!/usr/bin/env python3
"""Draw the pictures of the README: docs/img/report.png and docs/img/spectra.png.

    python docs/pictures.py

The report is the page of a run over examples/media by the detector that ships, photographed by a
headless Chromium (`--browser`). The spectra are those of photographs and of the same photographs
brought back by two up-scaling networks; `recipes/photographs.py` and `recipes/third_party.py` make
them under data/.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from gandetect.report import plots
from gandetect.report.html import write_report
from gandetect.report.spectra import ProfileOptions, measure, panels
from gandetect.screen import screen

ROOT = Path(__file__).resolve().parent.parent
WINDOW = (1100, 1660)
CLASSES = {
    "photographs": "waifu2x_real",
    "up-scaled by waifu2x": "waifu2x",
    "up-scaled by Real-ESR": "realesr_video",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--third-party", type=Path, default=ROOT / "data" / "third_party")
    parser.add_argument("--browser", default=shutil.which("chromium") or "chromium")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    draw_spectra(args.third_party, args.out / "spectra.png")
    photograph_report(args.browser, args.out / "report.png")
    return 0


def draw_spectra(folder: Path, out: Path) -> None:
    missing = [name for name in CLASSES.values() if not (folder / name).is_dir()]
    if missing:
        raise SystemExit(f"{folder} lacks {', '.join(missing)}: run recipes/third_party.py")
    options = ProfileOptions(projections=("azimuthal", "columns"))
    classes = [measure(name, folder / part, options) for name, part in CLASSES.items()]
    series = panels(classes, options.projections)
    out.write_bytes(plots.profile_bands(series, ylabel=options.label, image_format="png"))
    shrink(out)


def photograph_report(browser: str, out: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        db, page = Path(scratch) / "run.sqlite", Path(scratch) / "report.html"
        screen([os.path.relpath(ROOT / "examples" / "media")], db=db)
        write_report(db, page)
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--window-size={WINDOW[0]},{WINDOW[1]}",
                f"--screenshot={out}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
        )
    shrink(out)


def shrink(path: Path) -> None:
    """256 colors suffice for lines and text."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main())
