"""Thumbnails: the right picture, small, from a function that another process can run."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from making_media import write_video
from PIL import Image

from gandetect.report import html
from gandetect.report.thumbnails import THUMBNAIL_FRAMES, THUMBNAIL_SIDE, thumbnail_jpeg


def pixels(picture: bytes | None) -> np.ndarray:
    assert picture is not None
    return np.asarray(Image.open(io.BytesIO(picture)))


def test_picture_is_shrunk_and_keeps_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.fromarray(np.full((1000, 2000, 3), (200, 20, 20), np.uint8)).save(path)
    found = pixels(thumbnail_jpeg(str(path), "image", 0))
    assert found.shape == (THUMBNAIL_SIDE // 2, THUMBNAIL_SIDE)
    # Brightness of that red by Rec. 601.
    assert abs(found.astype(int) - 74).max() <= 2


def test_small_picture_is_not_blown_up(picture: Callable[..., Path]) -> None:
    path = picture("small.png", 40, 60)
    found = pixels(thumbnail_jpeg(str(path), "image", 0))
    assert found.shape == (40, 60)
    assert abs(found.astype(int) - np.asarray(Image.open(path))).mean() < 20


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Eight frames, each brighter than the one before."""
    levels = range(20, 180, 20)
    pictures = [np.full((64, 64, 3), level, np.uint8) for level in levels]
    return write_video(tmp_path / "clip.mp4", pictures)


@pytest.mark.parametrize(
    ("frame", "level"), [(0, 20), (3, 80), (7, 160), (50, 160), (THUMBNAIL_FRAMES, 20)]
)
def test_of_a_video_the_frame_asked_for(clip: Path, frame: int, level: int) -> None:
    found = pixels(thumbnail_jpeg(str(clip), "video", frame))
    assert abs(float(found.mean()) - level) < 12


def test_name_of_any_bytes(picture: Callable[..., Path]) -> None:
    path = os.fsdecode(os.fsencode(picture("a.png")).replace(b"a.png", b"caf\xe9.png"))
    os.rename(picture("a.png"), path)
    assert thumbnail_jpeg(path, "image", 0)


@pytest.mark.parametrize("media", ["image", "video"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8\xff\xe0 no picture", b"\0" * 4000])
def test_nothing_is_raised_for_bad_files(tmp_path: Path, media: str, content: bytes | None) -> None:
    path = tmp_path / "bad"
    if content is not None:
        path.write_bytes(content)
    assert thumbnail_jpeg(str(path), media, 0) is None
    assert thumbnail_jpeg(f"{tmp_path}/\0", media, 0) is None


def test_decoder_that_dies_costs_one_picture_not_the_report(
    picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"path": str(picture("a.png")), "path_hex": None, "media": "image"}
    whole = html.thumbnail(row, [])
    assert whole is not None
    assert whole.startswith("data:image/jpeg;base64,/9j/")
    monkeypatch.setattr(html, "thumbnail_jpeg", process)
    apart = html.thumbnail(row, [])
    assert apart is not None
    assert apart.split(",")[1] != base64.b64encode(process()).decode()
    monkeypatch.setattr(html, "thumbnail_jpeg", die)
    assert html.thumbnail(row, []) is None


def process(*_: object) -> bytes:
    return b"%d" % os.getpid()


def die(*_: object) -> None:
    os._exit(1)
