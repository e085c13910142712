"""Cross-validation folds that keep what stems from one source together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold

FOLDS = 5


def source_folds(
    labels: ArrayLike, groups: ArrayLike, seed: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """(train, test) indices of up to `FOLDS` folds; no group is on both sides.

    Raises ValueError where a class has fewer than two groups.
    """
    y = np.asarray(labels)
    sources = np.unique(groups, return_inverse=True)[1]
    labels_wanted = {0, 1, *np.unique(y).tolist()}
    fewest = min(len(np.unique(sources[y == label])) for label in labels_wanted)
    if fewest < 2:
        raise ValueError(
            f"{fewest} source(s) of one class; at least 2 real and 2 generated images are needed"
        )
    splitter = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    yield from splitter.split(y, y, sources)
