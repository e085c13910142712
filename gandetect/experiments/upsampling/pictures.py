"""The image sets as detectors look at them: luma planes, and features of their spectra."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gandetect.detect.features import FeatureSpec, extract
from gandetect.detect.perturbations import named
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.sets import FOLDER
from gandetect.media import read_luma

ORIGINAL = "none"
SPECS = {
    "both": FeatureSpec(),
    "projections": FeatureSpec(projections=("rows", "columns")),
    "radial": FeatureSpec(projections=("azimuthal",)),
}
# Sets of planes: features are kept whatever was done to the images, planes take more.
_PERTURBED_KEPT = 32


class Pictures:
    """The images of the sets as detectors look at them, read once.

    `counts`: images of a class in each split. `sources`: the photograph of each real one. `stems`:
    by name the photographs of those that were made of some.
    """

    def __init__(
        self,
        folder: str | Path,
        counts: Mapping[str, int],
        sources: Mapping[str, list[str]],
        stems: Mapping[str, Mapping[str, list[str]]] | None = None,
    ) -> None:
        self.folder, self.counts = Path(folder), counts
        self._sources, self._stems = sources, stems or {}
        self._planes: dict[tuple[str, str], Tensor] = {}
        self._features: dict[tuple[str, str, str, str], NDArray[np.float32]] = {}
        self._perturbed = lru_cache(_PERTURBED_KEPT)(self._change)

    def files(self, name: str, split: str) -> list[Path]:
        """The files of one set, in order.

        Raises ValueError where some are missing.
        """
        files = sorted((self.folder / FOLDER / name / split).glob("*.png"))
        if len(files) != self.counts[split]:
            raise ValueError(
                f"{self.folder / FOLDER / name / split}: {len(files)} images, of "
                f"{self.counts[split]} that were written; delete "
                f"{self.folder / 'steps' / FOLDER / name}.json to have them written again"
            )
        return files

    def color(self, name: str, split: str) -> Tensor:
        """The images (N, 3, S, S) uint8 of a set."""
        pixels = [np.array(Image.open(path)) for path in self.files(name, split)]
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)

    def planes(self, name: str, split: str, perturbation: str = ORIGINAL) -> Tensor:
        """Luma (N, S, S) uint8 of a set; S is smaller where the perturbation reduced them."""
        if perturbation != ORIGINAL:
            return self._perturbed(name, split, perturbation)
        key = (name, split)
        if key not in self._planes:
            luma = [read_luma(path).as_uint8_range() for path in self.files(name, split)]
            self._planes[key] = torch.stack(luma)
        return self._planes[key]

    def features(
        self, kind: str, name: str, split: str, perturbation: str = ORIGINAL
    ) -> NDArray[np.float32]:
        """Features (N, F) of a set; `kind`: one of `SPECS`."""
        key = (kind, name, split, perturbation)
        if key not in self._features:
            planes = self.planes(name, split, perturbation)
            self._features[key] = extract(planes, SPECS[kind]).numpy()
        return self._features[key]

    def groups(self, name: str, split: str) -> NDArray[np.str_]:
        """What each image of a set stems from, (N,): its photograph, or itself."""
        known = {**self._stems, REAL: self._sources}
        if name in known:
            return np.array(known[name][split])
        return np.array([f"{name}:{number}" for number in range(self.counts[split])])

    def _change(self, name: str, split: str, perturbation: str) -> Tensor:
        (step,) = named(perturbation)
        planes = self.planes(name, split)
        side = planes.shape[-1]
        return torch.stack([_middle(step.apply(plane), side) for plane in planes])


def _middle(plane: Tensor, side: int) -> Tensor:
    """The middle of a plane that was magnified; a smaller one as it is."""
    top, left = (max(0, (length - side) // 2) for length in plane.shape)
    return plane[top : top + side, left : left + side]
