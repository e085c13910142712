"""Everything that is measured of the image sets of a world."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from gandetect.experiments.families.detection import detection
from gandetect.experiments.upsampling.analysis import audited
from gandetect.experiments.upsampling.attribution import attribution
from gandetect.experiments.upsampling.learned import learned
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.sets import set_step
from gandetect.experiments.upsampling.spectra import mean_planes, profiles, write_planes
from gandetect.experiments.upsampling.work import Work

Document = dict[str, Any]


def measured(work: Work, pictures: Pictures, names: Sequence[str]) -> Document:
    """The parts of a world's results that are about images, made step by step.

    A family enters the tables of detection and attribution only if it learned something: one that
    has not is easy to detect and proves nothing.
    """
    found: Document = {
        "audit": _audits(work, pictures, names),
        "learned": learned(work, pictures, names),
        "spectra": _spectra(work, pictures, names),
    }
    rows = found["learned"]["rows"]
    shown = [name for name in names if rows[name]["learned"]]
    found["left_out"] = [name for name in names if name not in shown]
    if shown:
        sets = work.steps.digest(*map(set_step, (REAL, *shown)))
        found |= detection(work, pictures, shown, sets)
        found["attribution"] = work.steps.document(
            "attribution",
            [sets, shown, work.effort.replicates, work.seed],
            partial(attribution, work, pictures, shown),
        )
    return found


def _audits(work: Work, pictures: Pictures, names: Sequence[str]) -> Document:
    work.tell("leak audit")
    return {
        name: work.steps.document(
            f"audit/{name}",
            [work.steps.digest(set_step(REAL), set_step(name)), work.seed],
            partial(audited, pictures, name, work.seed),
        )
        for name in names
    }


def _spectra(work: Work, pictures: Pictures, names: Sequence[str]) -> Document:
    work.tell("spectra")
    everyone = (REAL, *names)
    sets = work.steps.digest(*map(set_step, everyone))
    planes = work.steps.tensors("spectra", [sets], partial(mean_planes, pictures, everyone))
    write_planes(planes, work.folder)
    found: Document = work.steps.document(
        "profiles", work.steps.digest("spectra"), partial(profiles, pictures, planes, everyone)
    )
    return found
