#!/usr/bin/env python3
"""Train the `run` preset of every GAN with three seeds, and say what became of each.

    python recipes/photographs.py --archives data/archives
    python recipes/digits.py
    python recipes/gans.py

Squares of the photographs for all but the perceptrons of 2014, which get digits. For each training:
whether it diverged, what the monitors warned of, the losses, and how far its samples are from the
images, beside what has learned nothing. `docs/experiments/gans.json`, sample grids and curves in
`docs/img/gans/`. It goes on where it stopped; hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gandetect.gans import MODELS, Diverged, Images, Settings, patches, preset, sample, train
from gandetect.gans.digits import digits
from gandetect.gans.distances import learned_something
from gandetect.gans.logs import read_log
from gandetect.gans.sampling import save_grid
from gandetect.ops.benchmark import device_name
from gandetect.tensorfile import write_whole

SEEDS = (0, 1, 2)
SHOWN = 40
COMPARED = 1000
POINTS = 40
OUT = Path("docs/experiments/gans.json")
PICTURES = Path("docs/img/gans")


def data_for(name: str, arguments: argparse.Namespace) -> Images:
    """Digits for the perceptrons, squares of photographs for everyone else."""
    if name == "gan":
        return digits(arguments.digits, preset(name).size).without_labels()
    return patches(
        arguments.photographs,
        preset(name).size,
        per_photograph=56,
        cache=arguments.runs / "photographs",
    )


def trained(name: str, seed: int, data: Images, arguments: argparse.Namespace) -> dict[str, Any]:
    """One training and its figures; read from its file where that is there."""
    folder = arguments.runs / f"{name}-{seed}"
    done = folder / "figures.json"
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    config = preset(name)
    if arguments.steps:
        config = replace(config, steps=arguments.steps)
    settings = Settings(precision=arguments.precision)
    begun, diverged, learned = time.monotonic(), None, None
    try:
        model = train(name, config, data, folder, seed=seed, settings=settings)
        drawn = sample(model, COMPARED, seed=seed)
        save_grid(drawn[:SHOWN], folder / "grid.png", columns=10)
        real = data.batch(COMPARED)["images"]
        learned = learned_something(drawn, real, seed=seed).to_dict()
    except Diverged as error:
        diverged = str(error)
    figures = {
        "model": name,
        "seed": seed,
        "steps": config.steps,
        "seconds": round(time.monotonic() - begun),
        "diverged": diverged,
        "learned": learned,
        **told_by_log(folder),
    }
    write_whole(done, json.dumps(figures, indent=1).encode())
    return figures


def told_by_log(folder: Path) -> dict[str, Any]:
    """Warnings, the last looks at the samples, and thinned curves of a run's log."""
    lines = read_log(folder)
    looks = [line for line in lines if "samples/diversity" in line]
    losses = [line for line in lines if "generator/loss" in line]
    kept = losses[:: max(1, len(losses) // POINTS)]
    names = ("discriminator/loss", "generator/loss")
    warned = [(line["step"], text) for line in losses for text in line.get("warnings", [])]
    return {
        "warnings": {text.split(":")[0]: step for step, text in warned},
        "diversity": looks[-1]["samples/diversity"] if looks else None,
        "spectral_l1": [[look["step"], round(look["samples/spectral_l1"], 3)] for look in looks],
        "curves": {name: [[x["step"], round(x[name], 4)] for x in kept] for name in names},
    }


def draw_curves(rows: list[dict[str, Any]], out: Path) -> None:
    """Losses of every model and seed, one panel a model."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for row in (one for one in rows if one["model"] == name):
            for curve, color in zip(row["curves"].values(), ("C0", "C1"), strict=True):
                steps, losses = zip(*curve, strict=True)
                axes.plot(steps, losses, color=color, linewidth=0.9)
        axes.set_title(name)
        axes.set_xlabel("iteration")
    figure.suptitle(
        "losses of the discriminator (blue) and the generator (orange), each seed a line"
    )
    figure.savefig(out, dpi=110)


def report(rows: list[dict[str, Any]], cards: Mapping[str, Any], runs: Path) -> None:
    """The JSON file and the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for row in rows:
        grid = runs / f"{row['model']}-{row['seed']}" / "grid.png"
        if row["seed"] == SEEDS[0] and grid.exists():
            (PICTURES / f"{row['model']}.png").write_bytes(grid.read_bytes())
    draw_curves(rows, PICTURES / "curves.png")
    found = {"cpu": device_name("cpu"), "torch": torch.__version__, "data": cards, "runs": rows}
    write_whole(OUT, (json.dumps(found, indent=1) + "\n").encode())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photographs", nargs="+", default=["data/photographs", "data/held_out"])
    parser.add_argument("--digits", type=Path, default=Path("data/digits"))
    parser.add_argument("--runs", type=Path, default=Path("data/experiments/gans"))
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, help="for a try; the presets' otherwise")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows, cards = [], {}
    for seed in arguments.seeds:
        for name in arguments.models:
            data = data_for(name, arguments)
            cards[name] = data.card()
            rows.append(trained(name, seed, data, arguments))
            print(f"{name} seed {seed}: {rows[-1]['diverged'] or 'trained'}", flush=True)
    report(rows, cards, arguments.runs)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
