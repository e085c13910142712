"""What the `manifest.json` of a folder says of its files: which stem from one source, licences.

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


def source_in(row: dict[str, Any], path: Path, folder: str | Path) -> str:
    """What the file `path` stems from, by its `row` of the manifest; its path below `folder`
    without the suffix where that does not say."""
    return str(row.get("group") or row.get("source") or source_of(path, folder))


def source_of(path: Path, folder: str | Path) -> str:
    """What an image stems from, by its name: its path below `folder` without the suffix."""
    return path.relative_to(folder).with_suffix("").as_posix()


def sources_in(folder: str | Path, paths: Iterable[Path]) -> dict[Path, str]:
    """What each of `paths` below `folder` stems from. A file that is not listed by its path is
    looked for by its bare name."""
    rows = read_manifest(folder)
    named = {Path(file).name: row for file, row in rows.items()}
    found = {}
    for path in paths:
        below = path.relative_to(folder).as_posix()
        found[path] = source_in(rows.get(below) or named.get(path.name) or {}, path, folder)
    return found
