"""The analysis of written sets: complete, and the same however often it was stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from upsampling_sets import EFFORT, Sets, as_bytes, nearest, photographs, sets

from gandetect.experiments.classifiers import CLASSIFIERS, LinearLayer
from gandetect.experiments.upsampling import classification
from gandetect.experiments.upsampling.analysis import Analysis, audited
from gandetect.experiments.upsampling.classification import best_of
from gandetect.experiments.upsampling.detectors import detectors
from gandetect.experiments.upsampling.pictures import Pictures
from gandetect.experiments.upsampling.plan import REAL

PLAIN = ["striped", "nearest"]
OTHERS = {"nearest#1": "nearest"}
QUICK = replace(EFFORT, trees=3, replicates=20, draws=1)
# One detector of each kind that `best_of` needs, to be quick.
FEW = ("logistic/both", "logistic/projections", "logistic/radial", "cnn/log-spectrum")


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            CLASSIFIERS, "linear-layer", lambda seed: LinearLayer(epochs=50, random_state=seed)
        )
        few = tuple(one for one in detectors(QUICK) if one.name in FEW)
        patch.setattr(classification, "detectors", lambda effort: few)
        yield


def written(folder) -> Sets:
    return sets(folder, (*PLAIN, *OTHERS), QUICK)


def analysis(made: Sets, progress=None) -> Analysis:
    fresh = Pictures(made.folder, made.pictures.counts, made.pictures._sources)
    return Analysis(made.work(progress), fresh, PLAIN, OTHERS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick):
    made = written(tmp_path_factory.mktemp("whole"))
    return made, analysis(made).document()


class Stopping:
    """Stops the analysis, as Ctrl-C does, the first time something in `words` is told."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.words in what:
            raise KeyboardInterrupt


def test_every_part_of_the_results_is_there(whole):
    _, found = whole
    assert set(found) == {
        "audit", "learned", "spectra", "choice", "detectors", "detection", "transfer", "joint",
        "robustness", "learning", "others", "attribution", "answers", "goals",
    }  # fmt: skip
    assert [one["id"] for one in found["detectors"]] == [*FEW[:1], *FEW[1:3], FEW[3]]
    assert set(found["detection"]) == set(FEW)
    assert list(found["others"]["nearest#1"]["detectors"]) == list(FEW)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_detectors_know_the_generator_of_their_training(whole):
    _, found = whole
    for name in PLAIN:
        assert found["detection"]["logistic/both"][name]["auc"][0] > 0.9
        assert found["robustness"]["perturbed_trained"]["logistic/both"]["jpeg-75"][name]["auc"]


def test_another_draw_of_a_generator_is_known_to_the_detector_of_its_base(whole):
    row = whole[1]["others"]["nearest#1"]["detectors"]["logistic/both"]
    assert row["of_base"]["auc"][0] > 0.9


def test_networks_on_spectra_are_not_shown_other_sizes(whole):
    robustness = whole[1]["robustness"]
    assert list(robustness["clean_trained"]["cnn/log-spectrum"]) == ["jpeg-75"]
    assert list(robustness["not_measured"]["cnn/log-spectrum"]) == ["resize-0.75"]
    assert list(robustness["clean_trained"]["logistic/both"]) == ["jpeg-75", "resize-0.75"]


def test_an_analysis_that_is_stopped_again_and_again_comes_to_the_same_results(tmp_path, whole):
    for words in ("learned", "spectra", "projections: trying", "trained on nearest#1", "answers"):
        with pytest.raises(KeyboardInterrupt):
            # Steps as another process has them: what was written, and nothing remembered.
            analysis(written(tmp_path), Stopping(words)).document()
    assert analysis(written(tmp_path)).document() == whole[1]


def test_nothing_is_made_twice(whole, monkeypatch):
    made, found = whole
    before = {path: path.stat().st_mtime_ns for path in (made.folder / "steps").rglob("*.*")}
    assert len(before) > 50
    assert analysis(made).document() == found
    assert before == {
        path: path.stat().st_mtime_ns for path in (made.folder / "steps").rglob("*.*")
    }


def test_other_images_are_analyzed_again(tmp_path, whole):
    shutil.copytree(whole[0].folder, tmp_path, dirs_exist_ok=True)
    made = written(tmp_path)
    other = as_bytes(nearest(photographs(QUICK.counts["test"], seed=77)))
    for path, image in zip(made.pictures.files("striped", "test"), other, strict=True):
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(path)
    made.steps.document("sets/striped", ["changed"], lambda: "changed")
    found = analysis(made).document()
    for part in ("spectra", "detection", "transfer", "learned"):
        assert found[part] != whole[1][part]


def test_files_written_alike_pass_the_leak_audit(whole):
    audits = whole[1]["audit"]
    assert list(audits) == [*PLAIN, *OTHERS]
    for one in audits.values():
        assert one["leaks"] is False
        assert one["auc"][0] == 0.5


def test_files_that_say_who_made_them_do_not(tmp_path):
    made = sets(tmp_path, ("nearest",), QUICK)
    told = PngInfo()
    told.add_text("made by", "nearest")
    for path in made.pictures.files("nearest", "test"):
        Image.open(path).save(path, pnginfo=told)
    found = audited(made.pictures, "nearest")
    assert found["leaks"] is True
    assert "info_made by" in found["reason"]


def test_the_best_of_each_kind_is_the_first_of_the_highest():
    known = {one.name: one for one in detectors(QUICK)}
    validation = dict.fromkeys(known, 0.5) | {"forest/radial": 0.8, "cnn/log-spectrum": 0.6}
    assert best_of(known, validation) == {
        "spectral": "forest/radial",
        "radial": "forest/radial",
        "projections": "svm-rbf/projections",
        "both": "svm-rbf/both",
        "network": "cnn/log-spectrum",
    }


def test_the_file_of_spectra_is_written_again_where_it_was_lost(whole):
    made, _ = whole
    path = made.folder / "spectra.npz"
    before = dict(np.load(path))
    path.unlink()
    analysis(made).document()
    assert all(np.array_equal(before[name], plane) for name, plane in np.load(path).items())
    assert REAL in before
