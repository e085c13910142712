"""The published classifiers, with the parameters of the published code.

Everything that scikit-learn has is scikit-learn's. Labels are 1 for generated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from gandetect.experiments.features import Array

Labels = NDArray[np.int64]

# Raw profiles that no plane separates would keep the solver busy for hours; separable ones need a
# thousandth of this. Reaching it counts as not converging.
MAX_STEPS = 1_000_000


class NamedClusters(ClassifierMixin, BaseEstimator):
    """Two clusters found without labels, each then named by the majority of its training labels."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: Array, y: Labels) -> NamedClusters:
        self.clusters_ = KMeans(2, n_init=10, random_state=self.random_state).fit(X)
        shares = [y[self.clusters_.labels_ == cluster].mean() for cluster in (0, 1)]
        self.names_ = (np.array(shares) > 0.5).astype(np.int64)
        return self

    def predict(self, X: Array) -> Labels:
        return np.asarray(self.names_[self.clusters_.predict(X)])


class LinearLayer(ClassifierMixin, BaseEstimator):
    """The linear layer of CloakingScore: Adam at 1e-3 on the sum of the cross entropies.

    As published it sees batches of 1000, shuffled, 10 000 times over, in float32. The gradient is
    written out, which makes the many small steps four times as fast as recording them.
    """

    def __init__(self, epochs: int = 10_000, batch: int = 1000, random_state: int = 0) -> None:
        self.epochs = epochs
        self.batch = batch
        self.random_state = random_state

    def fit(self, X: Array, y: Labels) -> LinearLayer:
        design, target = _with_ones(X), torch.from_numpy(y).float()
        generator = torch.Generator().manual_seed(self.random_state)
        bound = X.shape[1] ** -0.5
        weight = torch.empty(design.shape[1]).uniform_(-bound, bound, generator=generator)
        optimizer = torch.optim.Adam([weight], lr=1e-3)
        for _ in range(self.epochs):
            for chosen in torch.randperm(len(target), generator=generator).split(self.batch):
                rows = design[chosen]
                weight.grad = (torch.sigmoid(rows @ weight) - target[chosen]) @ rows
                optimizer.step()
        self.weight_ = weight
        return self

    def predict(self, X: Array) -> Labels:
        return np.asarray((_with_ones(X) @ self.weight_ > 0).long().numpy())


def _with_ones(x: Array) -> torch.Tensor:
    """`x` (N, F) with a column for the bias, (N, F + 1) float32."""
    return torch.from_numpy(np.column_stack([x, np.ones(len(x))])).float()


# Makes an unfitted classifier from a seed.
CLASSIFIERS: dict[str, Callable[[int], BaseEstimator]] = {
    "svm-linear": lambda seed: SVC(kernel="linear", max_iter=MAX_STEPS),
    "svm-rbf": lambda seed: SVC(kernel="rbf", C=6.37, gamma=0.86),
    "svm-poly": lambda seed: SVC(kernel="poly", gamma="auto"),
    "svm-poly-scale": lambda seed: SVC(kernel="poly", gamma="scale"),
    "logistic": lambda seed: LogisticRegression(
        solver="liblinear", max_iter=1000, random_state=seed
    ),
    "kmeans": NamedClusters,
    "ridge": lambda seed: make_pipeline(StandardScaler(), RidgeClassifier()),
    "knn": lambda seed: make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    "linear-layer": lambda seed: LinearLayer(random_state=seed),
}
