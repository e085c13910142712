"""Label maps by k-means of colors: areas of like color, the same for the same seed."""

import pytest
import torch

from gandetect.gans import Images
from gandetect.gans.maps import painted, segmented


@pytest.fixture(scope="module")
def patches():
    """30 images, each of four 8x8 squares of one of three colors, and which they are."""
    rng = torch.Generator().manual_seed(5)
    which = torch.randint(3, (30, 2, 2), generator=rng)
    which = which.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
    colors = torch.tensor([[220, 30, 30], [30, 220, 30], [30, 30, 220]])
    images = colors[which].movedim(3, 1) + torch.randint(-20, 20, (30, 3, 16, 16), generator=rng)
    extras = {"counts": torch.arange(30)}
    return Images(images.to(torch.uint8), {"name": "three"}, torch.arange(30), extras=extras), which


def test_pixels_of_one_color_have_one_label_in_all_images(patches):
    images, which = patches
    maps = segmented(images, 3).extras["maps"]
    assert maps.shape == (30, 16, 16)
    assert maps.dtype == torch.uint8
    names = [maps[which == color].unique().tolist() for color in range(3)]
    assert sorted(names) == [[0], [1], [2]]


def test_the_same_seed_gives_the_same_maps(patches):
    images, _ = patches
    first, again = (segmented(images, 6, seed=3).extras["maps"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, segmented(images, 6, seed=4).extras["maps"])


def test_labels_are_those_of_squares(patches):
    maps = segmented(patches[0], 6, coarse=4).extras["maps"]
    squares = maps.unflatten(1, (4, 4)).unflatten(3, (4, 4))
    assert torch.equal(squares, squares[:, :, :1, :, :1].expand_as(squares))


def test_everything_else_stays(patches):
    images = patches[0]
    found = segmented(images, 3)
    assert torch.equal(found.images, images.images)
    assert torch.equal(found.labels, images.labels)
    assert torch.equal(found.extras["counts"], images.extras["counts"])
    card = found.card()
    assert card["name"] == "three"
    assert "3 labels" in card["maps"]
    assert card["sha256"] != images.card()["sha256"]
    batch = found.batch(5)
    assert set(batch) == {"images", "labels", "counts", "maps"}


@pytest.mark.parametrize("changes", [{"kinds": 0}, {"kinds": 257}, {"coarse": 3}, {"coarse": 0}])
def test_what_cannot_be_is_refused(changes, patches):
    with pytest.raises(ValueError, match="kinds"):
        segmented(patches[0], **{"kinds": 3, **changes})


def test_a_palette_gives_other_images_labels_that_mean_the_same(patches):
    images, which = patches
    known = segmented(images.take(range(20)), 3)
    card = known.card()
    assert torch.equal(painted(images, card["palette"]).extras["maps"][:20], known.extras["maps"])
    # Twenty of the images show each color, so that the labels of all are those of the colors.
    maps = painted(images.take(range(20, 30)), card["palette"]).extras["maps"]
    for color in range(3):
        labels = known.extras["maps"][which[:20] == color].unique()
        assert torch.equal(maps[which[20:] == color].unique(), labels)


@pytest.mark.parametrize("palette", [[], [[0.5, 0.5]], [0.5, 0.5, 0.5], [[0.0] * 3] * 257])
def test_palettes_of_another_kind_are_refused(palette, patches):
    with pytest.raises(ValueError, match="palette"):
        painted(patches[0], palette)
