#!/usr/bin/env python3
"""Put the atlas of families into the documents.

    gandetect experiment families --data data/photographs --out data/experiments/families
    python recipes/families_pages.py data/experiments/families

Copies results, report and figures to `docs/experiments/families/` and writes every table to
`docs/experiments/families.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from upsampling_pages import DOCUMENTS, copy_experiment

from gandetect.report.families import read_results, tables_markdown, write_report


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the experiment")
    folder = parser.parse_args().folder
    write_report(folder)
    copy_experiment(folder, "families")
    tables = tables_markdown(read_results(folder))
    (DOCUMENTS / "families.md").write_text(tables, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
