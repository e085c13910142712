"""An image depends on the model, its seed and its number, and on nothing else."""

from dataclasses import replace

import pytest
import torch
from tiny_runs import tiny, tiny_images
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from gandetect.gans import MODELS, model_class, preset, sample
from gandetect.gans.dcgan import DCGAN
from gandetect.gans.sampling import grid, interpolated, latents_of, to_uint8
from gandetect.gans.training import Trainer

# Those that make an image of nothing but an image.
WITHOUT_LATENTS = ("cyclegan", "unet")
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
WITH_LATENTS = [name for name in MODELS if name not in WITHOUT_LATENTS]


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


def untrained(name, **changes):
    """The `smoke` preset, of three classes where it can be, with weights that draw contrasts."""
    config = preset(name, "smoke")
    given = {"classes": 3} if hasattr(config, "classes") else {}
    # A value after the other takes its time.
    given |= {"size": 8} if name.startswith("pixel") else {}
    model = model_class(name)(replace(config, **given, **changes)).requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight)
        elif isinstance(layer, LAYERS) and not is_parametrized(layer):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            # What it sees next is all it knows.
            layer.momentum = None
    model.at_step(model.config.steps)
    model.train().draw(model.latents(32), **conditions(model, [0, 1, 2, 0] * 8))
    return model.eval()


def conditions(model, kinds):
    """What `draw` is asked with: an image of each of `kinds`, 0 to 2."""
    kinds, size = torch.tensor(kinds), model.config.size
    stripes = (torch.arange(size) // 4 + kinds[:, None]) % 3
    known = {
        "counts": {"counts": torch.eye(3, dtype=torch.int64)[kinds]},
        "maps": {"maps": stripes[:, None].expand(-1, size, -1)},
    }
    of_classes = {"labels": kinds} if hasattr(model.config, "classes") else {}
    return known.get(model.learns_from, of_classes)


def apart(first, second):
    """How many gray levels; arithmetic differs a little with the company of an image."""
    return int((first.int() - second.int()).abs().max())


@pytest.mark.parametrize("name", WITH_LATENTS)
def test_ways_of_every_model_begin_and_end_with_its_samples(name):
    model = untrained(name)
    found = interpolated(model, 2, 3, seed=2, **conditions(model, [2, 0]))
    ends = sample(model, 4, seed=2, **conditions(model, [2, 2, 0, 0]))
    assert apart(found[[0, 2, 3, 5]], ends) <= 1
    pairs = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)]
    assert min(apart(found[a], found[b]) for a, b in pairs) > 20


@pytest.mark.parametrize("name", ["sngan", "biggan", "cvae", "vqvae2", "gaugan", "mc2-stylegan2"])
def test_each_way_has_conditions_of_its_own(name):
    model = untrained(name)
    both, firsts, seconds = (
        interpolated(model, 2, 3, **conditions(model, kinds)) for kinds in ([2, 1], [2, 2], [1, 1])
    )
    assert apart(both[:3], firsts[:3]) == apart(both[3:], seconds[3:]) == 0
    assert min(apart(a, b) for a, b in zip(firsts, seconds, strict=True)) > 20


def noisy(name):
    model = untrained(name)
    for layer in model.modules():
        if hasattr(layer, "strength"):
            nn.init.ones_(layer.strength)
    return model


STYLED = ["stylegan", "stylegan2", "mc2-stylegan2"]


@pytest.mark.parametrize("name", STYLED)
def test_ways_begin_with_samples_where_there_is_noise(name):
    model = noisy(name)
    found = interpolated(model, 18, 2, seed=2, **conditions(model, [2, 1] * 9))
    samples = sample(model, 36, seed=2, **conditions(model, [2, 2, 1, 1] * 9))
    assert torch.equal(found[0::2], samples[0::2])


@pytest.mark.parametrize("name", STYLED)
def test_all_of_a_way_have_the_same_noise(name, monkeypatch):
    model = noisy(name)
    alike = model.latents(1)
    monkeypatch.setattr(model, "latents", lambda count, rng=None: alike.expand(count, -1))
    ways = interpolated(model, 2, 3, **conditions(model, [1, 1])).unflatten(0, (2, 3))
    assert torch.equal(ways, ways[:, :1].expand_as(ways))
    assert apart(*ways[:, 0]) > 20


@pytest.mark.parametrize(
    ("name", "least"), [("pixelcnn", 0), ("pixelrnn", 0), ("vqvae2", 0), ("gan", -1)]
)
def test_uniform_latents_stay_within_their_bounds(name, least):
    model = untrained(name)
    first, second = (torch.cat([latents_of(model, seed, i) for i in range(8)]) for seed in (0, 1))
    assert least <= first.min() < least + 0.05 < 0.95 < first.max() <= 1
    for share in (0.0, 0.25, 0.5, 0.9, 1.0):
        found = model.between(first, second, share)
        assert least <= found.min() < found.max() <= 1
        torch.testing.assert_close(found, first + share * (second - first))


@pytest.mark.parametrize("name", WITHOUT_LATENTS)
def test_latents_are_refused_where_images_follow_from_sources(name):
    with pytest.raises(ValueError, match="latent=8"):
        replace(preset(name, "smoke"), latent=8)


@pytest.mark.parametrize(
    ("name", "changes"), [("cyclegan", {}), ("unet", {}), ("gaugan", {"latent": 0})]
)
def test_there_are_no_ways_where_there_are_no_latents(name, changes):
    model = model_class(name)(replace(preset(name, "smoke"), **changes)).eval()
    assert model.latents(2).shape == (2, 0)
    with pytest.raises(ValueError, match=f"{name} has no latents"):
        interpolated(model, 2, 3)
