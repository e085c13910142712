"""From scores to the tables of one detector: in domain, transfer, joint, perturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gandetect.detect.attribution_training import balanced_accuracy
from gandetect.detect.metrics import Estimate, ranking
from gandetect.detect.transfer import Transfer
from gandetect.experiments.upsampling.detectors import Array, Training
from gandetect.experiments.upsampling.pictures import ORIGINAL, Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.scoring import Scores, Sight

FPRS = (0.05, 0.01)


@dataclass(frozen=True)
class Tables:
    """Makes the tables of one detector. `plain`: names of the plain generators; `others`: each of
    the others with its base."""

    pictures: Pictures
    plain: Sequence[str]
    others: dict[str, str]
    replicates: int

    def figures(self, real: Array, generated: dict[str, Array]) -> dict[str, Any]:
        """AUC, TPR and accuracy at logit 0 of test images, each `[value, low, high]`.

        `generated`: logits by generator, pooled here.
        """
        labels, scores, groups = self._pooled(real, generated)
        hits = (scores > 0) == (labels == 1)
        found = ranking(labels, scores, groups, fprs=FPRS, replicates=self.replicates)
        found["accuracy"] = balanced_accuracy(hits, labels, groups, replicates=self.replicates)
        return {
            **{name: one.to_list() for name, one in found.items()},
            "real_accuracy": float(hits[labels == 0].mean()),
            "generated_accuracy": float(hits[labels == 1].mean()),
        }

    def detection(self, scores: Scores) -> dict[str, Any]:
        """Each plain generator by the detector that was trained on it."""
        return {name: self._one(scores, Training((name,)), name) for name in self.plain}

    def transfer(self, scores: Scores) -> dict[str, Any]:
        """Trained on each and on all but each plain generator, tested on each."""
        cells = {
            (trained, tested): self._auc(scores, Training((trained,)), tested)
            for trained in self.plain
            for tested in self.plain
        }
        left_out = {
            name: self._auc(scores, without(self.plain, name), name)
            for name in self.plain
            if len(self.plain) > 2
        }
        return Transfer(tuple(self.plain), cells, left_out).to_dict()

    def joint(self, scores: Scores) -> dict[str, Any]:
        """One detector for all plain generators, trained on equal parts of each."""
        training = Training(tuple(self.plain))
        real = scores.get(training, REAL)
        each = {name: scores.get(training, name) for name in self.plain}
        share = self.pictures.counts["train"] // len(self.plain)
        return {
            "training": {"real": share * len(self.plain), "generated_each": share},
            "pooled": self.figures(real, each),
            "generators": {name: self.figures(real, {name: one}) for name, one in each.items()},
        }

    def perturbed(self, scores: Scores, perturbation: str, *, trained: bool) -> dict[str, Any]:
        """Each plain generator, perturbed like the reals; `trained`: also in the training."""
        on = perturbation if trained else ORIGINAL
        return {
            name: self._one(scores, Training((name,), on), name, perturbation)
            for name in self.plain
        }

    def compared(self, scores: Scores, name: str) -> dict[str, Any]:
        """A generator that is not plain, by detectors of its own, of its base, and of all."""
        base = self.others[name]
        joint = Training(tuple(self.plain))
        return {
            "own": self._one(scores, Training((name,)), name),
            "of_base": self._one(scores, Training((base,)), name),
            "joint": self._one(scores, joint, name),
            "base_by_base": self._one(scores, Training((base,)), base),
            "base_by_joint": self._one(scores, joint, base),
        }

    def _one(
        self, scores: Scores, training: Training, name: str, perturbation: str = ORIGINAL
    ) -> dict[str, Any]:
        real, generated = (scores.get(training, one, perturbation) for one in (REAL, name))
        return self.figures(real, {name: generated})

    def _auc(self, scores: Scores, training: Training, name: str) -> Estimate:
        pooled = self._pooled(scores.get(training, REAL), {name: scores.get(training, name)})
        return ranking(*pooled, replicates=self.replicates)["auc"]

    def _pooled(
        self, real: Array, generated: dict[str, Array]
    ) -> tuple[NDArray[np.int64], Array, NDArray[np.str_]]:
        """Labels, scores and groups of the reals and of all `generated`."""
        labels = np.repeat([0, 1], [len(real), sum(map(len, generated.values()))])
        groups = [self.pictures.groups(name, "test") for name in (REAL, *generated)]
        return labels, np.concatenate([real, *generated.values()]), np.concatenate(groups)


def without(names: Sequence[str], left_out: str) -> Training:
    """The training on all `names` but one."""
    return Training(tuple(name for name in names if name != left_out))


def wanted_by_all(
    plain: Sequence[str], others: Sequence[str], perturbations: Sequence[str]
) -> dict[Training, list[Sight]]:
    """What every detector is trained on, and scores: the tables but for `compared`."""
    everything = [Sight(name) for name in (REAL, *plain, *others)]
    wanted = {
        Training((name,)): [
            *everything,
            *(Sight(one, "test", step) for step in perturbations for one in (REAL, name)),
        ]
        for name in plain
    }
    if len(plain) > 2:
        wanted |= {without(plain, name): [Sight(REAL), Sight(name)] for name in plain}
    return wanted | {Training(tuple(plain)): everything}


def wanted_of_others(others: Sequence[str]) -> dict[Training, list[Sight]]:
    """What `Tables.compared` wants besides."""
    return {Training((name,)): [Sight(REAL), Sight(name)] for name in others}


def wanted_perturbed(
    plain: Sequence[str], perturbations: Sequence[str]
) -> dict[Training, list[Sight]]:
    """Detectors that are trained on perturbed images."""
    return {
        Training((name,), step): [Sight(REAL, "test", step), Sight(name, "test", step)]
        for step in perturbations
        for name in plain
    }
