"""Scores by class in a model file: what it may hold, what follows from them, how fit makes them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gandetect.detect import Model, load_shipped
from gandetect.detect.calibration import (
    allowed_exceedances,
    class_thresholds,
    group_scores,
    scores_to_arrays,
)
from gandetect.detect.delivery import calibration_harm
from gandetect.detect.features import FeatureSpec
from gandetect.detect.training import Dataset, fit_model, load_folder, simulate_folder


def with_arrays(model: Model, arrays: dict[str, np.ndarray]) -> Model:
    return Model(
        {**model.arrays, **{k: torch.from_numpy(v) for k, v in arrays.items()}}, model.card
    )


def grouped(names: list[str], seed: int = 0, n: int = 100) -> dict:
    """Reals about 0, 1, 2, ... for one class after the other, generated images 2 above."""
    rng = np.random.default_rng(seed)
    scores, labels, classes = [], [], []
    for shift, name in enumerate(names):
        scores += [*(rng.normal(size=n) + shift), *(rng.normal(size=n) + shift + 2)]
        labels += [0] * n + [1] * n
        classes += [name] * (2 * n)
    return group_scores(scores, labels, classes)


@pytest.fixture
def classes() -> dict:
    return grouped(["lossless 64", "JPEG low 64"])


def test_classes_survive_the_file(linear_model: Model, classes: dict, tmp_path: Path) -> None:
    with_arrays(linear_model, scores_to_arrays(classes)).save(tmp_path / "m.safetensors")
    loaded = Model.load(tmp_path / "m.safetensors")
    assert loaded.class_thresholds(0.05) == class_thresholds(classes, calibration_harm(), 0.05)


def test_classes_change_no_logit_and_no_threshold_for_all(
    linear_model: Model, classes: dict, real_images: np.ndarray
) -> None:
    model = with_arrays(linear_model, scores_to_arrays(classes))
    images = torch.from_numpy(real_images[:5])
    assert torch.equal(model.logits(images), linear_model.logits(images))
    assert model.thresholds(0.05) == linear_model.thresholds(0.05)


def test_a_model_without_classes_has_no_thresholds_by_class(linear_model: Model) -> None:
    assert linear_model.class_scores == linear_model.class_thresholds(0.05) == {}
    assert linear_model.suspicious_from(0.05) == {}


def test_the_shipped_model_certifies_classes_of_its_own() -> None:
    model = load_shipped()
    found = model.class_thresholds(0.05)
    own = {name for name, one in found.items() if one.basis == "own"}
    assert {"lossless 128", "JPEG high 128", "JPEG mid 128", "JPEG low 128"} <= own
    assert all(math.isfinite(limit) for limit in model.suspicious_from(0.1).values())


def test_sizes_that_no_class_certifies_are_suspicious_from_the_threshold_of_all(
    linear_model: Model,
) -> None:
    """Larger squares may borrow from smaller ones, and not the other way."""
    low = [*np.linspace(-9, -8, 200), *np.linspace(8, 9, 200)]
    classes = group_scores(low, [0] * 200 + [1] * 200, ["lossless 128"] * 400)
    model = with_arrays(linear_model, scores_to_arrays(classes))
    limits = model.suspicious_from(0.1)
    reals = np.sort(model.arrays["calibration.real"].numpy())
    of_all = reals[-1 - allowed_exceedances(len(reals), 0.1, None)]
    assert limits["64"] == pytest.approx(of_all)
    assert limits["512+"] == limits["128"] < of_all


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99, None])
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.1])
def test_nothing_below_suspicion_can_be_called_generated(
    linear_model: Model, rate: float, confidence: float | None
) -> None:
    """Or a lossless file that hides a JPEG could be, by the thresholds of another class."""
    for seed in range(5):
        found = grouped(["lossless 128", "lossless 64", "JPEG mid 128", "JPEG low 64"], seed)
        model = with_arrays(linear_model, scores_to_arrays(found))
        limits = model.suspicious_from(0.1)
        classes = model.class_thresholds(rate, confidence=confidence)
        for name, one in classes.items():
            assert one.thresholds.generated >= limits[name.rpartition(" ")[2]]
        of_all = model.thresholds(rate, confidence=confidence, certify=False)
        assert of_all.generated >= max(limits.values())


def test_a_class_that_loses_its_own_limit_is_looked_into_as_low_as_its_pool(
    linear_model: Model,
) -> None:
    """Twenty-two high scores hold 10 % by themselves, and 2 % only among two hundred low ones."""
    values = [*np.linspace(8, 9, 22), *np.linspace(-9, -8, 200), 9.5, 9.6]
    labels = [*[0] * 222, 1, 1]
    names = [*["lossless 128"] * 22, *["JPEG low 64"] * 200, "lossless 128", "JPEG low 64"]
    model = with_arrays(linear_model, scores_to_arrays(group_scores(values, labels, names)))
    for rate in (0.1, 0.02):
        limit = model.class_thresholds(rate, confidence=None)["lossless 128"].thresholds.generated
        assert limit >= model.suspicious_from(0.1)["128"]


def test_a_class_that_nobody_knows_is_refused(linear_model: Model) -> None:
    with pytest.raises(ValueError, match=r"classes \['lossless 65'\]; known"):
        with_arrays(linear_model, scores_to_arrays(grouped(["lossless 65"])))


def test_half_a_class_is_refused(linear_model: Model, classes: dict) -> None:
    arrays = scores_to_arrays(classes)
    del arrays["calibration.real.lossless 64"]
    with pytest.raises(ValueError, match="a class needs both arrays"):
        with_arrays(linear_model, arrays)


def test_scores_out_of_order_are_refused(linear_model: Model, classes: dict) -> None:
    arrays = scores_to_arrays(classes)
    arrays["calibration.real.lossless 64"] = arrays["calibration.real.lossless 64"][:, ::-1].copy()
    with pytest.raises(ValueError, match="ascending"):
        with_arrays(linear_model, arrays)


def save(image: np.ndarray, path: Path, quality: int | None) -> None:
    picture = Image.fromarray(image)
    picture.save(path) if quality is None else picture.save(path, quality=quality)


def test_fit_sorts_files_into_their_classes(
    real_images: np.ndarray, generated_images: np.ndarray, tmp_path: Path
) -> None:
    """Ten PNG and six JPEG files of each label; half of the PNG files hide a JPEG."""
    for name, images in (("real", real_images), ("generated", generated_images)):
        folder = tmp_path / name
        folder.mkdir()
        for number, image in enumerate(images[:16]):
            if number < 5:
                Image.fromarray(image).save(tmp_path / "hidden.jpg", quality=75)
                image = np.array(Image.open(tmp_path / "hidden.jpg"))
            place = folder / f"{name}{number}.{'png' if number < 10 else 'jpg'}"
            save(image, place, None if number < 10 else 50)
    dataset = Dataset()
    for label, name in enumerate(("real", "generated")):
        load_folder(dataset, tmp_path / name, label, FeatureSpec(), 128)
    fit = fit_model(dataset, FeatureSpec(), name="mixed", tile=128, allow_leak=True)
    counts = {"lossless 64": 5, "JPEG mid 64": 5, "JPEG low 64": 6}
    found = fit.model.class_scores
    # Some of the generated images are soft, which is a class of its own.
    assert {name: len(s.real) for name, s in found.items()} == counts | {"soft 64": 0}
    assert len(found["soft 64"].generated) > 0
    assert sum(len(s.generated) for s in found.values()) == 16
    described = fit.model.card["calibration_classes"]
    assert {name: one["real"] for name, one in described.items()} == counts | {"soft 64": 0}
    assert described["JPEG low 64"]["smallest_certifiable_rate"] == pytest.approx(
        1 - 0.05 ** (1 / 6)
    )


def test_fit_counts_a_photograph_once_in_each_class(
    real_images: np.ndarray, tmp_path: Path
) -> None:
    for number, image in enumerate(real_images[:6]):
        Image.fromarray(np.tile(image, (3, 3))).save(tmp_path / f"{number}.png")
    dataset = Dataset()
    simulate_folder(dataset, tmp_path, FeatureSpec(), (64, 128), pairs=4, seed=0)
    fit = fit_model(dataset, FeatureSpec(), name="simulated", tile=64)
    assert len(fit.model.class_scores) > 2
    for scores in fit.model.class_scores.values():
        assert len(scores.real) == len(set(scores.real_sources)) <= 6
    sizes = {name.split()[-1] for name in fit.model.class_scores}
    assert sizes == {"64", "128"}


def test_samples_of_no_known_class_make_a_model_without(
    real_images: np.ndarray, generated_images: np.ndarray, tmp_path: Path
) -> None:
    from dataclasses import replace

    dataset = Dataset()
    for label, images in enumerate((real_images, generated_images)):
        folder = tmp_path / str(label)
        folder.mkdir()
        for number, image in enumerate(images[:8]):
            Image.fromarray(image).save(folder / f"{label}-{number}.png")
        load_folder(dataset, folder, label, FeatureSpec(), 64)
    dataset.samples = [replace(sample, calibration_class="") for sample in dataset.samples]
    fit = fit_model(dataset, FeatureSpec(), name="plain", tile=64)
    assert fit.model.class_scores == {}
    assert fit.model.card["calibration_classes"] == {}
