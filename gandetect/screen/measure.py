"""Measuring a model on labeled videos. The unit is the video, judged as a whole as `screen` does.

Frames of one video resemble each other, so a rate of frames says nothing of the rate of videos, and
a threshold of frames nothing of theirs. What is counted here are verdicts; intervals resample the
sources of the videos.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gandetect.detect.audit import audit
from gandetect.detect.calibration import CONFIDENCE, Thresholds
from gandetect.detect.metrics import curves, summarize
from gandetect.detect.model import Model
from gandetect.media.manifests import sources_in
from gandetect.screen.calibrate import per_hour
from gandetect.screen.pipeline import Progress, ScreenOptions, Summary, screen
from gandetect.screen.store import iter_rows
from gandetect.screen.verdict import video_thresholds

# What is measured in place of a region of an image.
VIDEO = "video"


@dataclass(frozen=True)
class Video:
    """A video with its score: `label` 1 is generated, `source` is what it stems from, `metadata`
    what its container and codec say."""

    label: int
    source: str
    logit: float
    p_generated: float
    verdict: str
    hours: float
    metadata: dict[str, float]


@dataclass(frozen=True)
class Screened:
    """The videos of one folder, why other files gave no score, how long screening took, and how
    many files there are with one hash over those of their contents."""

    videos: list[Video]
    failed: dict[str, str]
    seconds: float
    digest: dict[str, Any]


def screened(
    folder: str | Path,
    label: int,
    model: Model,
    options: ScreenOptions,
    *,
    beside: Iterable[str | Path] = (),
    fpr: float = 0.05,
    confidence: float | None = CONFIDENCE,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Screened:
    """The videos below `folder`; sources are those of `manifests.sources_in`, `beside` its folders
    to compare with."""
    with tempfile.TemporaryDirectory() as place:
        summary = screen(
            [folder], model=model, db=os.path.join(place, "videos.sqlite"), fpr=fpr,
            confidence=confidence, workers=workers, progress=progress, **asdict(options),
        )  # fmt: skip
        rows = {Path(row["path"]): row for row in iter_rows(summary.db, summary.run, "file")}
    return _sorted_out(rows, label, sources_in(folder, rows, beside), summary)


def _sorted_out(
    rows: Mapping[Path, Mapping[str, Any]], label: int, sources: Mapping[Path, str], run: Summary
) -> Screened:
    videos, failed = [], {}
    for path, row in rows.items():
        if row["media"] not in ("video", None):
            failed[str(path)] = f"not a video ({row['media']})"
            continue
        if row["logit"] is None:
            failed[str(path)] = row["reason"] or "no score"
            continue
        hours = (row["duration_s"] or 0.0) / 3600
        scores = row["logit"], row["p_generated"], row["verdict"]
        videos.append(Video(label, sources[path], *scores, hours, _metadata(row)))
    hashes = sorted(row["sha256"] for row in rows.values() if row["sha256"])
    told = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return Screened(videos, failed, run.seconds, {"files": len(rows), "sha256": told})


def _metadata(row: Mapping[str, Any]) -> dict[str, float]:
    """An audit row: what a container says. Of brightness nothing is known."""
    width, height = row["width"] or 0, row["height"] or 0
    return {
        "width": width,
        "height": height,
        "ratio": width / height if height else 0.0,
        "duration_s": row["duration_s"] or 0.0,
        "frame_rate": row["frame_rate"] or 0.0,
        f"codec_{row['codec']}": 1.0,
        f"container_{row['container']}": 1.0,
        **dict.fromkeys(("mean", "low", "high"), 0.0),
    }


def measured(
    real: Screened,
    generated: Mapping[str, Screened],
    model: Model,
    options: ScreenOptions,
    *,
    fpr: float = 0.05,
    confidence: float | None = CONFIDENCE,
    prevalence: float = 0.5,
    audited: bool = True,
) -> dict[str, Any]:
    """What `gandetect evaluate --videos` prints, as JSON values: a row of `metrics.summarize` for
    each generator, its curves and its audit, and `footage`, what real videos raise per hour.

    Raises ValueError where a class has no video.
    """
    for name, found in (("real", real), *generated.items()):
        if not found.videos:
            reasons = ", ".join(sorted(set(found.failed.values()))) or "no files"
            raise ValueError(f"{name}: no video gave a score ({reasons})")
    limits = video_thresholds(model, fpr, options.key(), confidence)
    rows, drawn, audits = [], {}, {}
    for name, found in generated.items():
        both = [*real.videos, *found.videos]
        figures = (
            [one.label for one in both],
            [one.logit for one in both],
            [one.p_generated for one in both],
        )
        summary = summarize(
            *figures,
            clusters=[one.source for one in both],
            thresholds=[_as_judged(one, fpr) for one in both],
            prevalence=prevalence,
        )
        rows.append({"generator": name, "region": VIDEO, "perturbation": "none", **summary})
        drawn[name] = curves(*figures, prevalence=prevalence)
        audits[name] = _audited(both)
    return {
        "threshold": limits.generated,
        "threshold_real": limits.real,
        "certified": limits.fpr_bound <= fpr,
        "region": VIDEO,
        "rows": rows,
        "pooled": [],
        "curves": drawn,
        "audit": audits if audited else None,
        "failed": {k: v for one in (real, *generated.values()) for k, v in one.failed.items()},
        "data": {
            "real": real.digest,
            "generated": {name: one.digest for name, one in generated.items()},
        },
        "footage": _footage(real, generated),
    }


def _as_judged(video: Video, fpr: float) -> Thresholds:
    """Thresholds that give the verdict of `video` and no other: not only its score decides it."""
    if video.verdict == "inconclusive":
        return Thresholds(math.inf, -math.inf, fpr, True, 0)
    edge = math.nextafter(video.logit, -math.inf if video.verdict == "generated" else math.inf)
    return Thresholds(edge, edge, fpr, True, 0)


def _audited(videos: Sequence[Video]) -> dict[str, Any]:
    labels, sources = [one.label for one in videos], [one.source for one in videos]
    try:
        found = audit([one.metadata for one in videos], labels, sources, brightness_counts=False)
    except ValueError as error:
        return {"leaks": None, "reason": str(error)}
    return found.to_dict() | {"reason": found.reason}


def _footage(real: Screened, generated: Mapping[str, Screened]) -> dict[str, Any]:
    """Hours of real videos, the false alarms among them, and how fast videos were judged."""
    everything = [real, *generated.values()]
    hours = sum(one.hours for found in everything for one in found.videos)
    seconds = sum(found.seconds for found in everything)
    count = sum(len(found.videos) for found in everything)
    alarms = sum(one.verdict == "generated" for one in real.videos)
    rate, at_most = per_hour(alarms, sum(one.hours for one in real.videos))
    return {
        "real_hours": sum(one.hours for one in real.videos),
        "false_alarms": alarms,
        "false_alarms_per_hour": rate,
        "false_alarms_per_hour_at_most": at_most,
        "seconds_to_verdict": seconds / count,
        "times_as_fast_as_played": hours * 3600 / seconds if seconds else None,
    }


def footage_in_words(footage: Mapping[str, Any]) -> str:
    """For people: false alarms among real videos, by the hour, and how fast videos were judged."""
    alarms, hours = footage["false_alarms"], footage["real_hours"]
    words = f"{alarms} false alarm{'s' if alarms != 1 else ''} in {hours:.3g} hours of real footage"
    if footage["false_alarms_per_hour"] is not None:
        words += (
            f": {footage['false_alarms_per_hour']:.3g} per hour, at most "
            f"{footage['false_alarms_per_hour_at_most']:.3g} with 95 % confidence"
        )
    words += f". {footage['seconds_to_verdict']:.2g} s to the verdict on a video"
    speed = footage["times_as_fast_as_played"]
    return words + (f", {speed:.3g} times as fast as played." if speed else ".")
