"""Differences of mean AUC and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from upsampling_sets import EFFORT

from gandetect.detect.metrics import ranking
from gandetect.experiments.upsampling.comparing import (
    FIRST,
    NOT_DECIDED,
    SECOND,
    Cell,
    Resampling,
    decided,
)
from gandetect.experiments.upsampling.pictures import Pictures

NAMES = ("a", "b")
COUNT = 60


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Groups alone are asked of it: 15 photographs of four squares."""
    sources = {"test": [f"photograph {number // 4}" for number in range(COUNT)]}
    return Pictures(tmp_path_factory.mktemp("none"), {"test": COUNT}, sources)


def cells(gap: float, noise: float = 0.0, seed: int = 0) -> list[Cell]:
    """Scores of both generators, `gap` above the reals; the same images for every gap."""
    rng, more = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    return [
        Cell(
            name,
            rng.normal(size=COUNT) + noise * more.normal(size=COUNT),
            rng.normal(size=COUNT) + gap + noise * more.normal(size=COUNT),
        )
        for name in NAMES
    ]


def test_the_mean_is_that_of_the_aucs_and_ties_count_half(pictures):
    coarse = [Cell(one.generator, one.real.round(), one.generated.round()) for one in cells(1.0)]
    labels = np.repeat([0, 1], COUNT)
    aucs = [roc_auc_score(labels, np.concatenate([one.real, one.generated])) for one in coarse]
    found = Resampling(pictures, NAMES, 50).mean_auc(coarse)
    assert found.value == pytest.approx(np.mean(aucs))
    assert found.low < found.value < found.high


def test_the_interval_of_one_cell_is_that_of_the_tables(pictures):
    (cell, _) = cells(1.0)
    labels = np.repeat([0, 1], COUNT)
    groups = np.concatenate([pictures.groups(name, "test") for name in ("real", "a")])
    table = ranking(labels, np.concatenate([cell.real, cell.generated]), groups)["auc"]
    found = Resampling(pictures, NAMES, 2000).mean_auc([cell])
    assert found.low == pytest.approx(table.low, abs=0.02)
    assert found.high == pytest.approx(table.high, abs=0.02)


def test_perfect_scores_are_only_as_sure_as_so_few_photographs_can_be(pictures):
    found = Resampling(pictures, NAMES, 50).mean_auc(cells(100.0))
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 15))


def test_a_better_detector_is_found_on_either_side(pictures):
    resampling = Resampling(pictures, NAMES, 200)
    better = resampling.difference(cells(3.0), cells(0.5))
    assert better.verdict == FIRST
    assert better.values[0] - better.values[1] == pytest.approx(better.difference.value)
    assert resampling.difference(cells(0.5), cells(3.0)).verdict == SECOND


def test_the_same_scores_are_not_told_apart(pictures):
    found = Resampling(pictures, NAMES, 200).difference(cells(1.0), cells(1.0))
    assert found.difference.to_list() == [0, 0, 0]
    assert found.verdict == NOT_DECIDED


def test_pairing_makes_the_interval_narrower(pictures):
    one, other = cells(1.0), cells(1.0, noise=0.3)
    resampling = Resampling(pictures, NAMES, 400)
    paired = resampling.difference(one, other).difference
    apart = [resampling.mean_auc(each) for each in (one, other)]
    assert paired.high - paired.low < 0.8 * max(each.high - each.low for each in apart)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.2, FIRST), (-0.2, -0.1, SECOND), (-0.1, 0.1, NOT_DECIDED), (0.0, 0.1, NOT_DECIDED),
     (None, None, NOT_DECIDED)],
)  # fmt: skip
def test_only_an_interval_without_zero_decides(low, high, verdict):
    assert decided(low, high) == verdict


def test_replicates_keep_photographs_together(pictures):
    resampling = Resampling(pictures, NAMES, EFFORT.replicates)
    weights = resampling._weights["real"].reshape(EFFORT.replicates + 1, -1, 4)
    assert (weights == weights[:, :, :1]).all()
    assert (weights[0] == 1).all()
    assert not (resampling._weights["a"] == resampling._weights["b"]).all()
