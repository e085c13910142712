"""All detectors on all generators: settings chosen, fits scored, tables made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gandetect.experiments.upsampling.detectors import Detector, detectors
from gandetect.experiments.upsampling.learning import ABOUT, learning_curve
from gandetect.experiments.upsampling.pictures import ORIGINAL, SPECS, Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.scoring import Choice, Scores, Trial
from gandetect.experiments.upsampling.tables import (
    Tables,
    wanted_by_all,
    wanted_of_others,
    wanted_perturbed,
)
from gandetect.experiments.upsampling.work import Work

RULE = (
    "of each detector the setting, and of the detectors the best, by the highest mean AUC over the "
    "plain generators on the validation images; the first of equals. The test images were scored "
    "after that and decided nothing"
)
_OTHER_SIZE = "a filter over frequencies is none over those of another size of image"
Document = dict[str, Any]


@dataclass
class Classification:
    """What detectors make of `pictures`.

    `plain`: names of the plain generators; `others`: each of the others with its base. `inputs`:
    what the image sets are recognized by.
    """

    work: Work
    pictures: Pictures
    plain: Sequence[str]
    others: Mapping[str, str]
    inputs: Sequence[str]
    choices: dict[str, Choice] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)

    def document(self) -> Document:
        """The parts of `results.json` that come from detectors."""
        everything = {one.name: one for one in detectors(self.work.effort)}
        for detector in everything.values():
            self._choose(detector)
        best = best_of(everything, {name: one.validation for name, one in self.choices.items()})
        closely = {name: one for name, one in everything.items() if name in best.values()}
        curves = {name: self._look_closely(one) for name, one in closely.items()}
        made = {name: self._tables(one, name in closely) for name, one in everything.items()}
        return {
            "choice": {"rule": RULE, "best": best},
            "detectors": [
                described_detector(one, self.choices[name]) for name, one in everything.items()
            ],
            "learning": {
                "sizes": list(self.work.effort.sizes),
                "about": ABOUT,
                "curves": curves,
            },
            **self._by_table(made),
        }

    def _by_table(self, made: Mapping[str, Document]) -> Document:
        """The tables of all detectors, by table first."""
        parts = {
            part: {name: one[part] for name, one in made.items() if one[part]} for part in _PARTS
        }
        robustness = {part: parts.pop(part) for part in _ROBUSTNESS}
        compared = parts.pop("others")
        return {
            **parts,
            "robustness": {
                "perturbations": [ORIGINAL, *self.work.effort.perturbations],
                **robustness,
            },
            "others": {
                name: {
                    "base": base,
                    "detectors": {detector: one[name] for detector, one in compared.items()},
                }
                for name, base in self.others.items()
            },
        }

    def _choose(self, detector: Detector) -> None:
        """Choose the setting of `detector`, and score what is wanted of every one."""
        trial = self._trial(detector)
        choice = self.choices[detector.name] = trial.choose(self.plain)
        wanted = wanted_by_all(self.plain, tuple(self.others), self._perturbations(detector))
        self.scores[detector.name] = trial.score(choice.chosen, wanted)

    def _look_closely(self, detector: Detector) -> Document:
        """Score what is wanted of the best alone; its learning curve."""
        trial, setting = self._trial(detector), self.choices[detector.name].chosen
        wanted = wanted_of_others(tuple(self.others))
        if not detector.is_network:
            wanted |= wanted_perturbed(self.plain, self.work.effort.perturbations)
        known = self.scores[detector.name]
        self.scores[detector.name] = Scores({**known.of, **trial.score(setting, wanted).of})
        return learning_curve(trial, setting, self.plain)

    def _trial(self, detector: Detector) -> Trial:
        return Trial(self.work, detector, self.pictures, self.inputs)

    def _perturbations(self, detector: Detector) -> list[str]:
        """Those that leave images which `detector` can judge."""
        return [
            one for one in self.work.effort.perturbations if one not in self._too_small(detector)
        ]

    def _too_small(self, detector: Detector) -> dict[str, str]:
        """Perturbations that `detector` cannot judge, and why."""
        if detector.features != "log-spectrum":
            return {}
        side = self.pictures.planes(REAL, "test").shape[-1]
        return {
            one: _OTHER_SIZE
            for one in self.work.effort.perturbations
            if self.pictures.planes(REAL, "test", one).shape[-1] != side
        }

    def _tables(self, detector: Detector, closely: bool) -> Document:
        name = detector.name
        self.work.tell(f"{name}: tables")
        told = self.work.steps.digest(
            *(one for one in self.work.steps.seconds if _is_of(one, name))
        )
        found: Document = self.work.steps.document(
            f"tables/{name}",
            [told, list(self.plain), dict(self.others), self.work.effort.replicates, closely],
            partial(self._computed, detector, closely),
        )
        return found

    def _computed(self, detector: Detector, closely: bool) -> Document:
        scores = self.scores[detector.name]
        tables = Tables(self.pictures, self.plain, dict(self.others), self.work.effort.replicates)
        trained = self.work.effort.perturbations if closely and not detector.is_network else ()
        return {
            "detection": tables.detection(scores),
            "transfer": tables.transfer(scores),
            "joint": tables.joint(scores),
            "clean_trained": {
                one: tables.perturbed(scores, one, trained=False)
                for one in self._perturbations(detector)
            },
            "perturbed_trained": {
                one: tables.perturbed(scores, one, trained=True) for one in trained
            },
            "not_measured": self._too_small(detector),
            "others": {
                name: tables.compared(scores, name) for name in (self.others if closely else ())
            },
        }


_ROBUSTNESS = ("clean_trained", "perturbed_trained", "not_measured")
_PARTS = ("detection", "transfer", "joint", *_ROBUSTNESS, "others")


def described_detector(detector: Detector, choice: Choice) -> Document:
    """What `detector` is and which of its settings was chosen, as JSON values."""
    return {
        "id": detector.name,
        "classifier": detector.classifier,
        "features": detector.features,
        "network": detector.is_network,
        **choice.to_dict(),
    }


def _is_of(step: str, detector: str) -> bool:
    return step.startswith(f"scores/{detector}/")


def best_of(known: Mapping[str, Detector], validation: Mapping[str, float]) -> dict[str, str]:
    """The best detector of each kind by `validation`, the first of equals."""

    def best(chosen: list[str]) -> str:
        return max(chosen, key=lambda name: validation[name])

    spectral = [name for name, one in known.items() if not one.is_network]
    return {
        "spectral": best(spectral),
        **{kind: best([n for n in spectral if known[n].features == kind]) for kind in SPECS},
        "network": best([name for name, one in known.items() if one.is_network]),
    }
