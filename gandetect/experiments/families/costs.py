"""What it takes to draw an image: the families of a world by turns, after all else is done.

In turns, since a machine is not equally fast all the time, and prepared as `gandetect generate`
prepares a model. What a family needs to be asked is made before the clock starts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gandetect.detect.networks.training import Progress
from gandetect.gans import Images, for_inference, load_model, sample
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.preparing import asked_of
from gandetect.gans.sampling import TOGETHER

ROUNDS = 7
# A family that has taken so many seconds has no further round.
_ENOUGH = 30.0


def drawing_costs(
    runs: str | Path, names: Sequence[str], real: Images, progress: Progress | None = None
) -> dict[str, float]:
    """The seconds that an image of each of the runs `names` below `runs` takes.

    The median of up to `ROUNDS` rounds of `TOGETHER` images, the first of which is not counted;
    `real`: images that the families are asked with, at least `TOGETHER`.
    """
    images = real.take(list(range(TOGETHER)))
    drawing = {name: _drawing(Path(runs) / name, images) for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(ROUNDS + 1):
        if progress:
            progress("timing", number, ROUNDS + 1)
        for name, draw in drawing.items():
            if len(taken[name]) < 2 or sum(taken[name]) < _ENOUGH:
                begun = time.perf_counter()
                draw()
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(one[1:]) / TOGETHER for name, one in taken.items()}


def _drawing(run: Path, images: Images) -> Callable[[], Tensor]:
    model, card = for_inference(load_model(run)), Checkpoint.load(run / NAME).card["data"]
    asked: dict[str, Any] = dict(asked_of(model, images, card))
    return lambda: sample(model, TOGETHER, **asked)
