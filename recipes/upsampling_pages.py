#!/usr/bin/env python3
"""Put what the up-sampling experiment found into the documents.

    gandetect experiment upsampling --data data/photographs --out data/experiments/upsampling
    python recipes/upsampling_pages.py data/experiments/upsampling

Copies results, report and figures to `docs/experiments/upsampling/` and writes every table to
`docs/experiments/upsampling.md`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from gandetect.report.upsampling import read_results, tables_markdown, write_report

DOCUMENTS = Path("docs/experiments")
KEPT = ("results.json", "report.html")
FIGURES = "figures"


def copy_experiment(folder: Path, name: str) -> None:
    """Results, page and figures of the experiment in `folder`, for the documents."""
    out = DOCUMENTS / name
    out.mkdir(parents=True, exist_ok=True)
    for one in KEPT:
        shutil.copyfile(folder / one, out / one)
    shutil.rmtree(out / FIGURES, ignore_errors=True)
    shutil.copytree(folder / FIGURES, out / FIGURES)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the experiment")
    folder = parser.parse_args().folder
    write_report(folder)
    copy_experiment(folder, "upsampling")
    tables = tables_markdown(read_results(folder))
    (DOCUMENTS / "upsampling.md").write_text(tables, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
