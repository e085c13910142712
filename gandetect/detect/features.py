"""From images to the numbers a detector reads: spectral profiles on equal bands of frequency.

The bins of a profile belong to one image size. Averaged over bands of frequency in cycles per
pixel they mean the same at every size, so that one model scores tiles of 64 and of 256 pixels.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gandetect.detect.planes import PlaneSpec, extract_planes
from gandetect.ops import CONVENTIONS, azimuthal_counts, spectral_profile

PROJECTIONS = ("azimuthal", "rows", "columns")
# Highest frequency of the rows and columns, and of the corner of the spectrum, in cycles per pixel.
NYQUIST, CORNER = 0.5, 0.5**0.5


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that decides the features of an image; recorded in each model file.

    `convention`, `projections`, `window`, `value`, `cutoff`, `normalize`, `resample`: as in
    `gandetect.ops.spectral_profile`. `bands`: each projection is averaged over that many equal
    bands of frequency, from 0 to 0.5 cycles per pixel, and to 0.707 for radii that go to the corner
    (`cutoff="corner"`), where up-sampling by two leaves the replica of the mean; None keeps the
    bins as they are. `remove_mean`: subtract the mean of an image's features, which for log values
    cancels any gain of contrast.
    """

    convention: str = "centered"
    projections: tuple[str, ...] = PROJECTIONS
    window: str | None = "hann"
    value: str | None = "log"
    cutoff: str | None = "corner"
    normalize: str | None = "none"
    resample: int | None = None
    bands: int | None = 40
    remove_mean: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "projections", tuple(self.projections))
        unknown = [name for name in self.projections if name not in PROJECTIONS]
        if unknown or not self.projections:
            raise ValueError(f"projections {self.projections} given; choose from {PROJECTIONS}")
        if self.bands is not None and self.resample is not None:
            raise ValueError("resample and bands both given; choose one and leave the other None")
        if self.bands is not None and self.bands < 1:
            raise ValueError(f"bands={self.bands} given; give a positive number or None")

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain JSON values."""
        return {**asdict(self), "projections": list(self.projections)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FeatureSpec:
        """The inverse of `to_dict`; raises ValueError on a key this version does not know."""
        known = set(cls.__dataclass_fields__)
        if unknown := set(values) - known:
            raise ValueError(f"unknown feature settings {sorted(unknown)}; known: {sorted(known)}")
        return cls(**values)

    @property
    def ignores_brightness(self) -> bool:
        """Whether the mean and the contrast of an image cancel in its features."""
        return self.window == "hann" and self.value == "log" and self.remove_mean

    def axes(self) -> list[tuple[str, float, float]]:
        """(projection, lowest, highest frequency in cycles per pixel) of each feature, in order."""
        if self.bands is None:
            raise ValueError("bands is None: the features then depend on the image size")
        return [
            (name, *edge)
            for name in self.projections
            for edge in itertools.pairwise(self.edges(name).tolist())
        ]

    def edges(self, projection: str) -> Tensor:
        """Ends of the bands of one projection, (bands + 1,) float64 in cycles per pixel."""
        assert self.bands is not None
        cutoff = self.cutoff or CONVENTIONS[self.convention].cutoff
        highest = CORNER if projection == "azimuthal" and cutoff == "corner" else NYQUIST
        return torch.linspace(0, highest, self.bands + 1, dtype=torch.float64)


Spec = FeatureSpec | PlaneSpec


def spec_from_dict(values: dict[str, Any]) -> Spec:
    """The specification whose `to_dict` gave `values`; raises ValueError for unknown settings."""
    return (PlaneSpec if "transform" in values else FeatureSpec).from_dict(values)


def extract(images: Tensor, spec: Spec) -> Tensor:
    """Features (N, F) float32 of luma `images` (N, H, W), 0..255 in uint8 or in floating point.

    Floating values are mapped onto the range of the convention first, as uint8 ones are by the op.
    With `spec.bands` the images must be square: the circles of a rectangle are not circles in
    cycles per pixel. For a `PlaneSpec` see `extract_planes`. Raises ValueError otherwise.
    """
    if isinstance(spec, PlaneSpec):
        return extract_planes(images, spec)
    if images.ndim != 3:
        raise ValueError(f"images of shape {tuple(images.shape)} given; want (N, H, W)")
    height, width = images.shape[1:]
    if images.is_floating_point():
        convention = CONVENTIONS[spec.convention]
        images = images * convention.input_gain + convention.input_offset
    profiles = spectral_profile(
        images,
        spec.convention,
        projections=spec.projections,
        window=spec.window,
        value=spec.value,
        cutoff=spec.cutoff,
        normalize=spec.normalize,
        resample=spec.resample,
    )
    parts = list(profiles) if isinstance(profiles, tuple) else [profiles]
    if spec.bands is not None:
        if height != width:
            raise ValueError(f"images of {height}x{width} given; bands need squares: crop them")
        # In double, so that an image has the same features whatever else is in its batch: the
        # order of the sums in a product of matrices depends on their sizes.
        parts = [
            part.double() @ _bands(name, height, spec, str(part.device))
            for name, part in zip(spec.projections, parts, strict=True)
        ]
    features = torch.cat(parts, dim=1).double()
    if spec.remove_mean:
        features -= features.mean(dim=1, keepdim=True)
    return features.float()


# What is kept may be asked for by scoring first, and by who wants gradients later.
@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _bands(projection: str, side: int, spec: FeatureSpec, device: str) -> Tensor:
    return band_matrix(projection, side, spec).to(device)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def band_matrix(projection: str, side: int, spec: FeatureSpec) -> Tensor:
    """Weights (bins, bands) float64, columns summing to 1, for square images of `side` pixels.

    A bin covers an interval of frequency, evenly; a band takes from each bin the number of
    coefficients that fall into it. So no band is empty, however few bins a small image has.
    """
    assert spec.bands is not None
    if projection == "azimuthal":
        counts = azimuthal_counts(side, side, spec.convention, spec.cutoff).double()
        radius = torch.arange(len(counts), dtype=torch.float64)
        # A center half a pixel off DC goes with dropping radius 0.
        lower = radius + (1 if CONVENTIONS[spec.convention].half_pixel else 0)
    else:
        lower = torch.arange(side // 2 + 1, dtype=torch.float64) - 0.5
        counts = torch.ones_like(lower)
    upper = lower + 1
    edges = spec.edges(projection) * side
    # Where a convention drops the outermost bin, the last one kept stands in for it.
    upper[-1] = torch.maximum(upper[-1], edges[-1])
    # DC is the mean brightness: bin 0 says nothing of up-sampling, and its log has no lower bound
    # once the mean is removed. Its neighbor stands in for it.
    kept = upper > 1
    counts = torch.where(kept, counts, 0.0)
    lower = torch.where(kept & (lower <= 1), 0.0, lower)
    shared = torch.minimum(upper[:, None], edges[1:]) - torch.maximum(lower[:, None], edges[:-1])
    weights = shared.clamp(min=0) * (counts / (upper - lower))[:, None]
    return weights / weights.sum(dim=0)
