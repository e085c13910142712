"""`gandetect profile`: its numbers are those of the ops, and its exit codes are honest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from making_media import write_clip
from PIL import Image

from gandetect.cli.profile import command
from gandetect.ops import spectral_profile

Picture = Callable[..., Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def numbers(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code in (0, 1), result.output
    return dict(json.loads(result.stdout))


def pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.asarray(Image.open(path)).copy())[None]


def test_tile_of_one_image_is_the_op_itself(picture: Picture) -> None:
    path = picture("one/a.png")
    projections = ("azimuthal", "rows", "columns")
    expected = spectral_profile(pixels(path), projections=projections, window="hann", value="log")
    arguments = [part for name in projections for part in ("--projection", name)]
    (one,) = numbers(path.parent, *arguments)["classes"]
    for name, profile in zip(projections, expected, strict=True):
        found = one["projections"][name]
        np.testing.assert_allclose(found["mean"], profile[0].double().numpy(), rtol=1e-6)
        assert found["std"] == [0.0] * profile.shape[1]
        assert len(found["frequency"]) == profile.shape[1]
    assert one["projections"]["columns"]["frequency"][-1] == 0.5


@pytest.mark.parametrize("convention", ["durall", "jung", "power"])
def test_frame_is_the_convention_as_published(picture: Picture, convention: str) -> None:
    path = picture("one/a.png", 96, 96)
    expected = spectral_profile(pixels(path), convention)[0].double().numpy()
    found = numbers(path.parent, "--convention", convention, "--region", "frame")["classes"][0]
    np.testing.assert_allclose(found["projections"]["azimuthal"]["mean"], expected, rtol=1e-6)


def test_class_is_the_mean_over_files_of_the_mean_over_tiles(picture: Picture) -> None:
    large, small = picture("c/large.png", 128, 384, 1), picture("c/small.png", seed=2)
    tiles = pixels(large).reshape(128, 3, 128).transpose(0, 1)
    options = {"window": "hann", "value": "log"}
    of_large = spectral_profile(tiles, **options).double().mean(0)
    of_small = spectral_profile(pixels(small), **options).double()[0]
    both = torch.stack([of_large, of_small]).numpy()
    found = numbers(f"mine={large.parent}")["classes"][0]
    assert (found["name"], found["n_files"]) == ("mine", 2)
    np.testing.assert_allclose(found["projections"]["azimuthal"]["mean"], both.mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        found["projections"]["azimuthal"]["std"], both.std(0), rtol=1e-4, atol=1e-5
    )


def test_sizes_are_compared_on_one_axis(picture: Picture) -> None:
    picture("c/a.png", 128, 128), picture("c/b.png", 64, 64)
    found = numbers(picture("c/c.png", 90, 200).parent)["classes"][0]
    assert found["n_files"] == 3
    assert len(found["projections"]["azimuthal"]["mean"]) == 91


def test_unreadable_files_are_reported_and_the_rest_is_done(
    picture: Picture, tmp_path: Path
) -> None:
    folder = picture("c/a.png").parent
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:2000])
    (folder / "notes.txt").write_text("not asked for")
    result = run(folder, "--json")
    assert result.exit_code == 1
    (one,) = json.loads(result.stdout)["classes"]
    assert (one["n_files"], one["n_errors"]) == (1, 1)
    assert one["errors"][0]["path"].endswith("cut.png")
    assert "cut.png" in result.stderr


def test_interlaced_frames_are_left_out(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 8, options={"x264-params": "interlaced=1:tff=1"})
    result = run(tmp_path, "--json")
    assert result.exit_code == 3
    (one,) = json.loads(result.stdout)["classes"]
    assert one["errors"][0]["reason"] == "interlaced"


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    result = run(tmp_path, "--out", tmp_path / "plot.png", "--json")
    assert result.exit_code == 3
    assert not (tmp_path / "plot.png").exists()
    (one,) = json.loads(result.stdout)["classes"]
    assert one["errors"][0]["reason"] == "not_media"


def test_a_full_disk_leaves_nothing_behind(
    picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = picture("c/a.png").parent
    monkeypatch.setattr("os.replace", full)
    for extension in ("png", "html"):
        result = run(folder, "--out", tmp_path / f"plot.{extension}")
        assert result.exit_code == 3
        assert "No space left on device" in result.stderr
    assert not list(tmp_path.glob("plot*"))


def test_missing_extras_are_named(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = picture("c/a.png").parent
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run(folder)
    assert result.exit_code == 2
    assert "gandetect[report]" in result.stderr


@pytest.mark.parametrize("extension", ["png", "svg", "html"])
def test_picture_is_written(picture: Picture, tmp_path: Path, extension: str) -> None:
    out = tmp_path / f"plot.{extension}"
    result = run(f"<script>={picture('c/a.png').parent}", "--out", out)
    assert result.exit_code == 0, result.output
    data = out.read_bytes()
    assert data.startswith(
        {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!DOCTYPE html>"}[extension]
    )
    assert b"<script>" not in data
    assert "class" in result.stdout


def test_usage_errors(picture: Picture, tmp_path: Path) -> None:
    folder = picture("c/a.png").parent
    for arguments, message in (
        ((tmp_path / "none",), "there is no"),
        ((folder, folder), "two classes named c"),
        ((folder, "--out", "plot.gif"), "cannot draw"),
        ((folder, "--out", tmp_path / "none" / "plot.png"), "there is no folder"),
        ((), "Missing argument"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert message in result.output
