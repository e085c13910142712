"""How good scores are: ranking, operating points and calibration, each with its interval.

Labels are 1 for generated. Scores grow with the belief in generated. Intervals come from resampling
clusters (a source photograph, a video, an identity), since what shares a source is not independent.

Every figure is defined once, for images that carry weights. Weights of one give its value; weights
that say how often each image was drawn give it for a replicate of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn import metrics

from gandetect.detect.calibration import Thresholds, at_prevalence

REPLICATES = 2000
CALIBRATION_BINS = 15
FPRS = (0.05, 0.01, 0.001)
CURVE_POINTS = 200
# A probability of exactly 0 or 1 that is wrong costs this much and not infinitely much.
_LEAST = 1e-12
# Weights held at a time.
_BLOCK = 1_000_000
Array = NDArray[np.float64]
# Weights (R, N) of the images to figures (R,).
Figures = Callable[[Array], dict[str, Array]]

# What a row of the evaluation holds, and what people call it.
FIGURES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "equal_error_rate": "equal error rate",
    "tpr_at_0.05": "TPR at 5 % FPR",
    "tpr_at_0.01": "TPR at 1 % FPR",
    "tpr_at_0.001": "TPR at 0.1 % FPR",
    "balanced_accuracy": "balanced accuracy at 0.5",
    "real_accuracy": "reals below 0.5",
    "generated_accuracy": "generated above 0.5",
    "brier": "Brier score",
    "log_loss": "log loss (nats)",
    "calibration_error": "calibration error (ECE)",
    "cllr": "Cllr (bits)",
}
# The same for what the three verdicts do at the stored thresholds.
VERDICT_FIGURES = {
    "real_flagged": "reals called generated",
    "generated_flagged": "generated called generated",
    "generated_cleared": "generated called real",
    "balanced_accuracy": "balanced accuracy of flagging",
    "real_abstention": "reals left inconclusive",
    "generated_abstention": "generated left inconclusive",
    "abstention": "left inconclusive",
    "risk": "wrong among the decided",
}


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
    return float(_equal_error_rate(true[None], false[None])[0])


def calibration_error(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bins: int = CALIBRATION_BINS,
    weights: ArrayLike | None = None,
) -> float:
    """Expected calibration error: mean |frequency - mean probability| over bins of equal count.

    `weights` (N,): what each image counts within its bin, and its bin among the others.
    """
    rows = np.array(reliability(labels, probabilities, bins, weights))
    return float(rows[:, 2] @ abs(rows[:, 0] - rows[:, 1]))


def reliability(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bins: int = CALIBRATION_BINS,
    weights: ArrayLike | None = None,
) -> list[tuple[float, float, float]]:
    """(mean probability, frequency of generated, share of the weight) of bins of equal count."""
    y, p = np.asarray(labels, float), np.asarray(probabilities, float)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    order = np.argsort(p, kind="stable")
    rows = []
    for part in np.array_split(order, min(bins, len(order))):
        total = w[part].sum()
        rows.append((w[part] @ p[part] / total, w[part] @ y[part] / total, total / w.sum()))
    return [(float(mean), float(rate), float(share)) for mean, rate, share in rows]


def cllr(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Cost of the log likelihood ratio in bits, at equal priors; 1 is no information."""
    y, p = np.asarray(labels), _clipped(np.asarray(probabilities, float))
    generated, real = p[y == 1], p[y == 0]
    return float(0.5 * (-np.log2(generated).mean() - np.log2(1 - real).mean()))


def prevalence_weights(labels: ArrayLike, prevalence: float) -> Array:
    """What each image counts (N,) so that the generated ones are `prevalence` of the total, 1."""
    y = np.asarray(labels).astype(int)
    return np.where(y == 1, prevalence / (y == 1).sum(), (1 - prevalence) / (y == 0).sum())


def risk_coverage(
    labels: ArrayLike, probabilities: ArrayLike, prevalence: float = 0.5
) -> list[tuple[float, float]]:
    """(coverage, risk) from the most confident images to all of them, at most `CURVE_POINTS`.

    The detector decides the share `coverage` whose probability is farthest from one half and is
    wrong in the share `risk` of these, both at `prevalence`. A detector that knows when it does not
    know has a curve that rises to the right.
    """
    y, p = np.asarray(labels).astype(int), np.asarray(probabilities, float)
    weights = prevalence_weights(y, prevalence)
    confidence = abs(p - 0.5)
    order = np.argsort(-confidence, kind="stable")
    # Equal confidence is decided together.
    last = np.append(np.diff(confidence[order]) != 0, True)
    covered = np.cumsum(weights[order])[last]
    wrong = np.cumsum((weights * ((p > 0.5) != (y == 1)))[order])[last]
    points = np.stack([covered, wrong / covered], axis=1)
    return [(float(coverage), float(risk)) for coverage, risk in _thinned(points)]


def curves(
    labels: ArrayLike, scores: ArrayLike, probabilities: ArrayLike, *, prevalence: float = 0.5
) -> dict[str, Any]:
    """What is drawn of one generator, as plain JSON values.

    `roc`: points (FPR, TPR), at most `CURVE_POINTS`. `risk_coverage` and `reliability`: see there,
    at `prevalence`.
    """
    y, p = np.asarray(labels).astype(int), np.asarray(probabilities, float)
    false, true, _ = metrics.roc_curve(y, scores)
    weights = prevalence_weights(y, prevalence)
    bins = reliability(y, at_prevalence(p, prevalence), weights=weights)
    return {
        "roc": _thinned(np.stack([false, true], axis=1)).tolist(),
        "risk_coverage": [list(point) for point in risk_coverage(y, p, prevalence)],
        "reliability": [list(row) for row in bins],
    }


def exact_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a proportion of independent trials."""
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def proportion(hits: NDArray[np.bool_]) -> Estimate:
    """The share of `hits` with its exact interval, as if each were independent."""
    return Estimate(float(hits.mean()), *exact_interval(int(hits.sum()), len(hits)))


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
    curve = _Curve(y, s)

    def figures(weights: Array) -> dict[str, Array]:
        true, false = curve.rates(weights)
        return {"auc": _auc(true, false)} | _tprs(true, false, fprs)

    return _estimates(figures, y, clusters, replicates, seed)


def summarize(
    labels: ArrayLike,
    scores: ArrayLike,
    probabilities: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    thresholds: Thresholds | Sequence[Thresholds] | None = None,
    prevalence: float = 0.5,
    replicates: int = REPLICATES,
) -> dict[str, Any]:
    """Every figure of the evaluation as plain JSON values; all but one are [value, low, high].

    `probabilities`: calibrated, for classes equally frequent. Brier score, log loss and calibration
    error are those where `prevalence` of the images are generated, whatever the share is here; the
    calibration error has no interval, since resampling makes it larger. `thresholds`: of all
    images, or one of each (N,), adds what the three verdicts do. Raises ValueError where a class is
    missing or `prevalence` is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence={prevalence} given; give a share between 0 and 1")
    y, s = np.asarray(labels).astype(int), np.asarray(scores, float)
    p = np.asarray(probabilities, float)
    curve = _Curve(y, s)
    limits = None if thresholds is None else _limits(thresholds, len(y))

    def figures(weights: Array) -> dict[str, Array]:
        found = _curve_figures(curve, weights) | _calibration_figures(y, p, weights, prevalence)
        if limits is None:
            return found
        return found | _verdict_figures(y, s, weights, limits, prevalence)

    found = _estimates(figures, y, clusters, replicates, seed=0)
    result: dict[str, Any] = {"n_real": int((y == 0).sum()), "n_generated": int((y == 1).sum())}
    result |= {name: found[name].to_list() for name in FIGURES if name in found}
    weights = prevalence_weights(y, prevalence)
    result["calibration_error"] = calibration_error(
        y, at_prevalence(p, prevalence), weights=weights
    )
    if thresholds is not None:
        result["at_threshold"] = {
            name: found[f"at_threshold_{name}"].to_list() for name in VERDICT_FIGURES
        }
    return result


class _Curve:
    """The ROC curve of fixed scores, for any weights of the images."""

    def __init__(self, labels: NDArray[Any], scores: Array) -> None:
        if len(np.unique(labels)) < 2:
            raise ValueError("scores of one class only; ranking needs real and generated ones")
        self._order = np.argsort(-scores, kind="stable")
        self._generated = labels[self._order].astype(float)
        # Equal scores pass a threshold together: only the last of a run is a point of the curve.
        self._last = np.flatnonzero(np.append(np.diff(scores[self._order]) != 0, True))

    def counts(self, weights: Array) -> tuple[Array, Array]:
        """Generated and real images above each threshold, (R, P) each, from none to all."""
        sorted_weights = weights[:, self._order]
        true = np.cumsum(sorted_weights * self._generated, axis=1)[:, self._last]
        false = np.cumsum(sorted_weights * (1 - self._generated), axis=1)[:, self._last]
        nothing = np.zeros((len(weights), 1))
        return np.concatenate([nothing, true], 1), np.concatenate([nothing, false], 1)

    def rates(self, weights: Array) -> tuple[Array, Array]:
        """True and false positive rates at each threshold, (R, P) each."""
        true, false = self.counts(weights)
        return true / true[:, -1:], false / false[:, -1:]


def _curve_figures(curve: _Curve, weights: Array) -> dict[str, Array]:
    found, alarms = curve.counts(weights)
    true, false = found / found[:, -1:], alarms / alarms[:, -1:]
    precision = found / np.maximum(found + alarms, _LEAST)
    return {
        "auc": _auc(true, false),
        **_tprs(true, false, FPRS),
        "average_precision": (np.diff(true, axis=1) * precision[:, 1:]).sum(axis=1),
        "equal_error_rate": _equal_error_rate(true, false),
    }


def _auc(true: Array, false: Array) -> Array:
    area: Array = (np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1])).sum(axis=1) / 2
    return area


def _tprs(true: Array, false: Array, fprs: tuple[float, ...]) -> dict[str, Array]:
    return {f"tpr_at_{fpr:g}": np.where(false <= fpr, true, 0).max(axis=1) for fpr in fprs}


def _equal_error_rate(true: Array, false: Array) -> Array:
    gap = (1 - true) - false
    after = np.argmax(gap <= 0, axis=1)[:, None]
    before = np.maximum(after - 1, 0)
    gaps = [np.take_along_axis(gap, at, 1)[:, 0] for at in (before, after)]
    alarms = [np.take_along_axis(false, at, 1)[:, 0] for at in (before, after)]
    share = np.divide(gaps[0], gaps[0] - gaps[1], out=np.zeros(len(gap)), where=gaps[0] > gaps[1])
    rate: Array = alarms[0] + share * (alarms[1] - alarms[0])
    return rate


def _calibration_figures(
    y: NDArray[Any], p: Array, weights: Array, prevalence: float
) -> dict[str, Array]:
    """Accuracy at even odds, and the figures of the probabilities at `prevalence`."""
    q, even = _clipped(at_prevalence(p, prevalence)), _clipped(p)

    def expected(real: Array, generated: Array, share: float) -> Array:
        """The mean of what a real and a generated image cost where `share` are generated."""
        costs = _mean(real, y == 0, weights), _mean(generated, y == 1, weights)
        return (1 - share) * costs[0] + share * costs[1]

    accuracies = [_mean((p > 0.5) == label, y == label, weights) for label in (0, 1)]
    return {
        "balanced_accuracy": (accuracies[0] + accuracies[1]) / 2,
        "real_accuracy": accuracies[0],
        "generated_accuracy": accuracies[1],
        "brier": expected(q**2, (1 - q) ** 2, prevalence),
        "log_loss": expected(-np.log(1 - q), -np.log(q), prevalence),
        "cllr": expected(-np.log2(1 - even), -np.log2(even), 0.5),
    }


def _limits(thresholds: Thresholds | Sequence[Thresholds], n: int) -> tuple[Array, Array]:
    each = [thresholds] * n if isinstance(thresholds, Thresholds) else list(thresholds)
    if len(each) != n:
        raise ValueError(f"{len(each)} thresholds given for {n} images; give one, or one of each")
    return np.array([one.generated for one in each]), np.array([one.real for one in each])


def _verdict_figures(
    y: NDArray[Any], s: Array, weights: Array, limits: tuple[Array, Array], prevalence: float
) -> dict[str, Array]:
    """`limits`: the thresholds of each image, (N,) each, above the first and below the second."""
    flagged, cleared = s > limits[0], s < limits[1]
    real, generated = y == 0, y == 1
    alarms, found = _mean(flagged, real, weights), _mean(flagged, generated, weights)
    missed = _mean(cleared, generated, weights)
    open_real = _mean(~flagged & ~cleared, real, weights)
    open_generated = _mean(~flagged & ~cleared, generated, weights)
    abstention = (1 - prevalence) * open_real + prevalence * open_generated
    wrong = (1 - prevalence) * alarms + prevalence * missed
    decided = 1 - abstention
    values = (
        alarms, found, missed, (1 - alarms + found) / 2, open_real, open_generated, abstention,
        np.divide(wrong, decided, out=np.zeros_like(wrong), where=decided > _LEAST),
    )  # fmt: skip
    names = [f"at_threshold_{name}" for name in VERDICT_FIGURES]
    return dict(zip(names, values, strict=True))


def _mean(values: NDArray[Any], chosen: NDArray[np.bool_], weights: Array) -> Array:
    """The weighted mean (R,) of `values` (N,) over the `chosen` images."""
    kept = weights[:, chosen]
    mean: Array = kept @ values[chosen].astype(float) / kept.sum(axis=1)
    return mean


def _estimates(
    figures: Figures, y: NDArray[Any], clusters: ArrayLike | None, replicates: int, seed: int
) -> dict[str, Estimate]:
    """The `figures` of the images as they are, with intervals from resampling `clusters`."""
    groups = np.arange(len(y)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    values = figures(np.ones((1, len(y))))
    rng = np.random.default_rng(seed)
    parts = [
        figures(kept)
        for weights in cluster_weights(groups, replicates, rng)
        if len(kept := _with_both_classes(weights, y))
    ]
    counts = [len(np.unique(groups[y == label])) for label in (0, 1)]
    found = {}
    for name, value in values.items():
        drawn = np.concatenate([part[name] for part in parts]) if parts else np.array([np.nan])
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[name] = _estimate(float(value[0]), float(low), float(high), _trials(name, counts))
    return found


def cluster_weights(
    groups: NDArray[Any], replicates: int, rng: np.random.Generator
) -> Iterator[Array]:
    """How often each image is drawn, (R, N) at a time: clusters are drawn with replacement.

    `groups` (N,): the number of each image's cluster, from 0.
    """
    count = int(groups.max()) + 1
    block = max(1, _BLOCK // len(groups))
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield times[:, groups].astype(float)


def _with_both_classes(weights: Array, y: NDArray[Any]) -> Array:
    """The replicates that drew both classes."""
    generated = weights @ y
    return weights[(generated > 0) & (weights.sum(axis=1) > generated)]


def _trials(name: str, counts: list[int]) -> int:
    """How many independent images a figure rests on: those of its class, or of the smaller one."""
    of_class = name.removeprefix("at_threshold_").split("_")[0]
    return {"real": counts[0], "generated": counts[1]}.get(of_class, min(counts))


def _estimate(value: float, low: float, high: float, trials: int) -> Estimate:
    """Resampling perfect scores only repeats them; then the exact interval of `trials` out of
    `trials` independent images judged rightly (or none of them) says what so few can show."""
    if high - low < 1e-9 and value in (0.0, 1.0):
        return Estimate(value, *exact_interval(round(value * trials), trials))
    return Estimate(value, low, high)


def _clipped(p: Array) -> Array:
    return np.clip(p, _LEAST, 1 - _LEAST)


def _thinned(points: Array) -> Array:
    """At most `CURVE_POINTS` of the `points` (P, 2), evenly, the first and the last among them."""
    if len(points) <= CURVE_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, CURVE_POINTS).round().astype(int)]
