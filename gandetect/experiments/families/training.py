"""One generator of each family, trained or loaded, and what became of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gandetect.experiments.families.plan import Options
from gandetect.experiments.upsampling.training import RUNS, step_name, weighed
from gandetect.experiments.upsampling.work import Work
from gandetect.gans import (
    Config,
    Diverged,
    Images,
    Settings,
    load_model,
    model_class,
    preset,
    train,
)
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.preparing import prepared
from gandetect.tensorfile import write_whole

PLAIN = "plain"


def train_all(
    work: Work, names: Sequence[str], images: Images, options: Options
) -> dict[str, dict[str, Any]]:
    """Train each family in turn, go on, or load it; what became of each, by name, as JSON values.

    `failed`: why its training ended early, else None.
    """
    return {
        name: work.steps.document(
            step_name(name),
            [
                configuration(name, options).to_dict(),
                images.card(),
                options.seed,
                options.precision,
                *([content_hash(options.loaded[name])] if name in options.loaded else []),
            ],
            partial(_loaded if name in options.loaded else _trained, work, name, images, options),
        )
        for name in names
    }


def configuration(name: str, options: Options) -> Config:
    """That of the checkpoint of family `name`; else its preset with the steps that were asked for.

    Raises ValueError where a checkpoint is of another model, OSError where it cannot be read.
    """
    if name in options.loaded:
        card = _checkpoint(name, options.loaded[name]).card
        return model_class(name).Configuration.from_dict(card["config"])
    base = preset(name, options.preset)
    return base if options.steps is None else base.of_steps(options.steps)


def content_hash(path: str | Path) -> str:
    """Of the checkpoint at `path`, a file or the folder of a run."""
    return hashlib.sha256(_file(path).read_bytes()).hexdigest()


def _file(path: str | Path) -> Path:
    return Path(path) / NAME if Path(path).is_dir() else Path(path)


def _checkpoint(name: str, path: str | Path) -> Checkpoint:
    found = Checkpoint.load(_file(path))
    if found.card["model"] != name:
        raise ValueError(f"{path}: holds a {found.card['model']!r}, not the {name!r} asked for")
    return found


def _described(name: str, config: Config, seed: int) -> dict[str, Any]:
    return {
        "name": name,
        "up": config.up if model_class(name).up_samples else "none",
        "seed": seed,
        "spectral": getattr(config, "spectral", "none"),
        "base": None,
        "role": PLAIN,
        "source": model_class(name).source,
        "run": f"{RUNS}/{name}",
        "steps": config.steps,
        "config": config.to_dict(),
        "loaded": None,
    }


def _loaded(work: Work, name: str, images: Images, options: Options) -> dict[str, Any]:
    """What is in a checkpoint, which is copied to the runs, where generating looks for it.

    `loaded`: its digest, and whether it was trained on the very squares that the others are.
    """
    path, place = _file(options.loaded[name]), work.folder / RUNS / name / NAME
    checkpoint, data = _checkpoint(name, path), path.read_bytes()
    if place.exists() and place.read_bytes() != data:
        raise ValueError(f"{place.parent}: another run is there already; give another folder")
    model = load_model(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, data)
    theirs, ours = (card.get("sha256") for card in (checkpoint.card["data"], images.card()))
    loaded = {"sha256": content_hash(path), "same_photographs": theirs == ours}
    described = _described(name, model.config, checkpoint.card["seed"])
    return {**described, "loaded": loaded, "failed": None, **weighed(model)}


def _trained(work: Work, name: str, images: Images, options: Options) -> dict[str, Any]:
    config = configuration(name, options)

    def told(what: str, done: int, total: int) -> None:
        work.tell(f"training {name}: {what}", done, total)

    described = _described(name, config, options.seed)
    data = prepared(name, config, images, seed=options.seed)
    settings = Settings(precision=options.precision)
    try:
        model = train(
            name,
            config,
            data,
            work.folder / RUNS / name,
            seed=options.seed,
            settings=settings,
            progress=told,
        )
    except Diverged as error:
        return {**described, "failed": str(error), "parameters": None, "weights": None}
    return {**described, "failed": None, **weighed(model)}
