"""What is known of the frames of some files, as columns of plain numbers.

Hours of video scored frame by frame are some 50 bytes a frame here, and travel between processes as
a handful of blocks.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gandetect.detect.delivery import calibration_harm

# Why a frame has no score, by code; 0 is none.
FRAME_REASONS = (None, "too_small", "flat", "interlaced", "not_finite", "no_face")
PICTURE_TYPES = (None, "I", "P", "B", "S", "SI", "SP", "BI", "?")
# Classes of delivery and size, by code; 0 is none.
DELIVERIES = (None, *calibration_harm())
_REASON_CODES = {reason: code for code, reason in enumerate(FRAME_REASONS)}
_TYPE_CODES = {name: code for code, name in enumerate(PICTURE_TYPES)}
_DELIVERY_CODES = {name: code for code, name in enumerate(DELIVERIES)}
_NONE = -1
_NAN = float("nan")


def _ints() -> array[int]:
    return array("i")


def _bytes() -> array[int]:
    return array("b")


def _doubles() -> array[float]:
    return array("d")


@dataclass(slots=True)
class Frames:
    """Columns, one entry a frame: `index` in its file, `time_s` (NaN: unknown), `width`, `height`,
    `key_frame` (-1: unknown), `pict_type` and `reason` as codes, `shot` (-1: not a video),
    `n_tiles` scored and their mean `logit` (NaN: no score), `delivery` as a code of DELIVERIES (0:
    not an image and not soft, or nothing of it to score)."""

    index: array[int] = field(default_factory=lambda: array("q"))
    time_s: array[float] = field(default_factory=_doubles)
    width: array[int] = field(default_factory=_ints)
    height: array[int] = field(default_factory=_ints)
    key_frame: array[int] = field(default_factory=_bytes)
    pict_type: array[int] = field(default_factory=_bytes)
    reason: array[int] = field(default_factory=_bytes)
    shot: array[int] = field(default_factory=_ints)
    n_tiles: array[int] = field(default_factory=_ints)
    logit: array[float] = field(default_factory=_doubles)
    delivery: array[int] = field(default_factory=_bytes)

    def __len__(self) -> int:
        return len(self.index)

    def add(
        self,
        index: int,
        time_s: float | None,
        width: int,
        height: int,
        key_frame: bool | None,
        pict_type: str | None,
        shot: int | None,
        reason: str | None,
        delivery: str | None = None,
    ) -> int:
        """A frame that is not scored yet; returns its position."""
        self.index.append(index)
        self.time_s.append(_NAN if time_s is None else time_s)
        self.width.append(width)
        self.height.append(height)
        self.key_frame.append(_NONE if key_frame is None else key_frame)
        self.pict_type.append(_TYPE_CODES[pict_type])
        self.shot.append(_NONE if shot is None else shot)
        self.reason.append(_REASON_CODES[reason])
        self.n_tiles.append(0)
        self.logit.append(_NAN)
        self.delivery.append(_DELIVERY_CODES[delivery])
        return len(self.index) - 1

    def add_scored(self, row: Sequence[Any]) -> None:
        """A frame as `rows` gives it; one with a score has no reason of its own."""
        index, time_s, width, height, reason, logit, n_tiles, key_frame, pict_type, shot, kind = row
        reason = None if logit is not None else reason
        position = self.add(index, time_s, width, height, key_frame, pict_type, shot, reason, kind)
        self.n_tiles[position] = n_tiles
        self.logit[position] = _NAN if logit is None else logit

    def set_score(self, position: int, n_tiles: int, logit: float) -> None:
        """The mean logit of a frame's tiles; one that is no number is no score."""
        self.n_tiles[position] = n_tiles
        if logit - logit == 0.0:
            self.logit[position] = logit
        else:
            self.reason[position] = _REASON_CODES["not_finite"]

    def set_delivery(self, position: int, delivery: str | None) -> None:
        """What was found of a picture later than it was added."""
        self.delivery[position] = _DELIVERY_CODES[delivery]

    def take_back(self, length: int) -> None:
        """Forget all frames from position `length` on."""
        for name in self.__slots__:
            del getattr(self, name)[length:]

    def part(self, start: int, stop: int) -> Frames:
        """The frames at positions start .. stop - 1."""
        return Frames(*(getattr(self, name)[start:stop] for name in self.__slots__))

    def logits(self) -> NDArray[np.float64]:
        return np.array(self.logit, dtype=np.float64)

    def tiles(self) -> NDArray[np.int32]:
        return np.array(self.n_tiles, dtype=np.int32)

    def shots(self) -> NDArray[np.int32]:
        return np.array(self.shot, dtype=np.int32)

    def delivery_codes(self) -> NDArray[np.int8]:
        return np.array(self.delivery, dtype=np.int8)

    def image_delivery(self) -> str | None:
        """The class of the one frame of an image; None for a video, or nothing to score."""
        is_image = len(self) and self.shot[0] == _NONE
        return DELIVERIES[self.delivery[0]] if is_image else None

    def reasons(self) -> list[str | None]:
        return [FRAME_REASONS[code] for code in self.reason]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """(index, time_s, width, height, reason, logit, n_tiles, key_frame, pict_type, shot,
        delivery) of each frame, with None for what is unknown."""
        for i, time_s, width, height, reason, logit, n_tiles, key, kind, shot, delivery in zip(
            self.index, self.time_s, self.width, self.height, self.reason, self.logit,
            self.n_tiles, self.key_frame, self.pict_type, self.shot, self.delivery, strict=True,
        ):  # fmt: skip
            yield (
                i,
                time_s if time_s == time_s else None,
                width,
                height,
                FRAME_REASONS[reason],
                logit if logit == logit else None,
                n_tiles,
                None if key < 0 else bool(key),
                PICTURE_TYPES[kind],
                None if shot < 0 else shot,
                DELIVERIES[delivery],
            )
