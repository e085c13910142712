"""From tiles to frames to files: the stated formula, and when there is no verdict."""

from __future__ import annotations

import math

import pytest

from gandetect.detect import Model
from gandetect.screen.verdict import FrameScore, Judge, frame_score, trimmed


@pytest.fixture
def judge(model: Model) -> Judge:
    return Judge(model, 0.05)


def scores(*logits: float, n_tiles: int = 4) -> list[FrameScore]:
    return [FrameScore(logit, n_tiles) for logit in logits]


def test_a_frame_is_the_mean_of_its_tiles() -> None:
    assert frame_score([1.0, 2.0, 6.0]) == FrameScore(3.0, 3)
    assert frame_score([], "flat") == FrameScore(None, 0, "flat")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_none(bad: float) -> None:
    assert frame_score([1.0, bad]) == FrameScore(None, 2, "not_finite")


def test_a_video_is_the_median_of_its_frames(judge: Judge) -> None:
    verdict = judge.file(scores(9.0, -1.0, 8.0, 7.0, 9.5), min_frames=3)
    assert verdict.verdict == "generated"
    assert verdict.logit == 8.0
    assert verdict.p_generated == pytest.approx(1 / (1 + math.exp(-8.0)), rel=1e-5)
    assert judge.file(scores(-9.0, -9.0, 9.0), min_frames=3).verdict == "real"


def test_frames_with_little_texture_do_not_vote(judge: Judge) -> None:
    fades = scores(-50.0, -50.0, -50.0, -50.0, n_tiles=1)
    assert trimmed(scores(9.0, 9.0, 9.0) + fades) == [9.0, 9.0, 9.0]
    assert judge.file(scores(9.0, 9.0, 9.0) + fades, min_frames=3).verdict == "generated"
    assert trimmed(scores(1.0, n_tiles=2) + scores(2.0)) == [1.0, 2.0]


def test_between_the_thresholds_is_inconclusive(judge: Judge) -> None:
    middle = (judge.thresholds.generated + judge.thresholds.real) / 2
    verdict = judge.file(scores(middle))
    assert (verdict.verdict, verdict.reason) == ("inconclusive", "between_thresholds")
    assert verdict.p_generated is not None


def test_too_few_frames_are_inconclusive_but_scored(judge: Judge) -> None:
    verdict = judge.file(scores(9.0, 9.0), min_frames=3)
    assert (verdict.verdict, verdict.reason, verdict.logit) == ("inconclusive", "few_frames", 9.0)
    assert judge.file(scores(9.0), min_frames=1).verdict == "generated"


def test_without_scores_the_commonest_reason_is_given(judge: Judge) -> None:
    nothing = [FrameScore(None, 0, reason) for reason in ("flat", "too_small", "too_small")]
    verdict = judge.file(nothing)
    assert (verdict.verdict, verdict.reason) == ("inconclusive", "too_small")
    assert verdict.p_generated is None
    assert judge.file([]).reason == "no_frames"


def test_a_rate_that_cannot_be_certified_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="certif"):
        Judge(model, 1e-6)
