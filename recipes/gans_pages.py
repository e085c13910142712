#!/usr/bin/env python3
"""Put the trainings of every model with three seeds into the documents.

    python recipes/gans.py
    python recipes/gans_pages.py

Writes `docs/experiments/gans.md` of `gans.json` and of the pictures that lie beside the documents.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gandetect.report.upsampling import table_markdown
from gandetect.report.upsampling_tables import Table

FOUND = Path("docs/experiments/gans.json")
PAGE = Path("docs/experiments/gans.md")
PICTURES = Path("docs/img")
BASELINES = {"real": "other photographs", "blurred_mean": "blurred means", "noise": "noise"}
HEAD = ("model", "seed", "iterations", "minutes", "diverged", "warned of", "distance", "coverage")
Row = dict[str, Any]


def page(found: Row) -> Iterator[str]:
    """The lines of the document."""
    order = list(found["data"])
    rows = sorted(found["runs"], key=lambda row: (order.index(row["model"]), row["seed"]))
    models, seeds = (len({row[key] for row in rows}) for key in ("model", "seed"))
    diverged = sum(row["diverged"] is not None for row in rows)
    yield "# Every model, trained with several seeds"
    yield ""
    yield (
        f"The `run` preset of {models} models with {seeds} seeds each, {found['precision']}: "
        f"{len(rows)} trainings, of which {diverged} diverged. Made by "
        "`python recipes/gans.py`, which goes on where it stops; every figure is in "
        "[`gans.json`](gans.json)."
    )
    yield ""
    yield table_markdown(Table("gans", "Trainings", HEAD, tuple(map(cells, rows)), 6))
    yield ""
    yield (
        "Distance is Fréchet's, of the responses of random filters; coverage is the share of "
        "images with a sample nearby. Both are of 500 samples and 500 images of the training data; "
        f"distances are {', '.join(baselines(rows))}. "
        "Warnings are those of the monitors, with the iteration; minutes are of one processor, "
        "some of it shared with other work."
    )
    yield ""
    yield from sources(found["data"])
    machines = Counter(row["cpu"] for row in rows)
    told = ", ".join(f"{cpu} ({count} trainings)" for cpu, count in machines.items())
    yield f"Machines: {told}; torch {found['torch']}."
    yield ""
    yield "![losses of every model and seed](../img/gans/curves.png)"
    for name in dict.fromkeys(row["model"] for row in rows):
        if (PICTURES / "models" / f"{name}.png").exists():
            yield ""
            yield f"## {name}"
            yield ""
            yield f"![samples of {name}](../img/models/{name}.png)"
            yield ""
            yield f"![mean spectra of {name}](../img/models/{name}-spectrum.png)"


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    made = (row["learned"] or {}).get("generated", {})
    warned = "; ".join(f"{text} ({step:,})" for text, step in row["warnings"].items())
    return (
        row["model"],
        str(row["seed"]),
        f"{row['steps']:,}",
        f"{row['seconds'] / 60:.0f}",
        "no" if row["diverged"] is None else row["diverged"],
        warned or "nothing",
        f"{made['frechet']:.0f}" if made else "",
        f"{made['coverage']:.2f}" if made else "",
    )


def baselines(rows: Iterable[Row]) -> Iterator[str]:
    """The range of each baseline's distance, over all trainings."""
    learned = [row["learned"]["baselines"] for row in rows if row["learned"]]
    for key, name in BASELINES.items():
        values = [one[key]["frechet"] for one in learned]
        yield f"{min(values):.0f} to {max(values):.0f} for {name}"


def sources(cards: dict[str, Row]) -> Iterator[str]:
    """What was learned from, once for those that learned from the same."""
    kinds: dict[str, list[str]] = {}
    for name, card in cards.items():
        told = f"{card['number']:,} images of {card['sources']:,} files, {card['source']}"
        kinds.setdefault(told, []).append(name)
    for told, names in kinds.items():
        yield f"Trained on {told}: {', '.join(names)}."
    yield ""


def main() -> int:
    lines = page(json.loads(FOUND.read_text(encoding="utf-8")))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
