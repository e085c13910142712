"""What a run says of itself: a line of JSON for every so many iterations, and TensorBoard's files.

`log.jsonl` is always written; the event files where the package `tensorboard` is installed (extra
`train`). Training that goes on forgets the lines after the checkpoint it goes on from.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor

from gandetect.gans.sampling import grid
from gandetect.tensorfile import write_whole

NAME = "log.jsonl"


class Logs:
    """The logs of a run in `folder`, from iteration `step` on; a context manager."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / NAME
        _cut(self.path, step)
        self._file = self.path.open("a", encoding="utf-8")
        self._sums: dict[str, float] = defaultdict(float)
        self._count = 0
        self._begun = time.monotonic()
        self._events: Any = None
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder), purge_step=step + 1)

    def __enter__(self) -> Logs:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()

    def add(self, terms: Mapping[str, float]) -> None:
        """Count an iteration's terms into the mean of the next line."""
        self._count += 1
        for key, value in terms.items():
            self._sums[key] += value

    def write(self, step: int, warnings: Iterable[str] = ()) -> None:
        """The means since the last line, iterations per second, and what the monitors warn of."""
        means = {key: total / self._count for key, total in self._sums.items()}
        means["iterations_per_s"] = self._count / max(time.monotonic() - self._begun, 1e-9)
        self._sums.clear()
        self._count, self._begun = 0, time.monotonic()
        told = list(warnings)
        self.scalars(step, means, **({"warnings": told} if told else {}))

    def scalars(self, step: int, values: Mapping[str, float], **others: Any) -> None:
        """A line with `values` of iteration `step`."""
        self._file.write(json.dumps({"step": step, **values, **others}) + "\n")
        self._file.flush()
        if self._events is not None:
            for key, value in values.items():
                self._events.add_scalar(key, value, step)

    def image(self, step: int, images: Tensor) -> None:
        """A grid of `images` (N, C, S, S) uint8 for TensorBoard."""
        if self._events is not None:
            self._events.add_image("samples", np.asarray(grid(images)), step, dataformats="HWC")


def read_log(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's log; a last line that was cut off is left out."""
    path = Path(folder) / NAME
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _cut(path: Path, step: int) -> None:
    """Drop the lines after iteration `step`."""
    if not path.exists():
        return
    kept = [json.dumps(line) for line in read_log(path.parent) if line.get("step", 0) <= step]
    write_whole(path, "".join(f"{line}\n" for line in kept).encode())


def seconds_of(folder: str | Path, steps: int) -> float | None:
    """What the run in `folder` took for `steps` iterations, over all sessions, by its log.

    None where the log has no line.
    """
    seconds, before = 0.0, 0
    for line in read_log(folder):
        if rate := line.get("iterations_per_s"):
            seconds += (line["step"] - before) / rate
            before = line["step"]
    return seconds * steps / before if before else None
