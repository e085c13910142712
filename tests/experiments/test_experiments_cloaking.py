"""CloakingScore of images in memory: 1 for images of one kind, 0 for separable ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gandetect.experiments.classifiers import CLASSIFIERS, LinearLayer
from gandetect.experiments.cloaking import cloaking


@pytest.fixture(autouse=True)
def _fewer_epochs(monkeypatch):
    """Enough for a dozen bins; the published 10 000 are for hundreds."""

    def layer(seed):
        return LinearLayer(epochs=3000, random_state=seed)

    monkeypatch.setitem(CLASSIFIERS, "linear-layer", layer)


def noise(count, seed, *, channels=1, smooth=False):
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.rand(count, channels, 16, 16, generator=rng)
    if smooth:
        drawn = torch.nn.functional.avg_pool2d(drawn, 3, 1, 1)
    return (drawn * 255).to(torch.uint8)


def test_the_same_images_on_both_sides_score_1():
    images = noise(60, seed=1)
    names = np.arange(60)
    found = cloaking(images, images, sources=(names, names))
    assert found.published == 1
    assert found.held_out.value == 1
    assert found.held_out.low < 1


def test_separable_images_score_0():
    found = cloaking(noise(30, 1, channels=3, smooth=True), noise(30, 2, channels=3))
    assert found.published == 0
    assert found.held_out.value == 0
    assert 0 <= found.held_out.low <= found.held_out.high < 0.3


def test_few_images_of_one_kind_are_separable_only_where_the_layer_was_trained():
    found = cloaking(noise(20, 3), noise(20, 4))
    assert found.published < 0.7
    assert found.held_out.value > 0.9


def test_sources_are_kept_together():
    # Each image twice, once on either side: whoever trains on one half is misled on the other.
    images = torch.cat([noise(20, 5), noise(20, 6)])
    names = np.arange(40)
    together = cloaking(images, images, sources=(names, names)).held_out.value
    apart = cloaking(images, images).held_out.value
    assert together == 1
    assert apart < 1


@pytest.mark.parametrize(
    ("generated", "real", "sources", "message"),
    [
        (noise(3, 1), noise(9, 2), None, "9 real and 3 generated"),
        (noise(9, 1), noise(9, 2), (["a"] * 9, ["b"] * 9), "no images could be held out"),
        (noise(9, 1), noise(9, 2), (["a"] * 8, ["b"] * 9), "17 sources for 18 images"),
    ],
)
def test_too_little(generated, real, sources, message):
    with pytest.raises(ValueError, match=message):
        cloaking(generated, real, sources=sources)
