"""Spectral profiles of folders of images: what `gandetect profile` shows, as numbers.

One profile per file, the mean over its squares and frames, on an axis of frequency in cycles per
pixel; a class is described by the mean and the spread over its files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.media import Luma, MediaError, VideoReader, read_luma, sniff
from gandetect.ops import CONVENTIONS, spectral_profile
from gandetect.report.plots import Series, spread
from gandetect.screen.regions import CutOptions, cut
from gandetect.screen.sources import Source, Unreadable, find_files

TILE = 128
MIN_SIDE = 32
VIDEO_FRAMES = 8
REGIONS = {"tile": "tiles", "frame": "frame"}
PROJECTIONS = ("azimuthal", "rows", "columns")
_UNITS = {
    "power": "mean power",
    "magnitude": "mean magnitude",
    "log": "mean log power, 10 ln P",
}


@dataclass(frozen=True)
class ProfileOptions:
    """How profiles are computed; see `gandetect.ops.spectral_profile` for the words.

    `value` None is "log" for `centered`, so that no single image outweighs the others, and the
    convention's own scale elsewhere. Squares cut from larger images (`region`
    "tile", side `tile`) are put under a Hann window, whole frames are not.
    """

    convention: str = "centered"
    projections: tuple[str, ...] = ("azimuthal",)
    region: str = "tile"
    tile: int = TILE
    value: str | None = None

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            raise ValueError(
                f"convention {self.convention!r} given; choose from {', '.join(CONVENTIONS)}"
            )
        if self.region not in REGIONS:
            raise ValueError(f"region {self.region!r} given; choose from {', '.join(REGIONS)}")
        if self.tile < MIN_SIDE:
            raise ValueError(f"tile={self.tile} given; at least {MIN_SIDE} is needed")

    @property
    def window(self) -> str | None:
        return "hann" if self.region == "tile" else None

    @property
    def scale(self) -> str | None:
        """The `value` passed to the op."""
        return self.value or ("log" if self.convention == "centered" else None)

    @property
    def label(self) -> str:
        """The name of the vertical axis."""
        if self.scale or self.convention == "power":
            return _UNITS[self.scale or "power"]
        normalized = " scaled to 0..1" if self.convention == "jung" else ""
        return f"mean log magnitude, 20 ln |F|{normalized}"


@dataclass
class Spectra:
    """The profiles of one class: per projection one (K,) profile per file, on `frequency` (K,)."""

    name: str
    options: ProfileOptions
    files: list[str] = field(default_factory=list)
    profiles: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    frequency: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    errors: list[dict[str, str]] = field(default_factory=list)

    def add(self, path: str) -> None:
        """Profile one file; one that cannot be read is noted in `errors`."""
        try:
            measured = file_profiles(path, self.options)
        except (MediaError, OSError) as error:
            reason = error.reason if isinstance(error, MediaError) else "unreadable"
            self.errors.append({"path": path, "reason": reason, "detail": str(error)})
            return
        self.files.append(path)
        for name, (frequency, profile) in measured.items():
            axis = self.frequency.setdefault(name, common_axis(name, frequency, self.options))
            self.profiles.setdefault(name, []).append(np.interp(axis, frequency, profile))

    def series(self, projection: str, band: str = "std") -> Series:
        """Mean and band over the files; raises ValueError where there are none."""
        return spread(self.name, self.frequency[projection], self.profiles[projection], band)

    def summary(self, band: str = "std") -> dict[str, Any]:
        """The numbers as plain JSON values."""
        projections = {}
        for name in self.profiles:
            one = self.series(name, band)
            projections[name] = {
                "frequency": one.frequency.tolist(),
                "mean": one.mean.tolist(),
                "std": np.std(self.profiles[name], axis=0).tolist(),
                "low": one.low.tolist(),
                "high": one.high.tolist(),
            }
        return {
            "name": self.name,
            "n_files": len(self.files),
            "n_errors": len(self.errors),
            "projections": projections,
            "errors": self.errors,
        }


def measure(
    name: str,
    path: str | os.PathLike[str],
    options: ProfileOptions,
    progress: Callable[[str], None] | None = None,
) -> Spectra:
    """The profiles of every image and video at or below `path`; `progress` gets each path."""
    spectra = Spectra(name, options)
    for found in find_files([path]):
        if isinstance(found, Unreadable):
            error = {"path": found.path, "reason": found.reason, "detail": found.detail}
            spectra.errors.append(error)
        elif isinstance(found, Source) and found.wanted:
            if progress:
                progress(found.path)
            spectra.add(found.path)
    return spectra


def file_profiles(
    path: str, options: ProfileOptions
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """(frequency, profile) of one file by projection; raises MediaError where it has none."""
    cutting = CutOptions(REGIONS[options.region], options.tile, MIN_SIDE)
    sums: dict[str, Tensor] = {}
    count, side, reason = 0, 0, "interlaced"
    for luma in _lumas(path):
        found = cut(luma, cutting)
        if not found.squares:
            reason = found.reason or reason
            continue
        squares = torch.from_numpy(np.stack(found.squares))
        side = squares.shape[-1]
        count += len(squares)
        for name, profile in tile_profiles(squares, options).items():
            sums[name] = sums.get(name, torch.zeros(())) + profile.double().sum(dim=0)
    if not count:
        raise MediaError(reason, f"nothing to measure: {reason.replace('_', ' ')}")
    return {
        name: (frequencies(name, len(total), side, options.convention), (total / count).numpy())
        for name, total in sums.items()
    }


def tile_profiles(tiles: Tensor, options: ProfileOptions) -> dict[str, Tensor]:
    """Profiles (T, K) by projection of squares (T, S, S), 0..255 in uint8 or in floating point."""
    if tiles.is_floating_point():
        convention = CONVENTIONS[options.convention]
        tiles = tiles * convention.input_gain + convention.input_offset
    profiles = spectral_profile(
        tiles,
        options.convention,
        projections=options.projections,
        window=options.window,
        value=options.scale,
    )
    several = profiles if isinstance(profiles, tuple) else (profiles,)
    return dict(zip(options.projections, several, strict=True))


def frequencies(projection: str, length: int, side: int, convention: str) -> NDArray[np.float64]:
    """Frequency in cycles per pixel of each bin of a square of `side` pixels, (length,).

    Rows and columns: u / side. Azimuthal: the middle of the ring, (r + 1/2) / side for integer
    radius r, which begins at 1 where bins are centered half a pixel off DC; 0 for DC itself.
    """
    index = np.arange(length, dtype=np.float64)
    if projection != "azimuthal":
        return index / side
    if CONVENTIONS[convention].half_pixel:
        return (index + 1.5) / side
    rings = (index + 0.5) / side
    rings[0] = 0.0
    return rings


def common_axis(
    projection: str, frequency: NDArray[np.float64], options: ProfileOptions
) -> NDArray[np.float64]:
    """The axis on which files of different sizes are compared.

    The bins of a whole tile, or those of the first file where whole frames are profiled: files of
    that size keep their numbers exactly, others are interpolated.
    """
    if options.region == "frame":
        return frequency
    tile = torch.zeros((1, options.tile, options.tile))
    length = tile_profiles(tile, options)[projection].shape[-1]
    return frequencies(projection, length, options.tile, options.convention)


def _lumas(path: str) -> Iterator[Luma]:
    """The picture of an image, or up to VIDEO_FRAMES frames spread over a video.

    Interlaced frames are left out, as in screening: their comb would stand for the camera.
    """
    kind = sniff(path)
    if kind is None:
        raise MediaError("not_media", "neither an image nor a video")
    if kind == "image":
        yield read_luma(path)
    else:
        frames = VideoReader(path, max_frames=VIDEO_FRAMES)
        yield from (frame.luma for frame in frames if not frame.interlaced)


def panels(
    classes: Sequence[Spectra], projections: Iterable[str], band: str = "std"
) -> dict[str, list[Series]]:
    """What `plots.profile_bands` draws: by projection, the series of each class that has files."""
    return {
        projection: [one.series(projection, band) for one in classes if one.files]
        for projection in projections
    }
