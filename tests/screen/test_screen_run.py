"""Whole runs: every file has its row, whatever it is and however the run is cut into batches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making_corpus import CORPUS
from making_media import image_bytes, noise, write_clip

from gandetect.detect import Model, cut_tiles
from gandetect.media import VideoReader, read_luma
from gandetect.screen import Progress, Summary, pipeline, screen
from gandetect.screen.store import iter_rows, iter_skips, run_info


def rows_of(summary: Summary, kind: str = "file") -> list[dict[str, Any]]:
    return list(iter_rows(summary.db, summary.run, kind))


def bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what differs between runs, and logits to the precision of float32 sums."""
    drop = {"run", "logit", "p_generated"}
    return [{k: v for k, v in row.items() if k not in drop} for row in rows]


def numbers(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[row["logit"], row["p_generated"]] for row in rows], dtype=float)


@pytest.fixture(scope="module")
def corpus_run(
    corpus: Path, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Summary, dict[str, dict[str, Any]], dict[str, str]]:
    db = tmp_path_factory.mktemp("db") / "run.sqlite"
    summary = screen([corpus], model=model, db=db, every=0.5, workers=2)

    def name(row: dict[str, Any]) -> str:
        raw = bytes.fromhex(row["path_hex"]) if row["path_hex"] else row["path"].encode()
        return os.path.relpath(os.fsdecode(raw), corpus)

    rows = {name(row): row for row in rows_of(summary)}
    skips = {name(row): row["reason"] for row in iter_skips(db)}
    assert len(rows) == summary.n_files
    return summary, rows, skips


@pytest.mark.parametrize("name", CORPUS)
def test_each_file_of_the_corpus_has_its_row_or_its_reason(name: str, corpus_run: Any) -> None:
    _, rows, skips = corpus_run
    fate = CORPUS[name]
    if fate.startswith("skip:"):
        assert skips[name] == fate.removeprefix("skip:")
        assert name not in rows
        return
    row = rows[name]
    if fate in ("ok", "partial"):
        assert row["status"] == fate
        assert row["verdict"] in ("real", "generated", "inconclusive")
        return
    assert (row["status"], row["verdict"], row["reason"]) == ("error", "error", fate)
    assert row["p_generated"] is None
    assert row["detail"]


def test_the_corpus_is_counted_whole(corpus_run: Any) -> None:
    summary, rows, skips = corpus_run
    assert set(rows) | set(skips) == set(CORPUS)
    assert summary.n_files + sum(summary.skipped.values()) == len(CORPUS)
    assert sum(summary.verdicts.values()) == summary.n_files
    assert summary.n_partial == sum(fate == "partial" for fate in CORPUS.values())
    assert summary.exit_code == 1
    assert run_info(summary.db)["status"] == "done"


def test_the_corpus_says_why_it_gives_no_verdict(corpus_run: Any) -> None:
    _, rows, _ = corpus_run
    reasons = {name: rows[name]["reason"] for name in ("tiny.png", "flat.png", "interlaced.mp4")}
    assert reasons == {
        "tiny.png": "too_small",
        "flat.png": "flat",
        "interlaced.mp4": "interlaced",
    }
    assert rows["animated.gif"]["detail"] == "first of 3 pictures"
    assert "frames decoded" in rows["hole.mp4"]["detail"]
    assert rows["hole.mp4"]["n_errors"] > 0
    assert rows["jpeg.mp4"]["media"] == "image"
    assert rows["video.jpg"]["media"] == "video"
    assert rows["good.mp4"]["codec"] == "h264"


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 5}, {"workers": 3}])
def test_rows_do_not_depend_on_batches_or_threads(
    options: dict[str, int], clips: Path, model: Model, tmp_path: Path
) -> None:
    db = tmp_path / "run.sqlite"
    common = {"model": model, "db": db, "every": 0.2}
    base = screen([clips], **common, workers=1)
    other = screen([clips], **common, **options)
    for kind in ("file", "frame"):
        expected, rows = rows_of(base, kind), rows_of(other, kind)
        assert bare(rows) == bare(expected)
        np.testing.assert_allclose(numbers(rows), numbers(expected), atol=1e-5)


def test_rows_do_not_depend_on_memory_limits(
    clips: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = screen([clips], model=model, db=tmp_path / "run.sqlite", every=0.2)
    for name in ("QUEUE_BYTES", "BATCH_BYTES", "MAX_OPEN_FILES"):
        monkeypatch.setattr(pipeline, name, 1)
    tight = screen([clips], model=model, db=tmp_path / "run.sqlite", every=0.2)
    assert bare(rows_of(tight)) == bare(rows_of(base))


def test_scores_are_those_of_the_model(clips: Path, model: Model, tmp_path: Path) -> None:
    summary = screen([clips], model=model, db=tmp_path / "run.sqlite", every=0.4)
    for row in rows_of(summary, "frame"):
        if row["media"] == "image":
            luma = read_luma(row["path"])
        else:
            frames = {frame.index: frame.luma for frame in VideoReader(row["path"])}
            luma = frames[row["frame"]]
        tiles = cut_tiles(luma.as_uint8_range(), model.tile, min_side=model.min_side)
        logit = model.logits(tiles).double().mean()
        assert row["logit"] == pytest.approx(float(logit), abs=1e-5)
        assert row["p_generated"] == pytest.approx(float(model.probability(logit)), abs=1e-5)
        assert row["verdict"] == model.verdict(row["logit"], model.thresholds(0.05))
        assert row["n_tiles"] == len(tiles)


def test_a_video_is_the_median_of_its_frames(clips: Path, model: Model, tmp_path: Path) -> None:
    summary = screen([clips / "a.mp4"], model=model, db=tmp_path / "run.sqlite", every=0.2)
    (row,) = rows_of(summary)
    frames = rows_of(summary, "frame")
    assert [frame["time_s"] for frame in frames] == pytest.approx([i / 5 for i in range(10)])
    assert row["logit"] == pytest.approx(float(np.median([frame["logit"] for frame in frames])))
    assert row["n_frames"] == len(frames) == 10
    assert row["n_decoded"] == 50


def test_short_clips_are_sampled_more_closely(model: Model, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 25)
    summary = screen([tmp_path / "a.mp4"], model=model, db=tmp_path / "run.sqlite", every=1.0)
    assert rows_of(summary)[0]["n_frames"] == 8


def test_a_single_frame_gives_no_verdict_on_a_video(model: Model, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 1)
    summary = screen([tmp_path / "a.mp4"], model=model, db=tmp_path / "run.sqlite")
    assert rows_of(summary)[0]["reason"] == "few_frames"
    wanted = screen([tmp_path / "a.mp4"], model=model, db=tmp_path / "run.sqlite", max_frames=1)
    assert rows_of(wanted)[0]["reason"] != "few_frames"


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_regions_are_recorded(region: str, clips: Path, model: Model, tmp_path: Path) -> None:
    summary = screen([clips], model=model, db=tmp_path / "run.sqlite", region=region)
    assert {row["region"] for row in rows_of(summary)} == {region}
    assert run_info(summary.db)["args"]["region"] == region
    assert all(row["verdict"] != "error" for row in rows_of(summary))


def test_progress_is_told_after_each_file(corpus: Path, model: Model, tmp_path: Path) -> None:
    seen: list[Progress] = []
    summary = screen([corpus], model=model, db=tmp_path / "run.sqlite", progress=seen.append)
    assert len(seen) == len(CORPUS)
    assert seen[-1].n_files == summary.n_files
    assert seen[-1].n_errors == summary.n_errors
    assert [s.n_files + s.n_skipped for s in seen] == list(range(1, len(CORPUS) + 1))


def test_a_run_says_how_it_was_made(clips: Path, model: Model, tmp_path: Path) -> None:
    info = run_info(screen([clips], model=model, db=tmp_path / "run.sqlite", fpr=0.1).db)
    assert info["args"]["fpr"] == info["fpr"] == 0.1
    assert info["args"]["paths"] == [str(clips)]
    assert info["model"] == "arbitrary"
    assert info["model_card"] == model.card
    assert info["threshold_generated"] == model.thresholds(0.1).generated
    assert info["versions"]["torch"] == torch.__version__


def test_interrupting_keeps_the_finished_files(clips: Path, model: Model, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.n_files == 2:
            raise KeyboardInterrupt

    db = tmp_path / "run.sqlite"
    with pytest.raises(KeyboardInterrupt):
        screen([clips], model=model, db=db, batch_size=1, workers=1, progress=interrupt)
    assert len(list(iter_rows(db, kind="file"))) == 2
    assert run_info(db)["status"] == "interrupted"


def test_a_decoder_that_breaks_in_a_new_way_is_a_row(
    clips: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gandetect.screen import decode

    def broken(path: str) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(decode, "read_luma", broken)
    summary = screen([clips], model=model, db=tmp_path / "run.sqlite")
    broken_rows = [row for row in rows_of(summary) if row["media"] == "image"]
    assert {row["reason"] for row in broken_rows} == {"decoder_failed"}
    assert broken_rows[0]["detail"] == "ZeroDivisionError: surprise"


def test_an_unreadable_file_is_a_row(
    clips: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gandetect.screen import decode

    def denied(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(decode, "sniff", denied)
    summary = screen([clips / "0.jpeg"], model=model, db=tmp_path / "run.sqlite")
    (row,) = rows_of(summary)
    assert (row["verdict"], row["reason"]) == ("error", "unreadable")
    assert row["detail"] == "Permission denied"
    assert summary.exit_code == 3


def test_exit_codes(clips: Path, corpus: Path, model: Model, tmp_path: Path) -> None:
    def code(*paths: Path) -> int:
        return screen(paths, model=model, db=tmp_path / "run.sqlite").exit_code

    assert code(clips) == 0
    assert code(clips, corpus / "cut.mp4") == 1
    assert code(clips, corpus / "hole.mp4") == 1
    assert code(corpus / "cut.mp4") == 3
    assert code(tmp_path / "none") == 3
    (tmp_path / "empty").mkdir()
    assert code(tmp_path / "empty") == 3


@pytest.mark.parametrize(
    "options",
    [
        {"region": "faces"},
        {"batch_size": 0},
        {"max_tiles": 0},
        {"fpr": 1e-9},
        {"every": 0.0},
        {"max_frames": 0},
        {"workers": 0},
        {"workers": -1},
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    options: dict[str, Any], model: Model, tmp_path: Path
) -> None:
    with pytest.raises(ValueError):
        screen([tmp_path], model=model, db=tmp_path / "run.sqlite", **options)
    assert not (tmp_path / "run.sqlite").exists()


def test_a_lone_path_is_taken_as_one(model: Model, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    assert screen(str(tmp_path), model=model, db=tmp_path / "run.sqlite").n_files == 1


def test_many_sizes_are_scored(model: Model, tmp_path: Path) -> None:
    for side in range(32, 64, 2):
        (tmp_path / f"{side}.png").write_bytes(image_bytes(noise(side, side), "PNG"))
    summary = screen([tmp_path], model=model, db=tmp_path / "run.sqlite")
    assert summary.n_files == 16
    assert all(row["logit"] is not None for row in rows_of(summary))
