"""What a worker does with a chunk of files: decode, cut, score in batches, and report the scores.

The same function serves the processes of one machine and those of a cluster. It knows neither
thresholds nor results.

An image in a lossless file may have been a JPEG before, and any picture may be too soft to judge.
Pixels are asked only where the score makes the answer matter (`WorkSettings.suspicious_from`), and
so a window of each picture waits for its score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from gandetect.detect.delivery import (
    LOSSLESS,
    LOSSY,
    SOFT,
    WINDOW,
    calibration_class,
    central_window,
    eight_bit_window,
    size_class,
)
from gandetect.detect.softness import judged_delivery, lossless_delivery
from gandetect.media import Luma
from gandetect.media.quiet import quiet_decoders
from gandetect.screen.batches import Batcher
from gandetect.screen.decode import DecodedFrame, FileEnd, Sampling, decode_file
from gandetect.screen.frames import Frames
from gandetect.screen.pool import Beat, Chunk
from gandetect.screen.regions import CutOptions
from gandetect.screen.sources import Skipped, Source

BATCH_BYTES = 16 << 20


class Scoring(Protocol):
    """What a worker needs of a model."""

    def logits(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class WorkSettings:
    """Everything that decides the scores of a file. `device`: where the model runs.

    `suspicious_from`: by size class of the squares, the logit above which the pixels of an image
    are asked how it was delivered; never for sizes that are missing.
    """

    model: Any
    sampling: Sampling
    options: CutOptions
    batch_size: int = 64
    device: str = "cpu"
    suspicious_from: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Scored:
    """The files of a chunk: of each how it ended and how many of `frames`, in their order, are
    its own."""

    ends: list[FileEnd | Skipped] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    frames: Frames = field(default_factory=Frames)


def prepare(settings: WorkSettings) -> Callable[[Chunk[Source], Beat], Scored]:
    """The handler of a worker; see `gandetect.screen.pool`."""
    torch.set_num_threads(1)
    # numpy would multiply matrices by a thread per processor in every worker, and these wait for
    # one another.
    threadpool_limits(1)
    quiet_decoders()
    return Worker(settings)


class Worker:
    """Screens chunks of files with one model."""

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings
        self._model: Scoring = settings.model
        self._device = torch.device(settings.device)
        self._scored = Scored()
        # Of pictures whose score is not there yet, by position: the side of their squares, the
        # pixels that may tell their delivery, and what their file says of it, None for a video.
        self._windows: dict[int, tuple[int, Luma, str | None]] = {}
        self._batcher: Batcher[int] = Batcher(self._logits, settings.batch_size, BATCH_BYTES)

    def __call__(self, chunk: Chunk[Source], beat: Beat) -> Scored:
        """Screen the files of a chunk, one after the other; their squares share batches."""
        self._scored = Scored()
        self._batcher.clear()
        self._windows.clear()
        for position, source in enumerate(chunk.items):
            beat(position, 0)
            self._screen(source, position, chunk.threads, beat)
        beat(len(chunk.items), 0)
        self._accept(self._batcher.flush())
        return self._scored

    def _screen(self, source: Source, position: int, threads: int, beat: Beat) -> None:
        scored, settings = self._scored, self._settings
        frames = scored.frames
        first = len(frames)

        def alive() -> None:
            beat(position, len(frames) - first)

        parts = decode_file(source, settings.sampling, settings.options, threads, alive)
        for part in parts:
            if isinstance(part, DecodedFrame):
                self._add(part, frames)
                alive()
                continue
            if isinstance(part, FileEnd) and part.status == "error":
                # What was decoded before a fatal error is no evidence; its squares are not scored.
                self._batcher.drop(range(first, len(frames)))
                frames.take_back(first)
            scored.ends.append(part)
            scored.counts.append(len(frames) - first)

    def _add(self, frame: DecodedFrame, frames: Frames) -> None:
        position = frames.add(
            frame.index,
            frame.time_s,
            frame.width,
            frame.height,
            frame.key_frame,
            frame.pict_type,
            frame.shot,
            frame.cut.reason,
            frame.delivery,
        )
        suspicious = self._settings.suspicious_from
        if frame.luma is not None and suspicious and frame.cut.squares:
            side = len(frame.cut.squares[0])
            self._windows[position] = side, _window(frame.luma), frame.delivery
        if frame.cut.squares:
            self._accept(self._batcher.add(position, frame.cut.squares))

    def _accept(self, scored: Iterable[tuple[int, int, float]]) -> None:
        frames = self._scored.frames
        for position, n_tiles, logit in scored:
            frames.set_score(position, n_tiles, logit)
            waiting = self._windows.pop(position, None)
            if waiting is not None and logit > self._suspicious_above(waiting[0]):
                frames.set_delivery(position, self._looked_into(*waiting))

    def _suspicious_above(self, side: int) -> float:
        return self._settings.suspicious_from.get(size_class(side), math.inf)

    def _looked_into(self, side: int, luma: Luma, known: str | None) -> str | None:
        """The class of a picture by its pixels, where `known` is that of an image by its file;
        frames of a video have none unless they are soft."""
        size, model = size_class(side), self._settings.model
        window = eight_bit_window(luma.as_uint8_range().numpy())
        if known == calibration_class(LOSSLESS, size):
            return calibration_class(lossless_delivery(model, window), size)
        is_soft = judged_delivery(model, window, LOSSY) == SOFT
        return calibration_class(SOFT, size) if is_soft else known

    def _logits(self, squares: Tensor) -> Tensor:
        return self._model.logits(squares.to(self._device))


def _window(luma: Luma) -> Luma:
    """The middle of a picture, a copy: all of it would stay in memory until it has its score. One
    that is no larger than that stays as it is."""
    if luma.pixels.numel() <= WINDOW**2:
        return luma
    return replace(luma, pixels=torch.from_numpy(central_window(luma.pixels.numpy()).copy()))


def work_here(
    settings: WorkSettings, chunks: Iterable[Chunk[Source]]
) -> Iterator[tuple[Chunk[Source], Scored]]:
    """(chunk, Scored) of each chunk, in this very process: for models that cannot be sent to
    another, and for debugging. A file that crashes its decoder takes the caller along."""
    worker = Worker(settings)
    for chunk in chunks:
        yield chunk, worker(chunk, _no_beat)


def _no_beat(position: int, steps: int) -> None:
    """Nobody watches."""
