"""Which of two detectors is better, on the same images: differences of mean AUC with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gandetect.detect.metrics import Estimate, cluster_weights, exact_interval
from gandetect.experiments.upsampling.detectors import Array
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL

FIRST, SECOND, NOT_DECIDED = "first", "second", "not decided"


@dataclass(frozen=True)
class Cell:
    """Logits of the real test images and of those of one generator, by one fit."""

    generator: str
    real: Array
    generated: Array


@dataclass(frozen=True)
class Difference:
    """Mean AUC of two detectors over the same cells, and the first less the second."""

    values: tuple[float, float]
    difference: Estimate

    @property
    def verdict(self) -> str:
        """FIRST or SECOND, whichever is better; NOT_DECIDED where the interval holds 0."""
        return decided(self.difference.low, self.difference.high)

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain JSON values."""
        return {
            "values": list(self.values),
            "difference": self.difference.to_list(),
            "verdict": self.verdict,
        }


def decided(low: float | None, high: float | None) -> str:
    """Which of two the interval of their difference, first less second, says is better."""
    if low is None or high is None:
        return NOT_DECIDED
    return FIRST if low > 0 else SECOND if high < 0 else NOT_DECIDED


class Resampling:
    """Replicates of the test images, the same for whatever is compared.

    Real images are drawn by photograph, generated ones one by one.
    """

    def __init__(
        self, pictures: Pictures, generators: Sequence[str], replicates: int, seed: int = 0
    ) -> None:
        groups = {name: pictures.groups(name, "test") for name in (REAL, *generators)}
        self._weights = {
            name: _weights(one, replicates, seed + number)
            for number, (name, one) in enumerate(groups.items())
        }
        self._independent = min(len(np.unique(one)) for one in groups.values())

    def mean_auc(self, cells: Sequence[Cell]) -> Estimate:
        """The mean AUC of `cells`, with its interval."""
        value, drawn = self._means(cells)
        if value == 1.0:
            # Resampling perfect scores only repeats them; so many independent images show no more.
            return Estimate(value, *exact_interval(self._independent, self._independent))
        return _estimate(value, drawn)

    def difference(self, first: Sequence[Cell], second: Sequence[Cell]) -> Difference:
        """The mean AUC of `first` less that of `second`, on the same replicates."""
        (one, drawn_one), (two, drawn_two) = self._means(first), self._means(second)
        return Difference((one, two), _estimate(one - two, drawn_one - drawn_two))

    def _means(self, cells: Sequence[Cell]) -> tuple[float, Array]:
        """The mean AUC of the images as they are, and of each replicate (R,)."""
        found = [self._aucs(cell) for cell in cells]
        means = np.mean(found, axis=0)
        return float(means[0]), means[1:]

    def _aucs(self, cell: Cell) -> Array:
        """AUC (1 + R,) of the images as they are and of each replicate.

        The AUC is the share of the pairs in which the generated image scores higher, which is
        linear in the weights of either class.
        """
        higher = (cell.generated[:, None] > cell.real).astype(float)
        higher += 0.5 * (cell.generated[:, None] == cell.real)
        real, generated = self._weights[REAL], self._weights[cell.generator]
        pairs = ((generated @ higher) * real).sum(axis=1)
        share: Array = pairs / (generated.sum(axis=1) * real.sum(axis=1))
        return share


def _weights(groups: NDArray[Any], replicates: int, seed: int) -> Array:
    """How often each image is drawn, (1 + R, N): once, then in each replicate."""
    numbers = np.unique(groups, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    return np.concatenate([np.ones((1, len(groups))), *cluster_weights(numbers, replicates, rng)])


def _estimate(value: float, drawn: Array) -> Estimate:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
