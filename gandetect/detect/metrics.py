"""How good scores are: ranking, operating points and calibration, each with its interval.

Labels are 1 for generated. Scores grow with the belief in generated. Intervals come from resampling
clusters (a source photograph, a video, an identity), since what shares a source is not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn import metrics

REPLICATES = 2000
CALIBRATION_BINS = 15
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_list(self) -> list[float]:
        """[value, low, high], for JSON."""
        return [self.value, self.low, self.high]

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def tpr_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float) -> float:
    """The largest true positive rate of a threshold whose false positive rate is <= `fpr`."""
    false, true, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    return float(true[false <= fpr].max())


def equal_error_rate(labels: ArrayLike, scores: ArrayLike) -> float:
    """Where misses and false alarms are equally frequent, between the two nearest thresholds."""
    false, true, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    gap = (1 - true) - false
    after = int(np.argmax(gap <= 0))
    before = max(after - 1, 0)
    share = gap[before] / (gap[before] - gap[after]) if gap[before] > gap[after] else 0.0
    return float(false[before] + share * (false[after] - false[before]))


def calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = CALIBRATION_BINS
) -> float:
    """Expected calibration error: mean |frequency - mean probability| over bins of equal count."""
    y, p = np.asarray(labels, float), np.asarray(probabilities, float)
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(y[part].mean() - p[part].mean()) * len(part) for part in parts) / len(y))


def cllr(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Cost of the log likelihood ratio in bits, at equal priors; 1 is no information."""
    y, p = np.asarray(labels), np.clip(np.asarray(probabilities, float), 1e-12, 1 - 1e-12)
    generated, real = p[y == 1], p[y == 0]
    return float(0.5 * (-np.log2(generated).mean() - np.log2(1 - real).mean()))


def exact_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion of independent trials."""
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def ranking(
    labels: ArrayLike,
    scores: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    fprs: tuple[float, ...] = (0.05, 0.01),
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """AUC and TPR at each of `fprs`, with 95 % intervals from `replicates` cluster bootstraps.

    `clusters` (N,) names what each image stems from; None takes each image by itself. Keys are
    "auc" and "tpr_at_0.05" and so on. Raises ValueError where a class is missing.
    """
    y, s = np.asarray(labels).astype(int), np.asarray(scores, float)
    if len(np.unique(y)) < 2:
        raise ValueError("scores of one class only; ranking needs real and generated ones")
    values = {"auc": float(metrics.roc_auc_score(y, s))}
    values |= {f"tpr_at_{fpr:g}": tpr_at_fpr(y, s, fpr) for fpr in fprs}
    groups = np.arange(len(y)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    resampled = _bootstrap(y, s, groups, fprs, replicates, np.random.default_rng(seed))
    bounds = np.quantile(resampled, [0.025, 0.975], axis=0)
    fewest = min(len(np.unique(groups[y == label])) for label in (0, 1))
    return {
        name: _estimate(value, float(low), float(high), fewest)
        for (name, value), low, high in zip(values.items(), *bounds, strict=True)
    }


def summarize(
    labels: ArrayLike,
    scores: ArrayLike,
    probabilities: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    threshold: float | None = None,
    replicates: int = REPLICATES,
) -> dict[str, Any]:
    """Every figure of the evaluation as plain JSON values; intervals are [value, low, high].

    `threshold`: a score; adds what it does to each class apart, with exact binomial intervals.
    """
    y, s = np.asarray(labels).astype(int), np.asarray(scores, float)
    p = np.asarray(probabilities, float)
    ranked = ranking(y, s, clusters, replicates=replicates)
    result: dict[str, Any] = {"n_real": int((y == 0).sum()), "n_generated": int((y == 1).sum())}
    result |= {name: estimate.to_list() for name, estimate in ranked.items()}
    result |= {
        "tpr_at_0.001": tpr_at_fpr(y, s, 0.001),
        "average_precision": float(metrics.average_precision_score(y, s)),
        "equal_error_rate": equal_error_rate(y, s),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(y, p > 0.5)),
        "brier": float(metrics.brier_score_loss(y, p)),
        "log_loss": float(metrics.log_loss(y, p, labels=[0, 1])),
        "calibration_error": calibration_error(y, p),
        "cllr": cllr(y, p),
        "real_accuracy": proportion(p[y == 0] <= 0.5).to_list(),
        "generated_accuracy": proportion(p[y == 1] > 0.5).to_list(),
    }
    if threshold is not None:
        result["at_threshold"] = {
            "real_flagged": proportion(s[y == 0] > threshold).to_list(),
            "generated_flagged": proportion(s[y == 1] > threshold).to_list(),
        }
    return result


def _estimate(value: float, low: float, high: float, pairs: int) -> Estimate:
    """Resampling perfect scores only repeats them; then the exact interval of `pairs` out of
    `pairs` independent pairs in the right order (or none of them) says what so few can show."""
    if high - low < 1e-9 and value in (0.0, 1.0):
        return Estimate(value, *exact_interval(round(value * pairs), pairs))
    return Estimate(value, low, high)


def proportion(hits: NDArray[np.bool_]) -> Estimate:
    """The share of `hits` with its exact interval, as if each were independent."""
    return Estimate(float(hits.mean()), *exact_interval(int(hits.sum()), len(hits)))


def _bootstrap(
    y: NDArray[Any],
    s: Array,
    groups: NDArray[Any],
    fprs: tuple[float, ...],
    replicates: int,
    rng: np.random.Generator,
) -> Array:
    """(replicates, 1 + len(fprs)) of AUC and TPRs; replicates that lost a class are dropped.

    A replicate weighs each image by how often its cluster was drawn; all replicates share one sort.
    """
    order = np.argsort(-s, kind="stable")
    y, groups = y[order], groups[order]
    # Equal scores pass a threshold together: only the last of a run is a point of the curve.
    last = np.append(np.diff(s[order]) != 0, True)
    count = int(groups.max()) + 1
    rows = []
    for _ in range(replicates):
        weight = np.bincount(rng.integers(count, size=count), minlength=count)[groups]
        true = np.append(0, np.cumsum(weight * y)[last])
        false = np.append(0, np.cumsum(weight * (1 - y))[last])
        if true[-1] == 0 or false[-1] == 0:
            continue
        true, false = true / true[-1], false / false[-1]
        area = float(np.sum(np.diff(false) * (true[1:] + true[:-1])) / 2)
        rows.append([area, *(float(true[false <= fpr].max()) for fpr in fprs)])
    return np.array(rows) if rows else np.full((1, 1 + len(fprs)), np.nan)
