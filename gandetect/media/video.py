"""Video to luma, frame by frame, through FFmpeg's libraries.

The file is opened here and handed over as a stream, from a list of containers that carry their own
data: a playlist or any other text that names further files is not on it, so that a hostile file can
reach nothing but itself. Damaged packets are counted and stepped over.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import av
import numpy as np
import torch

from gandetect.media.luma import MAX_PIXELS, Luma, MediaError

# Not a level, however high: PyAV would take the interpreter's lock for every message of FFmpeg, and
# a decoding thread that waits for it while its decoder is being closed hangs both for good.
av.logging.set_level(None)
_EXPLAINING = threading.Lock()

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
_CUT_SHORT = ("moov atom not found", "partial file", "Truncating packet")
_PREDICTED = (2, 3)
_MAX_REORDERED = 64
_PICTURE_TYPES = {0: "?", 1: "I", 2: "P", 3: "B", 4: "S", 5: "SI", 6: "SP", 7: "BI"}


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    `luma.pixels` is a view of the decoder's own buffer, valid as long as it is held; clone what is
    to be kept. `index` counts decoded frames from 0, those not yielded included. Of a key frame
    read with `keyframes` it is the number of packets that are shown before its own: the same number
    where nothing is damaged and every packet holds one frame. Where packets have no presentation
    times (AVI) those stored before it are counted, which leaves out the few frames that an open
    group of pictures stores after its key frame and shows before it.
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

    With `keyframes` only the packets marked as key frames are decoded, which costs a fraction of
    the time; the options above then choose among these frames. Damage in the packets between is
    seen only where the container marks it. Packets marked so that hold a predicted picture (a point
    of gradual refresh) are no key frames to the decoder; what they give is dropped.

    Facts, known once the iteration has begun: `container` (the first of FFmpeg's names for the
    format: matroska, avi, mpegts, ...; the QuickTime family is `mov` where its brand says so and
    `mp4` otherwise), `codec`, `pix_fmt`, `width`, `height`, `duration_s` and `frame_rate` (average,
    per second), the last two as the container claims, None where it does not say.

    Counters, filled while iterating: `n_decoded` frames (frames the decoder marks as corrupt are
    dropped and not among them), `n_errors` packets or reads that failed plus corrupt frames,
    `n_expected` what the container claims (None where it does not say, and always with `keyframes`;
    never relied upon). `ends_early` says that the pictures (with `keyframes`: the packets) stop
    well before the container's duration (by a tenth of it and half a second): a cut Matroska file,
    for one, causes no error.

    Raises MediaError: `empty`, `no_video`, `unsupported` (container or codec), `truncated`,
    `corrupt`, `too_large`, `unreadable`, `no_key_frame`. A file of which nothing at all decodes
    raises `corrupt` at the end of the iteration.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: float | None = None,
        max_frames: int | None = None,
        *,
        min_frames: int | None = None,
        keyframes: bool = False,
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
        self.keyframes = keyframes
        self.threads = threads
        self.n_decoded = 0
        self.n_errors = 0
        self.n_expected: int | None = None
        self.duration_s: float | None = None
        self.frame_rate: float | None = None
        self.container: str | None = None
        self.codec: str | None = None
        self.pix_fmt: str | None = None
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
                    self.container = _container_name(container)
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
        self.codec, self.pix_fmt = context.name, context.pix_fmt
        self.width, self.height = int(context.width), int(context.height)
        if self.width * self.height > MAX_PIXELS:
            raise MediaError("too_large", f"{self.width} x {self.height} pixels per frame")
        self.duration_s = _duration(container, stream)
        self.frame_rate = float(stream.average_rate) if stream.average_rate else None
        if not self.keyframes:
            self.n_expected = _expected_frames(stream, self.duration_s)

    def _sample(self, container: Any, stream: Any) -> Iterator[Frame]:
        interval = self._interval()
        clock = _Clock(stream)
        choice = _KeyPackets() if self.keyframes else None
        due = -math.inf
        n_kept = 0
        end_s = -math.inf
        for index, raw in self._frames(container, stream, choice):
            time_s = clock.seconds(raw.pts, index)
            end_s = end_s if time_s is None else max(end_s, time_s)
            if interval is not None and time_s is not None:
                clock_set_back = time_s < due - 1.5 * interval  # a joined or wrapped stream
                if time_s < due - _TIME_TOLERANCE and not clock_set_back:
                    continue
                due = (math.floor((time_s + _TIME_TOLERANCE) / interval) + 1) * interval
            yield _frame_of(raw, index, time_s)
            n_kept += 1
            if n_kept == self.max_frames:
                return
        if self.n_decoded == 0:
            raise self._nothing(choice)
        if choice is not None:
            last_s = clock.seconds(choice.last_pts, choice.n_seen - 1)
            end_s = end_s if last_s is None else last_s
        if self.duration_s is not None and end_s > -math.inf:
            self.ends_early = end_s + max(0.5, 0.1 * self.duration_s) < self.duration_s

    def _nothing(self, choice: _KeyPackets | None) -> MediaError:
        if choice is not None and choice.n_seen and not self.n_errors:
            return MediaError("no_key_frame", f"none of {choice.n_seen} packets is a key frame")
        return MediaError("corrupt", f"no frame could be decoded ({self.n_errors} errors)")

    def _interval(self) -> float | None:
        interval = self.every
        if not self.duration_s:
            return interval
        if interval is not None and self.min_frames is not None:
            interval = min(interval, self.duration_s / self.min_frames)
        if self.max_frames is not None:
            interval = max(interval or 0.0, self.duration_s / self.max_frames)
        return interval

    def _frames(
        self, container: Any, stream: Any, choice: _KeyPackets | None
    ) -> Iterator[tuple[int, Any]]:
        """Decoded frames in presentation order and their numbers, errors stepped over and counted.

        `choice` says which packets are decoded; None: all.
        """
        decode = stream.codec_context.decode
        packets = self._packets(container, stream)
        for packet in packets if choice is None else self._chosen(packets, choice):
            try:
                frames = decode(packet)
            except EOFError:
                return
            except (av.FFmpegError, ValueError):
                self.n_errors += 1
                continue
            for frame in frames:
                index = self.n_decoded if choice is None else choice.number_of(frame.pts)
                if frame.is_corrupt:
                    self.n_errors += 1
                    continue
                if choice is not None and not frame.key_frame and frame.pict_type in _PREDICTED:
                    continue
                self.n_decoded += 1
                yield index, frame

    def _chosen(self, packets: Iterator[Any], choice: _KeyPackets) -> Iterator[Any]:
        """What is to be decoded; cut packets that no decoder will see are counted here."""
        # In a transport stream the mark only says that packet numbers jump, as at every join.
        marks_cuts = self.container != "mpegts"
        for packet in packets:
            if marks_cuts and packet is not None and packet.is_corrupt and not packet.is_keyframe:
                self.n_errors += 1
            yield from choice.ready(packet)

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


@dataclass
class _KeyPacket:
    """A packet that waits for its number: how many frames are shown before it."""

    packet: Any
    pts: int | None
    number: int


class _KeyPackets:
    """Picks the packets of key frames and numbers the frames that come of them.

    Packets are left out before the decoder: its own `skip_frame` is ignored by some (VP9, GIF). A
    key packet is held back until no later one can be shown before it, so that its number is known.
    """

    def __init__(self) -> None:
        self.n_seen = 0
        self.last_pts: int | None = None
        self._held: deque[_KeyPacket] = deque()
        self._sent: deque[_KeyPacket] = deque()

    def ready(self, packet: Any) -> Iterator[Any]:
        """The packets to decode now that `packet` is read."""
        if packet is None or not packet.size:  # the end: the decoder is to give what it holds
            yield from (self._send() for _ in range(len(self._held)))
            yield packet
            return
        if packet.is_discard:  # cut off by an edit list, never shown
            return
        self._number(packet)
        while self._held and self._is_settled(self._held[0], packet.dts):
            yield self._send()

    def _number(self, packet: Any) -> None:
        pts = packet.pts
        if pts is not None:
            for key in self._held:
                key.number += key.pts is not None and pts < key.pts
        if packet.is_keyframe:
            self._held.append(_KeyPacket(packet, pts, self.n_seen))
        self.n_seen += 1
        if pts is None:
            pts = packet.dts
        if pts is not None and (self.last_pts is None or pts > self.last_pts):
            self.last_pts = pts

    def _is_settled(self, key: _KeyPacket, dts: int | None) -> bool:
        """Packets come in the order of `dts`, and none is shown before it is decoded."""
        if key.pts is None or dts is None or dts >= key.pts:
            return True
        return self.n_seen - key.number > _MAX_REORDERED

    def _send(self) -> Any:
        key = self._held.popleft()
        packet, key.packet = key.packet, None
        self._sent.append(key)
        return packet

    def number_of(self, pts: int | None) -> int:
        """The number of the frame shown at `pts`, in ticks of the stream.

        By the time of its packet where that has one; else frames come in the order of packets.
        """
        times = [key.pts for key in self._sent]
        if pts is not None and pts in times:
            for _ in range(times.index(pts)):  # these were lost in the decoder
                self._sent.popleft()
        return self._sent.popleft().number if self._sent else self.n_seen - 1


class _Clock:
    """Ticks of a stream to seconds since its start."""

    def __init__(self, stream: Any) -> None:
        self._start = stream.start_time or 0
        base = stream.time_base
        self._base = (base.numerator, base.denominator) if base else None
        rate = stream.average_rate or stream.base_rate
        self._rate = float(rate) if rate else None

    def seconds(self, pts: int | None, index: int) -> float | None:
        """By the frame rate and the number `index` of the frame where it has no time."""
        if pts is not None and self._base is not None:
            return (pts - self._start) * self._base[0] / self._base[1]
        return index / self._rate if self._rate else None


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
    """What fails is opened again to hear why: only the messages tell a cut file from others."""
    try:
        return _open_container(file)
    except av.FFmpegError:
        file.seek(0)
        with _messages():
            return _open_container(file)


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """FFmpeg's messages go into errors; for opening alone, which decodes in no other thread."""
    with _EXPLAINING:
        av.logging.set_level(av.logging.PANIC)
        try:
            yield
        finally:
            av.logging.set_level(None)


def _open_container(file: Any) -> Any:
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


def _container_name(container: Any) -> str:
    name = str(container.format.name).split(",")[0]
    if name == "mov" and container.metadata.get("major_brand", "").strip() != "qt":
        return "mp4"
    return name


def _duration(container: Any, stream: Any) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _expected_frames(stream: Any, duration_s: float | None) -> int | None:
    if stream.frames:
        return int(stream.frames)
    rate = stream.average_rate
    return round(duration_s * float(rate)) if duration_s and rate else None


def _frame_of(raw: Any, index: int, time_s: float | None) -> Frame:
    return Frame(
        luma=_luma_of(raw),
        index=index,
        time_s=time_s,
        key_frame=bool(raw.key_frame),
        pict_type=_PICTURE_TYPES.get(int(raw.pict_type), "?"),
        interlaced=bool(raw.interlaced_frame),
    )


class _Layout(NamedTuple):
    """Where a pixel format keeps its luma: `source` is `plane`, `packed` or `rgb`; `bits` of a
    luma sample, for rgb of the deepest color; `full`: whether the format itself says full range,
    `full_unless_stated`: whether it is assumed to."""

    source: str
    bits: int
    full: bool
    full_unless_stated: bool


@lru_cache(maxsize=256)
def _layout(name: str) -> _Layout:
    """Worked out once for a format: asking for its components costs more than taking the plane."""
    layout = av.VideoFormat(name)
    parts = layout.components
    if name.startswith(("yuyv", "uyvy", "yvyu")):
        return _Layout("packed", 8, False, False)
    if not (
        parts[0].is_luma
        and parts[0].bits >= 8
        and (layout.is_planar or len(parts) == 1)
        and not (layout.is_big_endian or layout.has_palette or layout.is_rgb)
        and not name.startswith(("p0", "p2", "p4", "xyz"))
    ):
        return _Layout("rgb", max(part.bits for part in parts), True, True)
    return _Layout("plane", parts[0].bits, name.startswith("yuvj"), name.startswith("gray"))


def _luma_of(frame: Any) -> Luma:
    """The Y plane where the format has one in the machine's byte order, else gray from RGB."""
    layout = _layout(frame.format.name)
    if layout.source == "rgb":
        return _luma_from_rgb(frame, layout.bits)
    full = layout.full
    if not full:
        color_range = frame.color_range
        full = color_range == _FULL_RANGE or (
            layout.full_unless_stated and color_range == _UNSPECIFIED_RANGE
        )
    if layout.source == "packed":
        frame = frame.reformat(format="yuv422p")  # takes the samples apart, changes none
    return Luma(_y_plane(frame, layout.bits), full, layout.bits)


def _y_plane(frame: Any, bits: int) -> torch.Tensor:
    """The decoder's own first plane, (H, W), without a copy; the view keeps the frame alive.

    Through the buffer protocol: PyAV gives planes to DLPack only from version 18 on.
    """
    plane = frame.planes[0]
    height, line_size = plane.height, plane.line_size
    lines = np.frombuffer(plane, np.uint8, height * line_size).reshape(height, line_size)
    pixels = lines if bits <= 8 else lines.view(np.uint16)
    return torch.from_numpy(pixels[:, : plane.width])


def _luma_from_rgb(frame: Any, bits: int) -> Luma:
    """The definition for decoders without a Y plane, in Pillow's fixed-point arithmetic."""
    deep = bits > 8
    rgb = frame.to_ndarray(format="rgb48le" if deep else "rgb24").astype(np.uint64)
    weights = np.array([19595, 38470, 7471], dtype=np.uint64)
    gray = (rgb @ weights + np.uint64(32768)) >> np.uint64(16)
    pixels = torch.from_numpy(gray.astype(np.uint16 if deep else np.uint8))
    return Luma(pixels, full_range=True, bit_depth=16 if deep else 8)


def _is_too_large(text: str) -> bool:
    size = re.search(r"Picture size (\d+)x(\d+) is invalid", text)
    return size is not None and int(size[1]) * int(size[2]) > MAX_PIXELS


def _reraise(error: Exception) -> NoReturn:
    """A failure of the file system or of FFmpeg under our own short names."""
    if isinstance(error, av.FFmpegError):
        text = error.strerror or str(error)
        log: Any = error.log
        detail = str(log[2]).strip() if log else ""
        text = f"{text} ({detail})" if detail else text
        if "whitelist" in text:
            raise MediaError("unsupported", "not a video container of a supported kind") from error
        if _is_too_large(text):
            raise MediaError("too_large", f"the video cannot be opened: {text}") from error
        if isinstance(error, EOFError) or any(words in text for words in _CUT_SHORT):
            raise MediaError("truncated", f"the file ends too early: {text}") from error
        raise MediaError("corrupt", f"the video cannot be opened: {text}") from error
    raise MediaError("unreadable", f"cannot read the file: {error}") from error
