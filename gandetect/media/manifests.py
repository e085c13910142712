"""What the `manifest.json` of a folder says of its files: which stem from one source, licenses.

It is a list of objects with `file` (the path below the folder) and `source`, or has such a list as
`photographs`, where the source may be called `group`. A file of the same name that is anything else
is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def read_manifest(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The row of each file that the manifest of `folder` lists; nothing where there is none."""
    try:
        document = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    rows = document.get("photographs") if isinstance(document, dict) else document
    good = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {str(row["file"]): row for row in good if "file" in row}


def source_of(path: Path, folder: str | Path) -> str:
    """What an image stems from, by its name: its path below `folder` without the suffix."""
    return path.relative_to(folder).with_suffix("").as_posix()


def rows_in(
    folder: str | Path, paths: Iterable[Path], beside: Iterable[str | Path] = ()
) -> dict[Path, dict[str, Any]]:
    """What is said of each of `paths` below `folder`; nothing where nothing is.

    A file that the manifest does not list by its path is looked for by its bare name, and then, by
    its path without the suffix, in the manifests of the folders `beside`: what was generated from a
    photograph has its name.
    """
    rows = read_manifest(folder)
    named = {Path(file).name: row for file, row in rows.items()}
    others = {
        Path(file).with_suffix("").as_posix(): row
        for other in beside
        for file, row in read_manifest(other).items()
    }
    return {
        path: rows.get(path.relative_to(folder).as_posix())
        or named.get(path.name)
        or others.get(source_of(path, folder))
        or {}
        for path in paths
    }


def source_in(row: dict[str, Any], path: Path, folder: str | Path) -> str:
    """What the file `path` stems from, by its `row` of a manifest; its path below `folder` without
    the suffix where that does not say."""
    said = (row.get(key) for key in ("group", "source"))
    known = next((one for one in said if one not in (None, "")), None)
    return source_of(path, folder) if known is None else str(known)


def sources_in(
    folder: str | Path, paths: Iterable[Path], beside: Iterable[str | Path] = ()
) -> dict[Path, str]:
    """What each of `paths` below `folder` stems from, see `rows_in`."""
    rows = rows_in(folder, paths, beside)
    return {path: source_in(row, path, folder) for path, row in rows.items()}
