#!/usr/bin/env python3
"""What each classifier knows of generators of others that it was not shown, and how many images of
one it needs.

    python recipes/third_party.py --photographs data/held_out
    python recipes/transfer.py --out docs/transfer.json

The up-scalers of `third_party.py`, lossless, against one set of real images that all of them are
compared with: crops of photographs that were reduced first. Each classifier is trained on each
up-scaler, and on all but one, and tested on each; learning curves are of the classifier that ships.
Networks are left out, of which each of the 120 fits would take minutes; `gandetect evaluate
--transfer` trains whatever the kind of its model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import made_by, parser, report_progress, write_figures
from jpeg_transfer import paired_sets
from third_party import UPSCALERS

from gandetect.detect import cut_tiles, extract
from gandetect.detect.classifiers import spec_for
from gandetect.detect.evaluation import Item, folder_items
from gandetect.detect.metrics import REPLICATES
from gandetect.detect.training import Sample
from gandetect.detect.transfer import classifier_fit, learning_curve, transfer_matrix
from gandetect.media import read_luma
from gandetect.processes import processors

CLASSIFIERS = ("logistic", "additive", "svm", "forest", "kmeans", "spectrum", "dct", "boosted")
SHIPPED = "additive"
TILE = 128
# Of each set at most, each of a photograph of its own.
IMAGES = 75
SUFFIX = "_reduced"


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    names = [name for name in paired_sets(args.sets) if name.removesuffix(SUFFIX) in UPSCALERS]
    # Every set of reals is crops of the same photographs; one of them stands for all.
    reals = folder_items(args.sets / f"{names[-1]}_real", 0)[:IMAGES]
    made = {name: folder_items(args.sets / name, 1)[:IMAGES] for name in names}
    report: dict[str, Any] = {
        **made_by(args),
        "images": {"real": len(reals), **{name: len(items) for name, items in made.items()}},
        "tile": TILE,
        "classifiers": {},
    }
    for classifier in CLASSIFIERS:
        found = measured(classifier, reals, made, args)
        report["classifiers"][classifier] = found
        told = {key: found[key] for key in ("diagonal", "off_diagonal", "mean_left_out")}
        print(f"{classifier}: {json.dumps(told)}", file=sys.stderr, flush=True)
    report["learning_curves"] = curves(reals, made, args)
    write_figures(args.out, report)
    return 0


def arguments() -> argparse.Namespace:
    found = parser(__doc__, Path("docs/transfer.json"))
    found.add_argument("--sets", type=Path, default=Path("data/third_party"))
    found.add_argument("--replicates", type=int, default=REPLICATES)
    found.add_argument("--workers", type=int, default=processors(), help="that share the fits")
    return found.parse_args()


def measured(
    classifier: str, reals: Sequence[Item], made: dict[str, list[Item]], args: argparse.Namespace
) -> dict[str, Any]:
    """The transfer matrix of a classifier, and what its fits to all but one come to."""
    real = samples_of(classifier, reals)
    generated = {name: samples_of(classifier, items) for name, items in made.items()}
    fit = classifier_fit(classifier, args.seed)
    found = transfer_matrix(
        real, generated, fit, seed=args.seed, replicates=args.replicates, progress=report_progress,
        workers=args.workers,
    )  # fmt: skip
    left_out = [estimate.value for estimate in found.left_out.values()]
    return {
        **found.to_dict(),
        "mean_left_out": float(np.mean(left_out)),
        "worst_left_out": float(min(left_out)),
    }


def samples_of(classifier: str, items: Sequence[Item]) -> list[Sample]:
    """The images as `classifier` sees them."""
    spec = spec_for(classifier, TILE)
    found = []
    for item in items:
        tiles = cut_tiles(read_luma(item.path).as_uint8_range(), TILE, min_side=TILE)
        found.append(Sample(item.source, item.label, TILE, extract(tiles, spec).numpy()))
    return found


def curves(
    reals: Sequence[Item], made: dict[str, list[Item]], args: argparse.Namespace
) -> dict[str, Any]:
    """How many images of one up-scaler the classifier that ships needs."""
    real, fit = samples_of(SHIPPED, reals), classifier_fit(SHIPPED, args.seed)
    how = {"seed": args.seed, "workers": args.workers}
    return {
        name: learning_curve(real, samples_of(SHIPPED, items), fit, **how).to_dict()
        for name, items in made.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
