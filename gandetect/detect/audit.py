"""The leak audit: can real and generated files be told apart without looking at the picture?

The commonest false success of the field is a detector of the file format. So before a fit a
classifier is trained on metadata alone. It must be at chance; where it is not, the fit would learn
the delivery of the files and not their making.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from torch import Tensor

from gandetect.detect.folds import source_folds
from gandetect.detect.metrics import Estimate, ranking

MAX_AUC = 0.6
CONTAINERS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
# Containers whose header tells their quality, or that lose nothing. There the size in bytes
# measures how much fine detail a picture has: the very trace that is looked for. Simulated pairs
# that share every setting of delivery differ by it (AUC .63), so it is reported and not held
# against them.
_QUALITY_SHOWN = frozenset({"JPEG", "PNG", "TIFF", "GIF", "BMP"})
_EVIDENCE = frozenset({"bytes", "bytes_per_pixel"})
_BRIGHTNESS = frozenset({"mean", "low", "high"})
_BIT_DEPTHS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}
_PNG_BIT_DEPTH = 24  # where in the file IHDR says it; Pillow opens deep color as 8 bits
# A hostile file can carry any number of keys.
_MAX_KEYS, _KEY_LENGTH = 64, 40
_TREES = 50
LEVELS = (0.01, 0.99)


class LeakError(ValueError):
    """The classes can be told apart by metadata; `audit` says how well and by what."""

    def __init__(self, audit: Audit) -> None:
        super().__init__(
            f"{audit.reason}. A detector fitted to these files would learn that. "
            "Deliver both classes alike (same crop, same codec and quality, same writer), "
            "or override with --allow-leak"
        )
        self.audit = audit


@dataclass(frozen=True)
class Audit:
    """`auc` of the metadata classifier, cross-validated; `columns`: each column's own AUC.

    `brightness`: the same from mean and range alone. Faces against landscapes differ in it: it
    counts as a leak only for features in which brightness does not cancel (`brightness_counts`).
    """

    auc: Estimate
    brightness: Estimate
    brightness_counts: bool
    columns: dict[str, float]

    @property
    def leaks(self) -> bool:
        """Whether the metadata separate the classes beyond chance and beyond `MAX_AUC`."""
        return _beyond_chance(self.auc) or self.brightness_leaks

    @property
    def brightness_leaks(self) -> bool:
        """Whether brightness separates the classes and the features would use it."""
        return self.brightness_counts and _beyond_chance(self.brightness)

    @property
    def reason(self) -> str:
        """What separates the classes, strongest first, for people."""
        by_brightness = self.brightness_leaks and not _beyond_chance(self.auc)
        judged = [name for name in self.columns if (name in _BRIGHTNESS) == by_brightness]
        worst = sorted(set(judged) - _EVIDENCE, key=lambda name: (-self.columns[name], name))[:4]
        named = [f"{name} {self.columns[name]:.2f}" for name in worst]
        what, auc = ("brightness", self.brightness) if by_brightness else ("metadata", self.auc)
        return f"{what} alone tells the classes apart with AUC {auc} (most by {', '.join(named)})"

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain JSON values."""
        return {
            "auc": self.auc.to_list(),
            "brightness": self.brightness.to_list(),
            "leaks": self.leaks,
            "columns": self.columns,
        }


def _beyond_chance(auc: Estimate) -> bool:
    return auc.low > 0.5 and auc.value > MAX_AUC


def describe(data: bytes, pixels: Tensor) -> dict[str, float]:
    """The metadata of one image file, `data`, and of its luma `pixels` (H, W): one audit row."""
    with Image.open(io.BytesIO(data)) as picture:
        row = _header(picture, data)
    # Percentiles: the extremes of a picture tell of its sharpness, which is evidence and no leak.
    levels = np.quantile(pixels.numpy()[::4, ::4].ravel()[:1_000_000], LEVELS)
    return row | {
        "mean": float(pixels.float().mean()),
        "low": float(levels[0]),
        "high": float(levels[1]),
    }


def describe_file(path: str | Path, pixels: Tensor) -> dict[str, float]:
    """`describe` of a file."""
    return describe(Path(path).read_bytes(), pixels)


def _header(picture: Image.Image, data: bytes) -> dict[str, float]:
    width, height = picture.size
    per_pixel = len(data) / (width * height)
    row: dict[str, float] = {
        "width": width,
        "height": height,
        "ratio": width / height,
        "width_alignment": _alignment(width),
        "height_alignment": _alignment(height),
        "bytes": len(data),
        "bytes_per_pixel": per_pixel,
        "hidden_quality": 0.0 if picture.format in _QUALITY_SHOWN else per_pixel,
        "icc": len(picture.info.get("icc_profile") or b""),
        "bit_depth": _BIT_DEPTHS.get(picture.mode, 8),
        "channels": len(picture.getbands()),
        "palette": float(picture.mode == "P"),
        "progressive": float(bool(picture.info.get("progressive"))),
    }
    if picture.format == "PNG":
        row["bit_depth"] = data[_PNG_BIT_DEPTH]
    row |= {f"container_{name}": float(picture.format == name) for name in CONTAINERS}
    return row | _jpeg_settings(picture) | _keys(picture)


def _alignment(side: int) -> int:
    """Which power of two divides `side`, up to 6: sizes cut to blocks give themselves away."""
    return math.gcd(side, 64).bit_length() - 1


def _jpeg_settings(picture: Image.Image) -> dict[str, float]:
    """Chroma subsampling and, of the two quantization tables, their strength and their shape.

    The shape, the share of the low frequencies in the sum, tells encoders apart that use the same
    range of qualities.
    """
    row: dict[str, float] = {"subsampling": -1}
    tables: dict[int, list[int]] = {}
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        tables = picture.quantization
        row["subsampling"] = JpegImagePlugin.get_sampling(picture)
    for number, name in ((0, "luma"), (1, "chroma")):
        table = np.reshape(tables.get(number, [0] * 64), (8, 8))
        row[f"quantization_{name}"] = float(table.sum())
        row[f"quantization_{name}_shape"] = float(table[_LOW].sum() / max(1, table.sum()))
    return row


_LOW = np.add.outer(np.arange(8), np.arange(8)) < 4


def _keys(picture: Image.Image) -> dict[str, float]:
    """A column for each key of EXIF and of the header that the file has, whatever its value."""
    exif = [str(ExifTags.TAGS.get(tag, tag)) for tag in picture.getexif()]
    found = [f"exif_{name}" for name in exif] + [f"info_{name}" for name in picture.info]
    return {name[:_KEY_LENGTH]: 1.0 for name in sorted(found)[:_MAX_KEYS]}


def audit(
    rows: Sequence[dict[str, float]],
    labels: Sequence[int],
    groups: Sequence[Any] | None = None,
    *,
    brightness_counts: bool = True,
    seed: int = 0,
) -> Audit:
    """Cross-validate a small forest on metadata `rows`, folds by `groups` (None: each by itself).

    A column that a row lacks is 0 in it. `brightness_counts`: False for features in which mean and
    contrast cancel. Raises ValueError with fewer than two images of a class.
    """
    names = sorted(set().union(*rows))
    x = np.array([[row.get(name, 0.0) for name in names] for row in rows], float)
    y = np.asarray(labels).astype(int)
    clusters = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    columns = {name: _single(x[:, i], y) for i, name in enumerate(names)}

    def measured(chosen: Sequence[str]) -> Estimate:
        scores = _cross_validated(x[:, [names.index(name) for name in chosen]], y, clusters, seed)
        return ranking(y, scores, clusters, replicates=500)["auc"]

    delivery = [name for name in names if name not in _EVIDENCE | _BRIGHTNESS]
    return Audit(measured(delivery), measured(sorted(_BRIGHTNESS)), brightness_counts, columns)


def _cross_validated(
    x: NDArray[Any], y: NDArray[Any], clusters: NDArray[Any], seed: int
) -> NDArray[np.float64]:
    scores = np.full(len(y), 0.5)
    if (x == x[0]).all():
        return scores
    for train, test in source_folds(y, clusters, seed):
        if len(np.unique(y[train])) < 2:
            continue
        forest = RandomForestClassifier(
            _TREES, max_depth=4, class_weight="balanced", random_state=seed
        )
        scores[test] = forest.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
    return scores


def _single(column: NDArray[Any], y: NDArray[Any]) -> float:
    value = float(roc_auc_score(y, column))
    return max(value, 1 - value)
