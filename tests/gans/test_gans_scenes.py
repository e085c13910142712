"""Scenes hold as many shapes as they say."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from gandetect.gans import Images
from gandetect.gans.scenes import SHAPES, scenes


def apart(scene):
    """The areas (pixels) of what stands out from the background of `scene` (3, S, S)."""
    levels = scene.numpy().astype(int)
    # Backgrounds are below 91, shapes have a channel of 255.
    pieces, number = ndimage.label(levels.max(axis=0) > 172)
    return ndimage.sum(pieces > 0, pieces, range(1, number + 1))


def test_counts_are_what_can_be_counted():
    data = scenes(60, 64, seed=1)
    counts = data.extras["counts"]
    assert counts.shape == (60, 3)
    assert [len(apart(one)) for one in data.images] == counts.sum(dim=1).tolist()
    for kind in range(3):
        assert sorted(counts[:, kind].unique().tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", range(3))
def test_kinds_have_their_form(kind):
    """By how much of its bounding box a shape fills: π/4, all of it, a half."""
    data = scenes(120, 128, kinds=kind + 1, seed=2)
    counts = data.extras["counts"]
    alone = [n for n in range(120) if counts[n, kind] and counts[n].sum() == counts[n, kind]]
    assert alone
    for number in alone:
        pieces, _ = ndimage.label(data.images[number].numpy().max(axis=0) > 172)
        for place, box in enumerate(ndimage.find_objects(pieces), start=1):
            filled = (pieces[box] == place).mean()
            assert filled == pytest.approx((np.pi / 4, 1.0, 0.5)[kind], abs=0.06), SHAPES[kind]


def test_a_scene_depends_on_its_number_and_seed_alone():
    few, many = scenes(3, 32, seed=5), scenes(6, 32, seed=5)
    assert torch.equal(few.images, many.images[:3])
    assert torch.equal(few.extras["counts"], many.extras["counts"][:3])
    assert not torch.equal(scenes(3, 32, seed=6).images, few.images)


def test_scenes_are_drawn_on_backgrounds_and_have_their_sources():
    plain = torch.tensor([10, 20], dtype=torch.uint8)[:, None, None, None]
    backgrounds = Images(
        plain.expand(-1, 3, 32, 32).contiguous(),
        {"name": "plain", "license": "CC0"},
        sources=["ten", "twenty"],
    )
    before = backgrounds.images.clone()
    data = scenes(30, 32, backgrounds=backgrounds)
    for image, source in zip(data.images, data.sources, strict=True):
        corner = image[:, 0, 0].float().mean()
        assert corner == {"ten": 10, "twenty": 20}[source]
    assert set(data.sources) == {"ten", "twenty"}
    assert torch.equal(backgrounds.images, before)
    assert data.card()["license"] == "Apache-2.0; on CC0"


def test_batches_carry_counts():
    batch = scenes(4, 32, kinds=2).batch(7)
    assert batch["counts"].shape == (7, 2)
    assert batch["counts"].dtype == torch.int64


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"size": 8},
        {"size": 65},
        {"size": 10**6},
        {"kinds": 0},
        {"kinds": 4},
        {"most": -1},
        {"most": 6},
        {"backgrounds": Images(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), {})},
    ],
)
def test_what_cannot_be_is_refused(changes):
    with pytest.raises(ValueError, match="given"):
        scenes(**{"count": 1, "size": 32, **changes})
