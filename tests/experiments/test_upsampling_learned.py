"""Whether generators learned something, beside baselines that did not."""

from __future__ import annotations

import pytest
import torch
from upsampling_sets import EFFORT, MAKERS, photographs, sets

from gandetect.experiments.classifiers import CLASSIFIERS, LinearLayer
from gandetect.experiments.upsampling import learned as room
from gandetect.experiments.upsampling.learned import ABOUT, learned


def noisy(images: torch.Tensor) -> torch.Tensor:
    rng = torch.Generator().manual_seed(len(images))
    return 128 + 20 * torch.randn(images.shape, generator=rng)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """CloakingScore by a layer that is trained for a fiftieth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            CLASSIFIERS, "linear-layer", lambda seed: LinearLayer(epochs=200, random_state=seed)
        )
        yield


@pytest.fixture(scope="module")
def rows(tmp_path_factory, quick):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MAKERS, "noisy", noisy)
        made = sets(tmp_path_factory.mktemp("sets"), ("striped", "noisy"))
    found = learned(made.work(), made.pictures, made.names)
    assert found["about"] == ABOUT
    return found["rows"]


def test_noise_has_learned_nothing_and_good_images_have(rows):
    assert rows["striped"]["learned"] is True
    assert rows["noisy"]["learned"] is False
    assert rows["striped"]["distance"] < rows["blurred_mean"]["distance"]
    assert rows["real"]["distance"] < rows["striped"]["distance"] + 1


def test_the_spectrum_of_noise_is_farther(rows):
    assert rows["noisy"]["spectral_l1"] > rows["striped"]["spectral_l1"] > 0
    assert 0 < rows["real"]["spectral_l1"] < rows["noisy"]["spectral_l1"]


def test_cloaking_tells_a_trace_from_other_photographs(rows):
    low, high = (rows[name]["cloaking"]["held_out"][0] for name in ("noisy", "real"))
    assert low < 0.5 < high


def test_the_diversity_of_the_reals_is_the_unit(rows):
    assert rows["real"]["diversity"] == 1
    assert rows["striped"]["diversity"] == pytest.approx(1, abs=0.2)


def test_copies_have_no_diversity(tmp_path, monkeypatch):
    monkeypatch.setitem(MAKERS, "collapsed", lambda images: photographs(1, 0).expand_as(images))
    made = sets(tmp_path, ("collapsed",), EFFORT)
    row = room._row(made.pictures, "collapsed", 0)
    assert row["diversity"] == 0
