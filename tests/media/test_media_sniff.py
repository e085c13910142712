"""What a file is, by its content."""

from __future__ import annotations

from pathlib import Path

import pytest
from making_media import image_bytes, noise, write_clip, write_sound

from gandetect.media import sniff

CODECS = {"mkv": None, "avi": None, "mov": None, "ts": None, "flv": None, "webm": "libvpx-vp9"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM"])
def test_images_are_known_whatever_their_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    path.write_bytes(image_bytes(noise(16, 16), kind))
    assert sniff(path) == "image"


def test_avif_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(image_bytes(noise(16, 16), "AVIF"))
    assert sniff(path) == "image"


@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi", "mov", "ts", "flv", "webm"])
def test_videos_are_known_whatever_their_name(extension: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / f"a.{extension}", 5, codec=CODECS.get(extension) or "libx264")
    assert sniff(clip.rename(tmp_path / "photo.jpg")) == "video"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"hello",
        b"BM is not a bitmap by these two letters alone",
        b"P5",
        b"#EXTM3U\n#EXTINF:10,\nhttp://localhost/a.ts\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"RIFF\x00\x00\x00\x00WAVEfmt ",
        b"G" + bytes(2000),
        b"ID3\x03" + bytes(100),
    ],
)
def test_other_content_is_neither(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    assert sniff(path) is None


def test_a_music_file_is_neither(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.m4a")
    assert sniff(path) is None


def test_a_missing_file_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sniff(tmp_path / "none")
