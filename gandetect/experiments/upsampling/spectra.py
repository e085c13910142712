"""Mean spectra of the real and the generated images, in two dimensions and as profiles."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.ops import spectral_profile
from gandetect.tensorfile import write_whole

FILE = "spectra.npz"
PROJECTIONS = ("azimuthal", "rows", "columns")
# Gray levels squared, below which a coefficient is rounding.
_FLOOR = 1e-4
# The share of the images between which the spread of a profile is told.
_SPREAD = (0.05, 0.95)
# Cycles per pixel: where high frequencies begin, and what is called near a line of the spectrum.
_HIGH = 0.375


def mean_planes(pictures: Pictures, names: Sequence[str]) -> dict[str, Tensor]:
    """The mean spectrum of the test images of each of `names`, see `mean_plane`."""
    return {name: mean_plane(windowed(pictures.planes(name, "test"))) for name in names}


def write_planes(planes: Mapping[str, Tensor], folder: Path) -> None:
    """Write `FILE`: the mean spectra (S, S) float32 by name, DC in the middle, in dB."""
    buffer = io.BytesIO()
    arrays = {name: plane.numpy() for name, plane in planes.items()}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_whole(folder / FILE, buffer.getvalue())


def profiles(
    pictures: Pictures, planes: Mapping[str, Tensor], names: Sequence[str]
) -> dict[str, Any]:
    """Profiles of the test images of `names`, the reals first, and how the mean spectra of the
    generators differ from theirs, as JSON values."""
    found = {name: profiles_of(windowed(pictures.planes(name, "test"))) for name in names}
    side = len(planes[REAL])
    return {
        "file": FILE,
        "images": pictures.counts["test"],
        "frequencies": {
            one: (np.arange(1, len(found[REAL][one]["mean"]) + 1) / side).tolist()
            for one in PROJECTIONS
        },
        "profiles": found,
        "differences": {
            name: difference(planes[name], planes[REAL]) for name in names if name != REAL
        },
    }


def windowed(planes: Tensor) -> Tensor:
    """Luma (N, S, S) as float64 without its mean, under a Hann window of unit mean square."""
    images = planes.double()
    line = torch.hann_window(images.shape[-1], dtype=torch.float64)
    window = line[:, None] * line
    window = window / window.square().mean().sqrt()
    return (images - images.mean(dim=(1, 2), keepdim=True)) * window


def mean_plane(images: Tensor) -> Tensor:
    """The mean log spectrum (S, S) float32 of `images` (N, S, S) in dB, DC in the middle."""
    power = torch.fft.fft2(images).abs().square() / images.shape[-1] ** 2
    decibels = 10 * torch.log10(power + _FLOOR).mean(dim=0)
    return torch.fft.fftshift(decibels).float()


def profiles_of(images: Tensor) -> dict[str, dict[str, list[float]]]:
    """Mean and spread over the images of each projection of the power, in dB, without DC."""
    found = spectral_profile(images, "centered", projections=PROJECTIONS)
    assert isinstance(found, tuple)
    return {
        name: _spread(10 * torch.log10(one[:, 1:] / images.shape[-1] ** 2 + _FLOOR))
        for name, one in zip(PROJECTIONS, found, strict=True)
    }


def _spread(decibels: Tensor) -> dict[str, list[float]]:
    low, high = torch.quantile(decibels, torch.tensor(_SPREAD, dtype=torch.float64), dim=0)
    mean = decibels.mean(dim=0)
    return {"mean": mean.tolist(), "low": low.tolist(), "high": high.tolist()}


def difference(plane: Tensor, real: Tensor) -> dict[str, float]:
    """What a mean spectrum has more than that of the reals, in dB, both (S, S).

    `high_band`: mean over radii from 0.375 to 0.5 cycles per pixel. `nyquist_rows`, `quarter_rows`:
    mean over the line of vertical frequency 1/2, 1/4; likewise columns. `corner`: at (1/2, 1/2).
    `rms`: root mean square over the plane.
    """
    excess = (plane.double() - real.double()).numpy()
    side = len(excess)
    frequency = (np.arange(side) - side // 2) / side
    radius = np.hypot(frequency[:, None], frequency[None])
    quarter = side // 2 + side // 4
    return {
        "high_band": float(excess[(radius >= _HIGH) & (radius < 0.5)].mean()),
        # The frequencies -1/2 and 1/2 are one, and are the first row.
        "nyquist_rows": float(excess[0].mean()),
        "nyquist_columns": float(excess[:, 0].mean()),
        "quarter_rows": float(excess[quarter].mean()),
        "quarter_columns": float(excess[:, quarter].mean()),
        "corner": float(excess[0, 0]),
        "rms": float(np.sqrt(np.square(excess).mean())),
    }
