"""`gandetect evaluate --videos`: the unit is the video, and what is counted are its verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from making_media import image_bytes, noise, write_video

from gandetect.cli.evaluate import command
from gandetect.detect import load_shipped
from gandetect.screen import screen
from gandetect.screen.measure import Video, _as_judged, footage_in_words, measured, screened
from gandetect.screen.pipeline import ScreenOptions
from gandetect.screen.store import iter_rows

SIDE, FRAMES, RATE = 160, 10, 25


def moving(base: np.ndarray, path: Path) -> Path:
    frames = (np.roll(base, 2 * i, axis=1) for i in range(FRAMES))
    return write_video(path, frames, options={"crf": "5", "preset": "ultrafast"})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Videos of noise, and of noise at half the size with every pixel doubled."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("real", "doubled"):
        (root / name).mkdir()
    for number in range(4):
        moving(noise(SIDE, SIDE, number), root / "real" / f"{number}.mp4")
        small = noise(SIDE // 2, SIDE // 2, 10 + number)
        moving(small.repeat(2, axis=0).repeat(2, axis=1), root / "doubled" / f"{number}.mp4")
    (root / "real" / "photo.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    return {"real": root / "real", "doubled": root / "doubled"}


def evaluate(folders: dict[str, Path], *more: str) -> Result:
    asked = ["--videos", f"--real={folders['real']}", f"--generated=doubled={folders['doubled']}"]
    return CliRunner().invoke(command, [*asked, "--every=0", "--workers=0", *more])


@pytest.fixture(scope="module")
def result(folders: dict[str, Path]) -> dict[str, Any]:
    found = evaluate(folders, "--json")
    # A file was left out.
    assert found.exit_code == 1, found.output
    document: dict[str, Any] = json.loads(found.stdout)
    return document


def test_verdicts_are_those_of_screening(
    folders: dict[str, Path], result: dict[str, Any], tmp_path: Path
) -> None:
    (row,) = result["rows"]
    assert (row["region"], row["n_real"], row["n_generated"]) == ("video", 4, 4)
    for label, name in (("real", "real"), ("generated", "doubled")):
        summary = screen([folders[name]], db=tmp_path / f"{name}.sqlite", workers=0)
        words = [r["verdict"] for r in iter_rows(summary.db, kind="file") if r["media"] == "video"]
        share = words.count("generated") / 4
        assert row["at_threshold"][f"{label}_flagged"][0] == share
        assert row["at_threshold"][f"{label}_abstention"][0] == words.count("inconclusive") / 4
    assert list(result["failed"].values()) == ["not a video (image)"]
    assert result["data"]["generated"]["doubled"]["files"] == 4
    assert set(result["curves"]) == {"doubled"}


def test_false_alarms_are_told_by_the_hour(result: dict[str, Any]) -> None:
    footage = result["footage"]
    hours = 4 * FRAMES / RATE / 3600
    assert footage["real_hours"] == pytest.approx(hours, rel=0.15)
    assert footage["false_alarms_per_hour"] == footage["false_alarms"] / footage["real_hours"]
    assert footage["false_alarms_per_hour_at_most"] > footage["false_alarms_per_hour"]
    assert footage["seconds_to_verdict"] > 0
    words = footage_in_words(footage)
    assert words.startswith(f"{footage['false_alarms']} false alarm")
    silent = {**footage, "false_alarms_per_hour": None, "times_as_fast_as_played": None}
    assert "per hour" not in footage_in_words(silent)


def test_the_audit_looks_at_containers(folders: dict[str, Path], tmp_path: Path) -> None:
    passed = json.loads(evaluate(folders, "--json").stdout)["audit"]["doubled"]
    assert not passed["leaks"]
    for number in range(4):
        moving(noise(SIDE + 32, SIDE, number), tmp_path / f"{number}.mp4")
    wider = evaluate({**folders, "doubled": tmp_path}, "--json")
    assert json.loads(wider.stdout)["audit"]["doubled"]["columns"]["height"] == 1
    quiet = evaluate(folders, "--json", "--no-audit")
    assert json.loads(quiet.stdout)["audit"] is None


def test_tables_and_page_are_written(folders: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = evaluate(folders, f"--report={page}")
    assert found.exit_code == 1, found.output
    for text in (found.stdout, page.read_text()):
        assert "hours of real footage" in text
        assert "doubled" in text


@pytest.mark.parametrize("verdict", ["generated", "inconclusive", "real"])
@pytest.mark.parametrize("logit", [-3.0, 0.0, 1e-9, 4.0])
def test_thresholds_as_judged_give_the_verdict(verdict: str, logit: float) -> None:
    video = Video(0, "a", logit, 0.5, verdict, 1.0, {})
    assert _as_judged(video, 0.05).verdict(logit) == verdict


@pytest.mark.parametrize("option", ["--grid", "--transfer", "--learning-curve", "--region=64"])
def test_what_is_of_images_is_refused(folders: dict[str, Path], option: str) -> None:
    generated = f"--generated=more={folders['doubled']}"
    found = evaluate(folders, option, generated)
    assert found.exit_code == 2
    assert "is of images" in found.output


def test_a_folder_without_videos_is_an_error(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    found = evaluate({**folders, "doubled": tmp_path})
    assert found.exit_code == 3
    assert "doubled: no video gave a score (not a video (image))" in found.stderr
    options, model = ScreenOptions(), load_shipped()
    empty = screened(tmp_path, 1, model, options, workers=0)
    with pytest.raises(ValueError, match="real: no video"):
        measured(empty, {"a": empty}, model, options)
