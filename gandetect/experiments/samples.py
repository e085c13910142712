"""What an experiment runs on: features with labels and sources, from folders of images.

Labels are 1 for generated, whatever the authors used. A source is what images share that must not
be on both sides of a split by source: a video, or the file that real and generated images of one
name stem from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect.audit import describe
from gandetect.detect.training import Progress, image_files
from gandetect.experiments.features import Array, published_features
from gandetect.experiments.settings import Setting
from gandetect.media import MediaError, read_luma
from gandetect.media.manifests import source_of

CLASSES = ("real", "generated")
NO_EPS = 0.0


@dataclass(frozen=True)
class Samples:
    """N samples of F features, each with its label and its source.

    `corrected`: the features with the same eps for both classes, where `features` follow a paper
    that took different ones; else None. `rows`: the audit rows of the files, none for a table.
    `failed`: why files could not be read.
    """

    features: Array
    labels: NDArray[np.int64]
    sources: NDArray[np.str_]
    corrected: Array | None = None
    rows: tuple[dict[str, float], ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def count(self, label: int) -> int:
        """How many samples have this label."""
        return int((self.labels == label).sum())

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """The samples at `indices`, without the rows and failures of their files."""
        corrected = None if self.corrected is None else self.corrected[indices]
        return Samples(
            self.features[indices], self.labels[indices], self.sources[indices], corrected
        )


@dataclass
class _Reading:
    """What has been read so far."""

    features: list[Array] = field(default_factory=list)
    corrected: list[Array] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    sizes: set[tuple[int, int]] = field(default_factory=set)


def read_folders(
    real: str | Path,
    generated: str | Path,
    setting: Setting,
    *,
    video_of: str | None = None,
    progress: Progress | None = None,
) -> Samples:
    """Samples from the images below two folders.

    An image in a subfolder is a frame of the video that the subfolder is, where the setting has
    videos; `video_of`, a regular expression, finds the video in the path below the folder instead
    (its first group, or all it matches). Videos of the same name in both folders count as one
    source. Files that cannot be decoded are noted in `failed`.

    Raises ValueError where images have another size than the setting's, where `video_of` does not
    match, and where a folder gives no sample.
    """
    reading = _Reading()
    for label, folder in enumerate((Path(real), Path(generated))):
        files = image_files(folder)
        for number, path in enumerate(files):
            if progress:
                progress(f"reading {folder.name}", number, len(files))
            _read(reading, path, label, _source(path, folder, setting, video_of), setting)
        if label not in reading.labels:
            raise ValueError(f"{folder}: none of its {len(files)} images could be decoded")
    return Samples(
        np.stack(reading.features),
        np.array(reading.labels),
        np.array(reading.sources),
        np.stack(reading.corrected) if setting.eps_leaks else None,
        tuple(reading.rows),
        reading.failed,
    )


def _read(reading: _Reading, path: Path, label: int, source: str, setting: Setting) -> None:
    try:
        data = path.read_bytes()
        plane = read_luma(data).as_uint8_range()
        row = describe(data, plane)
    except (MediaError, OSError) as error:
        reading.failed[str(path)] = str(error)
        return
    _check_size(plane, path, label, setting, reading.sizes)
    try:
        reading.features.append(published_features(plane, setting, eps=setting.eps[label]))
        if setting.eps_leaks:
            reading.corrected.append(published_features(plane, setting))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    reading.labels.append(label)
    reading.sources.append(source)
    reading.rows.append(row)


def _check_size(
    plane: Tensor, path: Path, label: int, setting: Setting, sizes: set[tuple[int, int]]
) -> None:
    height, width = plane.shape
    wanted = setting.sizes.get(label)
    if wanted is not None and (height, width) != wanted:
        raise ValueError(
            f"{path}: {height} rows by {width} columns; {setting.name} wants {CLASSES[label]} "
            f"images of {wanted[0]} by {wanted[1]}. Do not resize them, which changes the "
            "spectrum: give images of that size, or choose another setting"
        )
    sizes.add((height, width))
    if setting.crop is None and not setting.resampled and len(sizes) > 1:
        (a, b), (c, d) = sorted(sizes)[:2]
        raise ValueError(
            f"{path}: images of {a}x{b} and of {c}x{d} pixels given; the features of "
            f"{setting.name} compare images of one size only"
        )


def _source(path: Path, folder: Path, setting: Setting, video_of: str | None) -> str:
    below = path.relative_to(folder)
    if video_of is not None:
        match = re.search(video_of, below.as_posix())
        if match is None:
            raise ValueError(f"{below.as_posix()}: the pattern {video_of!r} of videos finds none")
        return match.group(1) if match.re.groups else match.group(0)
    if _has_videos(setting) and below.parent != Path("."):
        return below.parent.as_posix()
    return source_of(path, folder)


def _has_videos(setting: Setting) -> bool:
    return any(one.unit == "video" for one in setting.reported)


def check_classes(samples: Samples, least: int) -> None:
    """Raise ValueError where a class has fewer than `least` samples."""
    counts = [samples.count(label) for label in (0, 1)]
    if min(counts) < least:
        raise ValueError(
            f"{counts[0]} real and {counts[1]} generated samples given; at least {least} of each "
            "are needed"
        )


def finite(samples: Samples) -> Samples:
    """The samples whose features are finite."""
    kept = np.isfinite(samples.features).all(axis=1)
    return samples if kept.all() else samples.take(np.flatnonzero(kept))


def joined_rows(parts: Sequence[Samples]) -> tuple[list[dict[str, float]], list[int], list[str]]:
    """Audit rows, labels and sources of all samples that come from files."""
    files = [part for part in parts if part.rows]
    return (
        [row for part in files for row in part.rows],
        [int(label) for part in files for label in part.labels],
        [str(source) for part in files for source in part.sources],
    )
