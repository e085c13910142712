"""The experiment from photographs to `results.json`, one step after the other.

Running it again in the same folder goes on where it stopped; a step whose inputs are the same is
not made twice.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from gandetect import show_config
from gandetect.detect import loading
from gandetect.detect.networks.training import Progress
from gandetect.experiments.upsampling.analysis import Analysis
from gandetect.experiments.upsampling.photographs import described, read_photographs
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import PLAIN, REAL, SPLITS, Options, generators
from gandetect.experiments.upsampling.sets import FOLDER, FORMAT, write_sets
from gandetect.experiments.upsampling.steps import Steps
from gandetect.experiments.upsampling.training import configuration, train_all
from gandetect.experiments.upsampling.work import Work
from gandetect.gans.logs import seconds_of
from gandetect.ops.benchmark import device_name
from gandetect.tensorfile import write_whole

FORMAT_VERSION = 1
RESULTS = "results.json"
_LIBRARIES = ("torch", "numpy", "scikit-learn", "scipy", "pillow")
Document = dict[str, Any]


def run(
    data: Sequence[str | Path],
    folder: str | Path,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
) -> Document:
    """Run the experiment on the photographs below the folders `data`, or go on with it.

    Everything is kept in `folder`; what is returned is also in its `results.json`. `progress`:
    called with what is being done, how many are done, and of how many.

    Raises ValueError where the photographs are too few, where fewer than two plain generators could
    be trained, where `folder` holds runs of other options, and where another run is at work in it;
    OSError where something cannot be written.
    """
    options = options or Options()
    with alone_in(folder, options.threads):
        return _run(data, Path(folder), options, progress)


@contextmanager
def alone_in(folder: str | Path, threads: int | None) -> Iterator[None]:
    """Work in `folder`, which is made, as the only run there, and with so many threads of torch.

    Raises ValueError where another run is at work in it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"{folder}: another run of the experiment is at work there") from error
    try:
        with loading.threads(threads):
            yield
    finally:
        lock.release()


def _run(
    data: Sequence[str | Path], folder: Path, options: Options, progress: Progress | None
) -> Document:
    work = Work(
        folder,
        Steps(folder / "steps"),
        options.effort,
        options.seed,
        torch.get_num_threads(),
        progress,
    )
    planned = generators(options)
    parts, failed = read_photographs(
        data,
        configuration(planned[0], options).size,
        options.effort,
        seed=options.seed,
        cache=folder / "photographs",
        progress=progress,
    )
    trained = train_all(work, planned, parts["train"], options)
    plain, others = usable(trained)
    counts, sources = write_sets(work, (*plain, *others), parts)
    measured = Analysis(work, Pictures(folder, counts, sources), plain, others).document()
    return kept(
        folder,
        {
            "format_version": FORMAT_VERSION,
            "experiment": "upsampling",
            "preset": options.preset,
            "options": options.to_dict(),
            "machine": machine(),
            "versions": versions(),
            "seconds": _seconds(work, trained),
            "data": described(parts),
            "failed": failed,
            "generators": list(trained.values()),
            "sets": _described_sets(counts, sources, (REAL, *plain, *others)),
            **measured,
        },
    )


def kept(folder: Path, found: Document) -> Document:
    """Write `RESULTS`; what everybody else will read there, where tuples are lists."""
    text = json.dumps(found, indent=1, allow_nan=False)
    write_whole(folder / RESULTS, text.encode())
    result: Document = json.loads(text)
    return result


def _seconds(work: Work, trained: Mapping[str, Mapping[str, Any]]) -> Document:
    found = spent(work.steps.seconds)
    for name, one in trained.items():
        # A step knows its last session alone.
        if (logged := seconds_of(work.folder / one["run"], one["steps"])) is not None:
            found["train"][name] = logged
    return found


def usable(trained: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], dict[str, str]]:
    """The plain generators that were trained, and the others with their bases.

    Raises ValueError for fewer than two plain ones.
    """
    good = {name: one for name, one in trained.items() if one["failed"] is None}
    plain = [name for name, one in good.items() if one["role"] == PLAIN]
    if len(plain) < 2:
        reasons = "; ".join(f"{name}: {one['failed']}" for name, one in trained.items())
        raise ValueError(f"{len(plain)} plain generator(s) could be trained ({reasons})")
    others = {name: str(one["base"]) for name, one in good.items() if one["base"] in plain}
    return plain, others


def machine() -> Document:
    """What the experiment ran on."""
    return {
        "cpu": device_name("cpu"),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> Document:
    """What the experiment ran with."""
    config = show_config()
    return {
        "python": platform.python_version(),
        "gandetect": config["gandetect"],
        "compiled": config["compiled"],
        **{name: version(name) for name in _LIBRARIES},
    }


def spent(seconds: Mapping[str, float]) -> Document:
    """Seconds by stage; of the training and of the scores by generator and detector."""
    found: Document = {}
    for step, value in seconds.items():
        stage, _, rest = step.partition("/")
        if stage not in ("train", "scores"):
            found[stage] = found.get(stage, 0.0) + value
            continue
        name = rest if stage == "train" else "/".join(rest.split("/")[:2])
        part = found.setdefault(stage, {})
        part[name] = part.get(name, 0.0) + value
    return found


def _described_sets(
    counts: Mapping[str, int], sources: Mapping[str, Sequence[str]], names: Sequence[str]
) -> Document:
    return {
        "counts": dict(counts),
        "photographs": {name: len(set(sources[name])) for name in SPLITS},
        "format": FORMAT,
        "folders": {name: f"{FOLDER}/{name}" for name in names},
    }
