#!/usr/bin/env python3
"""Put the atlas of families into the documents.

    gandetect experiment families --data data/photographs --data data/held_out \\
        --out data/experiments/families --precision bfloat16
    python recipes/families_pages.py data/experiments/families

Copies results, report and figures to `docs/experiments/families/` and writes every table to
`docs/experiments/families.md`.
"""

from __future__ import annotations

from upsampling_pages import publish

from gandetect.report import families

if __name__ == "__main__":
    raise SystemExit(publish("families", families, (__doc__ or "").splitlines()[0]))
