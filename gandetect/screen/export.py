"""The rows of a run as a file for other programs."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from gandetect.screen.schema import COLUMNS, StoreError, disk_message
from gandetect.screen.store import iter_rows

_PARQUET_ROWS = 50_000

Row = dict[str, Any]


def export(
    path: str | os.PathLike[str],
    out: str,
    run: int | None = None,
    *,
    kind: str | None = None,
    verdicts: Iterable[str] | None = None,
) -> int:
    """Write the rows of a run (None: the latest) to `out`; returns how many.

    The extension chooses: .parquet (needs pyarrow), .jsonl, .csv; "-" streams JSON lines to
    standard output. The file appears whole or not at all. `kind` "file" or "frame" writes only
    those rows, `verdicts` only those with one of them. Raises StoreError where it cannot be
    written, ValueError for another extension.
    """
    wanted = None if verdicts is None else frozenset(verdicts)
    rows = (r for r in iter_rows(path, run, kind) if wanted is None or r["verdict"] in wanted)
    return _stream(rows, sys.stdout) if out == "-" else write_rows(rows, out)


def _stream(rows: Iterator[Row], file: IO[str]) -> int:
    """A reader that wants no more is for the caller to deal with, a full disk is not."""
    try:
        count = _write_jsonl(rows, file)
        file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(disk_message("standard output", error)) from error
    return count


def write_rows(rows: Iterator[Row], out: str) -> int:
    """Rows with the keys COLUMNS to the file `out`, whole or not at all; returns how many."""
    writer = _WRITERS[export_format(out)]
    partial = Path(f"{out}.part{os.getpid()}")
    try:
        count = writer(rows, partial)
        os.replace(partial, out)
    except OSError as error:
        raise StoreError(disk_message(out, error)) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def export_format(out: str) -> str:
    """The extension of an export file; raises ValueError where there is no writer for it."""
    extension = Path(out).suffix.lower()
    if extension not in _WRITERS:
        raise ValueError(f"cannot export to {out!r}: give a name ending in {', '.join(_WRITERS)}")
    return extension


def parquet_schema() -> Any:
    """COLUMNS as Arrow types: plain strings, 64-bit integers and floats."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise StoreError("Parquet needs pyarrow: pip install 'gandetect[parquet]'") from error
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])


def write_parquet(rows: Iterator[Row], file: IO[bytes]) -> int:
    """Rows as Parquet with zstd, some at a time; returns how many."""
    schema = parquet_schema()
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _PARQUET_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


def _write_jsonl(rows: Iterator[Row], file: IO[str]) -> int:
    count = 0
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")
        count += 1
    return count


def _write_jsonl_file(rows: Iterator[Row], path: Path) -> int:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        count = _write_jsonl(rows, file)
        _to_disk(file)
    return count


def _write_csv(rows: Iterator[Row], path: Path) -> int:
    count = 0
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            count += 1
        _to_disk(file)
    return count


def _write_parquet_file(rows: Iterator[Row], path: Path) -> int:
    with open(path, "wb") as file:
        count = write_parquet(rows, file)
        _to_disk(file)
    return count


_WRITERS = {".parquet": _write_parquet_file, ".jsonl": _write_jsonl_file, ".csv": _write_csv}


def _to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
