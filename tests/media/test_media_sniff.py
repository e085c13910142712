"""What a file is, by its content."""

from __future__ import annotations

from pathlib import Path

import pytest
from making_media import image_bytes, noise, write_clip, write_sound, write_video

from gandetect.media import VideoReader, sniff
from gandetect.media.sniff import sniff_bytes

CODECS = {"mkv": None, "avi": None, "mov": None, "ts": None, "flv": None, "webm": "libvpx-vp9"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "PPM"])
def test_images_are_known_whatever_their_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    path.write_bytes(image_bytes(noise(16, 16), kind))
    assert sniff(path) == "image"


@pytest.mark.parametrize("head", [b"II+\x00\x08\x00\x00\x00", b"MM\x00+\x00\x08\x00\x00"])
def test_tiff_with_long_offsets_is_an_image(head: bytes) -> None:
    assert sniff_bytes(head + bytes(100)) == "image"


def test_avif_is_an_image(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(image_bytes(noise(16, 16), "AVIF"))
    assert sniff(path) == "image"


@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi", "mov", "ts", "flv", "webm"])
def test_videos_are_known_whatever_their_name(extension: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / f"a.{extension}", 5, codec=CODECS.get(extension) or "libx264")
    assert sniff(clip.rename(tmp_path / "photo.jpg")) == "video"


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("h264", "libx264", {}),
        ("h264", "libx264", {"x264-params": "aud=1"}),
        ("hevc", "libx265", {"x265-params": "log-level=none"}),
        ("hevc", "libx265", {"x265-params": "aud=1:log-level=none"}),
        ("m4v", "mpeg4", {}),
        ("mpeg1video", "mpeg1video", {}),
    ],
)
def test_streams_without_a_container_are_video(
    kind: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "a", 5, codec=codec, container_format=kind, options=options)
    assert sniff(clip) == "video"
    assert sum(1 for _ in VideoReader(clip)) == 5


def test_digital_video_tape_is_video(tmp_path: Path) -> None:
    tape = tmp_path / "a"
    pictures = [noise(576, 720, seed) for seed in range(3)]
    write_video(tape, pictures, codec="dvvideo", container_format="dv")
    assert sniff(tape) == "video"
    assert sum(1 for _ in VideoReader(tape)) == 3


@pytest.mark.parametrize("head", [b"\x00\x00\x00\x01\x27", b"\x00\x00\x01\x47", b"\x12\x00\x0a"])
def test_streams_of_other_encoders_are_video(head: bytes) -> None:
    assert sniff_bytes(head + bytes(100)) == "video"


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
        b"\x00\x00\x01\x00\x01\x00\x10\x10",  # an icon
        b"\x00\x01\x00\x00\x00\x0fOS/2",  # a font
        bytes(2000),
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
