"""Fitted classifiers as plain arrays, scored with torch alone.

Each scorer maps features (N, F) to logits (N,): positive means generated. The arrays come from
`gandetect.detect.export`, and go into the model file as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Arrays = Mapping[str, Tensor]


def linear(arrays: Arrays, features: Tensor) -> Tensor:
    """`(features - center) @ weight + bias`; `center` is the mean of the reals."""
    return contributions(arrays, features).sum(dim=1) + arrays["bias"]


def contributions(arrays: Arrays, features: Tensor) -> Tensor:
    """The terms (N, F) whose sum with `bias` is the logit of `linear`."""
    return (features.to(arrays["weight"]) - arrays["center"]) * arrays["weight"]


def rbf(arrays: Arrays, features: Tensor) -> Tensor:
    """`sum_i dual_i exp(-gamma |z - support_i|²) + bias`, z the standardized features."""
    squares = _square_distances(_standardize(arrays, features), arrays["support"])
    return torch.exp(-arrays["gamma"] * squares) @ arrays["dual"] + arrays["bias"]


def forest(arrays: Arrays, features: Tensor) -> Tensor:
    """Log-odds of the mean leaf share of generated samples; half a tree is added to either side.

    Node i of the concatenated trees sends a sample to `left[i]` where `features[feature[i]] <=
    threshold[i]`, else to `right[i]`; a leaf sends it to itself. `roots` (T,) start the trees.
    """
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
    share = arrays["share"][node].mean(dim=1)
    margin = 0.5 / len(roots)
    return torch.log((share + margin) / (1 - share + margin))


def kmeans(arrays: Arrays, features: Tensor) -> Tensor:
    """Square distance to the nearest real cluster minus that to the nearest generated one."""
    squares = _square_distances(_standardize(arrays, features), arrays["clusters"])
    generated = arrays["labels"] > 0
    nearest = [
        squares[:, mask].amin(dim=1) if mask.any() else squares.new_full((len(squares),), 1e6)
        for mask in (~generated, generated)
    ]
    return nearest[0] - nearest[1]


SCORERS: dict[str, Callable[[Arrays, Tensor], Tensor]] = {
    "linear": linear,
    "rbf": rbf,
    "forest": forest,
    "kmeans": kmeans,
}

ARRAY_NAMES: dict[str, frozenset[str]] = {
    "linear": frozenset({"weight", "center", "bias"}),
    "rbf": frozenset({"center", "scale", "support", "dual", "gamma", "bias"}),
    "forest": frozenset({"roots", "feature", "threshold", "left", "right", "share"}),
    "kmeans": frozenset({"center", "scale", "clusters", "labels"}),
}


def _standardize(arrays: Arrays, features: Tensor) -> Tensor:
    return (features.to(arrays["center"]) - arrays["center"]) / arrays["scale"]


def _square_distances(points: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist").square()
