"""Late fusion: weights that are never negative, one set of images, one model file."""

import numpy as np
import pytest
import torch
from PIL import Image

from gandetect.detect import Model
from gandetect.detect.classifiers import spec_for
from gandetect.detect.fusion import Family, fit_fusion, stacking_weights
from gandetect.detect.training import Dataset, load_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, real_images, generated_images):
    root = tmp_path_factory.mktemp("fusion")
    for name, images in (("real", real_images), ("generated", generated_images)):
        (root / name).mkdir()
        for i, image in enumerate(images[:24]):
            Image.fromarray(image).save(root / name / f"{name}{i}.png")
    return root


def family(folder, classifier):
    dataset, spec = Dataset(), spec_for(classifier, 64)
    for label, name in enumerate(("real", "generated")):
        load_folder(dataset, folder / name, label, spec, 64, min_side=64)
    return Family(classifier, dataset)


@pytest.fixture(scope="module")
def fit(folder):
    families = [family(folder, name) for name in ("logistic", "spectrum", "boosted")]
    return fit_fusion(families, name="fused", tile=64)


def test_a_member_that_knows_nothing_weighs_nothing():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 500)
    good = labels * 2.0 + rng.standard_normal(1000)
    turned = -labels * 2.0 + rng.standard_normal(1000)
    weights, bias = stacking_weights(np.column_stack([good, turned, 0 * good]), labels)
    assert weights[0] > 1
    assert weights[1] == 0
    assert weights[2] == 0
    assert bias == pytest.approx(-weights[0], rel=0.2)


def test_two_good_members_weigh_alike_and_rank_better():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 2000)
    scores = labels[:, None] * 1.5 + rng.standard_normal((4000, 2))
    weights, bias = stacking_weights(scores, labels)
    assert weights[0] == pytest.approx(weights[1], rel=0.1)
    fused = scores @ weights + bias
    correct = [((s > 0.75) == labels).mean() for s in scores.T]
    assert ((fused > 0) == labels).mean() > max(correct) + 0.04


def test_a_fusion_scores_the_weighed_sum_of_its_members(fit, real_images):
    model = fit.model
    images = torch.from_numpy(real_images[30:35])
    logits = torch.stack([member.logits(images) for member in model._members], dim=1).double()
    wanted = logits @ model.arrays["fusion.weight"] + model.arrays["fusion.bias"]
    torch.testing.assert_close(model.logits(images), wanted.float())
    assert fit.auc.value > 0.9


def test_a_fusion_survives_its_file(fit, tmp_path, generated_images):
    fit.model.save(tmp_path / "fused.safetensors")
    loaded = Model.load(tmp_path / "fused.safetensors")
    images = torch.from_numpy(generated_images[30:35])
    assert torch.equal(loaded.logits(images), fit.model.logits(images))
    assert loaded.ignores_brightness
    assert loaded.min_side == 64


def test_a_surplus_or_missing_array_is_refused(fit):
    arrays, card = fit.model.arrays, fit.model.card
    with pytest.raises(ValueError, match="want those of each member"):
        Model({**arrays, "stray": torch.zeros(1)}, card)
    with pytest.raises(ValueError):
        Model({name: a for name, a in arrays.items() if name != "member1.bias"}, card)
    with pytest.raises(ValueError, match="one value for each of 3"):
        Model({**arrays, "fusion.weight": torch.ones(2)}, card)


def test_features_of_a_fusion_are_refused(fit):
    with pytest.raises(ValueError, match="score images"):
        fit.model.score_features(torch.zeros(1, 120))


def test_families_with_different_images_are_refused(folder):
    fewer = family(folder, "spectrum")
    fewer.dataset.samples.pop()
    with pytest.raises(ValueError, match="different images"):
        fit_fusion([family(folder, "logistic"), fewer], name="odd", tile=64)
