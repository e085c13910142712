"""Settings are chosen on validation images alone, and scores that are kept are not made again."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from upsampling_sets import EFFORT, sets

from gandetect.experiments.upsampling import scoring
from gandetect.experiments.upsampling.detectors import Training, detectors
from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.scoring import Sight, Trial
from gandetect.experiments.upsampling.steps import Steps
from gandetect.experiments.upsampling.work import Work

KNOWN = {one.name: one for one in detectors(EFFORT)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return sets(tmp_path_factory.mktemp("sets"))


def work(folder) -> Work:
    return Work(folder, Steps(folder), EFFORT)


def trial(made, folder, detector: str = "logistic/both") -> Trial:
    return Trial(work(folder), KNOWN[detector], made.pictures, ["sets"])


def test_a_choice_is_the_setting_of_the_highest_mean_validation_auc(made, tmp_path):
    choice = trial(made, tmp_path, "kmeans/radial").choose(made.names)
    assert [row["settings"] for row in choice.grid] == list(KNOWN["kmeans/radial"].grid)
    means = [np.mean(list(row["validation"].values())) for row in choice.grid]
    assert [row["mean"] for row in choice.grid] == pytest.approx(means)
    assert choice.chosen == choice.grid[int(np.argmax(means))]["settings"]
    assert choice.validation == max(means)


def test_test_images_are_not_looked_at_in_choosing(made, tmp_path, monkeypatch):
    seen = set()
    files = type(made.pictures).files
    monkeypatch.setattr(
        type(made.pictures), "files", lambda self, *of: seen.add(of) or files(self, *of)
    )
    fresh = type(made.pictures)(made.folder, made.pictures.counts, made.pictures._sources)
    Trial(work(tmp_path), KNOWN["logistic/both"], fresh, []).choose(made.names)
    assert {split for _, split in seen} == {"train", "validation"}


def test_equal_settings_leave_the_first(made, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "auc", lambda real, generated: 1.0)
    choice = trial(made, tmp_path).choose(made.names)
    assert choice.chosen == KNOWN["logistic/both"].grid[0]


def test_scores_are_the_logits_of_the_sights(made, tmp_path):
    training = Training(("nearest",))
    sights = [Sight(REAL), Sight("nearest"), Sight("nearest", perturbation="jpeg-75")]
    scores = trial(made, tmp_path).score({"C": 1.0}, {training: sights})
    found = [scores.get(training, name) for name in (REAL, "nearest")]
    labels = np.repeat([0, 1], [len(one) for one in found])
    assert roc_auc_score(labels, np.concatenate(found)) > 0.95
    assert not np.array_equal(found[1], scores.get(training, "nearest", "jpeg-75"))
    with pytest.raises(KeyError):
        scores.get(training, "striped")


def test_what_was_scored_is_read_and_not_fitted_again(made, tmp_path, monkeypatch):
    wanted = {Training(("nearest",)): [Sight(REAL)]}
    first = trial(made, tmp_path).score({"C": 1.0}, wanted)
    monkeypatch.setattr(scoring, "fit", None)
    again = trial(made, tmp_path).score({"C": 1.0}, wanted)
    (key,) = wanted
    assert np.array_equal(first.get(key, REAL), again.get(key, REAL))
    with pytest.raises(TypeError):
        trial(made, tmp_path).score({"C": 2.0}, wanted)
