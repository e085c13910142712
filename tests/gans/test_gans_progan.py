"""ProGAN: growing changes nothing at once, and both players grow alike."""

import math
from dataclasses import replace

import pytest
import torch
from equalized_layers import gains
from torch.nn import functional as F

from gandetect.gans import UP, Images, Settings, Trainer, preset, sample
from gandetect.gans.distances import distances
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


def test_all_weights_are_equalized():
    """Gains of √2 before what leaks, 1 for images and logits; the first is the paper's code's."""
    model = ProGAN(preset("progan"))
    found = gains(model.generator)
    assert len(found) == 2 + 4 * 2 + 5
    wanted = {name: 1 if name.startswith("images.") else math.sqrt(2) for name in found}
    assert found == pytest.approx({**wanted, "first.1": math.sqrt(2) / 4}, rel=1e-4)
    found = gains(model.discriminator)
    assert len(found) == 5 + 4 * 2 + 3
    wanted = dict.fromkeys(found, math.sqrt(2))
    assert found == pytest.approx({**wanted, "last.6": 1}, rel=1e-4)


def test_the_discriminator_and_its_penalty_are_given_faded_real_images():
    model, images, seen = grown(ProGAN(TINY), 1, 0.3), torch.randn(4, 3, 16, 16), []
    model.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    model.discriminator_terms({"images": images})
    real, generated, between, drifting = seen
    faded = model.shrunk(images)
    assert not torch.allclose(faded, F.avg_pool2d(images, 2), atol=0.1)
    assert torch.equal(real, faded)
    assert torch.equal(drifting, faded)
    way = (faded - generated).flatten(1)
    share = ((between - generated).flatten(1) * way).sum(dim=1) / way.square().sum(dim=1)
    assert ((share > 0) & (share < 1)).all()
    torch.testing.assert_close(between, generated + share[:, None, None, None] * way.view_as(faded))


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


def squares(count=48, size=32):
    """A square of random bright color, side and place on gray."""
    rng = torch.Generator().manual_seed(7)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    center = torch.randint(6, size - 6, (count, 2, 1, 1), generator=rng)
    reach = torch.randint(3, 7, (count, 1, 1), generator=rng)
    inside = ((y - center[:, 0]).abs().maximum((x - center[:, 1]).abs()) <= reach)[:, None]
    images = 0.4 + 0.6 * inside * torch.rand(count, 3, 1, 1, generator=rng)
    return Images((255 * images).to(torch.uint8), {"name": "squares", "source": "random numbers"})


def test_smoke_learns_at_full_size():
    """Nearer than the first samples, and than the whole networks without any training or with that
    up to 16x16. The 70 iterations of the preset are too few to come nearer than the blurred mean,
    and whether they come nearer than noise is up to the seed.
    """
    data = squares()
    trainer, found = Trainer("progan", SMOKE, data), {}

    def look(name, *, whole=False):
        model = trainer.averaged()
        if whole:
            model.at_step(SMOKE.steps)
        found[name] = distances(sample(model, 48), data.images).frechet

    look("untrained", whole=True)
    for step in range(1, SMOKE.steps + 1):
        trainer.iterate()
        if step == 1:
            look("first samples")
        # Here the last doubling begins.
        if trainer.model.restarts(step) and SMOKE.grown(step)[0] == 3:
            look("trained up to 16x16", whole=True)
    assert (trainer.model.generator.doublings, trainer.model.generator.t) == (3, 1)
    look("trained")
    trained = found.pop("trained")
    assert len(found) == 3
    assert trained < 0.5 * min(found.values()), (trained, found)


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
