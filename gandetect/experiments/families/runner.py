"""The atlas from photographs to `results.json`, one step after the other.

    <folder>/results.json            every family in one table, and the worlds by name
    <folder>/<world>/                runs, sets, steps, mean spectra of the families of one size

Running it again in the same folder goes on where it stopped; a step whose inputs are the same is
not made twice. `results.json` is written after each world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gandetect.detect.networks.training import Progress
from gandetect.experiments.families.analysis import measured
from gandetect.experiments.families.costs import drawing_costs
from gandetect.experiments.families.plan import Options, World
from gandetect.experiments.families.sets import write_sets
from gandetect.experiments.families.training import train_all
from gandetect.experiments.families.worlds import in_world, worlds_of
from gandetect.experiments.upsampling.photographs import described, read_photographs
from gandetect.experiments.upsampling.plan import REAL, SPLITS
from gandetect.experiments.upsampling.runner import alone_in, kept, machine, spent, versions
from gandetect.experiments.upsampling.sets import FOLDER, FORMAT
from gandetect.experiments.upsampling.steps import Steps
from gandetect.experiments.upsampling.training import RUNS, step_name
from gandetect.experiments.upsampling.work import Work
from gandetect.gans.logs import seconds_of

FORMAT_VERSION = 1
EXPERIMENT = "families"
Document = dict[str, Any]


def run(
    data: Sequence[str | Path],
    folder: str | Path,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
) -> Document:
    """Make the atlas of the photographs below the folders `data`, or go on with it.

    Everything is kept in `folder`; what is returned is also in its `results.json`. `progress`:
    called with what is being done, how many are done, and of how many.

    Raises ValueError where the photographs are too few, where `folder` holds runs of other options,
    and where another run is at work in it; OSError where something cannot be written.
    """
    options = options or Options()
    with alone_in(folder, options.threads):
        return _run(data, Path(folder), options, progress)


def _run(
    data: Sequence[str | Path], folder: Path, options: Options, progress: Progress | None
) -> Document:
    found: Document = {
        "format_version": FORMAT_VERSION,
        "experiment": EXPERIMENT,
        "preset": options.preset,
        "options": options.to_dict(),
        "machine": machine(),
        "versions": versions(),
        "worlds": {},
    }
    for world, names in worlds_of(options).items():
        found["worlds"][world.name] = _world(data, folder, world, names, options, progress)
        found = kept(folder, found)
    return found


def _world(
    data: Sequence[str | Path],
    folder: Path,
    world: World,
    names: Sequence[str],
    options: Options,
    progress: Progress | None,
) -> Document:
    place = folder / world.name
    work = Work(
        place,
        Steps(place / "steps"),
        options.effort,
        options.seed,
        torch.get_num_threads(),
        progress,
    )
    cut, failed = read_photographs(
        data,
        world.size,
        options.effort,
        seed=options.seed,
        cache=folder / "photographs",
        progress=progress,
    )
    parts = in_world(cut, world)
    trained = train_all(work, names, parts["train"], options)
    usable = [name for name, one in trained.items() if one["failed"] is None]
    pictures = write_sets(work, usable, parts)
    found = measured(work, pictures, usable)
    costs = work.steps.document(
        "costs",
        work.steps.digest(*map(step_name, usable)),
        partial(drawing_costs, place / RUNS, usable, parts["train"], progress),
    )
    return {
        "data": described(parts),
        "failed": failed,
        "generators": [{**one, "seconds_per_image": costs.get(n)} for n, one in trained.items()],
        "sets": {
            "counts": dict(pictures.counts),
            "photographs": {
                split: len(set(pictures.groups(REAL, split).tolist())) for split in SPLITS
            },
            "format": FORMAT,
            "folders": {name: f"{FOLDER}/{name}" for name in (REAL, *usable)},
        },
        **found,
        "seconds": _seconds(work, trained),
    }


def _seconds(work: Work, trained: Mapping[str, Mapping[str, Any]]) -> Document:
    found = spent(work.steps.seconds)
    for name, one in trained.items():
        # A step knows its last session alone.
        if (logged := seconds_of(work.folder / one["run"], one["steps"])) is not None:
            found["train"][name] = logged
    return found
