"""From the logits of frames to the verdict on a file.

A frame's logit is the mean of the logits of its tiles. An image is its only frame. A video has

    logit = weighted median { logit(f) : f scored, tiles(f) >= max over frames g of tiles(g) / 2 }
    weight(f) = 1 / (1 + (n_s - 1) SHOT_CORRELATION),    n_s frames kept of the shot s of f

Fades, black leaders and title cards have few tiles with texture and are left out. Frames of one
shot resemble each other, so that a long shot weighs little more than a short one. A median needs
half of the weight to be wrong before it is. The weights depend on the shots and never on the
scores; a correlation measured in the very scores would let chance choose who is heard. What it is
measured for is the effective number of frames, sum_s n_s / (1 + (n_s - 1) rho), which says how much
evidence there is (`shots.py`).

Thresholds of a video come from the scores of real videos where the model carries them
(`gandetect calibrate`). Otherwise from real images: by Markov's inequality a weighted median
exceeds a threshold that each frame exceeds at rate a in at most 2 a of the videos, however their
frames depend on each other, if each for itself resembles the photographs of the calibration; so
a = fpr / 2, or the smallest rate that the photographs certify.

An image is judged by the thresholds of its class, where the model has scores by class: by its last
compression and the side of its squares (`delivery` of its frame). A class with too few scores
borrows from those that suffered at least as much, or gives no verdict
(`calibration.class_thresholds`). Videos and their frames have no class, but for frames that are
soft.

The verdict is `generated` above the upper threshold, `real` below the lower one, and inconclusive

- between them (`between_thresholds`; `between_pooled_thresholds` where one of them is borrowed),
- where the class of an image lacks the threshold that could decide (`uncertified_class`; `soft`
  for images as soft as blurred or enlarged photographs),
- where half of the weight of a video is on soft frames, its median is above the threshold, and no
  real videos set that (`soft`),
- where a video has fewer than MIN_FRAMES such frames (`few_frames`),
- where no frame could be scored: `too_small`, `flat`, `interlaced`, ... (the most frequent reason).

`p_value`: the share of real calibration scores, and one, at or above the logit, (1 + r) / (1 + n);
of an image among the reals of its class, where the model has some; of a video without scores of
real videos twice that of its median, which is valid for any dependence. `significance.py` controls
the false-discovery rate over many files with it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect.calibration import (
    CONFIDENCE,
    ClassScores,
    ClassThresholds,
    Thresholds,
    allowed_exceedances,
    at_prevalence,
    p_values_among,
    smallest_certifiable_rate,
    told_confidence,
)
from gandetect.detect.delivery import SIZES, SOFT
from gandetect.screen.frames import DELIVERIES, Frames
from gandetect.screen.shots import (
    effective_frames,
    frame_weights,
    shot_correlation,
    weighted_median,
)

MIN_FRAMES = 3
# Of the scores of frames of one shot, for their weights: 30 such frames count as 1.2.
SHOT_CORRELATION = 0.8
VIDEO_CARD = "video_calibration"
# Images are looked into for runs at up to such a rate, at higher ones all are.
LOOK_RATES = (0.1, 0.5)
# The share of generated images for which calibrated probabilities are made.
EVEN = 0.5
VERDICTS = ("generated", "inconclusive", "real", "error")


class Scorer(Protocol):
    """What screening needs of a model; `gandetect.detect.Model` is one.

    It may have besides: `class_scores` and `class_thresholds`, for thresholds by class of images,
    and `suspicious_from`, above which the class of an image matters; `ignores_brightness`.
    """

    name: str
    sha256: str
    card: dict[str, Any]
    tile: int
    min_side: int

    @property
    def arrays(self) -> Mapping[str, Tensor]: ...

    def logits(self, images: Tensor) -> Tensor: ...

    def probability(self, logits: Tensor | float) -> Tensor: ...

    def thresholds(
        self, fpr: float = 0.05, *, confidence: float | None = CONFIDENCE
    ) -> Thresholds: ...


class Verdict(NamedTuple):
    """`verdict` is one of VERDICTS; the numbers are None where nothing was scored, and those of
    shots where the file is no video."""

    verdict: str
    reason: str | None = None
    logit: float | None = None
    p_generated: float | None = None
    p_value: float | None = None
    n_scored: int = 0
    n_shots: int | None = None
    n_effective: float | None = None


@dataclass(frozen=True)
class VideoThresholds:
    """As Thresholds, for the weighted median of a video. `fpr_bound`: the largest share of real
    videos called generated that is certified. `n_videos`: how many real videos it rests on, 0
    where it comes from images."""

    generated: float
    real: float
    fpr_bound: float
    n_videos: int


def class_scores(model: Scorer) -> dict[str, ClassScores]:
    """The calibration scores of a model by class of images, none where it has none."""
    found: dict[str, ClassScores] = getattr(model, "class_scores", {})
    return found


def image_thresholds(
    model: Scorer, fpr: float, confidence: float | None = CONFIDENCE
) -> tuple[Thresholds, dict[str, ClassThresholds]]:
    """The thresholds of images of no known class, and those by class, empty without scores by
    class. `confidence`: that the rate `fpr` holds with; None where on average is enough.

    Raises ValueError where no image at all could be called generated at so small a rate. Where
    images of some class can, the thresholds of no known class need not be certified.
    """
    if not class_scores(model):
        return model.thresholds(fpr, confidence=confidence), {}
    known: Any = model
    classes: dict[str, ClassThresholds] = known.class_thresholds(fpr, confidence=confidence)
    if all(found.basis == "none" for found in classes.values()):
        smallest = min(found.smallest_rate for found in classes.values())
        raise ValueError(
            f"a rate of {fpr:g} was asked for; {model.name} certifies no less than {smallest:.3g} "
            f"for any class of images {told_confidence(confidence)}: ask for that, or calibrate "
            "with more images"
        )
    thresholds: Thresholds = known.thresholds(fpr, confidence=confidence, certify=False)
    return thresholds, classes


def look_rate(model: Scorer, fpr: float) -> float | None:
    """The largest false-alarm rate for which images are looked into that `fpr` needs looked into,
    so that runs at near rates share their scores; None for a model without classes of images."""
    if not class_scores(model):
        return None
    return next((rate for rate in LOOK_RATES if fpr <= rate), 1.0)


def suspicious_from(model: Scorer, fpr: float) -> dict[str, float]:
    """By size class: the logit above which images are looked into, see `look_rate`."""
    rate = look_rate(model, fpr)
    if rate is None:
        return {}
    if rate == 1:
        return dict.fromkeys(SIZES, -math.inf)
    known: Any = model
    found: dict[str, float] = known.suspicious_from(rate)
    return found


def video_scores(model: Scorer, options: str) -> Tensor | None:
    """Scores of real videos in the model, if they were sampled by the same options."""
    if model.card.get(VIDEO_CARD, {}).get("options") != options:
        return None
    return model.arrays.get("calibration.video")


def video_thresholds(
    model: Scorer, fpr: float, options: str = "", confidence: float | None = CONFIDENCE
) -> VideoThresholds:
    """The thresholds for videos sampled by `options` (`ScreenOptions.key`), from real videos if
    the model has enough of them."""
    images, _ = image_thresholds(model, fpr, confidence)
    videos = video_scores(model, options)
    if videos is not None:
        allowed = allowed_exceedances(len(videos), fpr, confidence)
        if allowed is not None:
            upper = float(videos.sort().values[-1 - allowed])
            return VideoThresholds(upper, min(images.real, upper), fpr, len(videos))
    try:
        upper, rate = model.thresholds(fpr / 2, confidence=confidence).generated, fpr / 2
    except ValueError:
        reals = model.arrays["calibration.real"]
        upper, rate = float(reals.max()), smallest_certifiable_rate(len(reals), confidence)
    upper = max(upper, images.generated)
    return VideoThresholds(upper, images.real, min(1.0, 2 * rate), 0)


class Judge:
    """Turns logits into verdicts by one model at one false-alarm rate.

    `prevalence`: the share of generated files that p(generated) is for; no verdict depends on it.
    `thresholds`: of images of no known class and of frames of videos. `classes`: those of images by
    class, empty where the model has no scores by class. `confidence`: as `image_thresholds` has it.
    Raises ValueError where the calibration cannot certify `fpr` for any image.
    """

    def __init__(
        self,
        model: Scorer,
        fpr: float,
        options: str = "",
        prevalence: float = EVEN,
        confidence: float | None = CONFIDENCE,
    ) -> None:
        self.model = model
        self.prevalence = prevalence
        self.thresholds, self.classes = image_thresholds(model, fpr, confidence)
        self.video = video_thresholds(model, fpr, options, confidence)
        # By the codes of `Frames.delivery`.
        known = [self.classes.get(name or "") for name in DELIVERIES]
        limits = [self.thresholds if found is None else found.thresholds for found in known]
        self._upper = np.array([limit.generated for limit in limits])
        self._lower = np.array([limit.real for limit in limits])
        self._undecided = np.array([_undecided(found) for found in known], dtype=object)
        self._reals = np.sort(model.arrays["calibration.real"].double().numpy())
        self._reals_of = {
            name: scores.real for name, scores in class_scores(model).items() if len(scores.real)
        }
        videos = video_scores(model, options)
        self._videos = None if videos is None else np.sort(videos.double().numpy())
        self._spread = float(self._reals.std())

    def frames(self, frames: Frames) -> tuple[list[float | None], list[str], list[str | None]]:
        """p(generated), verdict and reason of each frame by itself."""
        logits, codes = frames.logits(), frames.delivery_codes()
        scored = ~np.isnan(logits)
        p = self._probability(logits)
        words = np.full(len(logits), "inconclusive", dtype=object)
        words[logits > self._upper[codes]] = "generated"
        words[logits < self._lower[codes]] = "real"
        verdicts, undecided = words.tolist(), self._undecided[codes].tolist()
        reasons = [
            (why if word == "inconclusive" else None) if known else reason
            for word, known, why, reason in zip(
                verdicts, scored, undecided, frames.reasons(), strict=True
            )
        ]
        chances = [x if known else None for x, known in zip(p.tolist(), scored, strict=True)]
        return chances, verdicts, reasons

    def image(
        self,
        logit: float | None,
        p: float | None,
        word: str,
        reason: str | None,
        delivery: str | None = None,
    ) -> Verdict:
        """The verdict on an image: that on its only frame, as `frames` gives it."""
        if logit is None:
            return Verdict(word, reason or "no_frames")
        reals = self._reals_of.get(delivery or "", self._reals)
        return Verdict(word, reason, logit, p, float(p_values_among(reals, logit)), 1)

    def video_file(self, frames: Frames, min_frames: int = MIN_FRAMES) -> Verdict:
        """The verdict on a video from its frames; see the module's formula."""
        logits, tiles = frames.logits(), frames.tiles()
        scored = ~np.isnan(logits)
        n_scored = int(scored.sum())
        if not n_scored:
            reasons = Counter(frames.reasons())
            return Verdict("inconclusive", reasons.most_common(1)[0][0] if reasons else "no_frames")
        kept = scored & (2 * tiles >= tiles[scored].max())
        values, shots = logits[kept], frames.shots()[kept]
        rho = shot_correlation(values, shots, self._spread)
        weights, sizes = frame_weights(shots, SHOT_CORRELATION)
        verdict = self._decide(
            weighted_median(values, weights), self.video.generated, self.video.real
        )._replace(n_scored=n_scored, n_shots=len(sizes), n_effective=effective_frames(sizes, rho))
        assert verdict.logit is not None
        verdict = verdict._replace(p_value=self._video_p_value(verdict.logit))
        if len(values) < min_frames:
            return verdict._replace(verdict="inconclusive", reason="few_frames")
        is_soft = self._undecided[frames.delivery_codes()[kept]] == "soft"
        if verdict.verdict == "generated" and self._are_soft(is_soft, weights):
            return verdict._replace(verdict="inconclusive", reason="soft")
        return verdict

    def _are_soft(self, is_soft: NDArray[np.bool_], weights: NDArray[np.float64]) -> bool:
        """Whether a video is as soft as an enlarged one, of which its threshold knows nothing."""
        return self.video.n_videos == 0 and 2 * float(weights[is_soft].sum()) >= weights.sum()

    def _decide(self, logit: float, upper: float, lower: float) -> Verdict:
        word = "generated" if logit > upper else "real" if logit < lower else "inconclusive"
        reason = "between_thresholds" if word == "inconclusive" else None
        return Verdict(word, reason, logit, float(self._probability(logit)))

    def _probability(self, logits: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """p(generated) at the expected prevalence; NaN for NaN."""
        exact = torch.as_tensor(logits, dtype=torch.float64)
        p: NDArray[np.float64] = self.model.probability(exact).double().numpy()
        if self.prevalence != EVEN:
            known = ~np.isnan(p)
            p[known] = at_prevalence(p[known], self.prevalence)
        return p

    def _video_p_value(self, logit: float) -> float:
        if self._videos is not None:
            return float(p_values_among(self._videos, logit))
        return min(1.0, 2 * float(p_values_among(self._reals, logit)))


def _undecided(found: ClassThresholds | None) -> str:
    """Why an image of a class is inconclusive; None is no class."""
    if found is None:
        return "between_thresholds"
    if not found.thresholds.certified:
        return "soft" if found.name.startswith(SOFT) else "uncertified_class"
    own = found.real_from == found.generated_from == (found.name,)
    return "between_thresholds" if own else "between_pooled_thresholds"
