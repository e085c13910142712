"""From scores to probabilities and to verdicts with a false-alarm rate that is certified.

With n exchangeable real scores and the threshold at the (k+1)-th largest, the false-alarm rate of
a new real is distributed as Beta(k+1, n-k). The largest k whose upper confidence bound stays
within the wanted rate is found exactly, from the binomial sum P(Beta(k+1, n-k) > a) = P(Bin(n, a)
<= k).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Thresholds:
    """Above `generated` is generated, below `real` is real, between them is inconclusive.

    `fpr`: the wanted largest rate of reals called generated, and of generated images called real.
    `certified`: both rates hold with `confidence` for images like those of the calibration.
    `n_real`, `n_generated`: how many images of each class the thresholds rest on.
    """

    generated: float
    real: float
    fpr: float
    certified: bool
    n_real: int
    confidence: float = CONFIDENCE
    n_generated: int = 0

    def verdict(self, logit: float) -> str:
        """One of "generated", "real", "inconclusive"; raises ValueError for NaN."""
        if math.isnan(logit):
            raise ValueError("logit is NaN; score the image again or record the error")
        if logit > self.generated:
            return "generated"
        return "real" if logit < self.real else "inconclusive"


def allowed_exceedances(n: int, rate: float, confidence: float = CONFIDENCE) -> int | None:
    """How many of `n` calibration scores may lie above the threshold so that the rate is certified.

    None where not even zero will do; `smallest_certifiable_rate` then says what would.
    """
    _check_rate(rate)
    allowed = None
    total = 0.0
    for k, term in enumerate(_binomial_terms(n, rate)):
        total += term
        if total > 1 - confidence:
            break
        allowed = k
    return allowed


def smallest_certifiable_rate(n: int, confidence: float = CONFIDENCE) -> float:
    """The smallest rate that `n` scores can certify: 1 - (1-confidence)^(1/n)."""
    return 1.0 if n == 0 else -math.expm1(math.log1p(-confidence) / n)


def choose_thresholds(
    real: ArrayLike,
    generated: ArrayLike,
    fpr: float,
    *,
    confidence: float = CONFIDENCE,
    certify: bool = True,
) -> Thresholds:
    """The two thresholds for scores `real` (n,) and `generated` (m,), one independent image each.

    Raises ValueError, naming the smallest certifiable rate, where the scores are too few; with
    `certify=False` the empirical quantiles are returned instead, with `certified` False.
    """
    real_scores, generated_scores = np.sort(np.asarray(real)), np.sort(np.asarray(generated))
    if len(real_scores) == 0 or len(generated_scores) == 0:
        raise ValueError("no calibration scores of one class; thresholds need both")
    counts = [allowed_exceedances(len(s), fpr, confidence) for s in (real_scores, generated_scores)]
    certified = None not in counts
    if not certified and certify:
        n = min(len(real_scores), len(generated_scores))
        raise ValueError(
            f"a rate of {fpr:g} was asked for; {len(real_scores)} real and {len(generated_scores)} "
            f"generated calibration images certify no less than "
            f"{smallest_certifiable_rate(n, confidence):.3g} at {confidence:.0%} confidence: "
            "ask for that, or calibrate with more images"
        )
    over, under = (k if k is not None else 0 for k in counts)
    upper, lower = float(real_scores[-1 - over]), float(generated_scores[under])
    if lower > upper:
        # Both classes part with room to spare: any score between keeps both rates.
        upper = lower = (upper + lower) / 2
    return Thresholds(
        upper, lower, fpr, certified, len(real_scores), confidence, len(generated_scores)
    )


def fit_platt(scores: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Slope and intercept of p(generated) = sigmoid(slope * score + intercept).

    Both classes weigh alike. Newton's method on the logistic loss with Platt's targets
    (n+1)/(n+2), which keep the slope finite for separable scores. Scores that carry nothing, or
    point the wrong way, get slope 0.
    """
    s, y = np.asarray(scores, np.float64), np.asarray(labels)
    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    if positives == 0 or negatives == 0:
        raise ValueError("calibration needs scores of both classes")
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weight = np.where(y == 1, 0.5 / positives, 0.5 / negatives)
    spread = s.std()
    if spread == 0:
        return 0.0, 0.0
    design = np.stack([(s - s.mean()) / spread, np.ones_like(s)], axis=1)
    slope, intercept = _newton(design, target, weight) / np.array([spread, 1.0])
    if slope <= 0:
        return 0.0, 0.0
    return float(slope), float(intercept - slope * s.mean())


def fit_temperature(scores: ArrayLike, labels: ArrayLike) -> float:
    """The positive factor on `scores` that minimizes the log loss, leaving the decision at 0."""
    s, y = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    spread = np.abs(s).max(initial=0.0)
    if spread == 0:
        return 1.0
    target = np.where(y == 1, 1 - 1 / (len(y) + 2), 1 / (len(y) + 2))
    factor = float(_newton((s / spread)[:, None], target, np.full(len(s), 1 / len(s)))[0]) / spread
    return factor if factor > 0 else 1.0 / spread


def _newton(
    design: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimizer of the weighted logistic loss, by damped Newton steps."""

    def loss(beta: NDArray[np.float64]) -> float:
        z = design @ beta
        return float((weight * (np.logaddexp(0, z) - target * z)).sum())

    beta = np.zeros(design.shape[1])
    for _ in range(100):
        p = 0.5 * (1 + np.tanh(0.5 * (design @ beta)))
        gradient = design.T @ (weight * (p - target))
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design
        step = np.linalg.solve(hessian + 1e-10 * np.eye(len(beta)), gradient)
        size = 1.0
        while size > 1e-6 and loss(beta - size * step) > loss(beta):
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return beta


def _binomial_terms(n: int, rate: float) -> Iterator[float]:
    """P(Bin(n, rate) = k) for k = 0 .. n-1, by logarithms: the product would underflow."""
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    for k in range(n):
        choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        yield math.exp(choose + k * log_rate + (n - k) * log_rest)


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise ValueError(f"a rate of {rate} was given; give one between 0 and 1, such as 0.05")
