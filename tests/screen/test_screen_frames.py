"""The columns of frames: nothing is lost on the way through them."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest

from gandetect.screen.frames import DELIVERIES, FRAME_REASONS, PICTURE_TYPES, Frames

ROWS: list[tuple[Any, ...]] = [
    (0, 0.0, 64, 48, None, 1 / 3, 4, True, "I", 0, None),
    (2**40, 1e6, 8192, 4320, None, -1e-300, 65536, False, "B", 1_000_000, None),
    (7, None, 20, 500, "too_small", None, 0, None, None, None, "JPEG mid 128"),
    (8, 0.5, 64, 64, "not_finite", None, 3, False, "?", 2, None),
]


def filled(rows: list[tuple[Any, ...]] = ROWS) -> Frames:
    frames = Frames()
    for row in rows:
        frames.add_scored(row)
    return frames


def test_rows_come_back_as_they_were_added() -> None:
    assert list(filled().rows()) == ROWS
    assert len(filled()) == 4


def test_rows_survive_pickling() -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(filled(), protocol))
        assert list(copy.rows()) == ROWS


def test_a_pickle_is_small() -> None:
    frames = Frames()
    for i in range(10_000):
        frames.add_scored((i, i / 25, 1920, 1080, None, 0.5, 16, False, "P", i // 100, None))
    assert len(pickle.dumps(frames)) < 60 * 10_000


def test_a_copy_that_came_by_pickle_can_grow() -> None:
    copy = pickle.loads(pickle.dumps(filled()))
    copy.add_scored(ROWS[0])
    assert list(copy.rows()) == [*ROWS, ROWS[0]]


def test_frames_can_be_taken_back() -> None:
    frames = filled()
    frames.take_back(1)
    assert list(frames.rows()) == ROWS[:1]
    frames.add_scored(ROWS[2])
    assert list(frames.rows()) == [ROWS[0], ROWS[2]]
    frames.take_back(0)
    assert len(frames) == 0


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (2, 2), (3, 4)])
def test_a_part_is_a_slice_and_shares_nothing(start: int, stop: int) -> None:
    frames = filled()
    part = frames.part(start, stop)
    assert list(part.rows()) == ROWS[start:stop]
    part.add_scored(ROWS[0])
    assert list(frames.rows()) == ROWS


def test_a_score_is_set_later() -> None:
    frames = Frames()
    position = frames.add(3, 0.1, 64, 64, True, "I", 0, None)
    assert math.isnan(frames.logits()[position])
    frames.set_score(position, 5, 2.5)
    assert list(frames.rows()) == [(3, 0.1, 64, 64, None, 2.5, 5, True, "I", 0, None)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_none(bad: float) -> None:
    frames = Frames()
    frames.set_score(frames.add(0, None, 64, 64, None, None, None, None), 2, bad)
    assert list(frames.rows()) == [(0, None, 64, 64, "not_finite", None, 2, None, None, None, None)]


def test_a_frame_with_a_score_has_no_reason_of_its_own() -> None:
    """What is stored as its reason is that of its verdict."""
    frames = filled([(0, None, 64, 64, "between_thresholds", 0.5, 1, None, None, None, None)])
    assert frames.reasons() == [None]


@pytest.mark.parametrize("reason", FRAME_REASONS)
def test_every_reason_has_a_code(reason: str | None) -> None:
    assert filled([(0, None, 1, 1, reason, None, 0, None, None, 0, None)]).reasons() == [reason]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_every_delivery_has_a_code(delivery: str | None) -> None:
    frames = filled([(0, None, 1, 1, None, 0.5, 1, None, None, None, delivery)])
    assert frames.image_delivery() == delivery
    assert Frames().image_delivery() is None


def test_a_delivery_is_found_later() -> None:
    frames = filled()
    frames.set_delivery(2, "JPEG low 64")
    assert [row[-1] for row in frames.rows()] == [None, None, "JPEG low 64", None]


@pytest.mark.parametrize("kind", PICTURE_TYPES)
def test_every_picture_type_has_a_code(kind: str | None) -> None:
    row = (0, None, 1, 1, "flat", None, 0, None, kind, 0, None)
    assert list(filled([row]).rows()) == [row]


def test_columns_are_arrays_of_their_own() -> None:
    frames = filled()
    logits = frames.logits()
    logits[0] = 9.0
    assert frames.logit[0] == 1 / 3
    assert (logits.dtype, frames.tiles().tolist()) == (np.float64, [4, 65536, 0, 3])
    assert frames.shots().tolist() == [0, 1_000_000, -1, 2]
