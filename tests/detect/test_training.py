"""`fit` on few samples works, says how uncertain it is, and every classifier makes a model file."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from gandetect.detect import training
from gandetect.detect.audit import LeakError
from gandetect.detect.evaluation import folder_items
from gandetect.detect.features import FeatureSpec
from gandetect.detect.model import Model
from gandetect.detect.simulate import pairs_of
from gandetect.detect.training import (
    Dataset,
    Sample,
    cross_fitted_scores,
    fit_model,
    load_folder,
    simulate_folder,
)


@pytest.fixture
def folders(real_images, generated_images, tmp_path):
    for name, images in (("real", real_images), ("generated", generated_images)):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images[:10]):
            Image.fromarray(image).save(tmp_path / name / f"{name}{number}.png")
    return tmp_path


@pytest.fixture
def twenty(folders):
    dataset = Dataset()
    load_folder(dataset, folders / "real", 0, FeatureSpec(), 64)
    load_folder(dataset, folders / "generated", 1, FeatureSpec(), 64)
    return dataset


def test_twenty_samples_fit_and_say_how_uncertain_they_are(twenty):
    fit = fit_model(twenty, FeatureSpec(), name="twenty", tile=64)
    assert fit.auc.value > 0.95
    # Ten perfect pairs show no more than this; a bootstrap of perfect scores would claim certainty.
    assert fit.auc.low < 0.75
    assert fit.accuracy["real"].low < 0.75
    assert fit.smallest_rate == pytest.approx(1 - 0.05**0.1)
    with pytest.raises(ValueError, match=r"certify no less than 0\.259"):
        fit.model.thresholds(0.05)


@pytest.mark.parametrize(
    "classifier", ["logistic", "additive", "svm", "forest", "boosted", "kmeans"]
)
def test_every_classifier_can_be_saved_and_scores_the_same(
    twenty, classifier, tmp_path, real_images, generated_images
):
    fit = fit_model(twenty, FeatureSpec(), name=classifier, classifier=classifier, tile=64)
    fit.model.save(tmp_path / "model.safetensors")
    loaded = Model.load(tmp_path / "model.safetensors")
    unseen = torch.from_numpy(np.concatenate([real_images[10:20], generated_images[10:20]]))
    logits = loaded.logits(unseen)
    assert torch.equal(logits, fit.model.logits(unseen))
    if classifier == "boosted":
        # Its leaves hold twenty images each: so few give no split.
        return
    assert ((logits > 0) == torch.arange(20).ge(10)).float().mean() >= 0.9


def test_fitting_twice_gives_the_same_model(twenty, tmp_path):
    for name in "ab":
        fit = fit_model(twenty, FeatureSpec(), name="twice", classifier="forest", tile=64)
        fit.model.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_cannot_be_read_is_noted_and_the_rest_fits(folders):
    first = folders / "real" / "real0.png"
    first.write_bytes(first.read_bytes()[:200])
    dataset = Dataset()
    load_folder(dataset, folders / "real", 0, FeatureSpec(), 64)
    assert list(dataset.failed) == [str(first)]
    assert len(dataset.samples) == 9


def test_simulation_needs_no_generated_images(real_images, tmp_path):
    for number, image in enumerate(real_images[:6]):
        Image.fromarray(np.tile(image, (3, 3))).save(tmp_path / f"{number}.png")
    dataset = Dataset()
    simulate_folder(dataset, tmp_path, FeatureSpec(), (64,), pairs=3, seed=0)
    fit = fit_model(dataset, FeatureSpec(), name="simulated", tile=64)
    assert fit.n_real == fit.n_generated == 18
    # One score per photograph calibrates, however many pairs were made of it.
    assert len(fit.model.arrays["calibration.real"]) == 6


def assert_equal(one, other):
    assert one.rows == other.rows
    assert one.failed == other.failed
    assert one.hashes == other.hashes
    for mine, theirs in zip(one.samples, other.samples, strict=True):
        assert np.array_equal(mine.features, theirs.features)
        assert (mine.traces is None) == (theirs.traces is None)
        assert mine.traces is None or np.array_equal(mine.traces, theirs.traces)
        known = {"features": None, "traces": None}
        assert replace(mine, **known) == replace(theirs, **known)


def test_processes_simulate_and_read_what_one_does(real_images, tmp_path):
    folder = photographs(real_images, tmp_path / "photos")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:300])
    found = []
    for workers in (0, 2):
        simulated, read = Dataset(), Dataset()
        simulate_folder(simulated, folder, FeatureSpec(), (64,), pairs=2, seed=0, workers=workers)
        load_folder(read, folder, 0, FeatureSpec(), 64, workers=workers)
        assert list(simulated.failed) == list(read.failed) == [str(folder / "3.png")]
        assert len(simulated.samples) == 2 * 2 * 9
        found.append((simulated, read))
    for one, other in zip(*found, strict=True):
        assert_equal(one, other)


def photographs(images, folder):
    folder.mkdir()
    for number, image in enumerate(images[:10]):
        Image.fromarray(image.repeat(2, 0).repeat(2, 1)).save(folder / f"{number}.png")
    return folder


def test_simulated_pairs_are_audited(real_images, tmp_path):
    dataset, spec = Dataset(), FeatureSpec()
    simulate_folder(
        dataset, photographs(real_images, tmp_path / "photos"), spec, (64,), pairs=6, seed=0
    )
    assert len(dataset.rows) == len(dataset.samples)
    fit = fit_model(dataset, spec, name="audited", tile=64)
    assert not fit.audit.leaks
    assert fit.model.card["training"]["audit"]["auc"][0] == pytest.approx(0.5, abs=0.05)


def test_pairs_that_are_not_delivered_alike_are_refused(real_images, tmp_path, monkeypatch):
    def uneven(*arguments, **settings):
        for pair in pairs_of(*arguments, **settings):
            side = pair.generated.shape[0] // 2 * 2 - 10
            yield replace(pair, generated=pair.generated[:side, :side])

    monkeypatch.setattr(training, "pairs_of", uneven)
    dataset, spec = Dataset(), FeatureSpec()
    simulate_folder(
        dataset, photographs(real_images, tmp_path / "photos"), spec, (64,), pairs=6, seed=0
    )
    with pytest.raises(LeakError, match="width"):
        fit_model(dataset, spec, name="uneven", tile=64)


def test_scores_come_from_fits_that_did_not_see_the_source():
    seen = []
    rng = np.random.default_rng(0)
    samples = [
        Sample(f"photo{i // 2}", i % 2, 64, rng.standard_normal((3, 4)).astype(np.float32))
        for i in range(20)
    ]

    class Recorder:
        def __init__(self, chosen):
            self.groups = {sample.group for sample in chosen}

        def logits(self, features):
            source = next(s.group for s in samples if s.features is features)
            seen.append(source)
            assert source not in self.groups
            return np.zeros(len(features))

    cross_fitted_scores(samples, Recorder, seed=0)
    assert len(seen) == 20


def test_what_a_manifest_names_as_one_source_is_one(folders, tmp_path):
    """In a fit, in simulated pairs and in an evaluation alike."""
    listed = [
        {"file": "real0.png", "source": "one"},
        {"file": "real1.png", "group": "one"},
        {"file": "elsewhere/real2.png", "source": "two"},
        "no row",
    ]
    real = folders / "real"
    (real / "manifest.json").write_text(json.dumps({"photographs": listed}))
    wanted = {"one": 2, "two": 1}
    dataset, simulated = Dataset(), Dataset()
    load_folder(dataset, real, 0, FeatureSpec(), 64)
    simulate_folder(simulated, real, FeatureSpec(), (64,), pairs=1, seed=0)
    for named in (
        [sample.group for sample in dataset.samples],
        [sample.group for sample in simulated.samples if sample.label == 0],
        [item.source for item in folder_items(real, 0)],
    ):
        counts = Counter(named)
        assert {name: counts[name] for name in wanted} == wanted
        assert all(number == 1 for name, number in counts.items() if name not in wanted)
        assert len(named) == 10


def test_pairs_by_name_stay_pairs_where_one_folder_has_a_manifest(folders):
    """Whichever of the two it is; a source may be a number."""
    real, generated = folders / "real", folders / "generated"
    for path in generated.iterdir():
        path.rename(path.with_name(path.name.replace("generated", "real")))
    listed = [{"file": f"real{n}.png", "source": n // 2} for n in range(10)]
    for owner in (real, generated):
        (owner / "manifest.json").write_text(json.dumps(listed))
        dataset = Dataset()
        load_folder(dataset, real, 0, FeatureSpec(), 64, beside=[generated])
        load_folder(dataset, generated, 1, FeatureSpec(), 64, beside=[real])
        groups = [[s.group for s in dataset.samples if s.label == label] for label in (0, 1)]
        assert groups[0] == groups[1] == [str(n // 2) for n in range(10)]
        for folder, other in ((real, generated), (generated, real)):
            assert [item.source for item in folder_items(folder, 0, [other])] == groups[0]
        (owner / "manifest.json").unlink()


@pytest.mark.parametrize("text", ["no json", "{}", "[1, 2]", '{"photographs": 7}', "[{}]"])
def test_a_manifest_of_another_kind_is_passed_over(text, folders):
    (folders / "real" / "manifest.json").write_text(text)
    assert {item.source for item in folder_items(folders / "real", 0)} == {
        f"real{number}" for number in range(10)
    }


def test_one_image_of_a_class_is_too_few(folders):
    dataset = Dataset()
    load_folder(dataset, folders / "real", 0, FeatureSpec(), 64)
    dataset.samples.append(Sample("only", 1, 64, dataset.samples[0].features))
    dataset.rows.clear()
    with pytest.raises(ValueError, match="at least 2 real and 2 generated"):
        fit_model(dataset, FeatureSpec(), name="few", tile=64)
