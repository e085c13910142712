"""Media made on the fly for the tests: nothing binary lives in the repository for them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

# Without it the muxers of Matroska and AVI write random numbers.
REPEATABLE = {"fflags": "+bitexact"}
LOSSLESS = {"qp": "0", "preset": "ultrafast"}


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth color noise, (H, W, 3) uint8: textured, and kind to lossy coders."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = rng.integers(-12, 13, (height, width, 3))
    return np.clip(np.asarray(image).astype(int) + grain, 0, 255).astype(np.uint8)


def image_bytes(array: np.ndarray, kind: str, mode: str | None = None, **options: Any) -> bytes:
    """An image file of `array` in Pillow's format `kind`, converted to `mode` before."""
    image = Image.fromarray(array)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def write_video(
    path: str | Path,
    pictures: Iterable[np.ndarray],
    *,
    source_format: str = "rgb24",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    times_ms: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    color_range: int | None = None,
    container_format: str | None = None,
) -> Path:
    """Encode `pictures` (arrays as `source_format` wants them); `times_ms` makes the rate vary."""
    path = Path(path)
    muxing = REPEATABLE | (container_options or {})
    with av.open(str(path), "w", format=container_format, options=muxing) as container:
        stream: Any = None
        for i, picture in enumerate(pictures):
            frame = _frame(picture, source_format)
            if stream is None:
                stream = container.add_stream(codec, rate=rate, options=options or {})
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pix_fmt
                if color_range is not None:
                    stream.codec_context.color_range = color_range
                if times_ms is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
            if source_format != pix_fmt:
                frame = frame.reformat(format=pix_fmt)
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[i], Fraction(1, 1000)
            if color_range is not None:
                frame.color_range = color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _frame(picture: np.ndarray, source_format: str) -> av.VideoFrame:
    if source_format != "yuv420p10le":
        return av.VideoFrame.from_ndarray(picture, source_format)
    # PyAV takes arrays of this format only from version 18 on.
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    frame = av.VideoFrame(width, height, source_format)
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    for plane, samples in zip(frame.planes, (picture[:height], *chroma), strict=True):
        lines = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        lines[:, : samples.shape[1]] = samples
        plane.update(lines.tobytes())
    return frame


def write_clip(path: str | Path, n: int = 60, size: int = 128, **options: Any) -> Path:
    """A clip of `n` moving, textured frames with a key frame every 10."""
    base = noise(size, size)
    coder = {"preset": "ultrafast", "g": "10"} if options.get("codec") is None else {}
    options.setdefault("options", coder)
    return write_video(path, (np.roll(base, 2 * i, axis=1) for i in range(n)), **options)


def write_sound(path: str | Path, seconds: float = 0.5, cover: bytes | None = None) -> Path:
    """A file with sound only, and a cover picture (the bytes of a JPEG) where one is given."""
    path = Path(path)
    with av.open(str(path), "w", options=REPEATABLE) as container:
        stream: Any = container.add_stream("aac", rate=44100)
        picture: Any = None
        if cover is not None:
            picture = container.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuvj420p"
            picture.disposition = 0x400
        for i in range(int(seconds * 44100 / 1024)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, i * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if picture is not None:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(noise(64, 64), "rgb24")))
            container.mux(picture.encode(None))
    return path


def flip_bits(data: bytes, n: int, seed: int = 0, start: int = 0) -> bytes:
    """`data` with `n` random bits flipped from byte `start` on."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(data)
    for position in rng.integers(start, len(data), n):
        damaged[position] ^= 1 << int(rng.integers(8))
    return bytes(damaged)
