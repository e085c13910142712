"""Whole runs: every file has its row, whatever it is and however the run is cut into batches."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import faults
import numpy as np
import pytest
import torch
from making_corpus import CORPUS, make_model
from making_media import image_bytes, noise, write_clip

from gandetect.detect import Model, cut_tiles
from gandetect.media import VideoReader, read_luma
from gandetect.screen import Limits, Progress, Summary, pipeline, screen, work
from gandetect.screen.store import iter_rows, iter_skips, run_info


def rows_of(summary: Summary, kind: str = "file") -> list[dict[str, Any]]:
    return list(iter_rows(summary.db, summary.run, kind))


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


@pytest.mark.parametrize(
    "options", [{"batch_size": 1}, {"batch_size": 5}, {"workers": 3}, {"workers": 0}]
)
def test_rows_do_not_depend_on_batches_or_workers(
    # To the last bit, or a run that goes on elsewhere would not equal one that was not interrupted.
    options: dict[str, int],
    clips: Path,
    model: Model,
    tmp_path: Path,
) -> None:
    common: dict[str, Any] = {"model": model, "every": 0.2}
    base = screen([clips], db=tmp_path / "a.sqlite", **common, workers=1)
    other = screen([clips], db=tmp_path / "b.sqlite", **common, **options)
    for kind in ("file", "frame"):
        assert rows_of(other, kind) == rows_of(base, kind)


def test_rows_do_not_depend_on_memory_limits(
    clips: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = screen([clips], model=model, db=tmp_path / "a.sqlite", every=0.2, workers=0)
    monkeypatch.setattr(work, "BATCH_BYTES", 1)
    for name in ("CHUNK_FILES", "CHUNK_BYTES"):
        monkeypatch.setattr(pipeline, name, 1)
    tight = screen([clips], model=model, db=tmp_path / "b.sqlite", every=0.2, workers=0)
    assert rows_of(tight) == rows_of(base)
    assert rows_of(tight, "frame") == rows_of(base, "frame")


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
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
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
    wanted = screen([tmp_path / "a.mp4"], model=model, db=tmp_path / "b.sqlite", max_frames=1)
    assert rows_of(wanted)[0]["reason"] != "few_frames"


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_regions_are_recorded(region: str, clips: Path, model: Model, tmp_path: Path) -> None:
    summary = screen([clips], model=model, db=tmp_path / "run.sqlite", region=region)
    assert {row["region"] for row in rows_of(summary)} == {region}
    assert run_info(summary.db)["args"]["region"] == region
    assert all(row["verdict"] != "error" for row in rows_of(summary))


def test_progress_is_told(corpus: Path, model: Model, tmp_path: Path) -> None:
    seen: list[Progress] = []
    summary = screen([corpus], model=model, db=tmp_path / "run.sqlite", progress=seen.append)
    assert seen[-1].n_files == summary.n_files
    assert seen[-1].n_errors == summary.n_errors
    assert seen[-1].n_frames == summary.n_frames
    done = [progress.n_files + progress.n_skipped for progress in seen]
    assert done == sorted(done)
    assert done[-1] == len(CORPUS)
    assert len(set(done)) >= 5


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
    summary = screen([clips], model=model, db=tmp_path / "run.sqlite", workers=0)
    broken_rows = [row for row in rows_of(summary) if row["media"] == "image"]
    assert {row["reason"] for row in broken_rows} == {"decoder_failed"}
    assert broken_rows[0]["detail"] == "ZeroDivisionError: surprise"


def test_an_unreadable_file_is_a_row(
    clips: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gandetect.screen import decode

    def denied(path: str, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(decode, "open", denied, raising=False)
    summary = screen([clips / "0.jpeg"], model=model, db=tmp_path / "run.sqlite", workers=0)
    (row,) = rows_of(summary)
    assert (row["verdict"], row["reason"]) == ("error", "unreadable")
    assert row["detail"] == "Permission denied"
    assert summary.exit_code == 3


def test_exit_codes(clips: Path, corpus: Path, model: Model, tmp_path: Path) -> None:
    def code(*paths: Path) -> int:
        return screen(paths, model=model, db=tmp_path / "run.sqlite", workers=0).exit_code

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
        {"region": "half"},
        {"batch_size": 0},
        {"max_tiles": 0},
        {"fpr": 1e-9},
        {"every": 0.0},
        {"max_frames": 0},
        {"workers": -1},
        {"fdr": 1.0},
        {"device": "cuda:99"},
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


@pytest.fixture
def poisoned(clips: Path, tmp_path: Path) -> tuple[Path, faults.KillsOn]:
    """Twelve pictures of which one takes the process along that scores it."""
    folder = tmp_path / "poisoned"
    folder.mkdir()
    plain = make_model()
    for i in range(12):
        (folder / f"{i:02}.png").write_bytes(image_bytes(noise(64, 64, i)[:, :, 0], "PNG"))
    pixels = noise(64, 64, 3)[:, :, 0] // 100
    model = faults.KillsOn(plain.arrays, plain.card)
    model_pixels = (pixels + 7 - int(pixels.mean().round())).astype(np.uint8)
    assert model_pixels.mean().round() == model.fatal
    (folder / "06 poison.png").write_bytes(image_bytes(model_pixels, "PNG"))
    return folder, model


def test_a_file_that_kills_its_worker_is_quarantined(
    poisoned: tuple[Path, faults.KillsOn], tmp_path: Path
) -> None:
    folder, model = poisoned
    summary = screen([folder], model=model, db=tmp_path / "run.sqlite", workers=2)
    rows = {Path(row["path"]).name: row for row in rows_of(summary)}
    bad = rows.pop("06 poison.png")
    assert (bad["verdict"], bad["status"], bad["reason"]) == ("error", "quarantined", "crashed")
    assert "SIGKILL" in bad["detail"]
    assert bad["attempts"] == 2
    assert bad["p_generated"] is None
    assert len(rows) == 12
    assert all(row["logit"] is not None and row["attempts"] == 1 for row in rows.values())
    assert summary.exit_code == 1


def test_a_file_that_takes_too_long_is_quarantined(tmp_path: Path, model: Model) -> None:
    clip = write_clip(tmp_path / "long.mp4", 2000, size=320)
    (tmp_path / "a.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    limits = Limits(total_s=0.15)
    summary = screen([tmp_path], model=model, db=tmp_path / "run.sqlite", limits=limits)
    rows = {Path(row["path"]).name: row for row in rows_of(summary)}
    assert rows[clip.name]["reason"] == "timeout"
    assert rows["a.png"]["verdict"] != "error"


def test_frames_by_key_are_key_frames(tmp_path: Path, model: Model) -> None:
    write_clip(tmp_path / "a.mp4", 50, options={"g": "10", "sc_threshold": "0"})
    summary = screen([tmp_path / "a.mp4"], model=model, db=tmp_path / "r.sqlite", keyframes=True)
    frames = rows_of(summary, "frame")
    assert [frame["frame"] for frame in frames] == [0, 10, 20, 30, 40]
    assert {(frame["key_frame"], frame["pict_type"]) for frame in frames} == {(True, "I")}


def test_a_lone_video_may_use_all_processors(tmp_path: Path, model: Model) -> None:
    """With as many threads as workers; the rows are those of one thread."""
    write_clip(tmp_path / "a.mp4", 60)
    runs = [
        screen([tmp_path / "a.mp4"], model=model, db=tmp_path / f"{n}.sqlite", workers=n)
        for n in (1, 4)
    ]
    assert rows_of(runs[0], "frame") == rows_of(runs[1], "frame")


def test_a_row_holds_the_facts_of_its_file(tmp_path: Path, model: Model) -> None:
    facts = screen([write_clip(tmp_path / "a.mp4", 25)], model=model, db=tmp_path / "r.sqlite")
    (row,) = rows_of(facts)
    assert (row["container"], row["codec"]) == ("mp4", "h264")
    assert row["duration_s"] == pytest.approx(1.0, abs=0.05)
    assert row["frame_rate"] == pytest.approx(25)
    assert row["n_shots"] == 1
    assert 1 <= row["n_effective"] <= row["n_frames"]
    assert row["convention"] == "centered"
    assert '"region": "tiles"' in row["options"]
