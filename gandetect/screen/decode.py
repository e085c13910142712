"""One file to the squares that are scored: a function from a path to a short series of records.

Nothing here knows models, processes or results, so that the same function can run in a worker that
may die, or on another machine.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gandetect.detect.delivery import calibration_class, file_delivery, size_class
from gandetect.media import Luma, MediaError, VideoReader, read_luma
from gandetect.media.sniff import HEAD_BYTES, sniff_bytes
from gandetect.screen.regions import Cut, CutOptions, cut
from gandetect.screen.shots import Shots
from gandetect.screen.sources import Skipped, Source

SHORT_CLIP_FRAMES = 8
# An image file up to this size is read once, for its hash and for its decoder.
_READ_WHOLE_BYTES = 1 << 26
# Of a larger one, what is read for its tables, which come before its pixels.
_HEADER_BYTES = 1 << 20
_HASH_BYTES = 1 << 20
_HASH_ERROR_BYTES = 1 << 30


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video: one `every` seconds (None: all), of the key frames alone where
    `keyframes`, at most `max_frames` per file.

    A clip shorter than SHORT_CLIP_FRAMES x `every` gives about that many, closer together.
    """

    every: float | None = None
    max_frames: int | None = None
    keyframes: bool = False

    def __post_init__(self) -> None:
        if self.every is not None and not self.every > 0:
            raise ValueError(f"every={self.every} given; want seconds above 0, or None for all")
        if self.max_frames is not None and self.max_frames < 1:
            raise ValueError(f"max_frames={self.max_frames} given; at least 1 is needed")


@dataclass(slots=True)
class DecodedFrame:
    """A picture cut into what is scored; `cut.squares` is empty where `cut.reason` says why, and
    good until the next record is asked for. `shot` counts the shots of a video from 0. `delivery`:
    the class of an image, by its file and the side of its squares. `luma`: of one with squares,
    whose pixels may know better; as `cut.squares`, good until the next record is asked for."""

    index: int
    time_s: float | None
    key_frame: bool | None
    pict_type: str | None
    width: int
    height: int
    shot: int | None
    cut: Cut
    delivery: str | None = None
    luma: Luma | None = None


class FileEnd(NamedTuple):
    """What is known of a file once it is decoded.

    status: ok, partial (some frames were lost), error (nothing to score) or quarantined (it took
    its worker along). `reason`: the machine word of an error, or `partial`; `detail`: the same for
    a person. Counts: those of VideoReader, 1 and 0 for an image. `sha256`: of the content, where
    the file could be read to its end.
    """

    status: str
    media: str | None = None
    reason: str | None = None
    detail: str | None = None
    container: str | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    frame_rate: float | None = None
    n_decoded: int = 0
    n_errors: int = 0
    n_expected: int | None = None
    sha256: str | None = None
    attempts: int = 1


def decode_file(
    source: Source,
    sampling: Sampling,
    options: CutOptions,
    threads: int = 1,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[DecodedFrame | FileEnd | Skipped]:
    """Frames of a file, then exactly one FileEnd; or one Skipped where it is no media at all.

    `threads` decode one video, where there are more processors than files. `alive` is called while
    a large file is read for its hash. Raises nothing that the file could cause.
    """
    media = None
    hashed = _Hasher(alive)
    try:
        with open(source.path, "rb") as file:
            head = file.read(HEAD_BYTES)
            media = sniff_bytes(head)
            if media == "image":
                yield from _decode_image(source, options, head, file, hashed)
            elif media == "video":
                yield from _decode_video(source, sampling, options, file, threads, hashed)
            elif source.wanted:
                yield _unknown(source, head, hashed)
            else:
                yield Skipped(source.path, "not_media" if source.size else "empty")
    except MediaError as error:
        yield FileEnd("error", media, error.reason, str(error), sha256=_hash_of(source, hashed))
    except OSError as error:
        yield FileEnd("error", media, "unreadable", error.strerror or str(error))
    except MemoryError:
        yield FileEnd("error", media, "memory_limit", "an allocation was refused")
    except Exception as error:
        yield FileEnd("error", media, "decoder_failed", f"{type(error).__name__}: {error}")


def _unknown(source: Source, head: bytes, hashed: _Hasher) -> FileEnd:
    if not head:
        return FileEnd("error", None, "empty", "the file is empty")
    detail = "its first bytes are of no known image or video"
    return FileEnd("error", None, "not_media", detail, sha256=_hash_of(source, hashed))


def _check_unchanged(source: Source, file: io.BufferedReader) -> None:
    """A file that is still being written is screened when it is done: by the next run, for which it
    is another file."""
    status = os.fstat(file.fileno())
    if (status.st_size, status.st_mtime_ns) != (source.size, source.mtime_ns):
        raise MediaError("changed", "the file changed while it was screened; run again")


def _decode_image(
    source: Source,
    options: CutOptions,
    head: bytes,
    file: io.BufferedReader,
    hashed: _Hasher,
) -> Iterator[DecodedFrame | FileEnd]:
    sha256: str | None
    if source.size <= _READ_WHOLE_BYTES:
        data = head + file.read(max(0, source.size - len(head)) + 1)
        sha256 = hashlib.sha256(data).hexdigest()
        luma = read_luma(data)
    else:
        sha256 = hashed(file)
        file.seek(0)
        data = file.read(_HEADER_BYTES)
        luma = read_luma(source.path)
    _check_unchanged(source, file)
    yield _image_frame(luma, data, options)
    yield FileEnd(
        "ok",
        "image",
        detail=f"first of {luma.n_frames} pictures" if luma.n_frames > 1 else None,
        container=luma.container,
        width=luma.width,
        height=luma.height,
        n_decoded=1,
        n_expected=luma.n_frames,
        sha256=sha256,
    )


def _image_frame(luma: Luma, data: bytes, options: CutOptions) -> DecodedFrame:
    """An image, cut; `data`: its file, or the beginning of it."""
    part = cut(luma, options)
    frame = DecodedFrame(0, None, None, None, luma.width, luma.height, None, part)
    if part.squares:
        delivery = file_delivery(luma.container, data)
        frame.delivery = calibration_class(delivery, size_class(len(part.squares[0])))
        frame.luma = luma
    return frame


def _decode_video(
    source: Source,
    sampling: Sampling,
    options: CutOptions,
    file: io.BufferedReader,
    threads: int,
    hashed: _Hasher,
) -> Iterator[DecodedFrame | FileEnd]:
    reader = VideoReader(
        source.path,
        sampling.every,
        sampling.max_frames,
        min_frames=SHORT_CLIP_FRAMES,
        keyframes=sampling.keyframes,
        threads=threads,
    )
    failure = None
    shots, index = None, -1
    try:
        for frame in reader:
            luma = frame.luma
            shots = shots or Shots(luma.bit_depth)
            # Times that run backwards make numbers that do, and rows are told apart by them.
            index = max(frame.index, index + 1)
            part = _cut_frame(luma, frame.interlaced, options)
            yield DecodedFrame(
                index,
                frame.time_s,
                frame.key_frame,
                frame.pict_type,
                luma.width,
                luma.height,
                shots.of(luma.pixels),
                part,
                luma=luma if part.squares else None,
            )
    except MediaError as error:
        if reader.n_decoded == 0:
            raise
        failure = error
    # After decoding, so that the pages are still in memory and a read error does not hide frames.
    sha256 = hashed(file)
    _check_unchanged(source, file)
    yield _video_end(reader, failure, sha256)


def _cut_frame(luma: Luma, interlaced: bool, options: CutOptions) -> Cut:
    """Interlaced frames are two moments woven line by line: a comb at the highest vertical
    frequencies, exactly where traces of up-sampling lie. They are not scored."""
    return Cut([], "interlaced") if interlaced else cut(luma, options)


def _video_end(reader: VideoReader, failure: MediaError | None, sha256: str | None) -> FileEnd:
    partial = failure is not None or reader.n_errors > 0 or reader.ends_early
    return FileEnd(
        "partial" if partial else "ok",
        "video",
        "partial" if partial else None,
        _partial_detail(reader, failure) if partial else None,
        reader.container,
        reader.codec,
        reader.width,
        reader.height,
        reader.duration_s,
        reader.frame_rate,
        reader.n_decoded,
        reader.n_errors,
        reader.n_expected,
        sha256,
    )


def _partial_detail(reader: VideoReader, failure: MediaError | None) -> str:
    expected = f" of about {reader.n_expected}" if reader.n_expected else ""
    text = f"{reader.n_decoded}{expected} frames decoded, errors: {reader.n_errors}"
    return f"{text}; {failure}" if failure else text


def _hash_of(source: Source, hashed: _Hasher) -> str | None:
    """The hash of a file that gave nothing to score; a sparse terabyte is not worth its time."""
    if source.size > _HASH_ERROR_BYTES:
        return None
    try:
        with open(source.path, "rb") as file:
            return hashed(file)
    except OSError:
        return None


class _Hasher:
    """SHA-256 of a file's content; None where it cannot be read to its end."""

    def __init__(self, alive: Callable[[], None]) -> None:
        self._alive = alive

    def __call__(self, file: io.BufferedReader) -> str | None:
        digest = hashlib.sha256()
        buffer = memoryview(bytearray(_HASH_BYTES))
        try:
            file.seek(0)
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                self._alive()
        except OSError:
            return None
        return digest.hexdigest()
