"""Features that keep both dimensions of a tile: its pixels, its log spectrum, its cosine transform.

A profile averages over circles or lines; what points in other directions is lost in it. These keep
one number per frequency or pixel and so belong to one tile size: a larger tile is cut into tiles of
that size, a smaller one cannot be scored.
"""

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

TRANSFORMS = ("pixels", "spectrum", "dct")
# Gray levels squared, and gray levels: below these a coefficient is rounding.
_POWER_FLOOR, _COEFFICIENT_FLOOR = 1e-4, 1e-2
MAX_SIDE = 1024


@dataclass(frozen=True)
class PlaneSpec:
    """What is made of a square tile of `side` pixels.

    `transform`: "pixels" keeps the tile (N, S, S) for networks that look at it themselves.
    "spectrum" is ln |F|² of the Hann-windowed tile without its mean, averaged over the quadrants of
    equal |ky| and |kx|, (S/2 + 1)² values. "dct" is ln |C| of the orthonormal cosine transform,
    S² values (Frank et al. 2020, on luma). Both subtract the mean of a tile's values, which cancels
    contrast.
    """

    transform: str
    side: int

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise ValueError(f"transform {self.transform!r} given; choose from {TRANSFORMS}")
        if not 8 <= self.side <= MAX_SIDE or self.side % 2:
            raise ValueError(f"side {self.side} given; want an even number from 8 to {MAX_SIDE}")

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PlaneSpec:
        """The inverse of `to_dict`; raises ValueError on a key this version does not know."""
        if set(values) != {"transform", "side"}:
            raise ValueError(f"feature settings {sorted(values)}; want ['side', 'transform']")
        return cls(str(values["transform"]), int(values["side"]))

    def axes(self) -> list[tuple[str, float, float]]:
        """Raises ValueError: these features are no bands of frequency, as those of profiles are."""
        raise ValueError(f"features {self.transform!r} are no bands of a profile")

    @property
    def ignores_brightness(self) -> bool:
        """Whether the mean and the contrast of an image cancel in its features."""
        return self.transform != "pixels"


def extract_planes(images: Tensor, spec: PlaneSpec) -> Tensor:
    """Features of luma `images` (N, S, S), 0..255 in uint8 or floating point.

    (N, F) float32 for "spectrum" and "dct"; the images as they are for "pixels". Raises ValueError
    where S is not `spec.side`.
    """
    if images.ndim != 3 or images.shape[1:] != (spec.side, spec.side):
        raise ValueError(
            f"images of shape {tuple(images.shape)} given; want (N, {spec.side}, {spec.side})"
        )
    if spec.transform == "pixels":
        return images
    # One image at a time in double: its features must not depend on what else is in the batch.
    transform = _log_spectrum if spec.transform == "spectrum" else _log_dct
    rows = [transform(image.double()).flatten() for image in images]
    features = torch.stack(rows) if rows else images.new_zeros(0, plane_size(spec)).double()
    return (features - features.mean(dim=1, keepdim=True)).float()


def plane_size(spec: PlaneSpec) -> int:
    """How many features a tile has."""
    return (spec.side // 2 + 1) ** 2 if spec.transform == "spectrum" else spec.side**2


def plane_shape(spec: PlaneSpec) -> tuple[int, int]:
    """Rows and columns that the features of "spectrum" and "dct" are laid out in."""
    side = spec.side // 2 + 1 if spec.transform == "spectrum" else spec.side
    return side, side


def cut_to_side(images: Tensor, side: int) -> Tensor:
    """Squares (N, T, side, side) that cover the middle of `images` (N, S, S), S >= side.

    Raises ValueError for smaller images.
    """
    size = images.shape[-1]
    count = size // side
    if count == 0:
        raise ValueError(f"images of {size}x{size} pixels given; want at least {side}x{side}")
    start = (size - count * side) // 2
    middle = images[:, start : start + count * side, start : start + count * side]
    squares = middle.unfold(1, side, side).unfold(2, side, side)
    return squares.reshape(len(images), count * count, side, side)


def _log_spectrum(image: Tensor) -> Tensor:
    side = image.shape[-1]
    window = _hann(side).to(image)
    power = torch.fft.rfft2((image - image.mean()) * window).abs().square()
    half = side // 2
    # Row k and row -k are two halves of one circle each.
    folded = power[: half + 1].clone()
    folded[1:half] = (folded[1:half] + power[half + 1 :].flip(0)) / 2
    return torch.log(folded + _POWER_FLOOR)


def _log_dct(image: Tensor) -> Tensor:
    basis = _dct_basis(image.shape[-1]).to(image)
    return torch.log((basis @ image @ basis.T).abs() + _COEFFICIENT_FLOOR)


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _hann(side: int) -> Tensor:
    """Hann window (side, side) float64 of unit mean square."""
    line = torch.hann_window(side, periodic=True, dtype=torch.float64)
    window = line[:, None] * line[None, :]
    return window / window.square().mean().sqrt()


@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def _dct_basis(side: int) -> Tensor:
    """Orthonormal DCT-II matrix (side, side) float64: rows are frequencies."""
    k = torch.arange(side, dtype=torch.float64)
    basis = torch.cos(torch.pi * (k[None, :] + 0.5) * k[:, None] / side)
    basis *= (2 / side) ** 0.5
    basis[0] /= 2**0.5
    return basis
