#!/usr/bin/env python3
"""Train the `run` preset of every generative model with three seeds, and say what became of each.

    python recipes/photographs.py --archives data/archives
    python recipes/digits.py
    python recipes/gans.py

Squares of the photographs for all but the perceptrons of 2014 and the conditional auto-encoder,
which get digits. For each training: whether it diverged, what the monitors warned of, the losses,
and how far its samples are from the images, beside what has learned nothing. Writes
`docs/experiments/gans.json` (`gans_pages.py` makes a page of it), curves in `docs/img/gans/`, and
of the first seed samples and their mean spectrum in `docs/img/models/`. It goes on where it
stopped, and trainings that were not asked for (`--models`, `--seeds`) stay in `gans.json` as they
are; hours on two cores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import counting
import torch
from torch import Tensor

from gandetect.experiments.upsampling.spectra import mean_plane, windowed
from gandetect.gans import MODELS, Diverged, Images, Settings, patches, preset, sample, train
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.digits import digits
from gandetect.gans.distances import learned_something
from gandetect.gans.logs import read_log, seconds_of
from gandetect.gans.mc2_stylegan2 import MC2StyleGAN2
from gandetect.gans.preparing import asked_of, prepared
from gandetect.gans.sampling import save_grid
from gandetect.gans.scenes import scenes
from gandetect.gans.training import as_input
from gandetect.ops.benchmark import device_name
from gandetect.tensorfile import write_whole

SEEDS = (0, 1, 2)
SHOWN = 40
COMPARED = 1000
POINTS = 40
PANELS = 5
OUT = Path("docs/experiments/gans.json")
PICTURES = Path("docs/img/gans")
MODELS_PICTURES = Path("docs/img/models")
DIGITS = ("gan", "cvae")


def images_for(name: str, arguments: argparse.Namespace) -> Images:
    """Digits for the perceptrons and for classes, squares of photographs for everyone else."""
    config = preset(name)
    if name in DIGITS:
        found = digits(arguments.digits, config.size)
        return found if getattr(config, "classes", 0) else found.without_labels()
    return patches(
        arguments.photographs,
        config.size,
        per_photograph=56,
        gray=config.channels == 1,
        cache=arguments.runs / "photographs",
    )


def trained(name: str, seed: int, images: Images, arguments: argparse.Namespace) -> dict[str, Any]:
    """One training and its figures; read from its file where that is there."""
    folder = arguments.runs / f"{name}-{seed}"
    done = folder / "figures.json"
    config = preset(name)
    if arguments.steps:
        config = replace(config, steps=arguments.steps)
    if done.exists():
        # ValueError where the preset is another since.
        Checkpoint.load(folder / NAME).check_model(name, config.to_dict())
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    settings = Settings(precision=arguments.precision)
    data = prepared(name, config, images)
    diverged, learned, counts = None, None, None
    try:
        model = train(name, config, data, folder, seed=seed, settings=settings)
        asked: dict[str, Any] = asked_of(model, spread(images, COMPARED), data.card())
        drawn = sample(model, COMPARED, seed=seed, **asked)
        save_grid(drawn[:SHOWN], folder / "grid.png", columns=10)
        real = data.batch(COMPARED)["images"]
        draw_spectra({"samples": drawn, "images": real}, folder / "spectrum.png")
        learned = learned_something(drawn, real, seed=seed).to_dict()
        if isinstance(model, MC2StyleGAN2):
            counts = counted(model, images, drawn, asked["counts"])
    except Diverged as error:
        diverged = str(error)
    figures = {
        "model": name,
        "seed": seed,
        "steps": config.steps,
        "config": config.to_dict(),
        "seconds": round(seconds_of(folder, config.steps) or 0),
        "cpu": device_name("cpu"),
        "diverged": diverged,
        "learned": learned,
        "counting": counts,
        **told_by_log(folder),
    }
    write_whole(done, json.dumps(figures, indent=1).encode())
    return figures


def counted(
    model: MC2StyleGAN2, images: Images, drawn: Tensor, asked: Tensor
) -> dict[str, float | list[float] | dict[str, Any]]:
    """How well the model counts in scenes that it has not seen, and draws as many as it is asked.

    `error`: mean distance from the counts, `constant`: that of their mean; `correlation`: of what
    it was asked with what it counts in its own images, by kind. `judge`: the same by a network that
    has nothing to do with it, and of how many things there are whatever their kind.
    """
    size, kinds = model.config.size, model.config.kinds
    fresh = scenes(COMPARED, size, kinds, seed=1, backgrounds=images)
    with torch.inference_mode():
        seen, own = (model.discriminator.counted(as_input(x))[1] for x in (fresh.images, drawn))
    counts = fresh.extras["counts"].float()
    judge, worth = counting.taught(images, size, kinds)
    judged = judge.counted(drawn)
    totals = counting.correlations(*(one.sum(dim=1, keepdim=True) for one in (judged, asked)))
    return {
        "error": float((seen - counts).norm(dim=1).mean()),
        "constant": float((counts - counts.mean(dim=0)).norm(dim=1).mean()),
        "correlation": counting.correlations(own, asked),
        "judge": {
            **worth,
            "correlation": counting.correlations(judged, asked),
            "correlation_of_totals": totals[0],
            "correlation_in_scenes": counting.correlations(judge.counted(fresh.images), counts),
        },
    }


def spread(images: Images, count: int) -> Images:
    """`count` of them, as far apart as they can be: neighbors are of one photograph."""
    return images.take(torch.linspace(0, len(images) - 1, count).long().tolist())


def told_by_log(folder: Path) -> dict[str, Any]:
    """Warnings, the last looks at the samples, and thinned curves of a run's log."""
    lines = read_log(folder)
    looks = [line for line in lines if "samples/diversity" in line]
    losses = [line for line in lines if any(key.endswith("/loss") for key in line)]
    kept = losses[:: max(1, len(losses) // POINTS)]
    names = sorted({key for line in losses for key in line if key.endswith("/loss")})
    warned = [(line["step"], text) for line in losses for text in line.get("warnings", [])]
    return {
        "warnings": {text.split(":")[0]: step for step, text in warned},
        "diversity": looks[-1]["samples/diversity"] if looks else None,
        "spectral_l1": [[look["step"], round(look["samples/spectral_l1"], 3)] for look in looks],
        "curves": {
            name: [[one["step"], round(one[name], 4)] for one in kept if name in one]
            for name in names
        },
    }


def draw_spectra(sets: Mapping[str, Tensor], out: Path) -> None:
    """The mean log spectrum of each of `sets` (N, C, S, S) uint8, and the first less the second."""
    from matplotlib.figure import Figure

    maps = {name: mean_plane(windowed(one.float().mean(dim=1))) for name, one in sets.items()}
    first, second = maps.values()
    low, high = (float(one) for one in (second.min(), second.max()))
    figure = Figure(figsize=(8.4, 2.9), layout="constrained")
    panels = {**maps, "difference": first - second}
    for axes, (name, plane) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        is_difference = name == "difference"
        limits = (-15.0, 15.0) if is_difference else (low, high)
        colors = "RdBu_r" if is_difference else "magma"
        shown = axes.imshow(plane.numpy(), cmap=colors, vmin=limits[0], vmax=limits[1])
        axes.set_title(name)
        axes.set_axis_off()
        figure.colorbar(shown, ax=axes, shrink=0.8, label="dB")
    figure.savefig(out, dpi=90)


def draw_curves(rows: list[dict[str, Any]], out: Path) -> None:
    """Losses of every model and seed, one panel a model."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["model"] for row in rows))
    down = -(-len(names) // PANELS)
    figure = Figure(figsize=(3.2 * PANELS, 2.6 * down), layout="constrained")
    panels = figure.subplots(down, PANELS, squeeze=False).flat
    # In this order: zip takes from the first what the second does not have any more.
    for name, axes in zip(names, panels, strict=False):
        for row in (one for one in rows if one["model"] == name):
            for number, (curve, points) in enumerate(row["curves"].items()):
                label = curve.removesuffix("/loss") if row["seed"] == SEEDS[0] else None
                axes.plot(*zip(*points, strict=True), f"C{number}", linewidth=0.9, label=label)
        axes.set_title(name)
        axes.set_xlabel("iteration")
        axes.legend(fontsize="x-small", frameon=False)
    for axes in panels:
        axes.set_axis_off()
    figure.suptitle("losses, each seed a line")
    figure.savefig(out, dpi=110)


def joined(
    found: dict[str, Any], rows: list[dict[str, Any]], cards: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """`rows` and `cards` beside those `found` before, of which they replace their own."""
    of = {(row["model"], row["seed"]): row for row in [*found.get("runs", []), *rows]}
    merged = {**found.get("data", {}), **cards}
    order = list(MODELS)
    keys = sorted(of, key=lambda key: (key[1], order.index(key[0])))
    return [of[key] for key in keys], {name: merged[name] for name in order if name in merged}


def report(
    rows: list[dict[str, Any]], cards: Mapping[str, Any], runs: Path, precision: str
) -> None:
    """The JSON file and the pictures."""
    before = json.loads(OUT.read_text()) if OUT.exists() else {}
    rows, cards = joined(before, rows, cards)
    for folder in (PICTURES, MODELS_PICTURES):
        folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        made = runs / f"{row['model']}-{row['seed']}"
        for drawn, kept in (("grid.png", ""), ("spectrum.png", "-spectrum")):
            if row["seed"] == SEEDS[0] and (made / drawn).exists():
                (MODELS_PICTURES / f"{row['model']}{kept}.png").write_bytes(
                    (made / drawn).read_bytes()
                )
    draw_curves(rows, PICTURES / "curves.png")
    found = {
        "torch": torch.__version__,
        "precision": precision,
        "data": cards,
        "runs": rows,
    }
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
            images = images_for(name, arguments)
            cards[name] = images.card()
            rows.append(trained(name, seed, images, arguments))
            print(f"{name} seed {seed}: {rows[-1]['diverged'] or 'trained'}", flush=True)
    report(rows, cards, arguments.runs, arguments.precision)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
