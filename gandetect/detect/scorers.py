"""Fitted classifiers as plain arrays, scored with torch alone.

Each scorer maps features (N, F) to logits (N,): positive means generated. The arrays come from
`gandetect.detect.classifiers`, and go into the model file as they are. A network maps tiles
(N, S, S) instead, and is rebuilt from its name, its settings and its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gandetect.detect.networks import NETWORKS, Network, rebuild

Arrays = Mapping[str, Tensor]
Scorer = Callable[[Tensor], Tensor]


def linear(arrays: Arrays, features: Tensor) -> Tensor:
    """`(features - center) @ weight + bias`; `center` is the mean of the reals."""
    return contributions(arrays, features).sum(dim=1) + arrays["bias"]


def contributions(arrays: Arrays, features: Tensor) -> Tensor:
    """The terms (N, F) whose sum with `bias` is the logit of `linear`."""
    return (features.to(arrays["weight"]) - arrays["center"]) * arrays["weight"]


def additive(arrays: Arrays, features: Tensor) -> Tensor:
    """The sum of one piecewise linear function of each feature, and `bias`."""
    return additive_terms(arrays, features).sum(dim=1) + arrays["bias"]


def additive_terms(arrays: Arrays, features: Tensor) -> Tensor:
    """The terms (N, F) whose sum with `bias` is the logit of `additive`.

    The function of feature f has the values `values[f]` at `knots[f]`, both (F, K), is linear
    between them and goes on linearly beyond. It is 0 for the average real.
    """
    return _bent(features, *_bends(arrays))


def _bends(arrays: Arrays) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same functions as a line, `start + slope x`, that bends by `bends` at the `inner` knots:
    (F,), (F,), (K - 2, F) and (K - 2, F)."""
    knots, values = arrays["knots"], arrays["values"]
    slopes = values.diff(dim=1) / knots.diff(dim=1)
    start = values[:, 0] - slopes[:, 0] * knots[:, 0]
    inner, bends = knots[:, 1:-1].T.contiguous(), slopes.diff(dim=1).T.contiguous()
    return start, slopes[:, 0].contiguous(), inner, bends


def _bent(features: Tensor, start: Tensor, slope: Tensor, inner: Tensor, bends: Tensor) -> Tensor:
    x = features.to(start)
    beyond = (x[:, None] - inner).clamp_(min=0).mul_(bends).sum(dim=1)
    return torch.addcmul(start, x, slope).add_(beyond)


def _sum_of_bent(functions: tuple[Tensor, ...], bias: Tensor, features: Tensor) -> Tensor:
    return _bent(features, *functions).sum(dim=1) + bias


def rbf(arrays: Arrays, features: Tensor) -> Tensor:
    """`sum_i dual_i exp(-gamma |z - support_i|²) + bias`, z the standardized features."""
    squares = _square_distances(standardize(arrays, features), arrays["support"])
    return torch.exp(-arrays["gamma"] * squares) @ arrays["dual"] + arrays["bias"]


def forest(arrays: Arrays, features: Tensor) -> Tensor:
    """Log-odds of the mean leaf share of generated samples; half a tree is added to either side.

    Node i of the concatenated trees sends a sample to `left[i]` where `features[feature[i]] <=
    threshold[i]`, else to `right[i]`; a leaf sends it to itself. `roots` (T,) start the trees.
    """
    share = arrays["share"][leaves(arrays, features)].mean(dim=1)
    margin = 0.5 / len(arrays["roots"])
    return torch.log((share + margin) / (1 - share + margin))


def leaves(arrays: Arrays, features: Tensor) -> Tensor:
    """The leaf (N, T) of each tree that each of `features` (N, F) ends in."""
    roots, index = arrays["roots"].long(), arrays["feature"].long()
    left, right = arrays["left"].long(), arrays["right"].long()
    x = features.float().double()
    node = roots.expand(len(x), -1)
    # A well-formed tree ends before this; a damaged one must not run for ever.
    for _ in range(len(index)):
        goes_left = x.gather(1, index[node]) <= arrays["threshold"][node]
        following = torch.where(goes_left, left[node], right[node])
        if torch.equal(following, node):
            break
        node = following
    return node


def boosted(arrays: Arrays, features: Tensor) -> Tensor:
    """`base` plus the `value` of one leaf of each tree; nodes as in `forest`."""
    node = leaves(arrays, features)
    return arrays["value"][node].sum(dim=1) + arrays["base"]


def kmeans(arrays: Arrays, features: Tensor) -> Tensor:
    """Square distance to the nearest real cluster minus that to the nearest generated one."""
    squares = _square_distances(standardize(arrays, features), arrays["clusters"])
    generated = arrays["labels"] > 0
    nearest = [
        squares[:, mask].amin(dim=1) if mask.any() else squares.new_full((len(squares),), 1e6)
        for mask in (~generated, generated)
    ]
    return nearest[0] - nearest[1]


SCORERS: dict[str, Callable[[Arrays, Tensor], Tensor]] = {
    "linear": linear,
    "additive": additive,
    "rbf": rbf,
    "forest": forest,
    "boosted": boosted,
    "kmeans": kmeans,
}
# Kinds whose logit is a sum over the features, and what gives its terms.
TERMS: dict[str, Callable[[Arrays, Tensor], Tensor]] = {
    "linear": contributions,
    "additive": additive_terms,
}
NETWORK = "network"
KINDS = frozenset({*SCORERS, NETWORK})
# Networks score this many tiles at a time, whatever they are given: the order of the sums in a
# convolution depends on the size of its batch, and a score must not.
CHUNK = 8

ARRAY_NAMES: dict[str, frozenset[str]] = {
    "linear": frozenset({"weight", "center", "bias"}),
    "additive": frozenset({"knots", "values", "bias"}),
    "rbf": frozenset({"center", "scale", "support", "dual", "gamma", "bias"}),
    "forest": frozenset({"roots", "feature", "threshold", "left", "right", "share"}),
    "boosted": frozenset({"roots", "feature", "threshold", "left", "right", "value", "base"}),
    "kmeans": frozenset({"center", "scale", "clusters", "labels"}),
}


def build(kind: str, arrays: Arrays, network: Mapping[str, Any] | None = None) -> Scorer:
    """The scorer of `kind` with its `arrays`; `network`: name and settings, for a network.

    Raises ValueError where the arrays are not those of the kind.
    """
    if kind == NETWORK:
        return partial(score_tiles, _rebuilt(arrays, network))
    if kind not in SCORERS:
        raise ValueError(f"unknown kind {kind!r}; known: {sorted(KINDS)}")
    if set(arrays) != ARRAY_NAMES[kind]:
        raise ValueError(f"arrays {sorted(arrays)}; {kind} has {sorted(ARRAY_NAMES[kind])}")
    if kind == "additive":
        _check_knots(arrays)
        return partial(_sum_of_bent, _bends(arrays), arrays["bias"])
    return partial(SCORERS[kind], arrays)


def _check_knots(arrays: Arrays) -> None:
    knots, values = arrays["knots"], arrays["values"]
    if knots.ndim != 2 or knots.shape != values.shape or knots.shape[1] < 2:
        raise ValueError(
            f"knots {tuple(knots.shape)} and values {tuple(values.shape)}; want the same (F, K)"
        )
    if not (knots.diff(dim=1) > 0).all():
        raise ValueError("the knots of each feature must ascend")


def score_tiles(network: Callable[[Tensor], Tensor], tiles: Tensor) -> Tensor:
    """Logits (N,) float32 of `tiles` (N, S, S), the same whatever the others are."""
    with torch.inference_mode():
        logits = [network(part)[:count] for part, count in _chunks(tiles)]
    return torch.cat(logits).float() if logits else tiles.new_zeros(0).float()


def _chunks(tiles: Tensor) -> Iterator[tuple[Tensor, int]]:
    """`tiles` in batches of `CHUNK`, the last filled up, and how many of each count."""
    for part in tiles.split(CHUNK):
        count = len(part)
        if count < CHUNK:
            part = torch.cat([part, part.new_zeros(CHUNK - count, *part.shape[1:])])
        yield part, count


def _rebuilt(arrays: Arrays, network: Mapping[str, Any] | None) -> Network:
    try:
        name, settings = network["name"], network["settings"]  # type: ignore[index]
        kind = NETWORKS[name]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"network {network!r}; want name, one of {sorted(NETWORKS)}, and settings"
        ) from error
    return rebuild(kind, settings, arrays)


def standardize(arrays: Arrays, features: Tensor) -> Tensor:
    """`features` (N, F) as the fit saw them."""
    return (features.to(arrays["center"]) - arrays["center"]) / arrays["scale"]


def _square_distances(points: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist").square()
