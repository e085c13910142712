#!/usr/bin/env python3
"""How much a detector that was trained on PNG files loses on JPEG files.

    python recipes/third_party.py --photographs data/held_out
    python recipes/jpeg_transfer.py --out docs/jpeg-transfer.json

On each set of the generators of others and the real images that belong to it, all of them PNG
files, classifiers are trained and tested in folds that share no source: tested as the files are and
after JPEG at 90 and 75. Beside them what the detector that ships does on the same images, which was
trained on simulations of every compression and on none of them.
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
from common import made_by, parser, write_figures
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect import FeatureSpec, Model, cut_tiles, extract, load_shipped
from gandetect.detect.evaluation import Item, folder_items
from gandetect.detect.folds import source_folds
from gandetect.detect.perturbations import named
from gandetect.detect.training import Sample, fit_samples
from gandetect.media import read_luma

DELIVERIES = ("none", "jpeg-90", "jpeg-75")
CLASSIFIERS = ("logistic", "additive", "svm", "boosted")
SHIPPED = "the detector that ships"
# Of up-scalers and of faces.
TILES = (128, 64)
Array = NDArray[np.float64]


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    model, sets = load_shipped(), {}
    for name in paired_sets(args.sets):
        folders = args.sets / name, args.sets / f"{name}_real"
        sets[name] = measured(*folders, model, args.seed)
        print(f"{name}: {json.dumps(sets[name]['balanced_accuracy'])}", file=sys.stderr, flush=True)
    report = {
        **made_by(args),
        "model": model.sha256,
        "sets": sets,
        "mean": means([one["balanced_accuracy"] for one in sets.values()]),
    }
    write_figures(args.out, report)
    return 0


def arguments() -> argparse.Namespace:
    found = parser(__doc__, Path("docs/jpeg-transfer.json"))
    found.add_argument("--sets", type=Path, default=Path("data/third_party"))
    return found.parse_args()


def paired_sets(folder: Path) -> list[str]:
    """Sets with real images of their own that carry no JPEG: those that were reduced first, and
    faces, whose reals are."""
    names = sorted(one.name for one in folder.iterdir() if (folder / f"{one.name}_real").exists())
    found = [name for name in names if name.endswith("_reduced") or f"{name}_reduced" not in names]
    if not found:
        raise SystemExit(f"{folder}: no sets; make them with recipes/third_party.py")
    return found


def measured(generated: Path, real: Path, model: Model, seed: int) -> dict[str, Any]:
    """Balanced accuracy by classifier and delivery, on sources that were not trained on."""
    items = [*folder_items(real, 0), *folder_items(generated, 1)]
    planes = [read_luma(item.path).as_uint8_range() for item in items]
    smallest = min(min(plane.shape) for plane in planes)
    side = max(tile for tile in TILES if tile <= smallest)
    tiles = {delivery: squares(planes, side, delivery) for delivery in DELIVERIES}
    samples = {delivery: samples_of(items, found) for delivery, found in tiles.items()}
    labels = np.array([item.label for item in items])
    accuracy = {
        classifier: {
            delivery: balanced(labels, scores)
            for delivery, scores in cross_fitted(samples, labels, classifier, seed).items()
        }
        for classifier in CLASSIFIERS
    }
    accuracy[SHIPPED] = {
        delivery: balanced(labels, np.array([float(model.logits(x).mean()) for x in found]))
        for delivery, found in tiles.items()
    }
    return {"images": np.bincount(labels).tolist(), "tile": side, "balanced_accuracy": accuracy}


def squares(planes: Sequence[Tensor], side: int, delivery: str) -> list[Tensor]:
    """The tiles (T, side, side) of each of `planes` (H, W) after `delivery`."""
    (change,) = named(delivery)
    delivered = (change.apply(p.float().clamp(0, 255).round().to(torch.uint8)) for p in planes)
    return [cut_tiles(plane, side, min_side=side) for plane in delivered]


def samples_of(items: Sequence[Item], tiles: Sequence[Tensor]) -> list[Sample]:
    return [
        Sample(item.source, item.label, squares.shape[-1], extract(squares, FeatureSpec()).numpy())
        for item, squares in zip(items, tiles, strict=True)
    ]


def cross_fitted(
    samples: dict[str, list[Sample]], labels: Array, classifier: str, seed: int
) -> dict[str, Array]:
    """Scores (N,) of each delivery by classifiers that were trained on PNG files of others."""
    scores = {delivery: np.empty(len(labels)) for delivery in samples}
    groups = [sample.group for sample in samples["none"]]
    for trained_on, tested in source_folds(labels, groups, seed):
        fit = fit_samples([samples["none"][i] for i in trained_on], classifier, seed, {}, None)
        for delivery, those in samples.items():
            for i in tested:
                logits = fit.logits(torch.from_numpy(those[i].features))
                scores[delivery][i] = float(np.mean(logits))
    return scores


def balanced(labels: Array, scores: Array) -> float:
    """Mean of both accuracies at a score of 0, even odds."""
    return float(np.mean([(scores[labels == 0] < 0).mean(), (scores[labels == 1] > 0).mean()]))


def means(found: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        classifier: {
            delivery: float(np.mean([one[classifier][delivery] for one in found]))
            for delivery in DELIVERIES
        }
        for classifier in found[0]
    }


if __name__ == "__main__":
    raise SystemExit(main())
