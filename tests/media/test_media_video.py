"""Video: the Y plane itself, times of the container, and what bad files come to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from making_media import (
    LOSSLESS,
    flip_bits,
    image_bytes,
    noise,
    write_clip,
    write_sound,
    write_video,
)

from gandetect.media import Frame, MediaError, VideoReader


def read(path: Path, **options: object) -> tuple[VideoReader, list[Frame]]:
    reader = VideoReader(path, **options)  # type: ignore[arg-type]
    return reader, list(reader)


def planes(height: int, width: int, seed: int, dtype: type, top: int) -> np.ndarray:
    """Random planar 4:2:0 samples as PyAV takes them, (H * 3 / 2, W)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, top, (height * 3 // 2, width)).astype(dtype)


@pytest.mark.parametrize("size", [(96, 128), (66, 50), (34, 130)])
def test_luma_is_the_y_plane_bit_by_bit(size: tuple[int, int], tmp_path: Path) -> None:
    pictures = [planes(*size, seed, np.uint8, 256) for seed in range(3)]
    clip = write_video(tmp_path / "a.mp4", pictures, source_format="yuv420p", options=LOSSLESS)
    _, frames = read(clip)
    assert len(frames) == 3
    for frame, picture in zip(frames, pictures, strict=True):
        assert not frame.luma.full_range
        np.testing.assert_array_equal(frame.luma.pixels.numpy(), picture[: size[0]])


def test_ten_bit_luma_is_exact_and_scaled_by_its_own_range(tmp_path: Path) -> None:
    picture = planes(64, 80, 0, np.uint16, 1024)
    clip = write_video(
        tmp_path / "a.mkv",
        [picture],
        source_format="yuv420p10le",
        pix_fmt="yuv420p10le",
        codec="ffv1",
    )
    _, (frame,) = read(clip)
    assert frame.luma.bit_depth == 10
    np.testing.assert_array_equal(frame.luma.pixels.numpy(), picture[:64])
    expected = (picture[:64].astype(np.float64) - 64) * 255 / 876
    np.testing.assert_allclose(frame.luma.as_uint8_range().numpy(), expected, atol=1e-4)


def test_full_range_is_believed_where_stated(tmp_path: Path) -> None:
    picture = planes(64, 80, 0, np.uint8, 256)
    clip = write_video(
        tmp_path / "a.mp4",
        [picture],
        source_format="yuv420p",
        options=LOSSLESS,
        color_range=2,
    )
    _, (frame,) = read(clip)
    assert frame.luma.full_range
    np.testing.assert_array_equal(frame.luma.as_uint8_range().numpy(), picture[:64])


def test_scaled_luma_agrees_with_swscale_gray_to_its_rounding(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 2)
    _, frames = read(clip)
    with av.open(str(clip)) as container:
        gray = next(container.decode(video=0)).to_ndarray(format="gray")
    scaled = frames[0].luma.as_uint8_range().clamp(0, 255).numpy()
    assert np.abs(scaled - gray).max() <= 1.0


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("png", "rgb24"), ("qtrle", "rgb24"), ("png", "rgba")]
)
def test_formats_without_a_y_plane_use_the_stated_formula(
    codec: str, pix_fmt: str, tmp_path: Path
) -> None:
    rgb = noise(48, 64)
    clip = write_video(tmp_path / "a.mov", [rgb], codec=codec, pix_fmt=pix_fmt)
    _, (frame,) = read(clip)
    expected = (rgb.astype(np.int64) @ [19595, 38470, 7471] + 32768) >> 16
    np.testing.assert_array_equal(frame.luma.pixels.numpy(), expected)
    assert frame.luma.full_range


def test_packed_samples_are_taken_apart_unchanged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    packed = rng.integers(0, 256, (48, 64, 2), dtype=np.uint8)
    clip = write_video(
        tmp_path / "a.mov", [packed], source_format="yuyv422", pix_fmt="uyvy422", codec="rawvideo"
    )
    _, (frame,) = read(clip)
    np.testing.assert_array_equal(frame.luma.pixels.numpy(), packed[:, :, 0])


def test_gray_video_is_full_range(tmp_path: Path) -> None:
    gray = noise(48, 64)[:, :, 0].copy()
    clip = write_video(
        tmp_path / "a.mkv", [gray], source_format="gray", pix_fmt="gray", codec="ffv1"
    )
    _, (frame,) = read(clip)
    np.testing.assert_array_equal(frame.luma.as_uint8_range().numpy(), gray)


def test_luma_outlives_the_reader(tmp_path: Path) -> None:
    pictures = [planes(64, 64, seed, np.uint8, 256) for seed in range(8)]
    clip = write_video(tmp_path / "a.mp4", pictures, source_format="yuv420p", options=LOSSLESS)
    kept = [frame.luma.pixels for frame in VideoReader(clip)]
    for pixels, picture in zip(kept, pictures, strict=True):
        np.testing.assert_array_equal(pixels.numpy(), picture[:64])


def test_frames_say_what_they_are(tmp_path: Path) -> None:
    reader, frames = read(write_clip(tmp_path / "a.mp4", 25))
    assert [frame.index for frame in frames] == list(range(25))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 25 for i in range(25)])
    assert [i for i, frame in enumerate(frames) if frame.key_frame] == [0, 10, 20]
    assert frames[0].pict_type == "I"
    assert frames[1].pict_type == "P"
    assert (reader.n_decoded, reader.n_errors, reader.n_expected) == (25, 0, 25)
    assert (reader.codec, reader.width, reader.height) == ("h264", 128, 128)
    assert not reader.ends_early


def test_reading_again_starts_again(tmp_path: Path) -> None:
    reader = VideoReader(write_clip(tmp_path / "a.mp4", 12))
    assert len(list(reader)) == len(list(reader)) == reader.n_decoded == 12


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts", "avi"])
def test_sampling_is_by_time(extension: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / f"a.{extension}", 50)
    _, frames = read(clip, every=0.4)
    times = [frame.time_s for frame in frames]
    # AVI has no presentation times; FFmpeg dates its first frame one frame late.
    assert times[:5] == pytest.approx([0.0, 0.4, 0.8, 1.2, 1.6], abs=0.05)
    assert len(times) == (6 if extension == "avi" else 5)


def test_variable_rates_are_sampled_evenly_in_time(tmp_path: Path) -> None:
    times = [0, 10, 20, 30, 500, 510, 520, 1000, 1900, 1910, 2000]
    clip = write_video(tmp_path / "a.mkv", [noise(64, 64, s) for s in times], times_ms=times)
    _, frames = read(clip, every=0.5)
    assert [round(1000 * (frame.time_s or 0)) for frame in frames] == [0, 500, 1000, 1900, 2000]


def test_max_frames_are_spread_over_the_file(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 100)
    _, frames = read(clip, max_frames=4)
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 1.0, 2.0, 3.0])
    _, frames = read(clip, every=2.0, max_frames=10)
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 2.0])


def test_min_frames_narrow_the_interval_of_a_short_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 20)
    _, frames = read(clip, every=1.0, min_frames=4)
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.2, 0.4, 0.6])


@pytest.mark.parametrize("options", [{"every": 0.0}, {"every": -1.0}, {"max_frames": 0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        VideoReader("a.mp4", **options)  # type: ignore[arg-type]


def test_interlaced_frames_are_marked(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 5, options={"x264-params": "interlaced=1:tff=1"})
    _, frames = read(clip)
    assert all(frame.interlaced for frame in frames)


CLOSED = {"preset": "veryfast", "g": "10", "keyint_min": "10", "sc_threshold": "0"}
KEY_FRAME_CODERS: dict[str, dict[str, Any]] = {
    "closed.mp4": {"options": CLOSED},
    "closed.ts": {"options": CLOSED},
    "raw.h264": {"options": CLOSED, "container_format": "h264"},
    "open.mkv": {"options": CLOSED | {"x264-params": "open-gop=1:bframes=3"}},
    "open.ts": {"options": CLOSED | {"x264-params": "open-gop=1:bframes=3"}},
    "hevc.mp4": {"codec": "libx265", "options": {"g": "10", "x265-params": "log-level=none"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10", "cpu-used": "8"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"g": "10"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "10", "bf": "2"}},
    "motion.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


@pytest.mark.parametrize("name", KEY_FRAME_CODERS)
def test_key_frames_alone_are_the_key_frames_of_the_whole(name: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / name, 35, **KEY_FRAME_CODERS[name])
    expected = [frame for frame in VideoReader(clip) if frame.key_frame]
    reader, frames = read(clip, keyframes=True)
    assert len(expected) > 1
    assert [f.index for f in frames] == [f.index for f in expected]
    assert [f.time_s for f in frames] == [f.time_s for f in expected]
    assert all(f.key_frame and f.pict_type == "I" for f in frames)
    for frame, same in zip(frames, expected, strict=True):
        assert torch.equal(frame.luma.pixels, same.luma.pixels)
    assert (reader.n_decoded, reader.n_errors, reader.n_expected) == (len(frames), 0, None)
    assert not reader.ends_early


def test_only_the_packets_of_key_frames_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "a.webm", 35, codec="libvpx-vp9", options={"g": "10"})
    sent = []
    frames_of = VideoReader._chosen

    def counted(self: VideoReader, packets: Any, choice: Any) -> Any:
        for packet in frames_of(self, packets, choice):
            sent.append(packet)
            yield packet

    monkeypatch.setattr(VideoReader, "_chosen", counted)
    assert [frame.index for frame in VideoReader(clip, keyframes=True)] == [0, 10, 20, 30]
    assert [packet.is_keyframe for packet in sent[:-1]] == [True] * 4
    assert sent[-1].size == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"every": 0.7}, [0, 20, 40]), ({"max_frames": 2}, [0, 30]), ({"every": 0.1}, None)],
)
def test_sampling_picks_among_key_frames(
    options: dict[str, Any], expected: list[int] | None, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "a.mp4", 60)
    reader, frames = read(clip, keyframes=True, **options)
    assert [frame.index for frame in frames] == (expected or [0, 10, 20, 30, 40, 50])
    assert not reader.ends_early


def test_a_long_way_after_the_last_key_frame_is_no_early_end(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "g": "300"}
    clip = write_clip(tmp_path / "a.mkv", 100, size=64, options=options)
    reader, frames = read(clip, keyframes=True)
    assert [frame.index for frame in frames] == [0]
    assert reader.duration_s == pytest.approx(4.0)
    assert not reader.ends_early


def test_a_cut_file_ends_early_for_key_frames_too(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 60)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    reader, frames = read(clip, keyframes=True)
    assert 1 < len(frames) < 6
    assert reader.ends_early


def test_points_of_gradual_refresh_are_no_key_frames(tmp_path: Path) -> None:
    options = CLOSED | {"x264-params": "intra-refresh=1"}
    clip = write_clip(tmp_path / "a.mp4", 40, options=options)
    with av.open(str(clip)) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0)) > 1
    reader, frames = read(clip, keyframes=True)
    assert [(frame.index, frame.pict_type) for frame in frames] == [(0, "I")]
    assert reader.n_errors == 0


def test_a_file_without_key_frames_says_so(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mov", 8, codec="qtrle", pix_fmt="rgb24", options={"g": "20"})
    # FFmpeg has no parser for this codec that could correct the table of key frames.
    data = bytearray(clip.read_bytes())
    table = data.find(b"stss")
    assert data[table + 8 : table + 16] == b"\0\0\0\1\0\0\0\1"
    data[table + 15] = 99
    clip.write_bytes(data)
    assert len(list(VideoReader(clip))) == 8
    with pytest.raises(MediaError) as caught:
        list(VideoReader(clip, keyframes=True))
    assert caught.value.reason == "no_key_frame"


@pytest.mark.parametrize(
    ("name", "options", "container"),
    [
        ("a.mp4", {}, "mp4"),
        ("a.mov", {}, "mov"),
        ("a.mkv", {}, "matroska"),
        ("a.webm", {"codec": "libvpx-vp9"}, "matroska"),
        ("a.ts", {}, "mpegts"),
        ("a.avi", {}, "avi"),
        ("a.flv", {}, "flv"),
        ("a.h264", {"container_format": "h264"}, "h264"),
    ],
)
def test_facts_of_the_file(
    name: str, options: dict[str, Any], container: str, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / name, 10, **options)
    reader, _ = read(clip.rename(tmp_path / "renamed"))
    assert reader.container == container
    assert reader.frame_rate == pytest.approx(25.0)
    assert reader.pix_fmt == "yuv420p"


def test_the_container_is_known_where_there_is_no_video(tmp_path: Path) -> None:
    reader = VideoReader(write_sound(tmp_path / "a.mkv"))
    with pytest.raises(MediaError):
        list(reader)
    assert (reader.container, reader.codec, reader.frame_rate) == ("matroska", None, None)


def reason_of(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        list(VideoReader(path))
    return caught.value.reason


LEAVE_EARLY = """
import sys
from gandetect.media import VideoReader

for _ in range(400):
    for frame in VideoReader(sys.argv[1], max_frames=4, threads=4):
        pass
"""


def test_a_video_left_early_does_not_wait_for_its_decoding_threads(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 30)
    # Four at once: the lock that they hung on is met while a decoder is closed and others decode.
    readers = [subprocess.Popen([sys.executable, "-c", LEAVE_EARLY, clip]) for _ in range(4)]
    try:
        assert [reader.wait(timeout=240) for reader in readers] == [0] * 4
    finally:
        for reader in readers:
            reader.kill()


def test_ffmpeg_is_heard_for_a_failure_alone(tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(write_clip(tmp_path / "a.mp4").read_bytes()[:9000])
    with pytest.raises(MediaError, match="moov atom not found"):
        list(VideoReader(tmp_path / "cut.mp4"))
    assert av.logging.get_level() is None


def test_a_cut_file_without_its_index_is_truncated(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    assert reason_of(tmp_path / "cut.mp4") == "truncated"


def test_a_cut_file_with_its_index_gives_what_is_there(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    reader, frames = read(clip)
    assert 15 <= len(frames) == reader.n_decoded < 60 == reader.n_expected
    assert reader.n_errors >= 1


def test_a_cut_matroska_file_ends_early(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv")
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    reader, frames = read(clip)
    assert 15 <= len(frames) < 60
    assert reader.ends_early or reader.n_errors


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_cost_frames_and_not_the_file(seed: int, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    data = clip.read_bytes()
    clip.write_bytes(flip_bits(data, 60, seed, start=data.find(b"mdat") + 2000))
    reader, frames = read(clip)
    assert reader.n_errors > 0
    assert 0 < len(frames) == reader.n_decoded < 60


def test_a_hole_costs_the_frames_in_it(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    data = bytearray(clip.read_bytes())
    middle, hole = len(data) // 2, len(data) // 8
    data[middle : middle + hole] = bytes(hole)
    clip.write_bytes(bytes(data))
    reader, frames = read(clip)
    assert reader.n_errors > 0
    assert 40 <= len(frames) < 60
    assert frames[-1].time_s == pytest.approx(59 / 25)


def test_damage_anywhere_raises_nothing_else(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mp4", 20, size=64).read_bytes()
    damaged = tmp_path / "damaged.mp4"
    for seed in range(60):
        data = flip_bits(whole, 3 * seed, seed) if seed % 2 else whole[: len(whole) * seed // 60]
        damaged.write_bytes(data)
        reader = VideoReader(damaged)
        try:
            list(reader)
        except MediaError:
            continue
        assert reader.n_decoded > 0


def test_a_matroska_file_cut_in_its_header_is_truncated(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", 5)
    clip.write_bytes(clip.read_bytes()[:60])
    assert reason_of(clip) == "truncated"


@pytest.mark.parametrize(("size", "reason"), [((60000, 60000), "too_large"), ((0, 9), "corrupt")])
def test_a_claim_of_huge_frames_is_too_large(
    size: tuple[int, int], reason: str, tmp_path: Path
) -> None:
    clip = tmp_path / "a.y4m"
    clip.write_bytes(b"YUV4MPEG2 W%d H%d F25:1 C420\nFRAME\n" % size + bytes(100))
    assert reason_of(clip) == reason


@pytest.mark.parametrize("keyframes", [False, True])
def test_a_clock_set_back_is_no_early_end(keyframes: bool, tmp_path: Path) -> None:
    times = [8000 + 40 * i for i in range(20)]
    late = write_video(tmp_path / "a.ts", [noise(64, 64, t) for t in times], times_ms=times)
    early = write_clip(tmp_path / "b.ts", 20, size=64)
    late.write_bytes(late.read_bytes() + early.read_bytes())
    reader, frames = read(late, keyframes=keyframes)
    assert frames[-1].time_s is not None
    assert frames[-1].time_s < 0
    assert (reader.n_errors, reader.ends_early) == (0, False)


def test_a_cut_packet_between_key_frames_is_an_error(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.avi", 100)
    data = clip.read_bytes()
    clip.write_bytes(data[: int(0.8 * len(data))])
    reader, frames = read(clip, keyframes=True)
    assert len(frames) > 5
    assert reader.n_errors > 0


def test_sound_alone_has_no_video(tmp_path: Path) -> None:
    assert reason_of(write_sound(tmp_path / "a.mp4")) == "no_video"


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    song = write_sound(tmp_path / "a.mp4", cover=image_bytes(noise(64, 64), "JPEG"))
    with av.open(str(song)) as container:
        assert len(container.streams.video) == 1
    assert reason_of(song) == "no_video"


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (b"", {"empty"}),
        (b"hello " * 200, {"corrupt", "unsupported", "truncated"}),
        (image_bytes(noise(9, 9), "JPEG"), {"corrupt", "unsupported"}),
    ],
)
def test_what_is_no_video_says_so(data: bytes, reasons: set[str], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    assert reason_of(path) in reasons


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "none.mp4") == "unreadable"


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
    ],
)
def test_a_playlist_reaches_no_other_file(text: str, tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.mp4", 3)
    write_clip(tmp_path / "secret.ts", 3)
    playlist = tmp_path / "list.mp4"
    playlist.write_text(text)
    assert reason_of(playlist) in {"unsupported", "corrupt"}


def test_names_are_only_names(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 3)
    for name in (b"%d.mp4", b"http:x.mp4", b"line\nbreak.mp4", b"caf\xe9.mp4"):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
        os.link(clip, path)
        assert len(list(VideoReader(path))) == 3


@pytest.mark.parametrize("keyframes", [False, True])
def test_threads_change_nothing(keyframes: bool, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", 40, options=KEY_FRAME_CODERS["open.mkv"]["options"])
    readers = [VideoReader(clip, keyframes=keyframes, threads=n) for n in (1, 2)]
    for one, two in zip(*readers, strict=True):
        assert one.index == two.index
        assert torch.equal(one.luma.pixels, two.luma.pixels)
        assert one.time_s == two.time_s
