"""From frames to files: the stated formula, its thresholds and p-values, and when there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from making_results import VIDEO_OPTIONS, Brightness

from gandetect.detect import Model
from gandetect.detect.calibration import allowed_exceedances, smallest_certifiable_rate
from gandetect.screen.frames import Frames
from gandetect.screen.shots import effective_frames, frame_weights, shot_correlation
from gandetect.screen.verdict import (
    SHOT_CORRELATION,
    Judge,
    VideoThresholds,
    video_thresholds,
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(Brightness(), 0.05)


def clip(logits: Iterable[float], shots: Iterable[int] | int = 0, n_tiles: int = 4) -> Frames:
    """Frames of a video; NaN is no score."""
    frames = Frames()
    values = [*logits]
    numbers = [shots] * len(values) if isinstance(shots, int) else [*shots]
    for i, (logit, shot) in enumerate(zip(values, numbers, strict=True)):
        scored = logit == logit
        reason, score = (None, logit) if scored else ("flat", None)
        n = n_tiles if scored else 0
        frames.add_scored((i, None, 64, 64, reason, score, n, None, None, shot, None))
    return frames


def joined(*parts: Frames) -> Frames:
    frames = Frames()
    for row in (row for part in parts for row in part.rows()):
        frames.add_scored((len(frames), *row[1:]))
    return frames


# --- frames and images ---


def test_a_frame_at_a_threshold_is_between(judge: Judge) -> None:
    upper, lower = judge.thresholds.generated, judge.thresholds.real
    assert lower < upper
    beside = [math.nextafter(upper, 9), upper, lower, math.nextafter(lower, -9)]
    _, verdicts, reasons = judge.frames(clip(beside))
    assert verdicts == ["generated", "inconclusive", "inconclusive", "real"]
    assert reasons == [None, "between_thresholds", "between_thresholds", None]


def test_a_frame_without_score_keeps_its_reason(judge: Judge) -> None:
    chances, verdicts, reasons = judge.frames(clip([math.nan, 9.0]))
    assert chances[0] is None
    assert chances[1] == pytest.approx(1 / (1 + math.exp(-9)))
    assert (verdicts, reasons) == (["inconclusive", "generated"], ["flat", None])


def test_no_frames_are_judged_to_nothing(judge: Judge) -> None:
    assert judge.frames(Frames()) == ([], [], [])


def test_an_image_is_its_only_frame(judge: Judge) -> None:
    for logit in (-9.0, 0.0, 9.0):
        chances, words, reasons = judge.frames(clip([logit]))
        verdict = judge.image(logit, chances[0], words[0], reasons[0])
        assert verdict.verdict == judge.thresholds.verdict(logit)
        assert (verdict.logit, verdict.p_generated, verdict.n_scored) == (logit, chances[0], 1)
        assert verdict.n_shots is None


def test_an_image_without_score_has_its_reason_and_no_numbers(judge: Judge) -> None:
    verdict = judge.image(None, None, "inconclusive", "too_small")
    assert (verdict.verdict, verdict.reason) == ("inconclusive", "too_small")
    assert (verdict.logit, verdict.p_value, verdict.n_scored) == (None, None, 0)


def test_a_rate_that_cannot_be_certified_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="certif"):
        Judge(model, 1e-6)


# --- videos ---


def test_a_video_of_one_shot_is_the_median_of_its_frames(judge: Judge) -> None:
    verdict = judge.video_file(clip([9.0, -1.0, 8.0, 7.0, 9.5]))
    assert (verdict.verdict, verdict.logit, verdict.n_scored) == ("generated", 8.0, 5)
    assert verdict.p_generated == pytest.approx(1 / (1 + math.exp(-8.0)), rel=1e-5)
    assert judge.video_file(clip([-9.0, -9.0, 9.0])).verdict == "real"


def test_a_long_shot_of_frames_alike_does_not_outvote_the_others(judge: Judge) -> None:
    frames = clip([9.0] * 50 + [-9.0] * 6, [0] * 50 + [1] * 2 + [2] * 2 + [3] * 2)
    verdict = judge.video_file(frames)
    assert (verdict.verdict, verdict.logit) == ("real", -9.0)
    assert (verdict.n_shots, verdict.n_effective) == (4, 4.0)


def test_the_formula_of_a_video(judge: Judge) -> None:
    """Against the definition, frame by frame, on random videos."""
    rng = np.random.default_rng(1)
    spread = Brightness().arrays["calibration.real"].numpy().std()
    for _ in range(50):
        n = int(rng.integers(3, 40))
        shots = rng.integers(0, 5, n)
        logits = rng.normal(size=5)[shots] + rng.normal(size=n) * rng.uniform(0, 2)
        rho = shot_correlation(logits, shots, spread)
        sizes = np.array([(shots == s).sum() for s in shots])
        weights = 1 / (1 + (sizes - 1) * SHOT_CORRELATION)
        verdict = judge.video_file(clip(logits, shots.tolist()))
        assert verdict.logit is not None
        above, below = (weights[c].sum() for c in (logits > verdict.logit, logits < verdict.logit))
        assert max(above, below) <= weights.sum() / 2 + 1e-9
        assert verdict.n_effective == pytest.approx((1 / (1 + (sizes - 1) * rho)).sum())
        assert verdict.n_shots == len(set(shots))


def test_frames_with_little_texture_do_not_vote(judge: Judge) -> None:
    fades = clip([-50.0] * 4, n_tiles=1)
    verdict = judge.video_file(joined(clip([9.0, 9.0, 9.0]), fades))
    assert (verdict.verdict, verdict.logit, verdict.n_scored) == ("generated", 9.0, 7)
    half = judge.video_file(joined(clip([1.0] * 3, n_tiles=2), clip([2.0] * 3)))
    assert half.logit == 1.5


def test_frames_with_little_texture_do_not_count_to_the_fewest(judge: Judge) -> None:
    fades = clip([9.0] * 4, n_tiles=1)
    assert judge.video_file(joined(clip([9.0, 9.0]), fades)).reason == "few_frames"


@pytest.mark.parametrize("beside", [-math.inf, 0, math.inf])
def test_a_video_at_its_threshold_is_not_above_it(beside: float, judge: Judge) -> None:
    upper = judge.video.generated
    logit = math.nextafter(upper, beside) if beside else upper
    expected = "generated" if beside == math.inf else "inconclusive"
    assert judge.video_file(clip([logit] * 3)).verdict == expected


def test_between_the_thresholds_is_inconclusive(judge: Judge) -> None:
    middle = (judge.video.generated + judge.video.real) / 2
    verdict = judge.video_file(clip([middle] * 3))
    assert (verdict.verdict, verdict.reason) == ("inconclusive", "between_thresholds")
    assert verdict.p_generated is not None


def test_too_few_frames_are_inconclusive_but_scored(judge: Judge) -> None:
    verdict = judge.video_file(clip([9.0, 9.0]), min_frames=3)
    assert (verdict.verdict, verdict.reason, verdict.logit) == ("inconclusive", "few_frames", 9.0)
    assert judge.video_file(clip([9.0]), min_frames=1).verdict == "generated"


def test_without_scores_the_commonest_reason_is_given(judge: Judge) -> None:
    frames = Frames()
    for i, reason in enumerate(("flat", "too_small", "too_small")):
        frames.add_scored((i, None, 64, 64, reason, None, 0, None, None, 0, None))
    verdict = judge.video_file(frames)
    assert (verdict.verdict, verdict.reason) == ("inconclusive", "too_small")
    assert (verdict.logit, verdict.p_generated, verdict.p_value) == (None, None, None)
    assert judge.video_file(Frames()).reason == "no_frames"


# --- thresholds of videos ---


def test_without_videos_the_threshold_is_that_of_half_the_rate() -> None:
    model = Brightness()
    expected = VideoThresholds(
        model.thresholds(0.05).generated, model.thresholds(0.1).real, pytest.approx(0.1), 0
    )
    assert video_thresholds(model, 0.1) == expected


def test_without_videos_and_with_few_images_the_bound_is_what_these_certify() -> None:
    """60 images certify 5 %, and not 2.5 %."""
    model = Brightness(n=60)
    thresholds = video_thresholds(model, 0.05)
    assert thresholds.generated == float(model.arrays["calibration.real"].max())
    assert thresholds.fpr_bound == pytest.approx(2 * smallest_certifiable_rate(60))
    assert thresholds.fpr_bound > 0.05


def test_with_videos_the_threshold_is_an_order_statistic_of_theirs() -> None:
    scores = torch.linspace(-6, 2, 200, dtype=torch.float64)
    thresholds = video_thresholds(Brightness(videos=scores), 0.05, VIDEO_OPTIONS)
    allowed = allowed_exceedances(200, 0.05)
    assert int((scores > thresholds.generated).sum()) == allowed
    assert (thresholds.fpr_bound, thresholds.n_videos) == (0.05, 200)
    assert thresholds.real <= thresholds.generated


def test_too_few_videos_leave_it_to_the_images() -> None:
    scores = torch.linspace(-6, 2, 50, dtype=torch.float64)
    assert video_thresholds(Brightness(videos=scores), 0.05, VIDEO_OPTIONS) == video_thresholds(
        Brightness(), 0.05
    )


def test_videos_that_were_sampled_otherwise_do_not_count() -> None:
    scores = torch.linspace(-6, 2, 200, dtype=torch.float64)
    model = Brightness(videos=scores)
    assert video_thresholds(model, 0.05, "every frame") == video_thresholds(Brightness(), 0.05)
    values = [
        Judge(m, 0.05, "every frame").video_file(clip([1.0] * 3)) for m in (model, Brightness())
    ]
    assert values[0] == values[1]


def test_below_the_threshold_of_videos_nothing_is_both() -> None:
    """Real videos far below the images' lower threshold."""
    scores = torch.linspace(-60, -50, 200, dtype=torch.float64)
    thresholds = video_thresholds(Brightness(videos=scores), 0.05, VIDEO_OPTIONS)
    assert thresholds.real == thresholds.generated < -50


def real_videos(rng: np.random.Generator, correlation: float, n: int) -> Iterable[Frames]:
    """Videos of 12 frames in 4 shots whose frames each score like a real image, N(-2, 2)."""
    shots = [0] * 6 + [1] * 3 + [2] * 2 + [3]
    for _ in range(n):
        common, own = rng.normal(), rng.normal(size=12)
        scores = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
        yield clip(2 * scores - 2, shots)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7, 1.0])
def test_false_alarms_of_videos_stay_below_the_bound_of_images(
    correlation: float, judge: Judge
) -> None:
    """Exchangeable frames of any correlation; margin: three standard errors of the simulation."""
    n = 3000
    videos = real_videos(np.random.default_rng(2), correlation, n)
    alarms = sum(judge.video_file(frames).verdict == "generated" for frames in videos) / n
    bound = judge.video.fpr_bound
    assert bound == pytest.approx(0.05)
    assert alarms <= bound + 3 * math.sqrt(bound * (1 - bound) / n)
    if correlation == 1.0:  # One score per video: the rate of images, which is not nothing.
        assert alarms > bound / 8


def test_false_alarms_stay_below_the_rate_certified_on_videos() -> None:
    plain, rng, n = Judge(Brightness(), 0.05), np.random.default_rng(3), 2000
    calibration = [plain.video_file(frames).logit for frames in real_videos(rng, 0.5, 300)]
    videos = torch.tensor(sorted(calibration), dtype=torch.float64)
    judge = Judge(Brightness(videos=videos), 0.05, VIDEO_OPTIONS)
    alarms = [judge.video_file(f).verdict == "generated" for f in real_videos(rng, 0.5, n)]
    assert judge.video.generated < plain.video.generated
    assert sum(alarms) / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)
    assert sum(alarms) / n > 0.01


# --- p-values ---


def test_a_p_value_is_a_rank() -> None:
    judge = Judge(Brightness(n=99), 0.1)
    reals = judge.model.arrays["calibration.real"].tolist()
    values = [judge.image(x, 0.5, "", None).p_value for x in (99.0, reals[-1], reals[0], -99.0)]
    assert values == pytest.approx([0.01, 0.02, 1.0, 1.0])


def test_p_values_of_real_images_are_uniform() -> None:
    """Over calibration and image alike: P(p <= k / (n + 1)) = k / (n + 1)."""
    rng, n, values = np.random.default_rng(4), 19, []
    model = Brightness(n=n)
    for _ in range(400):
        model.arrays["calibration.real"] = torch.from_numpy(np.sort(rng.normal(size=n)))
        judge = Judge(model, 0.3)
        values.append(judge.image(float(rng.normal()), 0.5, "", None).p_value)
    ranks = np.array(values) * (n + 1)
    assert ranks == pytest.approx(ranks.round())
    expected = np.arange(1, n + 2) / (n + 1)
    found = np.array([(ranks <= k + 0.5).mean() for k in range(1, n + 2)])
    assert np.abs(found - expected).max() < 1.36 / math.sqrt(len(values))  # Kolmogorov, 5 %


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_p_values_of_real_videos_are_no_smaller_than_uniform(
    correlation: float, judge: Judge
) -> None:
    videos = real_videos(np.random.default_rng(5), correlation, 1000)
    values = np.array([judge.video_file(frames).p_value for frames in videos])
    for level in (0.01, 0.05, 0.1, 0.25, 0.5):
        error = math.sqrt(level * (1 - level) * (1 / 1000 + 1 / 400))
        assert (values <= level).mean() <= level + 3 * error


def test_with_videos_the_p_value_of_a_video_is_its_rank_among_them() -> None:
    scores = torch.linspace(-6, 2, 99, dtype=torch.float64)
    judge = Judge(Brightness(videos=scores), 0.05, VIDEO_OPTIONS)
    assert judge.video_file(clip([9.0] * 3)).p_value == pytest.approx(0.01)
    assert judge.video_file(clip([-9.0] * 3)).p_value == 1.0


def test_weights_add_up_to_the_effective_frames() -> None:
    rng = np.random.default_rng(6)
    for rho in (0.0, 0.37, 1.0):
        shots = rng.integers(0, 6, 40)
        weights, sizes = frame_weights(shots, rho)
        assert weights.sum() == pytest.approx(effective_frames(sizes, rho))
        assert sorted(sizes) == sorted(np.bincount(shots)[np.bincount(shots) > 0])


def test_chance_cannot_choose_who_is_heard(judge: Judge) -> None:
    """Frames that exceed the threshold at the rate of the bound each, in the worst company: a long
    shot that agrees within itself only where it exceeds, and a short one that exceeds elsewhere."""
    threshold, rate = judge.video.generated, judge.video.fpr_bound / 2
    rng, n = np.random.default_rng(7), 4000
    scattered = threshold - np.linspace(1, 30, 9)
    alarms = 0
    for chance in rng.random(n):
        long = np.full(9, threshold + 1) if chance < rate else scattered
        short = threshold + (1 if rate <= chance < 2 * rate else -1)
        frames = clip([*long, short], [0] * 9 + [1])
        alarms += judge.video_file(frames).verdict == "generated"
    bound = judge.video.fpr_bound
    assert rate * n / 2 < alarms <= n * (bound + 3 * math.sqrt(bound * (1 - bound) / n))
