#!/usr/bin/env python3
"""How far the figures of the shipped detector depend on the luck of its simulation.

    python recipes/shipped.py
    python recipes/third_party.py ...            (see there; makes data/third_party)
    python recipes/seeds.py --out docs/seeds.json

The detector is made again with other seeds, of the pairs that are drawn and of the fit; photographs
and networks are the same. Each is measured on every generator of others, in the region and against
the reals that the card's first table has. Models are kept in data/seeds, and one that is there and
was made of the same photographs and networks is not made again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import made_by, parser, report_progress, write_figures
from evaluate_shipped import DELIVERIES, KINDS_OF_REALS, REDUCED, REGIONS, by_region, sets
from shipped import MODELS, NAME, SEED, listed, train

from gandetect.detect.evaluation import Scored, folder_items, score_items, tabulate
from gandetect.detect.model import Model
from gandetect.detect.perturbations import named
from gandetect.detect.simulation.network import load_bank
from gandetect.processes import processors

# Besides the one that ships. The large tiles of one take the next number.
SEEDS = tuple(SEED + 10 * n for n in range(1, 5))
# Intervals of single figures are in the card; here they are not asked for.
FEW = 20


def main() -> int:
    args = options(__doc__, "seeds").parse_args()
    places = args.photographs, args.held_out, args.networks
    shipped = Model.load(MODELS / f"{NAME}.safetensors")
    models = {SEED: shipped, **{seed: made(seed, places, args.models) for seed in SEEDS}}
    torch.set_num_threads(args.threads)
    report: dict[str, Any] = {**made_by(args), "shipped": shipped.sha256, "seeds": {}}
    for seed, model in models.items():
        own = measured(model, args.generated)
        report["seeds"][str(seed)] = {
            "sha256": model.sha256,
            "auc_on_held_out_pairs": model.card["judged"]["auc"],
            "generators": own,
        }
        print(f"{seed}: {json.dumps(means(list(own.values())))}", file=sys.stderr, flush=True)
    report["summary"] = summary([one["generators"] for one in report["seeds"].values()])
    write_figures(args.out, report)
    return 0


def options(doc: str | None, name: str) -> argparse.ArgumentParser:
    """Of a recipe that makes models and measures them: docs/`name`.json and data/`name`."""
    found = parser(doc, Path(f"docs/{name}.json"), seeded=False)
    found.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    found.add_argument("--held-out", type=Path, default=Path("data/held_out"))
    found.add_argument("--networks", type=Path, default=Path("data/networks"))
    found.add_argument("--generated", type=Path, default=Path("data/third_party"))
    found.add_argument("--models", type=Path, default=Path(f"data/{name}"))
    return found


def made(seed: int, places: tuple[Path, Path, Path], folder: Path) -> Model:
    """The detector of `seed`, from `folder` where it is there."""
    path = folder / f"{NAME}-{seed}.safetensors"
    if path.exists() and is_of(Model.load(path), places):
        return Model.load(path)
    model = train(*places, seed=seed, workers=processors())
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def is_of(model: Model, places: tuple[Path, Path, Path]) -> bool:
    """Whether `model` was made of what lies in `places`."""
    photographs, held_out, networks = places
    card = model.card
    return (
        card["photographs"] == listed(photographs)
        and card["held_out"] == listed(held_out)
        and card["simulation"]["networks"] == [one.id for one in load_bank(networks)]
    )


def measured(
    model: Model,
    folder: Path,
    of: Callable[[Path], Iterable[tuple[Path, Path, dict[str, str]]]] = sets,
    regions: Sequence[int] = REGIONS,
) -> dict[str, dict[str, float]]:
    """AUC of each generator by delivery, against reals that were reduced first, in the largest of
    `regions` that all images have; and whether it is a `test` one."""
    found = {}
    for generated, real, about in of(folder):
        if KINDS_OF_REALS[about["reals"]] == REDUCED:
            name = about["generator"]
            reals = scores(model, real, 0, regions)
            made_ones = scores(model, generated, 1, regions)
            rows = tabulate(reals, {name: made_ones}, None, replicates=FEW)
            aucs = {row["perturbation"]: row["auc"][0] for row in sorted(rows, key=by_region)}
            found[name] = {"test": float(about["split"] == "test"), **aucs}
    return found


def scores(model: Model, folder: Path, label: int, regions: Sequence[int]) -> list[Scored]:
    """Of the images of a folder."""
    found, failed = score_items(
        folder_items(folder, label),
        lambda item: model,
        regions=regions,
        perturbations=named(*DELIVERIES),
        progress=report_progress,
        workers=processors(),
    )
    if failed:
        raise SystemExit(f"unreadable images: {failed}")
    return found


def means(generators: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean and worst AUC by delivery."""
    return {
        f"{what} {delivery}": float(of([one[delivery] for one in generators]))
        for delivery in DELIVERIES
        for what, of in (("mean", np.mean), ("worst", np.min))
    }


def summary(seeds: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Of `means`, of all generators and of the `test` ones: between the seeds, the mean, the
    standard deviation, the least and the most."""
    found = {}
    for name, only_test in (("test", True), ("all", False)):
        each = [means([g for g in one.values() if g["test"] or not only_test]) for one in seeds]
        found[name] = {
            key: {
                "mean": statistics.mean(values),
                "deviation": statistics.stdev(values),
                "least": min(values),
                "most": max(values),
            }
            for key in each[0]
            for values in [[one[key] for one in each]]
        }
    return found


if __name__ == "__main__":
    raise SystemExit(main())
