"""Video to luma, frame by frame, through FFmpeg's libraries.

The file is opened here and handed over as a stream, from a list of containers that carry their own
data: a playlist or any other text that names further files is not on it, so that a hostile file can
reach nothing but itself. Damaged packets are counted and stepped over.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NoReturn

import av
import numpy as np
import torch

from gandetect.media.luma import MAX_PIXELS, Luma, MediaError

av.logging.set_level(av.logging.PANIC)

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h263,h264,hevc,vc1,obu,av1,"
    "ivf,flv,live_flv,ogg,asf,mxf,gxf,rm,dv,nut,wtv,yuv4mpegpipe,dirac,cavsvideo,mjpeg,gif,apng"
)
_READ_BYTES = 1 << 18
_MAX_FAILED_READS = 100
_TIME_TOLERANCE = 1e-6
_FULL_RANGE = 2
_UNSPECIFIED_RANGE = 0
_ATTACHED_PICTURE = 0x400
_PICTURE_TYPES = {0: "?", 1: "I", 2: "P", 3: "B", 4: "S", 5: "SI", 6: "SP", 7: "BI"}


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    `luma.pixels` is a view of the decoder's own buffer, valid as long as it is held; clone what is
    to be kept. `index` counts decoded frames from 0, skipped ones included.
    `time_s` is the presentation time in seconds since the stream's start, None where the container
    has no times and no rate.
    """

    luma: Luma
    index: int
    time_s: float | None
    key_frame: bool
    pict_type: str
    interlaced: bool = False


class VideoReader:
    """Iterate over the frames of a video file, `every` seconds, at most `max_frames` of them.

        reader = VideoReader("clip.mp4", every=0.5)
        for frame in reader: ...
        reader.n_decoded, reader.n_errors

    Every frame is decoded, whatever is asked for, because frames depend on one another; a frame is
    yielded when its time reaches the next multiple of `every` (None: each frame). Times are the
    container's own, so variable frame rates are sampled evenly in time. With `max_frames` the
    interval is widened to duration / max_frames where the container knows its duration, so that the
    frames cover the whole file and not its beginning; with `min_frames` it is narrowed to
    duration / min_frames, so that a short clip is not judged by a single frame.

    Counters, filled while iterating: `n_decoded` frames (frames the decoder marks as corrupt are
    dropped and not among them), `n_errors` packets or reads that failed plus corrupt frames,
    `n_expected` what the container claims (None where it does not say; never relied upon).
    `ends_early` says that the pictures stop well before the container's duration (by a tenth of it
    and half a second): a cut Matroska file, for one, causes no error.

    Raises MediaError: `empty`, `no_video`, `unsupported` (container or codec), `truncated`,
    `corrupt`, `too_large`, `unreadable`. A file of which nothing at all decodes raises `corrupt` at
    the end of the iteration.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: float | None = None,
        max_frames: int | None = None,
        *,
        min_frames: int | None = None,
        threads: int = 1,
    ) -> None:
        if every is not None and not every > 0:
            raise ValueError(f"every must be a positive number of seconds, got {every}")
        if max_frames is not None and max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, got {max_frames}")
        self.path = path
        self.every = every
        self.max_frames = max_frames
        self.min_frames = min_frames
        self.threads = threads
        self.n_decoded = 0
        self.n_errors = 0
        self.n_expected: int | None = None
        self.duration_s: float | None = None
        self.codec: str | None = None
        self.width = 0
        self.height = 0
        self.ends_early = False

    def __iter__(self) -> Iterator[Frame]:
        self.n_decoded = self.n_errors = 0
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    raise MediaError("empty", "the file is empty")
                with _open(file) as container:
                    stream = _video_stream(container)
                    self._prepare(container, stream)
                    yield from self._sample(container, stream)
        except OSError as error:
            _reraise(error)
        except av.FFmpegError as error:
            _reraise(error)

    def _prepare(self, container: Any, stream: Any) -> None:
        context = stream.codec_context
        context.thread_count = self.threads
        context.thread_type = "NONE" if self.threads == 1 else "FRAME"
        context.options = {"max_pixels": str(MAX_PIXELS)}
        self.codec = context.name
        self.width, self.height = int(context.width), int(context.height)
        if self.width * self.height > MAX_PIXELS:
            raise MediaError("too_large", f"{self.width} x {self.height} pixels per frame")
        self.duration_s = _duration(container, stream)
        self.n_expected = _expected_frames(stream, self.duration_s)

    def _sample(self, container: Any, stream: Any) -> Iterator[Frame]:
        interval = self._interval()
        due = -math.inf
        n_kept = 0
        time_s = None
        for index, raw in enumerate(self._frames(container, stream)):
            time_s = _time_of(raw, index, stream)
            if interval is not None and time_s is not None:
                clock_set_back = time_s < due - 1.5 * interval  # a joined or wrapped stream
                if time_s < due - _TIME_TOLERANCE and not clock_set_back:
                    continue
                due = (math.floor((time_s + _TIME_TOLERANCE) / interval) + 1) * interval
            yield Frame(
                luma=_luma_of(raw),
                index=index,
                time_s=time_s,
                key_frame=bool(raw.key_frame),
                pict_type=_PICTURE_TYPES.get(int(raw.pict_type), "?"),
                interlaced=bool(raw.interlaced_frame),
            )
            n_kept += 1
            if n_kept == self.max_frames:
                return
        if self.n_decoded == 0:
            raise MediaError("corrupt", f"no frame could be decoded ({self.n_errors} errors)")
        if time_s is not None and self.duration_s is not None:
            self.ends_early = time_s + max(0.5, 0.1 * self.duration_s) < self.duration_s

    def _interval(self) -> float | None:
        interval = self.every
        if not self.duration_s:
            return interval
        if interval is not None and self.min_frames is not None:
            interval = min(interval, self.duration_s / self.min_frames)
        if self.max_frames is not None:
            interval = max(interval or 0.0, self.duration_s / self.max_frames)
        return interval

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Decoded frames in presentation order, errors stepped over and counted."""
        for packet in self._packets(container, stream):
            try:
                frames = stream.codec_context.decode(packet)
            except EOFError:
                return
            except (av.FFmpegError, ValueError):
                self.n_errors += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.n_errors += 1
                    continue
                self.n_decoded += 1
                yield frame

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """Packets of `stream`; the last (or None, if reading broke off) flushes the decoder."""
        failed = 0
        while failed < _MAX_FAILED_READS:
            try:
                yield from container.demux(stream)
                return
            except EOFError:
                break
            except (av.FFmpegError, OSError):
                self.n_errors += 1
                failed += 1
        yield None


class _Stream:
    """A file without its name: FFmpeg would let the extension decide the container, and fails on
    names that are not UTF-8."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.read = file.read
        self.tell = file.tell

    def seek(self, offset: int, whence: int) -> int:
        """Damaged files ask for places before their beginning; FFmpeg wants -1 for them."""
        try:
            return int(self._file.seek(offset, whence))
        except (OSError, ValueError):
            return -1


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"a media file may not open another: {url!r}")


def _open(file: Any) -> Any:
    return av.open(
        _Stream(file),
        metadata_errors="replace",
        buffer_size=_READ_BYTES,
        io_open=_refuse,
        container_options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"},
    )


def _video_stream(container: Any) -> Any:
    """The first stream of moving pictures; the cover of a music file is not one."""
    for stream in container.streams.video:
        flags = stream.disposition
        if int(getattr(flags, "value", flags)) & _ATTACHED_PICTURE:  # an enum before PyAV 17.1
            continue
        if stream.codec_context is None:
            raise MediaError("unsupported", "there is no decoder for this video codec")
        return stream
    raise MediaError("no_video", "the file has no video stream")


def _duration(container: Any, stream: Any) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _expected_frames(stream: Any, duration_s: float | None) -> int | None:
    if stream.frames:
        return int(stream.frames)
    rate = stream.average_rate
    return round(duration_s * float(rate)) if duration_s and rate else None


def _time_of(frame: Any, index: int, stream: Any) -> float | None:
    if frame.pts is not None and frame.time_base:
        return float((frame.pts - (stream.start_time or 0)) * Fraction(frame.time_base))
    rate = stream.average_rate or stream.base_rate
    return index / float(rate) if rate else None


def _luma_of(frame: Any) -> Luma:
    """The Y plane where the format has one in the machine's byte order, else grey from RGB."""
    layout = frame.format
    name = layout.name
    parts = layout.components
    if name.startswith(("yuyv", "uyvy", "yvyu")):
        frame = frame.reformat(format="yuv422p")  # takes the samples apart, changes none
    elif not (
        parts[0].is_luma
        and parts[0].bits >= 8
        and (layout.is_planar or len(parts) == 1)
        and not (layout.is_big_endian or layout.has_palette or layout.is_rgb)
        and not name.startswith(("p0", "p2", "p4", "xyz"))
    ):
        return _luma_from_rgb(frame, max(part.bits for part in parts))
    full = frame.color_range == _FULL_RANGE or name.startswith("yuvj")
    if name.startswith("gray") and frame.color_range == _UNSPECIFIED_RANGE:
        full = True
    return Luma(_y_plane(frame), full, int(parts[0].bits))


def _y_plane(frame: Any) -> torch.Tensor:
    """The decoder's own first plane, (H, W), without a copy; the view keeps the frame alive.

    Through the buffer protocol: PyAV gives planes to DLPack only from version 18 on.
    """
    plane = frame.planes[0]
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    lines = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size]
    pixels = lines.reshape(plane.height, plane.line_size).view(dtype)
    return torch.from_numpy(pixels[:, : plane.width])


def _luma_from_rgb(frame: Any, bits: int) -> Luma:
    """The definition for decoders without a Y plane, in Pillow's fixed-point arithmetic."""
    deep = bits > 8
    rgb = frame.to_ndarray(format="rgb48le" if deep else "rgb24").astype(np.uint64)
    weights = np.array([19595, 38470, 7471], dtype=np.uint64)
    grey = (rgb @ weights + np.uint64(32768)) >> np.uint64(16)
    pixels = torch.from_numpy(grey.astype(np.uint16 if deep else np.uint8))
    return Luma(pixels, full_range=True, bit_depth=16 if deep else 8)


def _reraise(error: Exception) -> NoReturn:
    """A failure of the file system or of FFmpeg under our own short names."""
    if isinstance(error, av.FFmpegError):
        text = error.strerror or str(error)
        log: Any = error.log
        detail = str(log[2]).strip() if log else ""
        text = f"{text} ({detail})" if detail else text
        if "whitelist" in text:
            raise MediaError("unsupported", "not a video container of a supported kind") from error
        if "moov atom not found" in text or "partial file" in text or isinstance(error, EOFError):
            raise MediaError("truncated", f"the file ends too early: {text}") from error
        raise MediaError("corrupt", f"the video cannot be opened: {text}") from error
    raise MediaError("unreadable", f"cannot read the file: {error}") from error
