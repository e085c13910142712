"""Everything that is measured of image sets that are written: from audit to answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gandetect.detect.audit import audit, describe_file
from gandetect.experiments.upsampling.answers import Evidence, answers, goals
from gandetect.experiments.upsampling.attribution import attribution
from gandetect.experiments.upsampling.classification import Classification
from gandetect.experiments.upsampling.comparing import Resampling
from gandetect.experiments.upsampling.learned import learned
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.sets import set_step
from gandetect.experiments.upsampling.spectra import mean_planes, profiles, write_planes
from gandetect.experiments.upsampling.work import Work

Document = dict[str, Any]


@dataclass
class Analysis:
    """The analysis of `pictures`.

    `plain`: names of the plain generators; `others`: each of the others with its base.
    """

    work: Work
    pictures: Pictures
    plain: Sequence[str]
    others: Mapping[str, str]

    def document(self) -> Document:
        """The parts of `results.json` that are about images, made step by step."""
        names = (*self.plain, *self.others)
        sets = self.work.steps.digest(*map(set_step, (REAL, *names)))
        detectors = Classification(self.work, self.pictures, self.plain, self.others, sets)
        found: Document = {
            "audit": self._audits(names),
            "learned": learned(self.work, self.pictures, names),
            "spectra": self._spectra(names, sets),
            **detectors.document(),
            "attribution": self._attribution(sets),
        }
        judged: Document = self.work.steps.document(
            "answers", [found], partial(self._answers, found, detectors)
        )
        return found | judged

    def _audits(self, names: Iterable[str]) -> Document:
        self.work.tell("leak audit")
        return {
            name: self.work.steps.document(
                f"audit/{name}",
                [self.work.steps.digest(set_step(REAL), set_step(name)), self.work.seed],
                partial(audited, self.pictures, name, self.work.seed),
            )
            for name in names
        }

    def _spectra(self, names: Sequence[str], sets: Sequence[str]) -> Document:
        self.work.tell("spectra")
        everyone = (REAL, *names)
        planes = self.work.steps.tensors(
            "spectra", [sets], partial(mean_planes, self.pictures, everyone)
        )
        write_planes(planes, self.work.folder)
        found: Document = self.work.steps.document(
            "profiles",
            self.work.steps.digest("spectra"),
            partial(profiles, self.pictures, planes, everyone),
        )
        return found

    def _attribution(self, sets: Sequence[str]) -> Document:
        found: Document = self.work.steps.document(
            "attribution",
            [sets, list(self.plain), self.work.effort.replicates, self.work.seed],
            partial(attribution, self.work, self.pictures, self.plain),
        )
        return found

    def _answers(self, found: Document, detectors: Classification) -> Document:
        self.work.tell("answers")
        resampling = Resampling(
            self.pictures, self.plain, self.work.effort.replicates, self.work.seed
        )
        evidence = Evidence(self.plain, detectors.scores, found, resampling)
        return {"answers": answers(evidence), "goals": goals(found, self.plain)}


def audited(pictures: Pictures, name: str, seed: int = 0) -> Document:
    """The leak audit of the test files of generator `name` against the reals, as JSON values."""
    rows, labels, groups = [], [], []
    for label, one in enumerate((REAL, name)):
        planes = pictures.planes(one, "test")
        files = pictures.files(one, "test")
        rows += [describe_file(path, plane) for path, plane in zip(files, planes, strict=True)]
        labels += [label] * len(files)
        groups += pictures.groups(one, "test").tolist()
    # The mean and the contrast of an image cancel in all features but those of the pixel network.
    found = audit(rows, labels, groups, brightness_counts=False, seed=seed)
    return {**found.to_dict(), "reason": found.reason}
