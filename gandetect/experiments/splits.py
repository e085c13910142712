"""How the samples of an experiment become training and test data.

Every split is drawn from the seed and its own number, so that all classifiers of one setting see
the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from gandetect.detect.folds import source_folds
from gandetect.experiments.samples import Samples

TEST_SHARE = 0.2
Split = tuple[Samples, Samples]


class TooFewError(ValueError):
    """There are not enough samples for a row of the table; the other rows can still be measured."""


def draw_splits(
    kind: str, samples: Samples, test: Samples | None, count: int | None, repeats: int, seed: int
) -> list[Split]:
    """Training and test samples of each repeat; `kind`: "by-source" or one of `Reported.splits`.

    `count` samples are drawn, half of them real; None takes all. Raises TooFewError where there are
    fewer, where a class or its second source is missing from a draw, or from its training part.
    """
    splits = list(_DRAWN[kind](samples, test, count, repeats, seed))
    for train, _ in splits:
        if min(train.count(0), train.count(1)) == 0:
            raise TooFewError("a split left no sample of one class to train on; give more samples")
    return splits


def _drawn(samples: Samples, count: int | None, rng: np.random.Generator) -> Samples:
    if count is None:
        return samples
    half = count // 2
    if min(samples.count(0), samples.count(1)) < half:
        raise TooFewError(f"needs {half} of each class")
    chosen = [rng.permutation(np.flatnonzero(samples.labels == label))[:half] for label in (0, 1)]
    return samples.take(np.concatenate(chosen))


def _random(
    samples: Samples, test: Samples | None, count: int | None, repeats: int, seed: int
) -> Iterator[Split]:
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        drawn = _drawn(samples, count, rng)
        state = int(rng.integers(2**31))
        parts = train_test_split(np.arange(len(drawn)), test_size=TEST_SHARE, random_state=state)
        yield drawn.take(parts[0]), drawn.take(parts[1])


def _own_test(
    samples: Samples, test: Samples | None, count: int | None, repeats: int, seed: int
) -> Iterator[Split]:
    assert test is not None
    # Without a draw every repeat would be the same.
    for repeat in range(repeats if count is not None and count < len(samples) else 1):
        yield _drawn(samples, count, np.random.default_rng([seed, repeat])), test


def _by_source(
    samples: Samples, test: Samples | None, count: int | None, repeats: int, seed: int
) -> Iterator[Split]:
    """A fifth of the sources, another one in each repeat, is tested."""
    for repeat in range(repeats):
        drawn = _drawn(samples, count, np.random.default_rng([seed, repeat]))
        folds = _folds(drawn, seed + repeat)
        train, tested = folds[repeat % len(folds)]
        yield drawn.take(train), drawn.take(tested)


def _training(
    samples: Samples, test: Samples | None, count: int | None, repeats: int, seed: int
) -> Iterator[Split]:
    drawn = _drawn(samples, count, np.random.default_rng([seed, 0]))
    yield drawn, drawn


def _held_out(
    samples: Samples, test: Samples | None, count: int | None, repeats: int, seed: int
) -> Iterator[Split]:
    drawn = _drawn(samples, count, np.random.default_rng([seed, 0]))
    for train, tested in _folds(drawn, seed):
        yield drawn.take(train), drawn.take(tested)


def _folds(samples: Samples, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    try:
        return list(source_folds(samples.labels, samples.sources, seed))
    except ValueError as error:
        raise TooFewError(str(error)) from error


_DRAWN = {
    "random": _random,
    "own-test": _own_test,
    "by-source": _by_source,
    "training": _training,
    "held-out": _held_out,
}
