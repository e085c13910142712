"""What an image is compared with when its verdict is explained: real photographs and up-samplers.

A model may carry the band of its real training images and, where the generated ones were simulated,
one signature for each family of up-samplers: the mean difference it makes to the traces, which are
the features and how the image differs from phase to phase (`gandetect.detect.phases`). An image is
compared by the Gaussian discriminant of equal priors,

    score(h) = s_h' C^-1 d - s_h' C^-1 s_h / 2,    d = traces - mean of the reals,

with s = 0 for the hypothesis that nothing was up-sampled, and C the covariance of images within one
class. The softmax of the scores are the shares. Compression buries the phases, so all but the band
is of images without it, and only such are compared. Nothing here changes a logit; whether a soft
image is judged at all depends on its name (`softness`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect.phases import phase_features

# Up-samplers of the simulation that share a name here, because their traces are alike: bilinear
# and bicubic are both smooth, and a transposed convolution is zero insertion and a convolution, a
# pixel shuffle the same with its kernel dealt over the phases.
FAMILIES: dict[str, tuple[str, ...]] = {
    "nearest": ("nearest",),
    "interpolation": ("bilinear", "bicubic"),
    "learned": ("bed_of_nails", "transposed", "pixel_shuffle"),
}
MEANINGS = {
    "nearest": "nearest-neighbor doubling and a convolution",
    "interpolation": "bilinear or bicubic interpolation and a convolution",
    "learned": "learned up-sampling (transposed convolution, pixel shuffle, or zeros between the "
    "pixels and a convolution)",
}
REAL, UNKNOWN = "real", "unknown"
# A family is named only where its share is at least this.
NAMED_FROM = 0.9
# Fewer images of a family give no signature.
FEWEST = 20
QUANTILES = (0.05, 0.5, 0.95)
_PREFIX = "reference."
# Towards the variances; traces are a third as many as the images that the shipped model has.
_SHRINKAGE = 0.2
_REPLICATES = 1000
_NO_SIGNATURES = "no signatures: these need simulated images of every family, without compression"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class References:
    """`real` (3, F): 5 %, 50 % and 95 % of the features of the real training images. Of the traces
    (M,), features first, of images without compression: `signatures` (M,) of each family, `center`
    (M,), the mean of the reals, and `covariance` (M, M) within one class; empty and None where the
    model was fitted to folders. `farthest`: the distance that 1 % of held-out images exceed.
    """

    real: Tensor
    signatures: dict[str, Tensor]
    center: Tensor | None = None
    covariance: Tensor | None = None
    farthest: float = float("inf")

    def to_arrays(self) -> dict[str, Tensor]:
        """The arrays as a model file holds them."""
        arrays = {"real": self.real, **self.signatures}
        for name, array in (("center", self.center), ("covariance", self.covariance)):
            if array is not None:
                arrays[name] = array
        return {f"{_PREFIX}{name}": array.float() for name, array in arrays.items()}

    @classmethod
    def from_model(cls, arrays: Mapping[str, Tensor], card: Mapping[str, Any]) -> References | None:
        """The references among a model's arrays; None where it has none."""
        found = {
            name.removeprefix(_PREFIX): array.double()
            for name, array in arrays.items()
            if name.startswith(_PREFIX)
        }
        if "real" not in found:
            return None
        farthest = card.get("reference", {}).get("farthest")
        return cls(
            found.pop("real"),
            center=found.pop("center", None),
            covariance=found.pop("covariance", None),
            signatures={name: found[name] for name in sorted(found)},
            farthest=float("inf") if farthest is None else float(farthest),
        )

    def outside(self, features: Tensor) -> Tensor:
        """Which features (..., F) lie outside the band that holds nine of ten reals, bool."""
        return (features < self.real[0]) | (features > self.real[2])

    @cached_property
    def _factor(self) -> Tensor:
        """The Cholesky factor (M, M) of the covariance, which is there."""
        assert self.covariance is not None
        return torch.linalg.cholesky(self.covariance.double())

    @cached_property
    def _hypotheses(self) -> Tensor:
        """The whitened means (1 + families, M): that of REAL is 0."""
        means = [torch.zeros(len(self._factor)).double(), *self.signatures.values()]
        return self._whitened(torch.stack(means).double())

    def _whitened(self, rows: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self._factor, rows.T, upper=False).T

    def compare(self, traces: Tensor) -> tuple[list[str], Tensor, Tensor]:
        """Hypotheses (REAL, then the families), the shares (N, 1 + families) of `traces` (N, M),
        and the distances (N,) to the nearest of them, in standard deviations per trace.

        Raises ValueError without signatures.
        """
        if self.center is None or self.covariance is None:
            raise ValueError(_NO_SIGNATURES)
        whitened = self._whitened(traces.double() - self.center.double())
        squares = (whitened[:, None] - self._hypotheses[None]).square().sum(dim=-1)
        shares = torch.softmax(-squares / 2, dim=1)
        distances = (squares.amin(dim=1) / len(self.center)).sqrt()
        return [REAL, *self.signatures], shares, distances


@dataclass(frozen=True)
class Likeness:
    """Which up-sampler an image looks like.

    `family`: one of FAMILIES, or UNKNOWN with the `reason`. `shares`: of REAL and each family, sum
    1. `distance` to the nearest of them, to be compared with `farthest`.
    """

    family: str
    reason: str | None
    shares: dict[str, float]
    distance: float
    farthest: float


def traces_of(features: Tensor, tiles: Tensor) -> Tensor:
    """The traces (M,) float64 of an image: the means of the `features` (T, F) of its `tiles`
    (T, S, S) in 0..255, and of their phases."""
    return torch.cat([one.double().mean(dim=0) for one in (features, phase_features(tiles))])


def likeness(references: References, traces: Tensor) -> Likeness:
    """The likeness of one image's `traces` (M,); raises ValueError without signatures."""
    names, shares, distances = references.compare(traces[None])
    distance = float(distances[0])
    best = int(shares[0].argmax())
    family, reason = UNKNOWN, None
    if distance > references.farthest:
        reason = "unlike the photographs and unlike every simulated up-sampler"
    elif names[best] == REAL:
        reason = "most like the photographs: no trace that would name an up-sampler"
    elif float(shares[0, best]) < NAMED_FROM:
        reason = "between several, none clear enough to be named"
    else:
        family = names[best]
    values = dict(zip(names, shares[0].tolist(), strict=True))
    return Likeness(family, reason, values, distance, references.farthest)


@dataclass(frozen=True)
class Examples:
    """Images to make references from: `features` (N, F), one row an image; `groups` what each stems
    from; `modes` its last up-sampler, "" for a real one, None for a generated one not known;
    `traces` (M,), None where it was compressed.
    """

    features: Array
    groups: Sequence[str]
    modes: Sequence[str | None]
    traces: Sequence[Array | None]


Folds = Sequence[tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True)
class _Compared:
    """Those of the examples that were not compressed: `traces` (K, M), and the rest of each."""

    traces: Array
    groups: Sequence[str]
    modes: Sequence[str | None]
    folds: Folds

    @classmethod
    def of(cls, examples: Examples, folds: Folds) -> _Compared:
        chosen = [i for i, traces in enumerate(examples.traces) if traces is not None]
        place = {i: number for number, i in enumerate(chosen)}
        inner = [
            tuple(np.array([place[i] for i in part if i in place], dtype=int) for part in fold)
            for fold in folds
        ]
        return cls(
            np.array([examples.traces[i] for i in chosen]),
            [examples.groups[i] for i in chosen],
            [examples.modes[i] for i in chosen],
            [(train, test) for train, test in inner if len(test)],
        )


def make_references(examples: Examples, folds: Folds, tile: int) -> tuple[References, dict]:
    """References from all `examples`, and what they are worth on held-out ones, for the card.

    `folds`: (train, test) indices that keep the images of one group together.
    """
    reals = examples.features[[mode == "" for mode in examples.modes]]
    band = torch.from_numpy(np.quantile(reals, QUANTILES, axis=0))
    card: dict[str, Any] = {
        "tile": tile,
        "quantiles": list(QUANTILES),
        "band_images": len(reals),
        "families": {},
    }
    compared = _Compared.of(examples, folds)
    classes = _classes(compared.modes, FAMILIES)
    references = _fitted(compared.traces, classes, FAMILIES, band)
    if references is None:
        return References(band, {}), card
    shares, distances = _held_out(compared, classes, FAMILIES, band)
    farthest = float(np.quantile(distances, 0.99))
    card |= {
        "families": {name: list(modes) for name, modes in FAMILIES.items()},
        "images": {name: int((classes == name).sum()) for name in (REAL, *FAMILIES)},
        "named_from": NAMED_FROM,
        "farthest": farthest,
        "held_out": _figures(compared.groups, classes, shares, distances > farthest),
        "every_mode_apart": _every_mode_apart(compared, band),
    }
    return replace(references, farthest=farthest), card


def _classes(
    modes: Sequence[str | None], families: Mapping[str, Sequence[str]]
) -> NDArray[np.str_]:
    """The class (N,) of each image: REAL, its family, or UNKNOWN."""
    family = {mode: name for name, members in families.items() for mode in members}
    family[""] = REAL
    names = [UNKNOWN if mode is None else family.get(mode, UNKNOWN) for mode in modes]
    return np.array(names, dtype=np.str_)


def _fitted(
    traces: Array, classes: NDArray[np.str_], families: Mapping[str, Sequence[str]], band: Tensor
) -> References | None:
    """References of `traces` (K, M), beside the `band`; None where a class has too few images."""
    if any((classes == name).sum() < FEWEST for name in (REAL, *families)):
        return None
    means = {name: traces[classes == name].mean(axis=0) for name in (REAL, *families)}
    within = np.concatenate([traces[classes == name] - means[name] for name in means])
    covariance = within.T @ within / len(within)
    # Features without their mean are linearly dependent; the shrinkage makes them invertible.
    variances = np.diag(np.diag(covariance))
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * variances
    covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return References(
        band,
        {name: torch.from_numpy(means[name] - means[REAL]) for name in families},
        torch.from_numpy(means[REAL]),
        torch.from_numpy(covariance),
    )


def _held_out(
    compared: _Compared,
    classes: NDArray[np.str_],
    families: Mapping[str, Sequence[str]],
    band: Tensor,
) -> tuple[Array, Array]:
    """Shares (K, 1 + families) and distances (K,) by references that saw nothing of the group.

    A fold that leaves a class too few images gives REAL all: nothing is named there.
    """
    count = len(compared.traces)
    shares, distances = np.zeros((count, 1 + len(families))), np.zeros(count)
    for train, test in compared.folds:
        fitted = _fitted(compared.traces[train], classes[train], families, band)
        if fitted is None:
            shares[test, 0] = 1.0
            continue
        _, found, distance = fitted.compare(torch.from_numpy(compared.traces[test]))
        shares[test], distances[test] = found.numpy(), distance.numpy()
    return shares, distances


def _figures(
    groups: Sequence[str], classes: NDArray[np.str_], shares: Array, far: NDArray[np.bool_]
) -> dict[str, Any]:
    """What the names are worth, as JSON values; [value, low, high] are 95 % intervals."""
    names = [REAL, *FAMILIES]
    best = shares.argmax(axis=1)
    named = (best > 0) & (shares.max(axis=1) >= NAMED_FROM) & ~far
    column = np.where(named, best - 1, len(FAMILIES))
    row = np.array([names.index(one) if one in names else -1 for one in classes])
    group = np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((group.max() + 1, len(names), len(FAMILIES) + 1))
    known = row >= 0
    np.add.at(counts, (group[known], row[known], column[known]), 1)
    return {
        "confusion": _table(counts.sum(axis=0), names, (*FAMILIES, UNKNOWN)),
        **_estimates(counts),
        "forced_balanced_accuracy": _balanced(shares[:, 1:].argmax(axis=1), row - 1),
        "chance": 1 / len(FAMILIES),
    }


def _estimates(counts: Array) -> dict[str, Any]:
    """Of counts (groups, classes, names): how many of each family are named at all, how many of
    the named are right where all families are equally frequent, and how many reals are named.

    Intervals resample the groups.
    """
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), _REPLICATES)
    drawn = np.einsum("rg,gcn->rcn", weights, counts)
    everything = np.concatenate([counts.sum(axis=0)[None], drawn])
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = everything / everything.sum(axis=2, keepdims=True)
        among = rates[:, 1:, :-1]
        right = np.diagonal(among, axis1=1, axis2=2) / among.sum(axis=1)
    return {
        "right_when_named": {n: _interval(right[:, i]) for i, n in enumerate(FAMILIES)},
        "named": {n: _interval(1 - rates[:, i + 1, -1]) for i, n in enumerate(FAMILIES)},
        "reals_named": _interval(1 - rates[:, 0, -1]),
    }


def _interval(values: Array) -> list[float] | None:
    """[value, low, high] of a figure and its replicates; None where nothing was ever named."""
    if np.isnan(values[0]):
        return None
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return [float(values[0]), float(low), float(high)]


def _every_mode_apart(compared: _Compared, band: Tensor) -> dict[str, Any] | None:
    """How badly single up-samplers are told apart, which is why families are named.

    None where one of them has too few images to hold some out.
    """
    modes = {mode: (mode,) for members in FAMILIES.values() for mode in members}
    classes = _classes(compared.modes, modes)
    if any((classes == mode).sum() < 2 * FEWEST for mode in modes):
        return None
    shares, _ = _held_out(compared, classes, modes, band)
    guess = shares[:, 1:].argmax(axis=1)
    names = list(modes)
    row = np.array([names.index(one) if one in names else -1 for one in classes])
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (row[row >= 0], guess[row >= 0]), 1)
    return {
        "balanced_accuracy": _balanced(guess, row),
        "chance": 1 / len(modes),
        "confusion": _table(counts, names, names),
    }


def _balanced(guess: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean over classes 0, 1, ... of the share guessed right; negative truths are left out."""
    known = np.unique(truth[truth >= 0])
    return float(np.mean([(guess[truth == one] == one).mean() for one in known]))


def _table(counts: Array, rows: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, int]]:
    """Counts (rows, columns) by name: of what is `row`, how many were named `column`."""
    return {
        row: {column: int(count) for column, count in zip(columns, line, strict=True)}
        for row, line in zip(rows, counts, strict=True)
    }
