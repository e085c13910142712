"""One file to the squares that are scored: a function from a path to a short series of records.

Nothing here knows models, threads or results, so that the same function can run in a thread, in a
worker process that may die, or on another machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gandetect.media import Luma, MediaError, VideoReader, read_luma, sniff
from gandetect.screen.regions import Cut, CutOptions, cut
from gandetect.screen.sources import Skipped, Source

SHORT_CLIP_FRAMES = 8


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video: one `every` seconds (None: all), at most `max_frames` per file.

    A clip shorter than SHORT_CLIP_FRAMES x `every` gives about that many, closer together.
    """

    every: float | None = None
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.every is not None and not self.every > 0:
            raise ValueError(f"every={self.every} given; want seconds above 0, or None for all")
        if self.max_frames is not None and self.max_frames < 1:
            raise ValueError(f"max_frames={self.max_frames} given; at least 1 is needed")


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A picture cut into what is scored; `cut.tiles` is None where `cut.reason` says why."""

    index: int
    time_s: float | None
    key_frame: bool | None
    pict_type: str | None
    width: int
    height: int
    cut: Cut


@dataclass(frozen=True)
class FileEnd:
    """What is known of a file once it is decoded.

    status: ok, partial (some frames were lost) or error (nothing to score). `reason`: the machine
    word of an error, or `partial`; `detail`: the same for a person. Counts: those of VideoReader,
    1 and 0 for an image.
    """

    status: str
    media: str | None = None
    reason: str | None = None
    detail: str | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    n_decoded: int = 0
    n_errors: int = 0
    n_expected: int | None = None


def decode_file(
    source: Source, sampling: Sampling, options: CutOptions
) -> Iterator[DecodedFrame | FileEnd | Skipped]:
    """Frames of a file, then exactly one FileEnd; or one Skipped where it is no media at all.

    Raises nothing that the file could cause.
    """
    media = None
    try:
        media = sniff(source.path)
        if media == "image":
            yield from _decode_image(source, options)
        elif media == "video":
            yield from _decode_video(source, sampling, options)
        elif source.wanted:
            yield _unknown(source)
        else:
            yield Skipped(source.path, "not_media" if source.size else "empty")
    except MediaError as error:
        yield FileEnd("error", media, error.reason, str(error))
    except OSError as error:
        yield FileEnd("error", media, "unreadable", error.strerror or str(error))
    except Exception as error:
        yield FileEnd("error", media, "decoder_failed", f"{type(error).__name__}: {error}")


def _unknown(source: Source) -> FileEnd:
    if source.size == 0:
        return FileEnd("error", None, "empty", "the file is empty")
    return FileEnd("error", None, "not_media", "its first bytes are of no known image or video")


def _decode_image(source: Source, options: CutOptions) -> Iterator[DecodedFrame | FileEnd]:
    luma = read_luma(source.path)
    yield DecodedFrame(0, None, None, None, luma.width, luma.height, cut(luma, options))
    detail = f"first of {luma.n_frames} pictures" if luma.n_frames > 1 else None
    yield FileEnd(
        "ok",
        "image",
        detail=detail,
        width=luma.width,
        height=luma.height,
        n_decoded=1,
        n_expected=luma.n_frames,
    )


def _decode_video(
    source: Source, sampling: Sampling, options: CutOptions
) -> Iterator[DecodedFrame | FileEnd]:
    reader = VideoReader(
        source.path, sampling.every, sampling.max_frames, min_frames=SHORT_CLIP_FRAMES
    )
    failure = None
    try:
        for frame in reader:
            luma = frame.luma
            yield DecodedFrame(
                frame.index,
                frame.time_s,
                frame.key_frame,
                frame.pict_type,
                luma.width,
                luma.height,
                _cut_frame(luma, frame.interlaced, options),
            )
    except MediaError as error:
        if reader.n_decoded == 0:
            raise
        failure = error
    yield _video_end(reader, failure)


def _cut_frame(luma: Luma, interlaced: bool, options: CutOptions) -> Cut:
    """Interlaced frames are two moments woven line by line: a comb at the highest vertical
    frequencies, exactly where traces of up-sampling lie. They are not scored."""
    return Cut(None, "interlaced") if interlaced else cut(luma, options)


def _video_end(reader: VideoReader, failure: MediaError | None) -> FileEnd:
    partial = failure is not None or reader.n_errors > 0 or reader.ends_early
    return FileEnd(
        "partial" if partial else "ok",
        "video",
        "partial" if partial else None,
        _partial_detail(reader, failure) if partial else None,
        reader.codec,
        reader.width,
        reader.height,
        reader.n_decoded,
        reader.n_errors,
        reader.n_expected,
    )


def _partial_detail(reader: VideoReader, failure: MediaError | None) -> str:
    expected = f" of about {reader.n_expected}" if reader.n_expected else ""
    text = f"{reader.n_decoded}{expected} frames decoded, errors: {reader.n_errors}"
    return f"{text}; {failure}" if failure else text
