"""The results file and its exports."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gandetect.screen.store import (
    COLUMNS,
    FRAME_COLUMNS,
    ITEM_COLUMNS,
    Store,
    StoreError,
    export,
    iter_rows,
    iter_skips,
    run_info,
    text_path,
)

RUN = {
    "model": "m",
    "model_sha256": "ab" * 32,
    "model_card": '{"name": "m"}',
    "threshold_generated": 1.5,
    "threshold_real": -1.5,
    "fpr": 0.05,
    "certified": True,
    "args": "{}",
    "versions": "{}",
}
ODD_NAME = os.fsdecode(b'caf\xe9\n\x1b[31m,"quoted".jpg')


def item(seq: int, path: str = "a.jpg", **values: Any) -> dict[str, Any]:
    row = dict.fromkeys(ITEM_COLUMNS) | {"seq": seq, "path": path, "status": "ok"}
    return row | {"media": "video", "region": "tiles", "verdict": "real", **values}


def frame(index: int, **values: Any) -> list[Any]:
    row = dict.fromkeys(FRAME_COLUMNS) | {"frame": index, "verdict": "real", **values}
    return [row[name] for name in FRAME_COLUMNS]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Three files, added out of order: a video of two frames, an odd name, an error."""
    path = tmp_path / "run.sqlite"
    with Store(path, RUN) as store:
        store.add_file(item(2, "bad.mp4", verdict="error", reason="truncated", status="error"), [])
        frames = [
            frame(3, time_s=0.12, logit=1 / 3, p_generated=0.1, n_tiles=4, key_frame=False),
            frame(0, time_s=0.0, logit=-0.1, p_generated=0.3, n_tiles=4, key_frame=True),
        ]
        store.add_file(item(0, "a.mp4", logit=1 / 3, p_generated=0.1, n_frames=2), frames)
        store.add_file(item(1, ODD_NAME, p_generated=0.25, width=640), [])
        store.add_skip("pipe", "fifo")
        store.finish("done")
    return path


def test_rows_come_in_order_of_files_and_frames(db: Path) -> None:
    rows = list(iter_rows(db))
    assert [(row["path"][:3], row["kind"], row["frame"]) for row in rows] == [
        ("a.m", "frame", 0),
        ("a.m", "frame", 3),
        ("a.m", "file", None),
        ("caf", "file", None),
        ("bad", "file", None),
    ]
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert rows[0]["key_frame"] is True
    assert rows[1]["logit"] == 1 / 3
    assert rows[1]["model"] == "m"
    assert rows[4]["reason"] == "truncated"
    assert rows[4]["p_generated"] is None


def test_only_files_or_only_frames(db: Path) -> None:
    assert {row["kind"] for row in iter_rows(db, kind="file")} == {"file"}
    assert len(list(iter_rows(db, kind="frame"))) == 2
    with pytest.raises(ValueError, match="kind 'tile'"):
        list(iter_rows(db, kind="tile"))


def test_skips_and_run_are_recorded(db: Path) -> None:
    assert list(iter_skips(db)) == [{"path": "pipe", "path_hex": None, "reason": "fifo"}]
    info = run_info(db)
    assert (info["id"], info["status"], info["model_card"]) == (1, "done", {"name": "m"})
    assert info["started"] <= info["finished"]
    assert info["certified"] is True


def test_a_second_run_leaves_the_first(db: Path) -> None:
    with Store(db, RUN) as store:
        store.add_file(item(0, "new.jpg"), [])
    assert [row["path"] for row in iter_rows(db)] == ["new.jpg"]
    assert len(list(iter_rows(db, run=1))) == 5
    assert run_info(db)["status"] == "running"
    with pytest.raises(StoreError, match="no run 9"):
        list(iter_rows(db, run=9))


def test_any_detail_survives(db: Path) -> None:
    with Store(db, RUN) as store:
        store.add_file(item(0, detail="cannot open \udce9" + "x" * 5000), [])
    (row,) = iter_rows(db)
    assert row["detail"].startswith("cannot open \\udce9xxx")
    assert len(row["detail"]) <= 1000


def test_numbers_beyond_64_bits_are_unknown(db: Path) -> None:
    with Store(db, RUN) as store:
        store.add_file(item(0, mtime_ns=10**19, n_expected=2**63, size=2**63 - 1), [])
    (row,) = iter_rows(db)
    assert (row["mtime_ns"], row["n_expected"], row["size"]) == (None, None, 2**63 - 1)


def test_runs_may_begin_at_once_in_a_new_file(tmp_path: Path) -> None:
    n_runs = 4
    together = threading.Barrier(n_runs)

    def begin(number: int) -> int:
        together.wait()
        with Store(tmp_path / "run.sqlite", RUN) as store:
            store.add_file(item(0, f"{number}.jpg"), [])
            return store.run

    with ThreadPoolExecutor(n_runs) as pool:
        runs = list(pool.map(begin, range(n_runs)))
    rows = [next(iter_rows(tmp_path / "run.sqlite", run)) for run in runs]
    assert [row["path"] for row in rows] == [f"{number}.jpg" for number in range(n_runs)]


def test_names_that_sqlite_keeps_for_itself_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(":memory:", RUN) as store:
        store.add_file(item(0, "a.jpg"), [])
    assert [row["path"] for row in iter_rows(":memory:")] == ["a.jpg"]
    with pytest.raises(StoreError, match="unable to open"):
        Store("", RUN)


def test_any_name_survives() -> None:
    text, hexadecimal = text_path(ODD_NAME)
    text.encode()
    assert text.startswith("caf\\xe9\n")
    assert hexadecimal is not None
    assert os.fsdecode(bytes.fromhex(hexadecimal)) == ODD_NAME
    assert text_path("plain ä\n") == ("plain ä\n", None)


def read_back(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).to_pylist()
    with open(path, newline="", encoding="utf-8") as file:
        return [typed(row) for row in csv.DictReader(file)]


def typed(row: dict[str, str]) -> dict[str, Any]:
    casts = {**COLUMNS, **{name: "True".__eq__ for name, t in COLUMNS.items() if t is bool}}
    return {name: None if text == "" else casts[name](text) for name, text in row.items()}


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_every_export_holds_the_same_rows(extension: str, db: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out.{extension}"
    assert export(db, str(out)) == 5
    assert read_back(out) == list(iter_rows(db))
    assert not list(tmp_path.glob("*.part*"))


def test_parquet_has_plain_types(db: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    export(db, str(tmp_path / "a.parquet"))
    schema = pyarrow.parquet.read_schema(tmp_path / "a.parquet")
    assert schema.names == list(COLUMNS)
    assert {str(schema.field(name).type) for name in COLUMNS} == {
        "string",
        "int64",
        "double",
        "bool",
    }


def test_a_dash_streams_json_lines(db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(db, "-") == 5
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == list(iter_rows(db))
    assert all(line.isascii() for line in lines)


def test_other_formats_are_refused(db: Path) -> None:
    with pytest.raises(ValueError, match=r"\.parquet, \.jsonl, \.csv"):
        export(db, "out.xlsx")


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_failed_export_leaves_nothing_behind(
    extension: str, db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / f"out.{extension}"
    out.write_text("the export of yesterday")
    with pytest.raises(StoreError, match="No space left on device; free some space"):
        export(db, str(out))
    assert out.read_text() == "the export of yesterday"
    assert not list(tmp_path.glob("*.part*"))


def test_a_full_disk_is_an_error_and_keeps_what_was_written(db: Path) -> None:
    with Store(db, RUN) as store:
        store.add_file(item(0), [frame(i) for i in range(10)])
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="full; free some space"):
            store.add_file(item(1), [frame(i, reason="x" * 500) for i in range(1000)])
    assert [row["kind"] for row in iter_rows(db)].count("file") == 1
    assert len(list(iter_rows(db))) == 11


def test_readers_may_look_while_a_run_writes(db: Path) -> None:
    with Store(db, RUN) as store:
        store.add_file(item(0, "one.jpg"), [])
        assert [row["path"] for row in iter_rows(db)] == ["one.jpg"]
        store.add_file(item(1, "two.jpg"), [])
        assert [row["path"] for row in iter_rows(db)] == ["one.jpg", "two.jpg"]


def test_a_foreign_file_is_not_touched(tmp_path: Path) -> None:
    text, other = tmp_path / "text.sqlite", tmp_path / "other.sqlite"
    text.write_text("not a database at all" * 50)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(StoreError, match="give another --db"):
            Store(path, RUN)
        with pytest.raises(StoreError):
            list(iter_rows(path))
        assert path.read_bytes() == before


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such results file"):
        list(iter_rows(tmp_path / "none.sqlite"))
    assert not list(tmp_path.iterdir())


def test_an_unreachable_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        Store(tmp_path / "none" / "run.sqlite", RUN)
