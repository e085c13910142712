"""`patches`: random squares of photographs, which a seed decides and nothing else."""

import numpy as np
import pytest
import torch
from making_pictures import photographs, ramp, smooth

from gandetect.gans.data import patches


def test_the_seed_decides(tmp_path):
    photographs(tmp_path)
    first, again, other = (
        patches(tmp_path, 16, per_photograph=5, seed=seed).images for seed in (1, 1, 2)
    )
    assert first.shape == (30, 3, 16, 16)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_photograph_more_leaves_the_others_squares_alone(tmp_path):
    photographs(tmp_path, 3)
    before = patches(tmp_path, 16, per_photograph=4)
    smooth(40, 40, seed=77).save(tmp_path / "another.png")
    after = patches(tmp_path, 16, per_photograph=4)
    kept = [number for number, source in enumerate(after.sources) if source != "another"]
    assert len(after) == 16
    assert torch.equal(after.images[kept], before.images)


def test_each_square_names_its_photograph(tmp_path):
    photographs(tmp_path, 3)
    found = patches(tmp_path, 16, per_photograph=2)
    assert found.sources == ("photo0", "photo0", "photo1", "photo1", "photo2", "photo2")


def cut_sides(images, size):
    """The side of the square that each image of a `ramp` was cut from, and whether mirrored."""
    columns = images[:, 0].float().mean(dim=1)
    rise = (columns[:, -3] - columns[:, 2]) / (size - 5) * size
    rows = images[:, 1].float().mean(dim=2)
    fall = (rows[:, -3] - rows[:, 2]) / (size - 5) * size
    torch.testing.assert_close(rise.abs(), fall, atol=1.0, rtol=0)
    return fall.numpy(), (rise < 0).numpy()


def test_squares_cover_the_share_that_is_asked_for(tmp_path):
    ramp(256, 200).save(tmp_path / "a.png")
    found = patches(tmp_path, 32, per_photograph=200, share=(0.4, 0.9))
    sides, mirrored = cut_sides(found.images, 32)
    assert sides.min() > 0.4 * 200 - 2
    assert sides.max() < 0.9 * 200 + 2
    # Log-uniform: half of them are below the geometric mean.
    assert 0.4 < np.mean(sides < np.sqrt(0.4 * 0.9) * 200) < 0.6
    assert 0.4 < mirrored.mean() < 0.6
    assert len(found.images.unique(dim=0)) == 200


def test_squares_come_from_everywhere(tmp_path):
    ramp(256, 200).save(tmp_path / "a.png")
    images = patches(tmp_path, 32, per_photograph=200, share=(0.3, 0.3), mirror=False).images
    left, top = images[:, 0, 16, 0].float(), images[:, 1, 0, 16].float()
    assert left.min() < 15
    assert left.max() > 256 - 60 - 15
    assert top.min() < 15
    assert top.max() > 200 - 60 - 15


def test_nothing_is_enlarged_and_the_least_factor_holds(tmp_path):
    ramp(256, 100).save(tmp_path / "a.png")
    small = patches(tmp_path, 64, per_photograph=50, mirror=False)
    sides, mirrored = cut_sides(small.images, 64)
    assert sides.min() > 63
    assert not mirrored.any()
    halved = patches(tmp_path, 32, per_photograph=50, least_factor=2)
    assert cut_sides(halved.images, 32)[0].min() > 63
    with pytest.raises(ValueError, match="256 x 100 pixels; want at least 128"):
        patches(tmp_path, 64, per_photograph=1, least_factor=2)


def test_photographs_of_one_size_are_cut_at_places_of_their_own(tmp_path):
    ramp(256, 200).save(tmp_path / "a.png")
    other = ramp(256, 200)
    other.putpixel((0, 0), (1, 1, 1))
    other.save(tmp_path / "b.png")
    images = patches(tmp_path, 32, per_photograph=4).images
    assert not torch.equal(images[:4], images[4:])


def test_what_cannot_be_cut_is_refused(tmp_path):
    photographs(tmp_path)
    for wrong in ({"share": (0.5, 0.2)}, {"share": (0, 1)}, {"least_factor": 0.5}, {"size": 0}):
        options = {"size": 16, "per_photograph": 2, **wrong}
        with pytest.raises(ValueError, match=next(iter(wrong))):
            patches(tmp_path, **options)
    with pytest.raises(ValueError, match="0 crops"):
        patches(tmp_path, 16, per_photograph=0)
