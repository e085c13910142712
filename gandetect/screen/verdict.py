"""From the logits of frames to the verdict on a file.

A frame's logit is the mean of the logits of its tiles. An image is its only frame. A video has

    logit = median { logit(f) : f scored, tiles(f) >= max over frames g of tiles(g) / 2 }

Fades, black leaders and title cards have few tiles with texture and are left out; the median then
needs no knowledge of shots, and one frame in two must be wrong before it is. The thresholds are
those certified on single images: by Markov's inequality the median of a video's frames, however
much they resemble each other, exceeds a threshold that frames exceed at rate `fpr` at a rate of at
most 2 `fpr`, if its frames resemble the photographs of the calibration.

The verdict is `generated` above the upper threshold, `real` below the lower one, and inconclusive

- between them (`between_thresholds`),
- where a video has fewer than MIN_FRAMES such frames (`few_frames`),
- where no frame could be scored: `too_small`, `flat`, `interlaced` (the most frequent reason).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

from torch import Tensor

from gandetect.detect.calibration import Thresholds

MIN_FRAMES = 3
VERDICTS = ("generated", "inconclusive", "real", "error")


class Scorer(Protocol):
    """What screening needs of a model; `gandetect.detect.Model` is one."""

    name: str
    sha256: str
    card: dict[str, Any]
    tile: int
    min_side: int

    def logits(self, images: Tensor) -> Tensor: ...

    def probability(self, logits: Tensor | float) -> Tensor: ...

    def thresholds(self, fpr: float = 0.05) -> Thresholds: ...

    def verdict(self, logit: float, thresholds: Thresholds) -> str: ...


@dataclass(frozen=True)
class Verdict:
    """`verdict` is one of VERDICTS; `logit` and `p_generated` are None where nothing was scored."""

    verdict: str
    reason: str | None = None
    logit: float | None = None
    p_generated: float | None = None


@dataclass(frozen=True, slots=True)
class FrameScore:
    """The mean logit of a frame's `n_tiles` tiles, or None and the reason."""

    logit: float | None
    n_tiles: int
    reason: str | None = None


class Judge:
    """Turns logits into verdicts by one model at one false-alarm rate.

    Raises ValueError (from the model) where its calibration cannot certify `fpr`.
    """

    def __init__(self, model: Scorer, fpr: float) -> None:
        self.model = model
        self.thresholds = model.thresholds(fpr)

    def frame(self, score: FrameScore) -> Verdict:
        """The verdict on one frame by itself."""
        if score.logit is None:
            return Verdict("inconclusive", score.reason)
        return self._decide(score.logit)

    def file(self, scores: Sequence[FrameScore], min_frames: int = 1) -> Verdict:
        """The verdict on a file from its frames; see the module's formula."""
        kept = trimmed(scores)
        if not kept:
            reasons = Counter(score.reason for score in scores)
            return Verdict("inconclusive", reasons.most_common(1)[0][0] if reasons else "no_frames")
        verdict = self._decide(median(kept))
        if len(kept) < min_frames:
            return Verdict("inconclusive", "few_frames", verdict.logit, verdict.p_generated)
        return verdict

    def _decide(self, logit: float) -> Verdict:
        word = self.model.verdict(logit, self.thresholds)
        reason = "between_thresholds" if word == "inconclusive" else None
        return Verdict(word, reason, logit, float(self.model.probability(logit)))


def frame_score(logits: Sequence[float], reason: str | None = None) -> FrameScore:
    """The mean over tiles; a score that is no number is no score."""
    if not logits:
        return FrameScore(None, 0, reason)
    mean = math.fsum(logits) / len(logits)
    if not math.isfinite(mean):
        return FrameScore(None, len(logits), "not_finite")
    return FrameScore(mean, len(logits))


def trimmed(scores: Sequence[FrameScore]) -> list[float]:
    """Logits of the frames with at least half as many tiles as the fullest frame."""
    most = max((score.n_tiles for score in scores if score.logit is not None), default=0)
    return [s.logit for s in scores if s.logit is not None and 2 * s.n_tiles >= most]
