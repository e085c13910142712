"""An image depends on the model, its seed and its number, and on nothing else."""

import pytest
import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import sample
from gandetect.gans.dcgan import DCGAN
from gandetect.gans.sampling import grid, interpolated, to_uint8
from gandetect.gans.training import Trainer


@pytest.fixture(scope="module")
def model():
    trainer = Trainer("dcgan", tiny(), tiny_images())
    trainer.iterate()
    return trainer.averaged()


@pytest.mark.parametrize(("first", "count"), [(0, 1), (5, 40), (31, 2), (64, 6), (69, 1)])
def test_parts_are_the_whole(model, first, count):
    whole = sample(model, 70, seed=2)
    assert torch.equal(sample(model, count, seed=2, first=first), whole[first : first + count])


def test_images_of_a_seed_differ_and_so_do_seeds(model):
    images = sample(model, 40, seed=2)
    assert len(torch.unique(images.flatten(1), dim=0)) == 40
    assert not torch.equal(images, sample(model, 40, seed=3))


def test_values_are_rounded_not_cut():
    values = torch.tensor([-1.5, -1.0, 0.0, 0.5 / 127.5, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 128, 128, 255, 255]


def test_a_grid_has_a_line_between_images():
    images = torch.zeros(5, 1, 4, 4, dtype=torch.uint8)
    assert grid(images, columns=3).size == (14, 9)


@pytest.mark.parametrize(("count", "first"), [(0, 0), (1, -1)])
def test_nonsense_is_refused(model, count, first):
    with pytest.raises(ValueError, match=r"count=.*first="):
        sample(model, count, first=first)


def test_the_way_between_images_begins_and_ends_with_them(model):
    found = interpolated(model, 3, 5, seed=2)
    ends = torch.cat([sample(model, 1, seed=2, first=number) for number in range(6)])
    assert found.shape == (15, 3, 8, 8)
    assert torch.equal(found[0::5], ends[0::2])
    assert torch.equal(found[4::5], ends[1::2])
    assert len(torch.unique(found.flatten(1), dim=0)) == 15


def test_latents_on_the_way_keep_their_length():
    model = DCGAN(tiny())
    first, second = torch.randn(2, 5, 4, dtype=torch.float64).unbind()
    first, second = (one / one.norm(dim=1, keepdim=True) for one in (first, second))
    middle = model.between(first, second, 0.5)
    torch.testing.assert_close(middle.norm(dim=1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close((middle * first).sum(1), (middle * second).sum(1))
    torch.testing.assert_close(model.between(first, first, 0.3), first)


@pytest.mark.parametrize(("rows", "steps"), [(0, 2), (1, 1)])
def test_ways_that_lead_nowhere_are_refused(model, rows, steps):
    with pytest.raises(ValueError, match=r"rows=.*steps="):
        interpolated(model, rows, steps)
