#!/usr/bin/env python3
"""Every classifier of `gandetect fit` on the fakes of the detector that ships: what it sees of the
up-scalers of others.

    python recipes/networks.py ...               (see there; makes data/networks)
    python recipes/third_party.py ...            (see there; makes data/third_party)
    python recipes/classifiers.py --out docs/classifiers.json

One set of self-made pairs, of the photographs and networks that the shipped detector is made of,
in tiles of one size. No image of anybody's generator is trained on. Networks see four tiles of an
image at most, the others as many as `gandetect fit` shows them. Models are kept in --models, and
one that is there and was made of the same photographs and networks is not made again. With --only,
what --out says of the others stays, if it was measured of the same pairs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import made_by, report_progress, write_figures
from evaluate_shipped import upscaled_sets
from seeds import means, measured, options
from shipped import MODELS, NAME, SEED, listed, simulated

from gandetect.detect.classifiers import CLASSIFIERS, MAPS, spec_for
from gandetect.detect.loading import in_order
from gandetect.detect.model import Model
from gandetect.detect.simulation.network import GeneratorNetwork, load_bank
from gandetect.detect.training import Dataset, fit_model
from gandetect.processes import processors

TILE = 128
# Of each photograph, and of each of those that calibrate.
PAIRS, HELD_OUT_PAIRS = 16, 2
NAMED = tuple(name for name in CLASSIFIERS if name not in MAPS)


def main() -> int:
    found = options(__doc__, "classifiers")
    found.add_argument("--pairs", type=int, default=PAIRS, help="of each photograph")
    found.add_argument("--only", nargs="+", choices=NAMED, default=NAMED, metavar="CLASSIFIER")
    found.add_argument("--workers", type=int, default=processors())
    args = found.parse_args()
    torch.set_num_threads(args.threads)
    args.models.mkdir(parents=True, exist_ok=True)
    models = {NAME: Model.load(MODELS / f"{NAME}.safetensors")}
    for alike in sharing_features(args.only):
        models |= made(alike, args)
    report: dict[str, Any] = {**made_by(args), **pairs_of(args), "classifiers": known(args)}
    for name, model in models.items():
        generators = measured(model, args.generated, upscaled_sets, (TILE,))
        report["classifiers"][name] = {
            "sha256": model.sha256,
            "auc_on_held_out_pairs": model.card["judged"]["auc"],
            "generators": generators,
            "all": means(list(generators.values())),
            "test": means([one for one in generators.values() if one["test"]]),
        }
        told = report["classifiers"][name]["all"]
        print(f"{name}: {json.dumps(told)}", file=sys.stderr, flush=True)
    write_figures(args.out, report)
    return 0


def pairs_of(args: Any) -> dict[str, Any]:
    """What is the same of all classifiers of a report."""
    made_of = hashlib.sha256(json.dumps(origin_of(args), sort_keys=True).encode()).hexdigest()
    return {"tile": TILE, "pairs_of_a_photograph": args.pairs, "made_of": made_of}


def origin_of(args: Any) -> dict[str, Any]:
    """The photographs and the networks that the pairs are made of."""
    return {
        "photographs": listed(args.photographs),
        "held_out": listed(args.held_out),
        "networks": [network.id for network in load_bank(args.networks)],
        "pairs": args.pairs,
    }


def known(args: Any) -> dict[str, Any]:
    """What the report in `args.out` says of classifiers, of the same pairs; none where there is
    none."""
    if not args.out.exists():
        return {}
    report = json.loads(args.out.read_text())
    same = all(report.get(key) == value for key, value in pairs_of(args).items())
    return dict(report["classifiers"]) if same else {}


def sharing_features(names: Sequence[str]) -> list[list[str]]:
    """`names`, those together that are fitted to the same features."""
    groups: dict[Any, list[str]] = {}
    for name in names:
        groups.setdefault(json.dumps(spec_for(name, TILE).to_dict()), []).append(name)
    return list(groups.values())


def made(names: Sequence[str], args: Any) -> dict[str, Model]:
    """The models of classifiers that share their features, from `args.models` where they are."""
    bank, origin = load_bank(args.networks), origin_of(args)
    paths = {name: args.models / f"{name}.safetensors" for name in names}
    missing = [name for name in names if not is_of(paths[name], origin)]
    if missing:
        data = [
            seen(folder, pairs, bank, missing[0], args.workers)
            for folder, pairs in ((args.photographs, args.pairs), (args.held_out, HELD_OUT_PAIRS))
        ]
        fit = partial(fitted, data[0], data[1], origin)
        for name, model in zip(missing, in_order(fit, missing, args.workers), strict=True):
            model.save(paths[name])
    return {name: Model.load(path) for name, path in paths.items()}


def is_of(path: Path, origin: dict[str, Any]) -> bool:
    """Whether there is a model in `path` that was made of what `origin` lists."""
    return path.exists() and Model.load(path).card.get("origin") == origin


def seen(
    photographs: Path, pairs: int, bank: Sequence[GeneratorNetwork], name: str, workers: int
) -> Dataset:
    """Self-made pairs of `photographs` as the classifier `name` sees them."""
    return simulated(
        photographs, pairs, bank, spec_for(name, TILE),
        seed=SEED, tiles=(TILE,), min_side=TILE, workers=workers,
    )  # fmt: skip


def fitted(dataset: Dataset, held_out: Dataset, origin: dict[str, Any], name: str) -> Model:
    """The classifier `name` on `dataset`, calibrated on `held_out`."""
    return fit_model(
        dataset,
        spec_for(name, TILE),
        name=name,
        classifier=name,
        tile=TILE,
        seed=SEED,
        details={"origin": origin},
        held_out=held_out,
        progress=report_progress,
    ).model


if __name__ == "__main__":
    raise SystemExit(main())
