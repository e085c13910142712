"""What each feature of an image adds to its logit: terms that sum, with a bias, to the logit.

- linear: weight times distance from the mean real image. Bias: the logit of that image.
- additive: the function of each feature. Bias: the mean logit of real images.
- boosted: on the way to each leaf every question changes the value expected of the tree; the change
  is booked on the feature that was asked for. Bias: what is expected before any question.
- forest: the same of the share of generated images, times the mean slope of the log-odds between
  the share expected and the share found. Bias: the log-odds of the share expected.
- kmeans: square distance to the nearest real cluster less that to the nearest generated one; no
  bias.
- discriminant (of sources): half the square distance to the mean of real images less that to a
  generator's, which is linear, over the generators by their shares among each other. Bias: the same
  of a typical real image, and the entropy of the shares.
- rbf, network: integrated gradients, `gandetect.detect.gradients`. Bias: the logit of the baseline.

The first six are exact, the last two approximate: a curve is followed in finitely many steps.
Neither an expectation nor a baseline is given by nature. A forest remembers the shares of its
training images at every question; the file of boosted trees keeps the values of the leaves alone,
so both answers to a question count alike there. The baselines are the mean training image for an
RBF kernel, for networks a flat tile of the same mean, or a flat spectrum where that is what the
network looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gandetect.detect import scorers
from gandetect.detect.features import Spec, extract, spec_from_dict
from gandetect.detect.gradients import integrated_gradients
from gandetect.detect.members import BIAS, FUSION, WEIGHT, prefix
from gandetect.detect.model import Model
from gandetect.detect.networks import NETWORKS, Network, SpectrumNetwork, rebuild
from gandetect.detect.networks.discriminant import DiscriminantNetwork, feature_groups
from gandetect.detect.networks.fingerprint import GaussianClasses, generated_logit
from gandetect.detect.networks.spectrum import scaled_log_spectrum
from gandetect.detect.planes import PlaneSpec, cut_to_side, plane_shape

BANDS, PLANE, PIXELS, GROUPS = "bands", "plane", "pixels", "groups"
# By how much the terms of one member may miss its logit.
EXACT, SMOOTH, ROUGH = 1e-4, 1e-3, 1e-2

GRADIENTS = "integrated gradients"
# How the terms are made, and whose logit the bias is.
_METHODS = {
    "linear": ("weight times distance", "the mean real image"),
    "additive": ("a function of each feature", "real images on average"),
    "boosted": ("changes on the way to each leaf", "what is expected before any question"),
    "forest": ("changes on the way to each leaf", "what is expected before any question"),
    "kmeans": ("difference of square distances", "as far from either class"),
    "rbf": (GRADIENTS, "the mean training image"),
}


@dataclass(frozen=True)
class Part:
    """One member of a model, or the whole of one that is no fusion; `weight` of its logit."""

    classifier: str
    kind: str
    spec: Spec
    arrays: Mapping[str, Tensor]
    network: Mapping[str, Any] | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Contributions:
    """The terms of one member, times its weight; `total` is what it adds to the logit of the model.

    `kind`: BANDS, `values` (F,) one for each of `spec.axes()`; PLANE, (rows, columns), from the
    first to the last row and column of `extent` in cycles per pixel; PIXELS, (N, S, S), a map of
    each square; or GROUPS, (F,), features that are no bands, of which `groups` says in their order
    what they show and how many do. float64. `exact`: whether the terms have a closed form.
    `tolerance`: by how much `total` may miss. `method`: how they were made, `baseline`: whose logit
    `bias` is, in words.
    """

    classifier: str
    kind: str
    values: Tensor
    bias: float
    exact: bool
    tolerance: float
    method: str
    baseline: str
    weight: float = 1.0
    extent: tuple[float, float, float, float] | None = None
    groups: tuple[tuple[str, int], ...] = ()

    @property
    def total(self) -> float:
        """Bias and all terms."""
        return self.bias + float(self.values.sum())


@dataclass(frozen=True)
class Breakdown:
    """The logit of an image, by member: `bias` (of a fusion, else 0) and the totals sum to it."""

    logit: float
    bias: float
    members: tuple[Contributions, ...]

    @property
    def total(self) -> float:
        """What it all adds up to; `logit` within `tolerance`."""
        return self.bias + sum(member.total for member in self.members)

    @property
    def exact(self) -> bool:
        """Whether every member is."""
        return all(member.exact for member in self.members)

    @property
    def tolerance(self) -> float:
        """By how much `total` may miss `logit`."""
        return sum(member.tolerance for member in self.members)


def contributions(model: Model, squares: Tensor) -> Breakdown:
    """What makes up the logit of an image, the mean over its `squares` (N, S, S) in 0..255."""
    bias = float(model.arrays[BIAS]) if model.kind == FUSION else 0.0
    logit = float(model.logits(squares).double().mean())
    members = tuple(_contributions(part, squares) for part in parts_of(model))
    return Breakdown(logit, bias, members)


def parts_of(model: Model) -> list[Part]:
    """The members of a fusion, or the whole of another model."""
    if model.kind != FUSION:
        own = _below(model.arrays, "network.") if model.kind == scorers.NETWORK else model.arrays
        return [_part(model.card, own, 1.0)]
    weights = model.arrays[WEIGHT].tolist()
    return [
        _part(described, _below(model.arrays, prefix(number)), weight)
        for number, (described, weight) in enumerate(
            zip(model.card["members"], weights, strict=True)
        )
    ]


def _part(described: Mapping[str, Any], arrays: Mapping[str, Tensor], weight: float) -> Part:
    spec = spec_from_dict(described["features"])
    return Part(
        described["classifier"], described["kind"], spec, arrays, described.get("network"), weight
    )


def _below(arrays: Mapping[str, Tensor], start: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }


@dataclass(frozen=True)
class _Split:
    """Terms (N, ...) and bias, (N,) or one for all, of N pieces; `gap`: what their sums miss."""

    terms: Tensor
    bias: Tensor
    gap: float = 0.0


def _contributions(part: Part, squares: Tensor) -> Contributions:
    if part.kind == scorers.NETWORK:
        return _of_network(part, squares)
    split = _SPLITS[part.kind](part.arrays, features_of(part.spec, squares))
    values = part.weight * split.terms.mean(dim=0)
    kind, extent = BANDS, None
    if isinstance(part.spec, PlaneSpec):
        kind, extent = PLANE, _extent(part.spec)
        values = values.reshape(plane_shape(part.spec))
    return Contributions(
        part.classifier,
        kind,
        values,
        part.weight * float(split.bias.double().mean()),
        exact=part.kind != "rbf",
        tolerance=part.weight * max(SMOOTH if part.kind == "rbf" else EXACT, split.gap),
        method=_METHODS[part.kind][0],
        baseline=_METHODS[part.kind][1],
        weight=part.weight,
        extent=extent,
    )


def features_of(spec: Spec, squares: Tensor) -> Tensor:
    """Features (M, F) float64 of squares (N, S, S), of all tiles in them where they are larger."""
    if isinstance(spec, PlaneSpec):
        squares = cut_to_side(squares, spec.side).flatten(0, 1)
    return extract(squares, spec).cpu().double()


def _extent(spec: PlaneSpec) -> tuple[float, float, float, float]:
    """Where the first and the last coefficient of a quadrant lie, in cycles per pixel."""
    highest = 0.5 if spec.transform == "spectrum" else 0.5 - 0.5 / spec.side
    return 0.0, highest, 0.0, highest


def _sum(terms: Callable[[scorers.Arrays, Tensor], Tensor]) -> Callable[..., _Split]:
    """The split of a logit that is the sum of `terms` and a bias as it stands."""
    return lambda arrays, features: _Split(terms(arrays, features), arrays["bias"])


def _kmeans(arrays: scorers.Arrays, features: Tensor) -> _Split:
    z = scorers.standardize(arrays, features)
    squares = (z[:, None] - arrays["clusters"]).square()
    generated = arrays["labels"] > 0
    nearest = []
    for mask in (~generated, generated):
        if not mask.any():
            raise ValueError("all clusters are of one class; the model tells nothing apart")
        among = squares[:, mask]
        nearest.append(among[torch.arange(len(z)), among.sum(dim=2).argmin(dim=1)])
    return _Split(nearest[0] - nearest[1], torch.zeros(()))


def _boosted(arrays: scorers.Arrays, features: Tensor) -> _Split:
    expected = _expected(arrays)
    at_roots = expected[arrays["roots"].long()].sum()
    return _Split(_path_terms(arrays, expected, features), arrays["base"] + at_roots)


def _forest(arrays: scorers.Arrays, features: Tensor) -> _Split:
    """The log-odds are no sum; along the straight line from the expected share to that of the image
    every feature has the part of its term, which is that term times the mean slope."""
    count = len(arrays["roots"])
    terms = _path_terms(arrays, arrays["share"], features) / count
    start = arrays["share"][arrays["roots"].long()].mean()
    end = start + terms.sum(dim=1)
    margin = 0.5 / count
    low, high = (torch.log((s + margin) / (1 - s + margin)) for s in (start, end))
    still = (end - start).abs() < 1e-9
    at_start = 1 / (start + margin) + 1 / (1 - start + margin)
    slope = torch.where(still, at_start, (high - low) / torch.where(still, 1.0, end - start))
    return _Split(terms * slope[:, None], low)


def _expected(arrays: scorers.Arrays) -> Tensor:
    """The value (nodes,) expected at each node where both answers below it are alike likely."""
    left, right, leaf_value = arrays["left"].long(), arrays["right"].long(), arrays["value"]
    leaf = left == torch.arange(len(left))
    expected = torch.where(leaf, leaf_value, 0.0)
    # A well-formed tree ends before this; a damaged one must not run for ever.
    for _ in range(len(left)):
        following = torch.where(leaf, leaf_value, (expected[left] + expected[right]) / 2)
        if torch.equal(following, expected):
            break
        expected = following
    return expected


def _path_terms(arrays: scorers.Arrays, expected: Tensor, features: Tensor) -> Tensor:
    """By feature (N, F): the changes of `expected` (nodes,) on the ways from the roots to the
    leaves that `features` (N, F) end in."""
    parent, index = _parents(arrays), arrays["feature"].long()
    node = scorers.leaves(arrays, features)
    terms = torch.zeros_like(features)
    for _ in range(len(parent)):
        above = parent[node]
        if torch.equal(above, node):
            break
        terms.scatter_add_(1, index[above], expected[node] - expected[above])
        node = above
    return terms


def _parents(arrays: scorers.Arrays) -> Tensor:
    """The node (nodes,) that asks the question above each node; a root is its own."""
    here = torch.arange(len(arrays["left"]))
    parent = here.clone()
    for side in ("left", "right"):
        child = arrays[side].long()
        inner = child != here
        parent[child[inner]] = here[inner]
    return parent


def _rbf(arrays: scorers.Arrays, features: Tensor) -> _Split:
    start = arrays["center"].to(features)
    score = partial(scorers.rbf, arrays)
    return _Split(*integrated_gradients(score, features, start.expand_as(features), SMOOTH))


_SPLITS: dict[str, Callable[[scorers.Arrays, Tensor], _Split]] = {
    **{kind: _sum(terms) for kind, terms in scorers.TERMS.items()},
    "boosted": _boosted,
    "forest": _forest,
    "kmeans": _kmeans,
    "rbf": _rbf,
}


def _of_network(part: Part, squares: Tensor) -> Contributions:
    assert isinstance(part.spec, PlaneSpec)
    side = part.spec.side
    network = network_of(part)
    pieces = cut_to_side(squares.cpu(), side).flatten(0, 1)
    if isinstance(network, DiscriminantNetwork):
        return _of_discriminant(part, network, pieces)
    pieces = pieces.float()
    if isinstance(network, SpectrumNetwork):
        seen, score = scaled_log_spectrum(pieces)[:, 0], _from_spectra(network)
        kind, extent, start = PLANE, (-0.5, 0.5 - 1 / side, 0.0, 0.5), "a flat spectrum"
    else:
        seen, score = pieces, network
        kind, extent, start = PIXELS, None, "flat tiles of the same mean"
    baselines = seen.mean(dim=(1, 2), keepdim=True).expand_as(seen)
    split = _Split(*integrated_gradients(score, seen, baselines, ROUGH))
    terms = split.terms.double()
    values = _laid_out(terms, squares.shape) if kind == PIXELS else terms.mean(dim=0)
    return Contributions(
        part.classifier,
        kind,
        part.weight * values,
        part.weight * float(split.bias.double().mean()),
        exact=False,
        tolerance=part.weight * max(ROUGH, split.gap),
        method=GRADIENTS,
        baseline=start,
        weight=part.weight,
        extent=extent,
    )


def _of_discriminant(part: Part, network: DiscriminantNetwork, pieces: Tensor) -> Contributions:
    split = _between_gaussians(network.known, network.prepare(pieces).double())
    return Contributions(
        part.classifier,
        GROUPS,
        part.weight * split.terms.mean(dim=0),
        part.weight * float(split.bias.mean()),
        exact=True,
        tolerance=part.weight * max(EXACT, split.gap),
        method="differences of square distances from the classes",
        baseline="a typical real image",
        weight=part.weight,
        groups=tuple(feature_groups(pieces.shape[-1]).items()),
    )


def _between_gaussians(known: GaussianClasses, features: Tensor) -> _Split:
    """Against each generator the logit l is linear in the features, and log sum exp l is the mean
    of l with the weights softmax l, and the entropy of these weights."""
    logits = known.respond(features)[:, :-1]
    weights = (logits[:, 1:] - logits[:, :1]).softmax(dim=1)
    means = known.means.double()
    apart = means[1:] - means[:1]
    slopes = weights @ apart @ known.projection.double()
    at_typical = -apart.square().sum(dim=1) / 2
    bias = weights @ at_typical + torch.special.entr(weights).sum(dim=1)
    # The file's scores are in single precision, and far from all classes they are large.
    rounding = float(generated_logit(logits).abs().max()) * torch.finfo(torch.float32).eps
    return _Split(slopes * (features - known.typical(0)), bias, rounding)


def network_of(part: Part) -> Network:
    """The network of a member that is one."""
    assert part.network is not None
    return rebuild(NETWORKS[part.network["name"]], part.network["settings"], part.arrays)


def _from_spectra(network: SpectrumNetwork) -> scorers.Scorer:
    """What `network` makes of log spectra (N, S, S/2 + 1).

    On the pixels there is no path to follow: gain cancels, so all of it would lie next to the flat
    tile.
    """
    return lambda spectra: network.judge(spectra[:, None])


def _laid_out(terms: Tensor, shape: torch.Size) -> Tensor:
    """Maps (N, S, S) of whole squares from those of the tiles cut from them, sums kept as means."""
    n, size, _ = shape
    side = terms.shape[-1]
    count = size // side
    start = (size - count * side) // 2
    maps = terms.new_zeros(n, size, size)
    rows = terms.reshape(n, count, count, side, side).transpose(2, 3)
    inner = slice(start, start + count * side)
    maps[:, inner, inner] = rows.reshape(n, count * side, count * side)
    return maps / len(terms)
