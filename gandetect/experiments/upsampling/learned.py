"""Whether each generator learned something: a detector of noise shows nothing.

Half-trained generators are easy to detect. So what each of them is like stands beside every table:
how far its images are from real ones, and how far those are that learned nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from gandetect.experiments.cloaking import cloaking
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.sets import set_step
from gandetect.experiments.upsampling.work import Work
from gandetect.gans.distances import Distances, baselines, learned_something
from gandetect.gans.monitors import diversity
from gandetect.nn.spectral import spectral_l1

ABOUT = {
    "distance": "Fréchet distance on responses of random filters, from one half of the real test "
    "images; no FID: it compares with nothing but this table. The row of the reals is their other "
    "half",
    "mmd": "unbiased polynomial MMD of the same features, with 1.96 standard errors",
    "coverage": "share of the real images that have a generated one in their neighborhood",
    "spectral_l1": "sum over radii of |mean profile - that of the reals| in the convention of Jung "
    "and Keuper; the row of the reals compares validation with test photographs",
    "cloaking": "CloakingScore: 1 where one linear layer cannot tell generated from real spectra, "
    "0 where it always can; as published on its training images, and held out",
    "diversity": "mean distance of two images, in units of that of two real ones",
    "learned": "whether the distance is less than that of noise and of blurred means",
}
# Standard errors of a 95 % interval.
_REACH = 1.96


def learned(work: Work, pictures: Pictures, names: Sequence[str]) -> dict[str, Any]:
    """The generators `names` and the baselines, as JSON values."""
    steps, seed = work.steps, work.seed
    rows: dict[str, Any] = steps.document(
        "learned/baselines",
        [steps.digest(set_step(REAL)), seed],
        partial(_baselines, pictures, seed),
    )
    for number, name in enumerate(names):
        work.tell(f"what {name} learned", number, len(names))
        rows[name] = steps.document(
            f"learned/{name}",
            [steps.digest(set_step(REAL), set_step(name)), seed],
            partial(_row, pictures, name, seed),
        )
    return {"about": ABOUT, "rows": rows}


def _baselines(pictures: Pictures, seed: int) -> dict[str, Any]:
    """Other photographs, and what has learned nothing."""
    found = baselines(pictures.color(REAL, "test"), seed=seed)
    rows: dict[str, Any] = {name: _measured(one) for name, one in found.items()}
    count = min(pictures.counts["validation"], pictures.counts["test"])
    real, others = (pictures.color(REAL, part)[:count] for part in ("test", "validation"))
    sources = tuple(pictures.groups(REAL, part)[:count] for part in ("validation", "test"))
    rows[REAL] |= {
        "spectral_l1": _spectral_l1(others, real),
        "cloaking": cloaking(others, real, sources=(sources[0], sources[1]), seed=seed).to_dict(),
        "diversity": 1.0,
    }
    return rows


def _row(pictures: Pictures, name: str, seed: int) -> dict[str, Any]:
    generated, real = (pictures.color(one, "test") for one in (name, REAL))
    found = learned_something(generated, real, seed=seed)
    sources = tuple(pictures.groups(one, "test") for one in (name, REAL))
    return {
        **_measured(found.generated),
        "spectral_l1": _spectral_l1(generated, real),
        "cloaking": cloaking(
            generated, real, sources=(sources[0], sources[1]), seed=seed
        ).to_dict(),
        "diversity": diversity(generated) / diversity(real),
        "learned": bool(found),
    }


def _measured(found: Distances) -> dict[str, Any]:
    reach = _REACH * found.mmd_error
    return {
        "distance": found.frechet,
        "mmd": [found.mmd, found.mmd - reach, found.mmd + reach],
        "coverage": found.coverage,
        "spectral_l1": None,
        "cloaking": None,
        "diversity": None,
    }


def _spectral_l1(generated: Tensor, real: Tensor) -> float:
    images = [one.float() / 127.5 - 1 for one in (generated, real)]
    return float(spectral_l1(*images))
