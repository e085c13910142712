#!/usr/bin/env python3
"""Draw the pictures of the README, docs/img/report.png and docs/img/spectra.png, and take down
what the terminal shows, docs/img/screen.txt.

    python docs/pictures.py report screen spectra      # any of them

The report is the first screen of the page of a run over examples/media by the detector that ships,
photographed by a headless Chromium (Debian: `apt-get install chromium`; elsewhere `--browser`). The
spectra are those of photographs and of the same photographs brought back by two up-scaling
networks; `recipes/photographs.py` and `recipes/third_party.py` make them under data/.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from gandetect.report import plots
from gandetect.report.html import write_report
from gandetect.report.spectra import ProfileOptions, measure, panels
from gandetect.screen import screen

ROOT = Path(__file__).resolve().parent.parent
# In CSS pixels, each of them SCALE pixels of the picture.
WINDOW = {"width": 1000, "height": 1286}
SCALE = 1.4
CLASSES = {
    "photographs": "waifu2x_real",
    "up-scaled by waifu2x": "waifu2x",
    "up-scaled by Real-ESR": "realesr_video",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", choices=["report", "screen", "spectra"])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--third-party", type=Path, default=ROOT / "data" / "third_party")
    parser.add_argument("--browser", default="chromium", help="program, by name or path")
    args = parser.parse_args()
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    if "spectra" in args.pictures:
        draw_spectra(args.third_party, args.out / "spectra.png")
    if "screen" in args.pictures:
        take_down(args.out / "screen.txt")
    if "report" in args.pictures:
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


def take_down(out: Path) -> None:
    """What `gandetect screen` prints of the sample media; one of them is broken on purpose."""
    with tempfile.TemporaryDirectory() as scratch:
        program = [sys.executable, "-m", "gandetect", "screen", "media/"]
        done = subprocess.run(
            [*program, "--db", os.path.join(scratch, "screen.sqlite")],
            cwd=ROOT / "examples", stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 1:
        raise SystemExit(f"screening ended with {done.returncode}")
    lines = [
        re.sub(r" frames in .*", " frames", line.rstrip()) for line in done.stdout.splitlines()
    ]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def photograph_report(browser: str, out: Path) -> None:
    program = shutil.which(browser)
    if program is None:
        raise SystemExit(f"there is no {browser}: install Chromium, or name yours with --browser")
    # As a user would from the root, so that the page shows short paths.
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as scratch:
        db, page = Path(scratch) / "run.sqlite", Path(scratch) / "report.html"
        screen([os.path.join("examples", "media")], db=db, every=1.0)
        write_report(db, page)
        photograph(program, page, out)
    shrink(out)


def photograph(program: str, page: Path, out: Path) -> None:
    """What the window shows before anybody scrolls."""
    # No sandbox: as root, as in a container, Chromium has none, and the page is our own.
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        view = chromium.new_page(viewport=WINDOW, device_scale_factor=SCALE, color_scheme="light")
        view.goto(page.as_uri())
        view.screenshot(path=out)
        chromium.close()


def shrink(path: Path) -> None:
    """Few colors suffice for lines, text and pictures in gray."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main())
