"""Thresholds for videos from real videos: one score per video, never one per frame.

The frames of a video resemble each other, so that a million frames of a hundred videos certify what
a hundred images do. A model calibrated here carries the scores of real videos beside those of real
images, with the sampling and the region that they were made with; screening uses them where it
samples alike, and falls back to the bound by Markov's inequality elsewhere (`verdict.py`).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from gandetect.detect import Model
from gandetect.detect.calibration import CONFIDENCE, smallest_certifiable_rate
from gandetect.screen.pipeline import Progress, ScreenOptions, screen
from gandetect.screen.store import iter_rows
from gandetect.screen.verdict import VIDEO_CARD, video_thresholds


@dataclass(frozen=True)
class FalseAlarms:
    """False alarms among the real videos at one rate, by the thresholds from images alone.

    `per_hour`: of footage; `per_hour_at_most`: its upper limit of 95 % confidence, if alarms come
    independently (Poisson). None where no video says how long it is.
    """

    fpr: float
    n_alarms: int
    per_hour: float | None
    per_hour_at_most: float | None


@dataclass(frozen=True)
class VideoCalibration:
    """What was found among real videos. `left_out`: files that gave no score, by reason.
    `smallest_fpr`: the smallest false-alarm rate that so many videos certify."""

    n_videos: int
    hours: float
    smallest_fpr: float
    left_out: dict[str, int]
    alarms: list[FalseAlarms]


def calibrate_on_videos(
    paths: Iterable[str | os.PathLike[str]],
    model: Model,
    options: ScreenOptions,
    *,
    rates: Iterable[float] = (0.05,),
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Model, VideoCalibration]:
    """`model` with the scores of the real videos at or below `paths`, and what was found.

    Each video must show something else: copies and cuts of one recording count as one video only
    if one of them is given. Raises ValueError where no file gave a score.
    """
    with tempfile.TemporaryDirectory() as folder:
        summary = screen(
            paths, model=model, db=os.path.join(folder, "real.sqlite"), workers=workers,
            progress=progress, fpr=max(rates), **asdict(options),
        )  # fmt: skip
        scores, hours, left_out = _scores(summary.db)
    if not scores:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "no files"
        raise ValueError(f"no real video gave a score ({reasons})")
    alarms = [_alarms(model, options, scores, hours, rate) for rate in rates]
    found = VideoCalibration(
        len(scores), hours, smallest_certifiable_rate(len(scores)), left_out, alarms
    )
    return _with_videos(model, options, scores, found), found


def _scores(db: str) -> tuple[list[float], float, dict[str, int]]:
    """Scores of the videos, their hours, and what gave none by reason."""
    scores, hours, left_out = [], 0.0, dict[str, int]()
    for row in iter_rows(db, kind="file"):
        usable = row["media"] == "video" and row["logit"] is not None
        if usable and row["reason"] != "few_frames":
            scores.append(row["logit"])
            hours += (row["duration_s"] or 0.0) / 3600
        else:
            reason = row["reason"] or f"not a video ({row['media']})"
            left_out[reason] = left_out.get(reason, 0) + 1
    return scores, hours, left_out


def _alarms(
    model: Model, options: ScreenOptions, scores: list[float], hours: float, fpr: float
) -> FalseAlarms:
    threshold = video_thresholds(model, fpr, options.key()).generated
    n_alarms = sum(score > threshold for score in scores)
    return FalseAlarms(fpr, n_alarms, *per_hour(n_alarms, hours))


def per_hour(n_alarms: int, hours: float) -> tuple[float | None, float | None]:
    """Alarms per hour of footage, and their upper limit of 95 % confidence if they come
    independently (Poisson); None where no video says how long it is."""
    from scipy.stats import chi2

    if not hours:
        return None, None
    return n_alarms / hours, float(chi2.ppf(CONFIDENCE, 2 * n_alarms + 2)) / 2 / hours


def _with_videos(
    model: Model, options: ScreenOptions, scores: list[float], found: VideoCalibration
) -> Model:
    card: dict[str, Any] = json.loads(json.dumps(model.card))
    card[VIDEO_CARD] = {
        "options": options.key(),
        "n_videos": found.n_videos,
        "hours": round(found.hours, 4),
        "smallest_fpr": found.smallest_fpr,
    }
    videos = torch.tensor(scores, dtype=torch.float64).sort().values
    return Model({**model.arrays, "calibration.video": videos}, card)
