"""ProGAN: growing changes nothing at once, and both players grow alike."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from gandetect.gans import UP, Images, Settings, Trainer, preset, sample
from gandetect.gans.progan import ProGAN, ProGANConfig

SMOKE = preset("progan", "smoke")
TINY = replace(SMOKE, size=16, widths=(8, 8, 8), latent=8, batch=4, grow_every=1)


def images_of(size, count=16):
    rng = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 3, 4, 4, generator=rng)
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear")
    return Images((255 * smooth).to(torch.uint8), {"name": "smooth", "source": "random numbers"})


def grown(model, doublings, t=1.0):
    for network in (model.generator, model.discriminator):
        network.grow(doublings, t)
    return model


def test_the_schedule():
    config = replace(TINY, grow_every=4)
    found = [config.grown(step) for step in range(22)]
    rising = [0.0, 0.25, 0.5, 0.75]
    assert [one[0] for one in found] == [0] * 4 + [1] * 8 + [2] * 10
    assert [one[1] for one in found] == [1.0] * 4 + (rising + [1.0] * 4) * 2 + [1.0] * 2


def test_optimizers_start_afresh_where_a_resolution_begins():
    model = ProGAN(replace(TINY, grow_every=4))
    begun = [step for step in range(40) if model.restarts(step)]
    assert begun == [4, 12]
    assert set(model.restarts(4)) == set(model.players())


@pytest.mark.parametrize("doublings", [1, 2])
def test_fading_starts_at_the_smaller_network_and_ends_at_the_larger(doublings):
    model, z = ProGAN(TINY), torch.randn(4, 8)
    small, large = (grown(model, n).generator(z) for n in (doublings - 1, doublings))
    assert large.shape == (4, 3, 4 << doublings, 4 << doublings)
    up = F.interpolate(small, scale_factor=2)
    torch.testing.assert_close(grown(model, doublings, 0.0).generator(z), up)
    between = grown(model, doublings, 0.25).generator(z)
    torch.testing.assert_close(between, 0.75 * up + 0.25 * large, atol=1e-5, rtol=1e-5)
    near = grown(model, doublings, 1 - 1e-6).generator(z)
    torch.testing.assert_close(near, large, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("doublings", [1, 2])
def test_the_discriminator_fades_alike(doublings):
    model = ProGAN(TINY)
    images = torch.randn(4, 3, 4 << doublings, 4 << doublings)
    halved = F.avg_pool2d(images, 2)
    before = grown(model, doublings - 1).discriminator(halved)
    torch.testing.assert_close(grown(model, doublings, 0.0).discriminator(images), before)
    after = grown(model, doublings).discriminator(images)
    near = grown(model, doublings, 1 - 1e-6).discriminator(images)
    torch.testing.assert_close(near, after, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(before, after, atol=1e-3)


def test_real_images_are_faded_as_generated_ones_are():
    model, images = ProGAN(TINY), torch.randn(2, 3, 16, 16)
    assert torch.equal(model.shrunk(images), images)
    torch.testing.assert_close(grown(model, 0).shrunk(images), F.avg_pool2d(images, 4))
    half = F.avg_pool2d(images, 2)
    low = F.interpolate(F.avg_pool2d(images, 4), scale_factor=2)
    torch.testing.assert_close(grown(model, 1, 0.3).shrunk(images), 0.7 * low + 0.3 * half)


def test_what_a_level_does_not_use_is_not_trained():
    trainer = Trainer("progan", replace(TINY, grow_every=2), images_of(16))
    before = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
    trainer.iterate()
    moved = {k for k, v in trainer.model.named_parameters() if not torch.equal(v, before[k])}
    assert not [k for k in moved if ".blocks." in k]
    assert {k.split(".")[2] for k in moved if ".images." in k or ".features." in k} == {"0"}


@pytest.mark.parametrize("spectral", ["none", "loss"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(precision, spectral):
    config = replace(TINY, spectral=spectral)
    trainer = Trainer("progan", config, images_of(16), settings=Settings(precision=precision))
    before = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
    for step in range(6):
        terms = trainer.iterate()
        assert all(math.isfinite(value) for value in terms.values())
        images = sample(trainer.averaged(), 2)
        assert images.shape == (2, 3, 16, 16)
        side = 4 << config.grown(step)[0]
        assert torch.equal(images[..., :: 16 // side].repeat_interleave(16 // side, 3), images)
    still = [k for k, v in trainer.model.named_parameters() if torch.equal(v, before[k])]
    # What is added to every logit changes the drift alone, and that is next to nothing.
    assert set(still) <= {"discriminator.last.6.bias"}


@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(up):
    model = ProGAN(replace(TINY, up=up))
    model.generator_terms({"images": torch.zeros(4, 3, 16, 16)})["loss"].backward()
    for name, one in model.generator.named_parameters():
        if "images.0" not in name and "images.1" not in name:
            assert one.grad.isfinite().all(), name
            assert one.grad.abs().sum() > 0, name
    images = model.eval().draw(model.latents(2))
    assert images.shape == (2, 3, 16, 16)
    assert -1 <= images.min() < images.max() <= 1


def test_the_last_up_sampling_may_differ():
    model = ProGAN(replace(TINY, up_last="bilinear"))
    assert [block[0].mode for block in model.generator.blocks] == ["nearest", "bilinear"]


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_resumed_equals_uninterrupted(stop):
    """Also where the networks grow next, and in the middle of fading."""
    config, data = replace(TINY, grow_every=2, size=8, widths=(4, 4)), images_of(8)
    whole, first, second = (Trainer("progan", config, data, seed=3) for _ in range(3))
    for trainer, count in ((whole, stop + 1), (first, stop)):
        for _ in range(count):
            trainer.iterate()
    second.restore(first.checkpoint())
    second.iterate()
    wanted, found = whole.checkpoint(), second.checkpoint()
    assert wanted.tensors.keys() == found.tensors.keys()
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name


def test_the_penalty_has_a_drift():
    model, images = ProGAN(TINY), torch.randn(4, 3, 16, 16)
    torch.manual_seed(1)
    grown(model, 2)
    heavy = model.penalty(model.discriminator, images, -images)
    torch.manual_seed(1)
    model.config = replace(TINY, drift=0.0)
    light = model.penalty(model.discriminator, images, -images)
    wanted = 1e-3 * model.discriminator(images).square().mean()
    torch.testing.assert_close(heavy - light, wanted, atol=1e-5, rtol=1e-3)


def coarse_spread(images):
    """Deviations over the images of an 8x8 pixel's brightness."""
    return F.avg_pool2d(images.float() / 255, 8).std(dim=0)


def test_smoke_learns_how_much_images_differ(labeled_images):
    """From 4x4 on: copies of one image and images of noise are both far from it."""
    trainer = Trainer("progan", replace(SMOKE, grow_every=30), labeled_images)
    wanted, found = coarse_spread(labeled_images.images), []
    for count in (1, 59):
        for _ in range(count):
            trainer.iterate()
        spread = coarse_spread(sample(trainer.averaged(), 48))
        found.append(float((spread - wanted).abs().mean()))
    assert found[1] < 0.5 * found[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 32}, "pixels"),
        ({"widths": (8,), "size": 4}, "8 or more"),
        ({"widths": (4096,) * 5}, "widths"),
        ({"grow_every": 0}, "grow_every"),
        ({"drift": -1.0}, "drift"),
        ({"penalty_weight": math.inf}, "penalty_weight"),
        ({"spectral": "discriminator"}, "spectral"),
        ({"up": "fir"}, "up"),
    ],
)
def test_refusals(changes, told):
    with pytest.raises(ValueError, match=told):
        ProGANConfig(**changes)
