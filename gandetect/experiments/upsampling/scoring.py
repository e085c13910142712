"""Fits and what they score: every figure of the report is computed from the scores kept here.

    steps/scores/<detector>/<training>.safetensors    logits by perturbation/split/name

Settings are tried on the validation images. The one that is chosen scores the test images, and
nothing is chosen after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from gandetect.detect.classifiers import Fitted
from gandetect.experiments.upsampling.detectors import Array, Detector, Setting, Training, fit
from gandetect.experiments.upsampling.pictures import ORIGINAL, Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.work import Work
from gandetect.tensorfile import canonical


@dataclass(frozen=True)
class Sight:
    """A set of images to be scored."""

    name: str
    split: str = "test"
    perturbation: str = ORIGINAL

    @property
    def key(self) -> str:
        """Its name among the scores of a training."""
        return f"{self.perturbation}/{self.split}/{self.name}"


@dataclass(frozen=True)
class Scores:
    """The logits of one detector by training and sight."""

    of: Mapping[Training, Mapping[str, Array]]

    def get(self, training: Training, name: str, perturbation: str = ORIGINAL) -> Array:
        """Logits (N,) of the test images of `name`; KeyError where they were not scored."""
        return self.of[training][Sight(name, "test", perturbation).key]


@dataclass(frozen=True)
class Choice:
    """What was tried of a detector: the mean validation AUC of each setting over the generators."""

    grid: tuple[dict[str, Any], ...]
    chosen: Setting
    validation: float

    def to_dict(self) -> dict[str, Any]:
        """The choice as plain JSON values."""
        return {"grid": list(self.grid), "chosen": self.chosen, "validation": self.validation}


@dataclass
class Trial:
    """One detector at work on `pictures`. Its fits are remembered as long as it lives.

    `inputs`: what the image sets are recognized by.
    """

    work: Work
    detector: Detector
    pictures: Pictures
    inputs: Sequence[str]
    _fits: dict[str, Fitted] = field(default_factory=dict)

    def choose(self, generators: Sequence[str]) -> Choice:
        """Try each setting on the validation images of each of `generators`."""
        rows: list[dict[str, Any]] = []
        for number, setting in enumerate(self.detector.grid):
            self.work.tell(
                f"{self.detector.name}: trying settings", number, len(self.detector.grid)
            )
            found = {name: self._validation(number, setting, name) for name in generators}
            mean = float(np.mean(list(found.values())))
            rows.append({"settings": setting, "validation": found, "mean": mean})
        # The first of equals, for the grid begins with the simplest.
        best = max(rows, key=lambda row: row["mean"])
        return Choice(tuple(rows), best["settings"], best["mean"])

    def score(self, setting: Setting, wanted: Mapping[Training, Sequence[Sight]]) -> Scores:
        """Fit each training that is wanted, with `setting`, and score its sights."""
        found = {}
        for number, (training, sights) in enumerate(wanted.items()):
            self.work.tell(f"{self.detector.name}: trained on {training.name}", number, len(wanted))
            found[training] = self._scored(training.name, setting, training, sights)
        return Scores(found)

    def step_name(self, training: str) -> str:
        """The step that scores by a training."""
        return f"scores/{self.detector.name}/{training}"

    def _validation(self, number: int, setting: Setting, name: str) -> float:
        training = Training((name,))
        sights = [Sight(REAL, "validation"), Sight(name, "validation")]
        scores = self._scored(f"setting-{number}/{name}", setting, training, sights)
        return auc(*(scores[one.key] for one in sights))

    def _scored(
        self, step: str, setting: Setting, training: Training, sights: Sequence[Sight]
    ) -> dict[str, Array]:
        told = [self.inputs, setting, self.work.seed, training.name, [one.key for one in sights]]
        tensors = self.work.steps.tensors(
            self.step_name(step), told, partial(self._compute, setting, training, sights)
        )
        return {key: tensor.numpy() for key, tensor in tensors.items()}

    def _compute(
        self, setting: Setting, training: Training, sights: Iterable[Sight]
    ) -> dict[str, Tensor]:
        key = canonical([setting, training.name])
        if key not in self._fits:
            self._fits[key] = fit(
                self.detector,
                setting,
                training,
                self.pictures,
                self.work.seed,
                self.work.threads,
            )
        fitted = self._fits[key]
        return {
            one.key: torch.from_numpy(
                fitted.logits(
                    self.detector.inputs(self.pictures, one.name, one.split, one.perturbation)
                )
            )
            for one in sights
        }


def auc(real: Array, generated: Array) -> float:
    """Area under the ROC curve of logits of either class."""
    labels = np.repeat([0, 1], [len(real), len(generated)])
    return float(roc_auc_score(labels, np.concatenate([real, generated])))
