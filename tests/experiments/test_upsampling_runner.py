"""The experiment as a whole: from photographs to results, stopped in the middle or not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from upsampling_sets import as_bytes, photographs

from gandetect.experiments.classifiers import CLASSIFIERS, LinearLayer
from gandetect.experiments.upsampling import Options, run, training
from gandetect.experiments.upsampling.runner import spent, usable
from gandetect.experiments.upsampling.steps import Steps
from gandetect.experiments.upsampling.work import Work
from gandetect.gans import Diverged

TWO = Options(
    preset="smoke",
    modes=("nearest", "conv_transpose"),
    spectral_modes=("nearest",),
    steps=3,
    threads=1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photographs, large enough that no square is enlarged."""
    place = tmp_path_factory.mktemp("photographs")
    for number, image in enumerate(as_bytes(photographs(12, seed=3))):
        large = np.kron(image.permute(1, 2, 0).numpy(), np.ones((3, 3, 1), np.uint8))
        Image.fromarray(large).save(place / f"{number}.png")
    return place


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            CLASSIFIERS, "linear-layer", lambda seed: LinearLayer(epochs=20, random_state=seed)
        )
        yield


class Stopping:
    """Stops the run, as Ctrl-C does, the `times`-th time `words` are told."""

    def __init__(self, words: str, times: int = 1) -> None:
        self.words, self.left = words, times

    def __call__(self, what: str, done: int, total: int) -> None:
        self.left -= self.words in what
        if self.left <= 0:
            raise KeyboardInterrupt


def without_seconds(found: dict) -> dict:
    return {key: value for key, value in found.items() if key != "seconds"}


@pytest.mark.slow
def test_a_run_that_is_stopped_comes_to_the_results_of_one_that_is_not(folder, tmp_path):
    whole = run([folder], tmp_path / "whole", TWO)
    assert json.loads((tmp_path / "whole" / "results.json").read_text()) == whole
    for stop in (Stopping("training nearest", 2), Stopping("generating"), Stopping("forest/both")):
        with pytest.raises(KeyboardInterrupt):
            run([folder], tmp_path / "stopped", TWO, progress=stop)
        assert not (tmp_path / "stopped" / "results.json").exists()
    stopped = run([folder], tmp_path / "stopped", TWO)
    assert without_seconds(stopped) == without_seconds(whole)
    check(whole)


def check(found: dict) -> None:
    """What every results.json holds."""
    names = [one["name"] for one in found["generators"]]
    assert names == ["conv_transpose", "nearest", "nearest+loss", "nearest+discriminator"]
    assert set(found["audit"]) == set(names)
    assert not any(one["leaks"] for one in found["audit"].values())
    assert set(found["others"]) == set(names[2:])
    assert len(found["detection"]) == len(found["detectors"]) == 17
    assert [one["generator"] for one in found["goals"]] == names[:2]
    assert set(found["seconds"]["train"]) == set(names)
    assert found["machine"]["threads"] == 1
    assert found["data"]["parts"]["test"]["photographs"] >= 1


def test_a_folder_in_use_is_refused(folder, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="at work there"):
        run([folder], tmp_path, TWO)


def test_too_few_photographs_are_refused(folder, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    (few / "0.png").write_bytes((folder / "0.png").read_bytes())
    with pytest.raises(ValueError, match="give more photographs"):
        run([few], tmp_path / "out", TWO)


def test_a_generator_that_diverges_is_left_out_and_named(monkeypatch, tmp_path):
    def diverging(*given, **more):
        raise Diverged("the loss is nan")

    monkeypatch.setattr(training, "train", diverging)
    (planned, *_) = training_plan()
    found = training._trained(Work(tmp_path, Steps(tmp_path), TWO.effort), planned, None, TWO)
    assert found["failed"] == "the loss is nan"
    assert found["weights"] is None


def training_plan():
    from gandetect.experiments.upsampling.plan import generators

    return generators(TWO)


def row(role: str, base: str | None = None, failed: str | None = None) -> dict:
    return {"role": role, "base": base, "failed": failed}


def test_what_failed_takes_along_what_is_compared_with_it():
    trained = {
        "a": row("plain"), "b": row("plain"), "c": row("plain", failed="nan"),
        "a+loss": row("spectral", "a"), "c+loss": row("spectral", "c"), "b#1": row("repeat", "b"),
    }  # fmt: skip
    assert usable(trained) == (["a", "b"], {"a+loss": "a", "b#1": "b"})


def test_one_generator_is_not_enough():
    with pytest.raises(ValueError, match="b: nan"):
        usable({"a": row("plain"), "b": row("plain", failed="nan")})


def test_seconds_are_added_by_stage():
    seconds = {
        "train/a": 5.0, "sets/real": 1.0, "sets/a": 2.0, "scores/svm/both/setting-0/a": 0.5,
        "scores/svm/both/a": 0.25, "spectra": 3.0,
    }  # fmt: skip
    assert spent(seconds) == {
        "train": {"a": 5.0}, "sets": 3.0, "scores": {"svm/both": 0.75}, "spectra": 3.0
    }  # fmt: skip
