#!/usr/bin/env python3
"""Train one DCGAN with and without attention to its spectrum, and measure what it does.

    python recipes/photographs.py --archives data/archives
    python recipes/spectral_training.py --photographs data/photographs

Every variant sees the same squares of the photographs, from the same seed, for as many steps; only
its spectral part, or its last layer too, is another one. `VARIANTS` names them: what is trained for
the spectrum is compared with the same network that is not. Half of the squares of each photograph
are trained on, and the images drawn are measured against the other half.

A run that was cut off goes on, and variants that are in the results already are not trained again.
On one machine, with as many threads, the same photographs give the same figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import report_progress
from torch import Tensor

from gandetect.detect import FeatureSpec, SpectralDetector, extract
from gandetect.detect.folds import source_folds
from gandetect.detect.metrics import ranking
from gandetect.experiments.cloaking import cloaking
from gandetect.gans import PRESETS, Images, preset, sample, train
from gandetect.gans.config import Config
from gandetect.gans.data import patches
from gandetect.gans.distances import Distances, baselines, distances, learned_something
from gandetect.gans.logs import seconds_of
from gandetect.gans.sampling import save_grid
from gandetect.gans.training import as_input
from gandetect.nn.spectral import spectral_l1
from gandetect.ops.benchmark import device_name
from gandetect.ops.reference import GRAY_WEIGHTS
from gandetect.tensorfile import write_whole

# The last layers of Durall et al. (2020) and of Jung and Keuper (2021).
_NEAREST = {"up_last": "nearest", "last_convs": 3}
_TRANSPOSED = {"up_last": "conv_transpose", "last_convs": 3, "last_relu": True}
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {},
    "loss": {"spectral": "loss"},
    "discriminator": {"spectral": "discriminator"},
    "nearest-none": _NEAREST,
    "nearest-loss": {**_NEAREST, "spectral": "loss"},
    "transposed-none": _TRANSPOSED,
    "transposed-discriminator": {**_TRANSPOSED, "spectral": "discriminator"},
}
PLAIN = ("none", "loss", "discriminator")
# By how much the loss is to lower the spectral L1.
GOAL = 0.5
# Standard errors of a 95 % interval.
_REACH = 1.96
_SHOWN = 64


def main() -> int:
    args = arguments()
    torch.set_num_threads(args.threads)
    base = replace(preset("dcgan", args.preset), **({"steps": args.steps} if args.steps else {}))
    trained_on, measured_on = halves(
        patches(
            args.photographs,
            base.size,
            per_photograph=args.per_photograph,
            seed=args.seed,
            least_factor=args.least_factor,
            cache=args.runs,
        )
    )
    settings = {
        "model": "dcgan",
        "config": base.to_dict(),
        "seed": args.seed,
        "trained_on": trained_on.card(),
        "measured_on": measured_on.card(),
        "samples": min(args.samples, len(measured_on)),
    }
    rows = earlier_rows(args.out, settings)
    if "real" not in rows:
        rows["real"] = real_row(trained_on, measured_on, settings["samples"], args.seed)
    for name in args.variants:
        config = replace(base, **VARIANTS[name])
        if name not in rows or rows[name]["config"] != _as_json(config.to_dict()):
            rows[name] = trained_row(name, config, trained_on, measured_on, settings, args.runs)
        print(f"{name}: {shown(rows[name])}", file=sys.stderr, flush=True)
        write(args.out, settings, rows)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, default=Path("data/photographs"))
    parser.add_argument("--runs", type=Path, default=Path("data/spectral_training"))
    parser.add_argument("--out", type=Path, default=Path("docs/experiments/spectral-training.json"))
    parser.add_argument("--preset", choices=PRESETS, default="run", help="of DCGAN")
    parser.add_argument("--steps", type=int, help="iterations; the preset's where it is not given")
    parser.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=PLAIN)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=2000, help="images measured of each")
    parser.add_argument("--per-photograph", type=int, default=40, help="squares cut")
    parser.add_argument("--least-factor", type=float, default=2.0, help="of their reduction")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def halves(images: Images) -> tuple[Images, Images]:
    """Every second square of each photograph, and the others."""
    return tuple(
        images.take(range(start, len(images), 2), half=which)
        for start, which in enumerate(("even squares", "odd squares"))
    )  # type: ignore[return-value]


def earlier_rows(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The rows that `path` has already; none where they are of other settings."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["rows"] if found["settings"] == _as_json(settings) else {}


def trained_row(
    name: str,
    config: Config,
    trained_on: Images,
    measured_on: Images,
    settings: Mapping[str, Any],
    runs: Path,
) -> dict[str, Any]:
    """Train a variant, or go on with it, and measure what it draws."""
    seed, count = settings["seed"], settings["samples"]
    model = train("dcgan", config, trained_on, runs / name, seed=seed, progress=report_progress)
    drawn = sample(model, count, seed=seed + 1)
    save_grid(drawn[:_SHOWN], runs / f"{name}.png")
    generated = Images(drawn, {}, sources=[f"drawn {number}" for number in range(count)])
    learned = learned_something(
        drawn, measured_on.images[_spread(len(measured_on), count)], seed=seed
    )
    return {
        "config": config.to_dict(),
        "seconds": round(seconds_of(runs / name, config.steps) or 0),
        "learned": bool(learned),
        **measures(generated, measured_on, seed),
    }


def real_row(trained_on: Images, measured_on: Images, count: int, seed: int) -> dict[str, Any]:
    """The training images measured as if they were generated: as good as it gets."""
    compared = trained_on.take(_spread(len(trained_on), count))
    images = measured_on.images[_spread(len(measured_on), count)]
    return {
        **measures(compared, measured_on, seed),
        "baselines": _told(baselines(images, seed=seed)),
    }


def measures(generated: Images, measured_on: Images, seed: int) -> dict[str, Any]:
    """Everything that is measured of generated images, as JSON values."""
    real = measured_on.take(_spread(len(measured_on), len(generated)))
    sources = (generated.sources or (), real.sources or ())
    return {
        "spectral_l1": float(spectral_l1(as_input(generated.images), as_input(real.images))),
        "distances": distances(generated.images, real.images, seed=seed).to_dict(),
        "cloaking": cloaking(generated.images, real.images, sources=sources, seed=seed).to_dict(),
        "detector_auc": detector_auc(generated, real, seed),
    }


def detector_auc(generated: Images, real: Images, seed: int) -> list[float]:
    """AUC with its interval of a logistic regression on spectral profiles, held out by source."""
    labels = np.repeat([0, 1], [len(real), len(generated)])
    sources = np.array([*(real.sources or ()), *(generated.sources or ())])
    planes = torch.cat([gray(real.images), gray(generated.images)])
    features = extract(planes, FeatureSpec()).numpy()
    scores = np.empty(len(labels))
    for fitted_on, held_out in source_folds(labels, sources, seed):
        detector = SpectralDetector().fit(features[fitted_on], labels[fitted_on])
        scores[held_out] = detector.decision_function(features[held_out])
    return ranking(labels, scores, sources, seed=seed)["auc"].to_list()


def gray(images: Tensor) -> Tensor:
    """Luma planes (N, S, S) uint8 of images (N, C, S, S) uint8."""
    if images.shape[1] == 1:
        return images[:, 0]
    weights = torch.tensor(GRAY_WEIGHTS)[:, None, None]
    return (images * weights).sum(dim=1).round().to(torch.uint8)


def compared(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Each variant that is trained for the spectrum beside the same network that is not."""
    found = {}
    for name, row in rows.items():
        kind = name.rpartition("-")[0]
        plain = f"{kind}-none" if kind else "none"
        if name in ("real", plain) or plain not in rows:
            continue
        than = rows[plain]
        lowered = 1 - row["spectral_l1"] / than["spectral_l1"]
        ours, theirs = row["distances"], than["distances"]
        reach = _REACH * float(np.hypot(ours["mmd_error"], theirs["mmd_error"]))
        found[name] = {
            "than": plain,
            "spectral_l1_lowered_by": lowered,
            "mmd_change": [ours["mmd"] - theirs["mmd"] + by for by in (0, -reach, reach)],
            "frechet_change": ours["frechet"] - theirs["frechet"],
            "reaches_goal": lowered >= GOAL and ours["mmd"] - theirs["mmd"] <= reach,
        }
    return found


def write(path: Path, settings: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    """The results, whole or not at all."""
    document = {
        "settings": settings,
        "torch": torch.__version__,
        "machine": {"cpu": device_name("cpu"), "threads": torch.get_num_threads()},
        "seconds": round(sum(row.get("seconds", 0) for row in rows.values())),
        "rows": rows,
        "compared": compared(rows),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(document, indent=1) + "\n").encode())


def shown(row: Mapping[str, Any]) -> str:
    """A row in a line."""
    of, cloak = row["distances"], row["cloaking"]
    return (
        ("" if row["learned"] else "learned nothing; ")
        + f"spectral L1 {row['spectral_l1']:.3f}, distance {of['frechet']:.2f}, "
        f"mmd {of['mmd']:.3f} ({of['mmd_error']:.3f}), CloakingScore {cloak['published']:.2f}, "
        f"held out {cloak['held_out'][0]:.2f}, AUC {row['detector_auc'][0]:.3f}"
    )


def _spread(total: int, count: int) -> Sequence[int]:
    """`count` of `total` numbers at equal distances, so that all photographs are among them."""
    return np.linspace(0, total - 1, count).astype(int).tolist()


def _told(found: Mapping[str, Distances]) -> dict[str, Any]:
    return {name: one.to_dict() for name, one in found.items()}


def _as_json(values: Any) -> Any:
    """As a file of JSON gives them back: tuples are lists there."""
    return json.loads(json.dumps(values))


if __name__ == "__main__":
    raise SystemExit(main())
