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
from typing import Any

from gandetect.report import upsampling

DOCUMENTS = Path("docs/experiments")
KEPT = ("results.json", "report.html")
FIGURES = "figures"


def publish(name: str, report: Any, description: str) -> int:
    """Copy experiment `name`, whose folder is told on the command line, as `report` shows it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="of the experiment")
    folder = parser.parse_args().folder
    report.write_report(folder)
    out = DOCUMENTS / name
    out.mkdir(parents=True, exist_ok=True)
    for one in KEPT:
        shutil.copyfile(folder / one, out / one)
    shutil.rmtree(out / FIGURES, ignore_errors=True)
    shutil.copytree(folder / FIGURES, out / FIGURES)
    tables = report.tables_markdown(report.read_results(folder))
    (DOCUMENTS / f"{name}.md").write_text(tables, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(publish("upsampling", upsampling, (__doc__ or "").splitlines()[0]))
