"""A verdict explained as data: what made the logit, what would have changed it, what it is like.

Everything here is numbers; `gandetect.report.explain` shows them. Nothing changes a verdict.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gandetect.detect.calibration import Thresholds
from gandetect.detect.changes import Change, WhatIf, what_would_change
from gandetect.detect.contributions import (
    Breakdown,
    Contributions,
    contributions,
    features_of,
    parts_of,
)
from gandetect.detect.features import FeatureSpec
from gandetect.detect.members import FUSION
from gandetect.detect.model import Model
from gandetect.detect.reference import Likeness, likeness, traces_of

__all__ = [
    "Breakdown",
    "Change",
    "Contributions",
    "Evidence",
    "WhatIf",
    "contributions",
    "evidence",
    "nearest_family",
    "what_would_change",
]


@dataclass(frozen=True)
class Evidence:
    """What there is to say of one image.

    `likeness`: the up-sampler it looks like; None with the `no_likeness` that says why.
    """

    breakdown: Breakdown
    what_if: WhatIf
    likeness: Likeness | None
    no_likeness: str | None


def evidence(
    model: Model, squares: Tensor, thresholds: Thresholds, *, lossless: bool = True
) -> Evidence:
    """Explain the verdict of `model` on the image of `squares` (N, S, S) in 0..255.

    `lossless`: that no compression changed it, as `delivery.compression_delivery` tells of a file.
    """
    alike, reason = nearest_family(model, squares, lossless=lossless)
    return Evidence(
        contributions(model, squares), what_would_change(model, squares, thresholds), alike, reason
    )


def nearest_family(
    model: Model, squares: Tensor, *, lossless: bool = True
) -> tuple[Likeness | None, str | None]:
    """The family of up-samplers that an image of `squares` (N, S, S) looks like, or why there is
    none; `lossless` as in `evidence`."""
    if model.kind == FUSION or not isinstance(model.spec, FeatureSpec):
        return None, (
            "This model is no detector of spectral profiles alone, which up-samplers are named by."
        )
    references = model.references
    if references is None:
        return None, (
            "This model carries no references: there is no band of real images to compare with, "
            "and no up-sampler can be named. `gandetect fit` stores them in new models."
        )
    if not references.signatures:
        return None, (
            "This model was not fitted to enough simulated images of every kind, so no up-sampler "
            "can be named."
        )
    if not lossless:
        return None, (
            "Compression has buried what would name an up-sampler: only images without its traces "
            "are compared."
        )
    (part,) = parts_of(model)
    return likeness(references, traces_of(features_of(part.spec, squares), squares)), None
