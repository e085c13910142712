"""Training one generator of each family, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from gandetect.experiments.families.plan import Options
from gandetect.experiments.upsampling.training import RUNS, step_name, weighed
from gandetect.experiments.upsampling.work import Work
from gandetect.gans import Config, Diverged, Images, Settings, model_class, preset, train
from gandetect.gans.preparing import prepared

PLAIN = "plain"


def train_all(
    work: Work, names: Sequence[str], images: Images, options: Options
) -> dict[str, dict[str, Any]]:
    """Train each family in turn, or go on; what became of each, by name, as JSON values.

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
            ],
            partial(_trained, work, name, images, options),
        )
        for name in names
    }


def configuration(name: str, options: Options) -> Config:
    """The preset of family `name`, with the steps that were asked for."""
    base = preset(name, options.preset)
    return base if options.steps is None else replace(base, steps=options.steps)


def _trained(work: Work, name: str, images: Images, options: Options) -> dict[str, Any]:
    config = configuration(name, options)

    def told(what: str, done: int, total: int) -> None:
        work.tell(f"training {name}: {what}", done, total)

    described = {
        "name": name,
        "up": config.up if model_class(name).up_samples else "none",
        "seed": options.seed,
        "spectral": getattr(config, "spectral", "none"),
        "base": None,
        "role": PLAIN,
        "source": model_class(name).source,
        "run": f"{RUNS}/{name}",
        "steps": config.steps,
        "config": config.to_dict(),
    }
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
