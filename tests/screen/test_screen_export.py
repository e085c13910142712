"""Rows for other programs: each format holds all of them, whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from making_results import file_rows, frame_row, shown_paths, write_results

from gandetect.screen import StoreError
from gandetect.screen import export as export_module
from gandetect.screen.export import export, export_format, write_rows
from gandetect.screen.schema import COLUMNS
from gandetect.screen.store import iter_rows

ODD_NAME = os.fsdecode(b'caf\xe9\n\x1b[31m,"quoted" \xf0\x9f\x98\x80.jpg')
FORMATS = ("csv", "jsonl", "parquet")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A video of two frames, an odd name, an error."""
    frames = [
        frame_row(0, time_s=0.0, logit=-0.1, p_generated=0.3, n_tiles=4, key_frame=True),
        frame_row(3, time_s=0.12, logit=1 / 3, n_tiles=4, key_frame=False, verdict="generated"),
    ]
    write_results(
        tmp_path / "run.sqlite",
        file_rows(0, "a.mp4", frames, logit=1 / 3, n_frames=2, size=2**63 - 1),
        file_rows(1, ODD_NAME, p_generated=0.25, width=640, verdict="generated"),
        file_rows(2, "bad.mp4", verdict="error", reason="truncated", status="error"),
    )
    return tmp_path / "run.sqlite"


def read_back(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        return parquet.read_table(path).to_pylist()
    with open(path, newline="", encoding="utf-8") as file:
        return [typed(row) for row in csv.DictReader(file)]


def typed(row: dict[str, str]) -> dict[str, Any]:
    casts = {**COLUMNS, **{name: "True".__eq__ for name, t in COLUMNS.items() if t is bool}}
    return {name: None if text == "" else casts[name](text) for name, text in row.items()}


@pytest.mark.parametrize("extension", FORMATS)
def test_every_export_holds_the_same_rows(extension: str, db: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out.{extension}"
    assert export(db, str(out)) == 5
    assert read_back(out) == list(iter_rows(db))
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("extension", FORMATS)
def test_an_empty_run_is_a_file_without_rows(extension: str, tmp_path: Path) -> None:
    write_results(tmp_path / "run.sqlite")
    out = tmp_path / f"out.{extension}"
    assert export(tmp_path / "run.sqlite", str(out)) == 0
    assert read_back(out) == []
    if extension != "jsonl":
        assert out.stat().st_size > 0


def test_an_extension_in_capitals_is_known(db: Path, tmp_path: Path) -> None:
    export(db, str(tmp_path / "a.JSONL"))
    assert len((tmp_path / "a.JSONL").read_text().splitlines()) == 5


# --- parquet ---


def test_parquet_has_plain_types(db: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(db, str(tmp_path / "a.parquet"))
    schema = parquet.read_schema(tmp_path / "a.parquet")
    words = {str: "string", int: "int64", float: "double", bool: "bool"}
    assert {field.name: str(field.type) for field in schema} == {
        name: words[kind] for name, kind in COLUMNS.items()
    }


def test_parquet_is_compressed_with_zstd(db: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(db, str(tmp_path / "a.parquet"))
    group = parquet.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"ZSTD"}


def test_parquet_is_written_some_rows_at_a_time(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(export_module, "_PARQUET_ROWS", 2)
    assert export(db, str(tmp_path / "a.parquet")) == 5
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    assert read_back(tmp_path / "a.parquet") == list(iter_rows(db))


def test_a_column_of_nothing_keeps_its_type(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_results(tmp_path / "run.sqlite", file_rows(0))
    export(tmp_path / "run.sqlite", str(tmp_path / "a.parquet"))
    table = parquet.read_table(tmp_path / "a.parquet")
    assert str(table.schema.field("p_generated").type) == "double"
    assert table["p_generated"].null_count == 1


def test_a_number_that_is_none_is_null_and_not_nan(tmp_path: Path) -> None:
    write_results(tmp_path / "run.sqlite", file_rows(0, logit=float("nan"), p_generated=None))
    for extension in FORMATS:
        export(tmp_path / "run.sqlite", str(tmp_path / f"a.{extension}"))
        (row,) = read_back(tmp_path / f"a.{extension}")
        assert (row["logit"], row["p_generated"]) == (None, None)


# --- streams ---


def test_a_dash_streams_json_lines(db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(db, "-") == 5
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == list(iter_rows(db))
    assert all(line.isascii() for line in lines)


class Broken(io.StringIO):
    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def flush(self) -> None:
        raise OSError(self.code, os.strerror(self.code))


def test_a_full_disk_behind_a_stream_is_an_error(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    with pytest.raises(StoreError, match=r"standard output: No space left .*; free some space"):
        export(db, "-")


def test_a_reader_that_wants_no_more_is_no_error_of_the_results(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))
    with pytest.raises(BrokenPipeError):
        export(db, "-")


# --- which rows ---


@pytest.mark.parametrize("out", ["a.jsonl", "a.csv", "a.parquet"])
def test_rows_can_be_chosen_by_kind_and_verdict(out: str, db: Path, tmp_path: Path) -> None:
    def exported(**chosen: Any) -> list[tuple[str, str]]:
        count = export(db, str(tmp_path / out), **chosen)
        rows = read_back(tmp_path / out)
        assert len(rows) == count
        return [(row["kind"], row["verdict"]) for row in rows]

    assert exported(kind="frame") == [("frame", "real"), ("frame", "generated")]
    assert exported(verdicts=["generated"]) == [("frame", "generated"), ("file", "generated")]
    assert exported(kind="file", verdicts=["generated", "error"]) == [
        ("file", "generated"),
        ("file", "error"),
    ]
    assert exported(verdicts=[]) == []


def test_an_unknown_kind_is_refused(db: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind 'tile'"):
        export(db, str(tmp_path / "a.csv"), kind="tile")
    assert not (tmp_path / "a.csv").exists()


def test_an_earlier_run_can_be_exported(db: Path, tmp_path: Path) -> None:
    write_results(db, file_rows(0, "new.jpg"))
    assert export(db, str(tmp_path / "a.jsonl")) == 1
    assert export(db, str(tmp_path / "a.jsonl"), run=1) == 5
    with pytest.raises(StoreError, match="no run 3"):
        export(db, str(tmp_path / "b.jsonl"), run=3)
    assert not (tmp_path / "b.jsonl").exists()


# --- whole or not at all ---


@pytest.mark.parametrize("name", ["out.xlsx", "out", ".csv", "", "out.parquet.gz"])
def test_other_names_are_refused(name: str, db: Path) -> None:
    with pytest.raises(ValueError, match=r"\.parquet, \.jsonl, \.csv"):
        export(db, name)
    with pytest.raises(ValueError):
        export_format(name)


@pytest.mark.parametrize("extension", FORMATS)
def test_a_failed_export_leaves_what_was_there(
    extension: str, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / f"out.{extension}"
    out.write_text("the export of yesterday")
    with pytest.raises(StoreError, match="No space left on device; free some space"):
        export(db, str(out))
    assert out.read_text() == "the export of yesterday"
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("extension", FORMATS)
def test_rows_that_break_off_leave_nothing_behind(extension: str, db: Path, tmp_path: Path) -> None:
    def rows() -> Any:
        yield from iter_rows(db)
        raise StoreError("the results cannot be read further")

    with pytest.raises(StoreError, match="read further"):
        write_rows(rows(), str(tmp_path / f"out.{extension}"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


def test_a_folder_is_not_replaced(db: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(StoreError, match="directory"):
        export(db, str(tmp_path / "out.csv"))
    assert not list(tmp_path.glob("*.part*"))


def test_a_missing_folder_is_an_error(db: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        export(db, str(tmp_path / "none" / "a.csv"))


def test_exporting_changes_nothing_in_the_results(db: Path, tmp_path: Path) -> None:
    before = db.read_bytes()
    export(db, str(tmp_path / "a.csv"))
    assert db.read_bytes() == before
    assert shown_paths(db) == ["a.mp4", 'caf\\xe9\n\x1b[31m,"quoted" \U0001f600.jpg', "bad.mp4"]
