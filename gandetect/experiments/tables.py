"""Tables of features, computed by whatever program: `.npz`, `.csv` or `.parquet`.

Columns `label`, optionally `video` (or `group`), and the features `f0`, `f1`, ... in order; in an
`.npz` file the features may also be one array `features` (N, F). No file of these kinds holds code:
NumPy's pickles are refused.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gandetect.experiments.features import Array
from gandetect.experiments.samples import Samples
from gandetect.experiments.settings import Setting

SUFFIXES = (".npz", ".csv", ".parquet")
_GROUPS = ("video", "group")


def read_table(path: str | Path, setting: Setting, *, published_labels: bool = False) -> Samples:
    """Samples from a table.

    Labels are 0 for real and 1 for generated, or as the authors of the setting had them
    (`published_labels`). Without a column of videos each row is a source of its own. Raises
    ValueError for another kind of file, missing columns, labels that are not 0 or 1, values that
    are not finite, and another number of features than the setting's; OSError where the file cannot
    be read.
    """
    path = Path(path)
    if path.suffix.lower() not in _READERS:
        raise ValueError(f"{path}: give a table in {', '.join(SUFFIXES)}")
    columns = _columns(path)
    if "label" not in columns:
        raise ValueError(f"{path}: no column 'label'; it has {', '.join(sorted(columns)[:6])}")
    labels = _labels(columns["label"], path)
    features = _features(columns, path, setting)
    if len(features) != len(labels):
        raise ValueError(f"{path}: {len(labels)} labels for {len(features)} rows of features")
    swapped = published_labels and setting.real_label == 1
    return Samples(
        features, 1 - labels if swapped else labels, _sources(columns, len(labels), path)
    )


def _columns(path: Path) -> dict[str, Any]:
    try:
        return _READERS[path.suffix.lower()](path)
    except (zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a table: {error}") from error


def _numbers(column: Any, name: str, path: Path) -> Array:
    try:
        return np.asarray(column).astype(np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: column {name} holds no numbers: {error}") from error


def _labels(column: Any, path: Path) -> NDArray[np.int64]:
    labels = _numbers(column, "label", path)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{path}: labels must be 0 or 1, not {np.unique(labels)[:4].tolist()}")
    return labels.astype(np.int64)


def _features(columns: Mapping[str, Any], path: Path, setting: Setting) -> Array:
    if "features" in columns:
        features = _numbers(columns["features"], "features", path)
        if features.ndim != 2:
            raise ValueError(f"{path}: features of shape {features.shape}; want (N, F)")
    else:
        names = [f"f{i}" for i in range(len(columns))]
        found = [_numbers(columns[name], name, path) for name in names if name in columns]
        if not found:
            raise ValueError(f"{path}: no columns of features f0, f1, ...")
        features = np.stack(found, axis=1)
    if setting.length is not None and features.shape[1] != setting.length:
        raise ValueError(
            f"{path}: {features.shape[1]} features; {setting.name} has {setting.length}"
        )
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise ValueError(f"{path}: the features of row {row} are not all finite; leave it out")
    return features


def _sources(columns: Mapping[str, Any], count: int, path: Path) -> NDArray[np.str_]:
    for name in _GROUPS:
        if name in columns:
            return np.asarray(columns[name]).astype(str)
    return np.array([f"{path}:{row}" for row in range(count)])


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _read_csv(path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        names = next(rows, [])
        columns = list(zip(*rows, strict=True))
    return dict(zip(names, columns, strict=True)) if columns else {}


def _read_parquet(path: Path) -> dict[str, Any]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


_READERS = {".npz": _read_npz, ".csv": _read_csv, ".parquet": _read_parquet}
