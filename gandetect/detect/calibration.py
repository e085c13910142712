"""From scores to probabilities and to verdicts with a false-alarm rate that is certified.

With n exchangeable real scores and the threshold at the (k+1)-th largest, the false-alarm rate of
a new real is distributed as Beta(k+1, n-k). The largest k whose upper confidence bound stays
within the wanted rate is found exactly, from the binomial sum P(Beta(k+1, n-k) > a) = P(Bin(n, a)
<= k).

Scores depend on how an image was delivered: what is rare among lossless photographs is common among
compressed ones. So thresholds can be kept for each class of delivery and size. A class with too few
images of its own borrows from the classes that are at least as harmful to the evidence, or gives no
verdict. See `gandetect.detect.delivery` for the classes.

Two other readings of the same scores: conformal p-values, whose rates hold on average over
calibrations instead of with a stated confidence, so that fewer images suffice (`confidence=None`
gives the thresholds that they amount to); and probabilities at the prevalence of generated images
that a user expects.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
REAL_ARRAY, GENERATED_ARRAY = "calibration.real.", "calibration.generated."

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Thresholds:
    """Above `generated` is generated, below `real` is real, between them is inconclusive.

    `fpr`: the wanted largest rate of reals called generated, and of generated images called real.
    `certified`: both rates hold with `confidence` for images like those of the calibration; on
    average over calibrations where that is None.
    `n_real`, `n_generated`: how many images of each class the thresholds rest on.
    """

    generated: float
    real: float
    fpr: float
    certified: bool
    n_real: int
    confidence: float | None = CONFIDENCE
    n_generated: int = 0

    def verdict(self, logit: float) -> str:
        """One of "generated", "real", "inconclusive"; raises ValueError for NaN."""
        if math.isnan(logit):
            raise ValueError("logit is NaN; score the image again or record the error")
        if logit > self.generated:
            return "generated"
        return "real" if logit < self.real else "inconclusive"


def allowed_exceedances(n: int, rate: float, confidence: float | None = CONFIDENCE) -> int | None:
    """How many of `n` calibration scores may lie above the threshold so that the rate is certified
    with `confidence`, or holds on average over calibrations where that is None: with k of them
    above, a new real is above it in (k + 1) / (n + 1) of the cases.

    None where not even zero will do; `smallest_certifiable_rate` then says what would.
    """
    _check_rate(rate)
    if confidence is None:
        # A product that is a whole number may come out a rounding error below it.
        most = math.floor(rate * (n + 1) * (1 + 1e-12)) - 1
        return None if most < 0 else most
    allowed = None
    total = 0.0
    for k, term in enumerate(_binomial_terms(n, rate)):
        total += term
        if total > 1 - confidence:
            break
        allowed = k
    return allowed


def smallest_certifiable_rate(n: int, confidence: float | None = CONFIDENCE) -> float:
    """The smallest rate that `n` scores can certify, 1 - (1-confidence)^(1/n); on average, where
    `confidence` is None, 1/(n+1)."""
    if confidence is None:
        return 1 / (n + 1)
    return 1.0 if n == 0 else -math.expm1(math.log1p(-confidence) / n)


def told_confidence(confidence: float | None) -> str:
    """How sure a rate is, in words."""
    return "on average" if confidence is None else f"at {confidence:.0%} confidence"


def choose_thresholds(
    real: ArrayLike,
    generated: ArrayLike,
    fpr: float,
    *,
    confidence: float | None = CONFIDENCE,
    certify: bool = True,
) -> Thresholds:
    """The two thresholds for scores `real` (n,) and `generated` (m,), one independent image each.

    Raises ValueError, naming the smallest certifiable rate, where the scores are too few; with
    `certify=False` the empirical quantiles are returned instead, with `certified` False. Raises
    ValueError for scores that are not finite.
    """
    real_scores, generated_scores = _ascending(real, "real"), _ascending(generated, "generated")
    if len(real_scores) == 0 or len(generated_scores) == 0:
        raise ValueError("no calibration scores of one class; thresholds need both")
    counts = [allowed_exceedances(len(s), fpr, confidence) for s in (real_scores, generated_scores)]
    certified = None not in counts
    if not certified and certify:
        n = min(len(real_scores), len(generated_scores))
        raise ValueError(
            f"a rate of {fpr:g} was asked for; {len(real_scores)} real and {len(generated_scores)} "
            f"generated calibration images certify no less than "
            f"{smallest_certifiable_rate(n, confidence):.3g} {told_confidence(confidence)}: "
            "ask for that, or calibrate with more images"
        )
    over, under = (k if k is not None else 0 for k in counts)
    upper, lower = _uncrossed(float(real_scores[-1 - over]), float(generated_scores[under]))
    return Thresholds(
        upper, lower, fpr, certified, len(real_scores), confidence, len(generated_scores)
    )


@dataclass(frozen=True)
class ClassScores:
    """Calibration scores of one class of images, one image of each source.

    `real` (n,) and `generated` (m,): float64, ascending. `real_sources` (n,), `generated_sources`
    (m,): a number for what each image stems from (a photograph, a video, a latent seed); the same
    number in two classes is one source, delivered twice.
    """

    real: Array
    real_sources: NDArray[np.int64]
    generated: Array
    generated_sources: NDArray[np.int64]


@dataclass(frozen=True)
class ClassThresholds:
    """The thresholds of one class of images, and whose scores they rest on.

    `real_from`, `generated_from`: the classes whose real scores set the upper threshold and whose
    generated scores the lower one; empty where there were too few, and the threshold is then
    infinite, so that nothing crosses it. `n_own`: how many reals the class itself has;
    `smallest_rate`: the smallest rate that these certify, 1 without any. In `thresholds`, `n_real`
    and `n_generated` count the sources used, and `certified` says that neither side is empty.
    """

    name: str
    thresholds: Thresholds
    real_from: tuple[str, ...]
    generated_from: tuple[str, ...]
    n_own: int
    smallest_rate: float

    @property
    def basis(self) -> str:
        """What a verdict "generated" rests on: "own" scores, "pooled" ones, or "none"."""
        if not self.real_from:
            return "none"
        return "own" if self.real_from == (self.name,) else "pooled"


def group_scores(
    scores: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    sources: Sequence[Hashable] | None = None,
) -> dict[str, ClassScores]:
    """`scores` (N,) with their `labels` (N,), 1 for generated, by class, in order of the names.

    `sources` (N,): what each image stems from; None takes each image by itself. Of images of one
    class, label and source the first counts: thresholds are certified for independent images.
    Raises ValueError for unequal lengths, other labels, and scores that are not finite.
    """
    s, y = _finite(scores, "calibration"), np.asarray(labels)
    names = np.asarray(classes, dtype=str)
    origin = list(range(len(s))) if sources is None else list(sources)
    if not len(s) == len(y) == len(names) == len(origin):
        raise ValueError(
            f"{len(s)} scores, {len(y)} labels, {len(names)} classes and {len(origin)} sources "
            "given; each score needs one of each"
        )
    if not np.isin(y, (0, 1)).all():
        raise ValueError("labels other than 0 and 1 given; 1 is generated, 0 is real")
    numbers = {source: number for number, source in enumerate(dict.fromkeys(origin))}
    ids = np.array([numbers[source] for source in origin], dtype=np.int64)
    return {
        str(name): ClassScores(
            *_one_of_each(s, ids, (names == name) & (y == 0)),
            *_one_of_each(s, ids, (names == name) & (y == 1)),
        )
        for name in np.unique(names)
    }


def class_thresholds(
    groups: Mapping[str, ClassScores],
    harm: Mapping[str, Sequence[int]],
    fpr: float,
    *,
    confidence: float | None = CONFIDENCE,
) -> dict[str, ClassThresholds]:
    """Thresholds at a largest false-alarm rate `fpr` for every class that `harm` names.

    `harm`: how much a class has suffered, in each respect (compression, size); one class is at
    least as harmful as another where none of its levels is lower. A class whose own scores cannot
    certify `fpr` takes those of all classes at least as harmful: each source counts once, by its
    score nearest to the other verdict, and the threshold is never laxer than a certified one of
    those classes. That certifies the rate for the classes taken together, not for the class itself.
    Each side borrows by itself. Raises ValueError for a class of `groups` that `harm` lacks.
    """
    _check_rate(fpr)
    unknown = sorted(set(groups) - set(harm))
    if unknown:
        raise ValueError(f"no level of harm given for {unknown}; known: {sorted(harm)}")
    reals = {name: (g.real, g.real_sources) for name, g in groups.items()}
    # The lower threshold of the generated is the upper one of their negatives.
    negatives = {name: (-g.generated, g.generated_sources) for name, g in groups.items()}
    result = {}
    for name in harm:
        pool = [other for other in sorted(groups) if _at_least(harm[other], harm[name])]
        upper, real_from, n_real = _class_limit(name, pool, reals, fpr, confidence)
        lower, generated_from, n_generated = _class_limit(name, pool, negatives, fpr, confidence)
        upper, lower = _uncrossed(upper, -lower)
        certified = bool(real_from and generated_from)
        n_own = len(groups[name].real) if name in groups else 0
        result[name] = ClassThresholds(
            name,
            Thresholds(upper, lower, fpr, certified, n_real, confidence, n_generated),
            real_from,
            generated_from,
            n_own,
            smallest_certifiable_rate(n_own, confidence),
        )
    return result


def lowest_limits(
    groups: Mapping[str, ClassScores], harm: Mapping[str, Sequence[int]], fpr: float
) -> dict[str, float]:
    """For each class of `harm` a score that its upper threshold is never below, at any rate up to
    `fpr`, on average or with a confidence of one half or more. Infinite where it gives no verdict.

    The lower one of its own limit and of that of its pool: at a smaller rate it may lose the first
    and take the second, and neither falls.
    """
    reals = {name: (group.real, group.real_sources) for name, group in groups.items()}
    lowest = {}
    for name in harm:
        pool = [reals[other] for other in groups if _at_least(harm[other], harm[name])]
        scores = [reals[name][0]] if name in groups else []
        limits = [_limit(one, fpr, None) for one in (*scores, _worst_of_sources(pool))]
        lowest[name] = min((one for one in limits if one is not None), default=math.inf)
    return lowest


# What the thresholds of a class rest on, in words.
BASES = {
    "own": "its own",
    "pooled": "borrowed, the rate holds for the classes together",
    "none": "too few: none is called generated",
}


def described_classes(classes: Mapping[str, ClassThresholds]) -> dict[str, dict[str, Any]]:
    """The thresholds of classes as plain JSON values.

    `n_real`, `n_generated`: the images that they rest on, own or borrowed. `n_own`: the reals of
    the class itself, which certify `smallest_fpr`. The two thresholds are None where there is none.
    """

    def finite(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return {
        name: {
            "n_real": found.thresholds.n_real,
            "n_generated": found.thresholds.n_generated,
            "n_own": found.n_own,
            "smallest_fpr": found.smallest_rate,
            "basis": found.basis,
            "threshold_generated": finite(found.thresholds.generated),
            "threshold_real": finite(found.thresholds.real),
        }
        for name, found in classes.items()
    }


def scores_to_arrays(groups: Mapping[str, ClassScores]) -> dict[str, Array]:
    """`groups` as a model file holds them: `calibration.real.<class>` and
    `calibration.generated.<class>`, each (2, n) float64, the scores and the numbers of their
    sources."""
    arrays = {}
    for name, group in groups.items():
        arrays[REAL_ARRAY + name] = np.stack([group.real, group.real_sources])
        arrays[GENERATED_ARRAY + name] = np.stack([group.generated, group.generated_sources])
    return arrays


def scores_from_arrays(arrays: Mapping[str, ArrayLike]) -> dict[str, ClassScores]:
    """The classes among a model's `arrays`; others than those of `scores_to_arrays` are ignored.

    Raises ValueError where one of a pair is missing, or an array is not (2, n), finite and
    ascending in its scores.
    """
    names = {
        prefix: {name.removeprefix(prefix) for name in arrays if name.startswith(prefix)}
        for prefix in (REAL_ARRAY, GENERATED_ARRAY)
    }
    odd = sorted(names[REAL_ARRAY] ^ names[GENERATED_ARRAY])
    if odd:
        raise ValueError(f"classes {odd} have scores of one label; a class needs both arrays")
    return {
        name: ClassScores(
            *_scores_and_sources(arrays, REAL_ARRAY + name),
            *_scores_and_sources(arrays, GENERATED_ARRAY + name),
        )
        for name in sorted(names[REAL_ARRAY])
    }


def p_values_real(real: ArrayLike, scores: ArrayLike) -> Array:
    """Conformal p-values (N,) of `scores` (N,), each as if it were a real like `real` (n,).

    (1 + r) / (n + 1), r the reals at or above the score, without smoothing: for a new real
    exchangeable with `real`, P(p <= a) <= a for every a. Raises ValueError for NaN and infinity.
    """
    return np.asarray(p_values_among(_ascending(real, "real"), _finite(scores, "new")), np.float64)


def p_values_among(ascending: Array, scores: ArrayLike) -> Any:
    """As `p_values_real` of reals that are known to be finite and `ascending`: for one score after
    the other. A float for a float."""
    above = len(ascending) - np.searchsorted(ascending, scores, side="left")
    return (1 + above) / (1 + len(ascending))


def p_values_generated(generated: ArrayLike, scores: ArrayLike) -> Array:
    """As `p_values_real`, as if generated: small where few of `generated` score as low."""
    return p_values_real(-_finite(generated, "generated"), -_finite(scores, "new"))


def conformal_verdicts(
    real: ArrayLike, generated: ArrayLike, scores: ArrayLike, rate: float
) -> list[str]:
    """Verdicts on `scores` (N,): "generated" where only real is refuted at `rate`, "real" where
    only generated is, else "inconclusive": both are plausible, or neither.

    On average over calibrations at most `rate` of reals are called generated, and of generated
    images real. `choose_thresholds` promises that with a confidence, for the calibration at hand.
    """
    _check_rate(rate)
    not_real = p_values_real(real, scores) <= rate
    not_generated = p_values_generated(generated, scores) <= rate
    words = np.where(not_real, "generated", "real")
    return [str(w) for w in np.where(not_real == not_generated, "inconclusive", words)]


def at_prevalence(probabilities: ArrayLike, prevalence: float) -> Array:
    """p(generated) where the share `prevalence` of images is generated, from `probabilities` for
    classes equally frequent: their log-odds grow by log(prevalence / (1 - prevalence)).

    Raises ValueError for probabilities outside [0, 1] or a prevalence outside (0, 1).
    """
    _check_prevalence(prevalence)
    p = _finite(probabilities, "probability")
    if ((p < 0) | (p > 1)).any():
        raise ValueError("probabilities outside 0..1 given; give p(generated), not logits")
    return np.asarray(p * prevalence / (p * prevalence + (1 - p) * (1 - prevalence)))


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


def _one_of_each(
    scores: Array, sources: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.int64]]:
    """The `chosen` scores, the first of each source, ascending, and their sources."""
    ids, first = np.unique(sources[chosen], return_index=True)
    values = scores[chosen][first]
    order = np.argsort(values, kind="stable")
    return values[order], ids[order]


def _class_limit(
    name: str,
    pool: Sequence[str],
    scores: Mapping[str, tuple[Array, NDArray[np.int64]]],
    fpr: float,
    confidence: float | None,
) -> tuple[float, tuple[str, ...], int]:
    """The score that the rate `fpr` of class `name` stays below, the classes that it rests on and
    how many sources; infinity, none and 0 where the whole `pool` is too small."""
    limits = {other: _limit(scores[other][0], fpr, confidence) for other in pool}
    own = limits.get(name)
    if own is not None:
        return own, (name,), len(scores[name][0])
    worst = _worst_of_sources([scores[other] for other in pool])
    pooled = _limit(worst, fpr, confidence)
    if pooled is None:
        return math.inf, (), 0
    used = tuple(other for other in pool if len(scores[other][0]))
    return max([pooled, *(x for x in limits.values() if x is not None)]), used, len(worst)


def _limit(scores: Array, fpr: float, confidence: float | None) -> float | None:
    allowed = allowed_exceedances(len(scores), fpr, confidence)
    return None if allowed is None else float(np.partition(scores, -1 - allowed)[-1 - allowed])


def _worst_of_sources(parts: Sequence[tuple[Array, NDArray[np.int64]]]) -> Array:
    """The largest score of each source over all `parts`."""
    if not parts:
        return np.empty(0)
    scores, sources = (np.concatenate(column) for column in zip(*parts, strict=True))
    ids, index = np.unique(sources, return_inverse=True)
    worst = np.full(len(ids), -np.inf)
    np.maximum.at(worst, index, scores)
    return worst


def _uncrossed(upper: float, lower: float) -> tuple[float, float]:
    """Where the classes part with room to spare, any score between keeps both rates: the middle."""
    return ((upper + lower) / 2,) * 2 if lower > upper else (upper, lower)


def _at_least(levels: Sequence[int], other: Sequence[int]) -> bool:
    return all(a >= b for a, b in zip(levels, other, strict=True))


def _scores_and_sources(
    arrays: Mapping[str, ArrayLike], name: str
) -> tuple[Array, NDArray[np.int64]]:
    array = np.asarray(arrays[name], np.float64)
    if array.ndim != 2 or len(array) != 2:
        raise ValueError(f"{name} has the shape {array.shape}; want (2, n), scores and sources")
    if not np.isfinite(array).all() or (np.diff(array[0]) < 0).any():
        raise ValueError(f"{name} must hold finite scores in ascending order")
    return array[0], array[1].astype(np.int64)


def _ascending(scores: ArrayLike, what: str) -> Array:
    return np.sort(_finite(scores, what))


def _finite(scores: ArrayLike, what: str) -> Array:
    """`scores` as float64; ValueError where one is NaN or infinite, which has no rank."""
    values = np.asarray(scores, np.float64)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ValueError(f"{count} {what} scores are NaN or infinite; leave failed images out")
    return values


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


def _check_prevalence(prevalence: float) -> None:
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence {prevalence} given; want a share between 0 and 1, as 0.01")
