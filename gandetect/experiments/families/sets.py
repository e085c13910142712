"""The sets of a world: its reals, and as many images of each family, written alike.

What a family needs to be asked, such as images to translate and label maps, comes from the real
images of the same split; where it has latents besides, those are the set's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gandetect.experiments.upsampling.photographs import chosen, digests
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL, SPLITS
from gandetect.experiments.upsampling.sets import set_step, write_set
from gandetect.experiments.upsampling.training import RUNS, step_name
from gandetect.experiments.upsampling.work import Work
from gandetect.gans import Images, for_inference, load_model, sample
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.preparing import asked_of

# Away from the seeds of the training, whose sample grids a person may have looked at.
_LATENTS = 1_000_003


def write_sets(work: Work, names: Sequence[str], parts: Mapping[str, Images]) -> Pictures:
    """Write the sets of the reals and of the trained families `names` that are not there yet."""
    real = {split: chosen(parts[split], work.effort.counts[split]) for split in SPLITS}
    counts = {split: len(one) for split, one in real.items()}
    work.steps.document(set_step(REAL), [digests(parts), counts], partial(_write_real, work, real))
    stems = {}
    for number, name in enumerate(names):
        work.tell(f"generating images of {name}", number, len(names))
        made = work.steps.document(
            set_step(name),
            [work.steps.digest(step_name(name)), digests(parts), counts, work.seed],
            partial(_write_generated, work, name, real),
        )
        if made["stems"]:
            stems[name] = made["stems"]
    sources = {split: list(one.sources or ()) for split, one in real.items()}
    return Pictures(work.folder, counts, sources, stems)


def _write_real(work: Work, real: Mapping[str, Images]) -> dict[str, Any]:
    return write_set(work.folder, REAL, {split: one.images for split, one in real.items()})


def _write_generated(work: Work, name: str, real: Mapping[str, Images]) -> dict[str, Any]:
    run = work.folder / RUNS / name
    model, card = for_inference(load_model(run)), Checkpoint.load(run / NAME).card["data"]
    rng = np.random.default_rng(work.seed)
    images, stems, first = {}, {}, 0
    for split, one in real.items():
        # In another order than the reals that they are compared with.
        shuffled = one.take(rng.permutation(len(one)).tolist())
        asked = asked_of(model, shuffled, card)
        images[split] = sample(model, len(one), seed=work.seed + _LATENTS, first=first, **asked)
        if asked:
            stems[split] = list(shuffled.sources or ())
        first += len(one)
    told = write_set(work.folder, name, images)
    return {**told, "stems": stems}
