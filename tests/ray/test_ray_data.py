"""The stage for Ray Data pipelines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from odd_models import Poisonable
from ray_helpers import rows_of

from gandetect.detect import Model
from gandetect.screen import screen
from gandetect.screen.export import parquet_schema
from gandetect.screen.on_ray import ScreenBatch


@pytest.fixture(scope="module")
def stage(model: Model) -> Iterator[ScreenBatch]:
    stage = ScreenBatch(Poisonable(model), every=0.2, workers=2)
    yield stage
    stage.close()


def batch(*paths: Any, **more: Any) -> dict[str, Any]:
    return {"path": np.array([str(path) for path in paths], object), **more}


def test_rows_are_those_of_a_run(
    stage: ScreenBatch, many: Path, model: Model, tmp_path: Path
) -> None:
    files = [*sorted(many.iterdir())[:20], many / "3.mp4"]
    summary = screen(files, model=model, db=tmp_path / "run.sqlite", every=0.2)
    expected = [row for row in rows_of(summary.db) if row["kind"] == "file"]
    rows = stage(batch(*files)).to_pylist()
    assert [{**row, "run": None} for row in rows] == expected
    # The same stage does another batch, in another order.
    again = stage(batch(*reversed(files))).to_pylist()
    assert again == rows[::-1]


def test_each_path_has_its_row(
    stage: ScreenBatch, many: Path, poison: bytes, tmp_path: Path
) -> None:
    (tmp_path / "poison.png").write_bytes(poison)
    odd = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / odd).write_bytes((many / "01.jpg").read_bytes())
    paths = [
        tmp_path / "poison.png", many / "00.jpg", tmp_path / "none.jpg", many / "00.jpg", tmp_path,
        tmp_path / odd,
    ]  # fmt: skip
    table = stage(batch(*paths, label=np.arange(6), size=np.zeros(6)))
    assert table.schema.names == [*parquet_schema().names, "label"]
    rows = table.to_pylist()
    assert [row["label"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [(row["kind"], row["verdict"] == "error", row["reason"]) for row in rows] == [
        ("file", True, "crashed"),
        ("file", False, rows[1]["reason"]),
        ("file", True, "not_found"),
        ("file", False, rows[1]["reason"]),
        ("skip", False, "folder"),
        ("file", False, rows[5]["reason"]),
    ]
    assert rows[1] == {**rows[3], "label": 1}
    assert bytes.fromhex(rows[5]["path_hex"]) == os.fsencode(paths[5])
    assert rows[1]["size"] == (many / "00.jpg").stat().st_size


def test_bad_options_are_refused_where_the_stage_is_made(model: Model) -> None:
    with pytest.raises(ValueError, match="batch_size=0"):
        ScreenBatch(model, batch_size=0)
    with pytest.raises(ValueError, match="certif"):
        ScreenBatch(model, fpr=1e-9)


def test_it_is_a_stage_of_ray_data(ray_here: Any, many: Path, model_file: Path) -> None:
    pytest.importorskip("pandas")
    data = pytest.importorskip("ray.data")
    data.DataContext.get_current().enable_progress_bars = False
    files = [str(path) for path in sorted(many.iterdir())]
    rows = (
        data.from_items([{"path": path, "label": i} for i, path in enumerate(files)])
        .map_batches(
            ScreenBatch,
            fn_constructor_kwargs={"model": str(model_file), "every": 0.2},
            batch_size=16,
            concurrency=1,
        )
        .take_all()
    )
    assert sorted((row["path"], row["label"]) for row in rows) == [
        (path, i) for i, path in enumerate(files)
    ]
    assert {row["verdict"] for row in rows} <= {"real", "generated", "inconclusive"}
    assert all(row["logit"] is not None for row in rows)
