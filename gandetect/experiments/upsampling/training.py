"""Training the generators, and what each of them became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from gandetect.experiments.upsampling.plan import Generator, Options
from gandetect.experiments.upsampling.work import Work
from gandetect.gans import (
    AdversarialConfig,
    Data,
    Diverged,
    GenerativeModel,
    Settings,
    preset,
    train,
)
from gandetect.tensorfile import content_digest

MODEL = "sngan"
RUNS = "runs"


def configuration(generator: Generator, options: Options) -> AdversarialConfig:
    """The SNGAN of `generator`."""
    base = preset(MODEL, options.preset)
    assert isinstance(base, AdversarialConfig)
    return replace(
        base,
        up=generator.up,
        up_last=None,
        spectral=generator.spectral,
        steps=options.steps or base.steps,
    )


def train_all(
    work: Work, planned: Sequence[Generator], data: Data, options: Options
) -> dict[str, dict[str, Any]]:
    """Train each generator in turn, or go on; what became of each, by name, as JSON values.

    `failed`: why its training ended early, else None; the experiment goes on without it.
    """
    return {
        one.name: work.steps.document(
            step_name(one.name),
            [one.to_dict(), configuration(one, options).to_dict(), data.card(), options.precision],
            partial(_trained, work, one, data, options),
        )
        for one in planned
    }


def step_name(generator: str) -> str:
    """The step that trains it."""
    return f"train/{generator}"


def _trained(work: Work, generator: Generator, data: Data, options: Options) -> dict[str, Any]:
    config = configuration(generator, options)

    def told(what: str, done: int, total: int) -> None:
        work.tell(f"training {generator.name}: {what}", done, total)

    described = {
        **generator.to_dict(),
        "run": f"{RUNS}/{generator.name}",
        "steps": config.steps,
        "config": config.to_dict(),
    }
    place = work.folder / RUNS / generator.name
    settings = Settings(precision=options.precision)
    try:
        model = train(
            MODEL, config, data, place, seed=generator.seed, settings=settings, progress=told
        )
    except Diverged as error:
        return {**described, "failed": str(error), "parameters": None, "weights": None}
    return {**described, "failed": None, **weighed(model)}


def weighed(model: GenerativeModel) -> dict[str, Any]:
    """How many parameters draw its samples, and a digest of the model's weights."""
    drawing = (model.get_submodule(name) for name in model.drawn_from)
    return {
        "parameters": sum(one.numel() for part in drawing for one in part.parameters()),
        "weights": content_digest(model.state_dict(), {}),
    }
