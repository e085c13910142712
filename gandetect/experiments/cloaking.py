"""CloakingScore of images in memory: can one linear layer tell them by their spectrum?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from gandetect import ops
from gandetect.detect.metrics import Estimate
from gandetect.experiments.features import Array
from gandetect.experiments.runner import reproduce
from gandetect.experiments.samples import Samples
from gandetect.experiments.settings import SETTINGS

_SETTING = SETTINGS["cloaking-score"]


@dataclass(frozen=True)
class Cloaking:
    """1 where a linear layer cannot tell generated from real images, 0 where it always can.

    `published`: on the images that the layer was trained on, as the paper has it; with few images
    it is low whatever they are. `held_out`: on images of other sources, in five folds, with the
    exact 95 % interval of their accuracy.
    """

    published: float
    held_out: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"published": self.published, "held_out": self.held_out.to_list()}


def cloaking(
    generated: Tensor,
    real: Tensor,
    *,
    sources: tuple[ArrayLike, ArrayLike] | None = None,
    seed: int = 0,
) -> Cloaking:
    """CloakingScore of images (N, C, S, S) uint8 (Jung and Keuper 2021), setting `cloaking-score`.

    `sources`: what each generated and each real image stems from, such as a photograph that was cut
    into several; None takes each image by itself. The interval takes the images to be independent.
    Raises ValueError where there are fewer than five of a class, or fewer than two sources.
    """
    images = (real, generated)
    named = [f"{i}/{n}" for i, one in enumerate(images) for n in range(len(one))]
    if sources is not None:
        named = [str(one) for part in reversed(sources) for one in np.asarray(part)]
    if len(named) != len(generated) + len(real):
        raise ValueError(f"{len(named)} sources for {len(generated) + len(real)} images")
    samples = Samples(
        np.concatenate([_profiles(one) for one in images]),
        np.repeat([0, 1], [len(one) for one in images]),
        np.array(named),
    )
    rows = {row.splits: row for row in reproduce(_SETTING, samples, seed=seed).rows}
    held_out = rows["held-out"]
    if held_out.interval is None:
        raise ValueError(f"no images could be held out: {held_out.reason}")
    return Cloaking(float(rows["training"].values[0]), held_out.interval)


def _profiles(images: Tensor) -> Array:
    """Features (N, V) of images (N, C, S, S) uint8."""
    found = ops.spectral_profile(images, _SETTING.features)
    assert isinstance(found, Tensor)
    return np.asarray(found.numpy(), np.float64)
