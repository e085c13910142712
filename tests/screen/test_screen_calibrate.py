"""Thresholds of videos come from real videos, one score each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from making_media import image_bytes, noise, write_clip

from gandetect.cli import main
from gandetect.detect import Model
from gandetect.screen import screen
from gandetect.screen.calibrate import calibrate_on_videos, per_hour
from gandetect.screen.pipeline import ScreenOptions
from gandetect.screen.store import iter_rows, run_info


@pytest.fixture(scope="module")
def real_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    first = write_clip(folder / "00.mp4", 8).read_bytes()
    for i in range(1, 70):
        (folder / f"{i:02}.mp4").write_bytes(first)
    (folder / "photo.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    (folder / "cut.mp4").write_bytes(first[: len(first) // 2])
    return folder


OPTIONS = ScreenOptions(max_frames=4)


def test_each_video_gives_one_score(real_videos: Path, model: Model) -> None:
    calibrated, found = calibrate_on_videos([real_videos], model, OPTIONS)
    assert found.n_videos == 70
    assert calibrated.arrays["calibration.video"].shape == (70,)
    assert found.smallest_fpr == pytest.approx(1 - 0.05 ** (1 / 70))
    assert found.hours == pytest.approx(70 * 8 / 25 / 3600, rel=0.05)
    assert found.left_out == {"not a video (image)": 1, "truncated": 1}
    assert calibrated.card["video_calibration"]["options"] == OPTIONS.key()
    assert calibrated.arrays["weight"].equal(model.arrays["weight"])


def test_the_thresholds_are_used_where_sampling_is_the_same(
    real_videos: Path, model: Model, tmp_path: Path
) -> None:
    calibrated, _ = calibrate_on_videos([real_videos], model, OPTIONS)
    (score,) = set(calibrated.arrays["calibration.video"].tolist())
    clip = [real_videos / "00.mp4"]
    same = screen(clip, model=calibrated, db=tmp_path / "a.sqlite", max_frames=4)
    info = run_info(same.db)
    assert info["video_threshold_generated"] == score
    assert info["video_fpr"] == 0.05
    (row,) = iter_rows(same.db, kind="file")
    assert row["p_value"] == 1.0
    other = screen(clip, model=calibrated, db=tmp_path / "b.sqlite", max_frames=5)
    assert run_info(other.db)["video_threshold_generated"] != score


def test_too_few_videos_certify_nothing(real_videos: Path, model: Model, tmp_path: Path) -> None:
    few = [real_videos / f"{i:02}.mp4" for i in range(5)]
    calibrated, found = calibrate_on_videos(few, model, OPTIONS)
    assert found.smallest_fpr > 0.4
    summary = screen(few, model=calibrated, db=tmp_path / "a.sqlite", max_frames=4)
    images = screen(few, model=model, db=tmp_path / "b.sqlite", max_frames=4)
    name = "video_threshold_generated"
    assert run_info(summary.db)[name] == run_info(images.db)[name]


def test_alarms_per_hour_have_their_upper_limit(real_videos: Path, model: Model) -> None:
    _, found = calibrate_on_videos([real_videos], model, OPTIONS, rates=(0.05, 0.5))
    for at in found.alarms:
        assert at.per_hour == pytest.approx(at.n_alarms / found.hours)
        assert at.per_hour_at_most > at.per_hour
        if at.n_alarms == 0:
            assert at.per_hour_at_most == pytest.approx(2.9957 / found.hours, rel=1e-3)


def test_without_a_video_there_is_nothing_to_calibrate_on(tmp_path: Path, model: Model) -> None:
    (tmp_path / "photo.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    with pytest.raises(ValueError, match="1 not a video"):
        calibrate_on_videos([tmp_path], model, OPTIONS)


def test_the_command_writes_a_model(real_videos: Path, model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "calibrated.safetensors"
    command = ["calibrate", str(real_videos), "-o", str(out), "--model", str(model_file)]
    result = CliRunner().invoke(main, [*command, "--max-frames", "4", "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["n_videos"] == 70
    model = Model.load(out)
    assert model.sha256 == said["sha256"]
    assert len(model.arrays["calibration.video"]) == 70
    nothing = CliRunner().invoke(main, ["calibrate", str(tmp_path / "none"), "-o", str(out)])
    assert nothing.exit_code == 3
    assert "no real video" in nothing.stderr


def test_footage_of_no_known_length_has_no_rate_by_the_hour() -> None:
    assert per_hour(0, 0.0) == (None, None)
    rate, at_most = per_hour(3, 1.5)
    assert rate == 2
    # The upper limit of a Poisson mean of which three events were seen.
    assert at_most == pytest.approx(7.7537 / 1.5, rel=1e-4)
