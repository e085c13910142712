#!/usr/bin/env python3
"""Fit the mask and the warp network to photographs, and judge them by edits of other photographs.

    python recipes/photographs.py --archives data/archives
    python recipes/edits.py --out docs/edits.json

The networks learn from edits of `--photographs` and are judged by edits of `--fresh`, which come
from other packages. Models that are in `--models` already are not fitted again.

Warps are looked at in a second way, which tells how much there is to find. Cubic interpolation
takes the finest detail between pixels and leaves it on them, so the energy of second differences
follows the phase of the displacement. A test that is told the displacement looks for just that: a
detector that must find the displacement first is hardly better.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import made_by, parser, report_progress, write_figures
from torch import Tensor
from torch.nn import functional as F

from gandetect.detect import Model, warps
from gandetect.detect.classifiers import MAPS
from gandetect.detect.map_training import (
    Question,
    Source,
    findings,
    fit_maps,
    load_photographs,
    questions,
)
from gandetect.detect.maps import maps
from gandetect.detect.metrics import ranking
from gandetect.detect.networks.streaming import Steps
from gandetect.detect.views import saved, scaled_crop

TILE = 128
# Deliveries of the informed test: None is lossless, a number the quality of a JPEG.
QUALITIES = (None, 95, 85)
# Half the side of the squares in which the energy of detail is compared with its mean.
REACH = 4


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    report: dict[str, Any] = {
        **made_by(args),
    }
    for kind in MAPS:
        model, seconds = fitted(kind, args)
        fresh, _ = load_photographs(kind, args.fresh, TILE)
        report[kind] = {
            "steps": model.card["training"]["settings"],
            "taught": model.card["maps"]["taught"],
            "photographs": model.card["training"]["images"]["real"],
            "seconds": seconds,
            "audit": model.card["training"]["audit"],
            "fresh_photographs": len({source.name for source in fresh}),
            "found": judged(kind, model, fresh, args.images, args.seed),
        }
        print(f"{kind}: {json.dumps(report[kind]['found'])}", file=sys.stderr, flush=True)
        if kind == "warp":
            report[kind]["informed"] = informed(fresh, args.seed)
    write_figures(args.out, report)
    return 0


def arguments() -> argparse.Namespace:
    found = parser(__doc__, Path("docs/edits.json"))
    found.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    found.add_argument("--fresh", type=Path, default=Path("data/held_out"))
    found.add_argument("--models", type=Path, default=Path("data/edits"))
    found.add_argument("--mask-steps", type=int, default=4000)
    found.add_argument("--warp-steps", type=int, default=2000)
    found.add_argument("--images", type=int, default=2000, help="edits judged of each kind")
    return found.parse_args()


def fitted(kind: str, args: argparse.Namespace) -> tuple[Model, int | None]:
    """The model of `kind`, and the seconds of its fit, which are kept beside it."""
    path = args.models / f"{kind}.safetensors"
    took = path.with_suffix(".seconds")
    if path.exists():
        return Model.load(path), int(took.read_text()) if took.exists() else None
    args.models.mkdir(parents=True, exist_ok=True)
    photographs, _ = load_photographs(kind, args.photographs, TILE, report_progress)
    steps = Steps(count=getattr(args, f"{kind}_steps"))
    start = time.perf_counter()
    fit = fit_maps(
        kind,
        photographs,
        name=kind,
        tile=TILE,
        seed=args.seed,
        steps=steps,
        progress=report_progress,
    )
    seconds = round(time.perf_counter() - start)
    took.write_text(f"{seconds}\n")
    fit.model.save(path)
    return fit.model, seconds


def judged(
    kind: str, model: Model, fresh: Sequence[Source], number: int, seed: int
) -> dict[str, Any]:
    """What `model` finds in edits of the photographs `fresh`: of all, lossless ones and JPEGs."""
    # Another seed than that of the fit, whose own questions were drawn alike.
    asked = list(
        questions(kind, fresh, TILE, seed=seed + 1_000_000, number=number, progress=report_progress)
    )
    parts = {
        "all": asked,
        "lossless": [question for question in asked if question.quality is None],
        "jpeg": [question for question in asked if question.quality is not None],
    }
    return {name: answered(kind, model, part) for name, part in parts.items()}


def answered(kind: str, model: Model, asked: Sequence[Question]) -> dict[str, Any]:
    """Findings by kind of edit, and the AUC of all edits against what was left alone."""
    tiles = torch.stack([question.image for question in asked])
    scores = model.logits(tiles).double().numpy()
    labels = [question.label for question in asked]
    groups = np.array([question.group for question in asked])
    return {
        "auc": ranking(labels, scores, groups)["auc"].to_list(),
        "by_kind": findings(kind, asked, scores, maps(model, tiles)),
    }


def informed(fresh: Sequence[Source], seed: int) -> list[dict[str, Any]]:
    """AUC, by delivery, of the test that is told where a warp is and how it goes."""
    found: dict[int | None, list[tuple[int, float, str]]] = {quality: [] for quality in QUALITIES}
    for number, source in enumerate(fresh):
        report_progress("informed test", number, len(fresh))
        for label, image, phases in pairs(source.load().float(), [seed, number]):
            for quality in QUALITIES:
                score = agreement(saved(image, quality), phases)
                found[quality].append((label, score, source.name))
    rows = []
    for quality, tests in found.items():
        labels, scores, names = zip(*tests, strict=True)
        auc = ranking(labels, np.array(scores), np.array(names))["auc"]
        rows.append({"quality": quality, "images": len(tests), "auc": auc.to_list()})
    return rows


def pairs(plane: Tensor, seed: Sequence[int]) -> Iterator[tuple[int, Tensor, list[Tensor]]]:
    """A view of `plane` (H, W), left alone (0) and warped (1): label, image (S, S), and where each
    pixel of the warped one was read, columns and rows."""
    rng = np.random.default_rng(seed)
    square = scaled_crop(plane, warps.needed_side(TILE), rng)
    motion = warps.draw_motion(rng)
    displacement = warps.random_displacement(TILE, rng)
    phases = warps.read_from(square, motion, displacement)
    yield 0, warps.read(square, motion, torch.zeros_like(displacement)), phases
    yield 1, warps.read(square, motion, displacement), phases


def agreement(image: Tensor, phases: Sequence[Tensor]) -> float:
    """How far the detail of `image` (S, S) follows the cosines of where its pixels were read."""
    pairs = zip(detail(image.float()), phases, strict=True)
    return sum(correlation(energy, torch.cos(2 * math.pi * phase)) for energy, phase in pairs)


def detail(image: Tensor) -> list[Tensor]:
    """Log of the second differences (S, S) along columns and rows, less its mean around."""
    kernel = torch.tensor([1.0, -2.0, 1.0])
    found = []
    for shape, padding in (((1, 1, 1, 3), (1, 1, 0, 0)), ((1, 1, 3, 1), (0, 0, 1, 1))):
        padded = F.pad(image[None, None], padding, mode="reflect")
        energy = torch.log(F.conv2d(padded, kernel.view(shape)).abs() + 1)
        around = F.pad(energy, (REACH,) * 4, mode="reflect")
        found.append((energy - F.avg_pool2d(around, 2 * REACH + 1, 1))[0, 0])
    return found


def correlation(energy: Tensor, pattern: Tensor) -> float:
    pattern = pattern - pattern.mean()
    scale = energy.std() * pattern.std() * math.sqrt(energy.numel())
    return float((energy * pattern).sum() / scale.clamp(min=1e-6))


if __name__ == "__main__":
    raise SystemExit(main())
