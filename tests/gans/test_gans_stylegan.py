"""StyleGAN: what adaptive norms promise, and where styles and noise enter."""

import math
from dataclasses import replace

import pytest
import torch
from equalized_layers import gains
from torch.nn import functional as F

from gandetect.gans import UP, Images, Settings, Trainer, preset, sample
from gandetect.gans.distances import distances
from gandetect.gans.equalized import equalized_up_conv
from gandetect.gans.stylegan import AdaptiveNorm, Epilogue, StyleGAN, StyleGANConfig

SMOKE = preset("stylegan", "smoke")
TINY = replace(SMOKE, size=16, widths=(8, 8, 8), styles=8, latent=8, batch=4)


def images_of(size, count=16):
    rng = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 3, 4, 4, generator=rng)
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear")
    return Images((255 * smooth).to(torch.uint8), {"name": "smooth", "source": "random numbers"})


def test_adaptive_norms_give_the_moments_that_the_styles_ask_for():
    norm, w = AdaptiveNorm(6, 5), torch.randn(3, 5)
    y = norm(4 * torch.randn(3, 6, 8, 8) + 2, w)
    torch.testing.assert_close(y.mean(dim=(2, 3)), norm.shift(w), atol=1e-5, rtol=0)
    deviation = y.std(dim=(2, 3), correction=0)
    torch.testing.assert_close(deviation, norm.scale(w).abs(), atol=1e-5, rtol=1e-5)


def test_adaptive_norms_start_as_instance_norms():
    norm, x = AdaptiveNorm(6, 5), torch.randn(3, 6, 8, 8)
    wanted = F.instance_norm(x, eps=1e-8)
    torch.testing.assert_close(norm(x, torch.zeros(3, 5)), wanted)


def test_one_map_of_noise_is_added_to_all_channels_with_strengths_of_their_own():
    layer, x, w = Epilogue(4, 3), torch.randn(2, 4, 6, 6), torch.randn(2, 3)
    noise = torch.randn(2, 1, 6, 6)
    assert torch.equal(layer(x, w, noise), layer(x, w, 9 * noise))
    torch.nn.init.normal_(layer.strength)
    torch.nn.init.normal_(layer.bias)
    inner = x + layer.strength[:, None, None] * noise + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w, noise), layer.norm(F.leaky_relu(inner, 0.2), w))


def test_without_strength_nothing_is_random():
    model, z = StyleGAN(TINY).eval(), torch.randn(2, 8)
    assert torch.equal(model.draw(z), model.draw(z))
    for layer in model.modules():
        if isinstance(layer, Epilogue):
            torch.nn.init.ones_(layer.strength)
    assert not torch.equal(model.draw(z), model.draw(z))
    assert torch.equal(sample(model, 3, seed=1), sample(model, 3, seed=1))


def test_styles_change_nothing_before_their_layer():
    synthesis, kept = StyleGAN(TINY).generator.synthesis, {}
    for number, layer in enumerate(synthesis.epilogues):
        layer.register_forward_hook(lambda module, given, y, at=number: kept.update({at: y}))
    assert TINY.layers == len(synthesis.epilogues) == 6
    w, noise = torch.randn(2, 6, 8), [torch.randn(2, 1, s, s) for s in synthesis.noise_sides]
    synthesis.synthesized(w, noise)
    before = dict(kept)
    for changed in range(6):
        other = w.clone()
        other[:, changed:] += 1
        synthesis.synthesized(other, noise)
        same = [torch.equal(kept[at], before[at]) for at in range(6)]
        assert same == [at < changed for at in range(6)]


def test_without_truncation_left_all_images_are_the_mean_image():
    model = StyleGAN(TINY).eval()
    model.generator.mapping.mean.normal_()
    drawn = model.draw(model.latents(3), truncation=0)
    torch.testing.assert_close(drawn, drawn[:1].expand(3, -1, -1, -1))
    assert model.draw(model.latents(3), truncation=1).std(dim=0).mean() > 1e-3


def test_bilinear_before_is_nearest_before_and_a_blur_after():
    """The paper's order and ours, away from the border."""
    layer, x = equalized_up_conv(3, 4, "bilinear", bias=False), torch.randn(2, 3, 6, 6)
    y = F.conv2d(F.interpolate(x, scale_factor=2), layer.weight, padding=1)
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    blur = torch.outer(taps, taps).expand(4, 1, 3, 3)
    wanted = F.conv2d(y, blur, padding=1, groups=4)[..., 2:-2, 2:-2]
    torch.testing.assert_close(layer(x)[..., 2:-2, 2:-2], wanted, atol=1e-5, rtol=1e-5)


def test_r1_is_half_the_squared_slope_times_what_was_skipped():
    model, images = StyleGAN(replace(TINY, r1=3.0, r1_every=5)), torch.randn(4, 3, 16, 16)
    x = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model.discriminator(x).sum(), x)
    wanted = 5 * 3 / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(model.r1_terms({"images": images})["loss"], wanted)


def test_all_weights_of_the_discriminator_are_equalized():
    found = gains(StyleGAN(preset("stylegan")).discriminator)
    assert len(found) == 1 + 4 * 2 + 3
    wanted = dict.fromkeys(found, math.sqrt(2))
    assert found == pytest.approx({**wanted, list(found)[-1]: 1}, rel=1e-4)


@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(up):
    model = StyleGAN(replace(TINY, up=up))
    model.generator_terms({"images": torch.zeros(4, 3, 16, 16)})["loss"].backward()
    for name, one in model.generator.named_parameters():
        assert one.grad.isfinite().all(), name
        assert one.grad.abs().sum() > 0, name
    images = model.eval().draw(model.latents(2))
    assert images.shape == (2, 3, 16, 16)
    assert -1 <= images.min() < images.max() <= 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(precision):
    trainer = Trainer("stylegan", TINY, images_of(16), settings=Settings(precision=precision))
    before = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
    for _ in range(3):
        terms = trainer.iterate()
        assert all(math.isfinite(value) for value in terms.values())
    still = [k for k, v in trainer.model.named_parameters() if torch.equal(v, before[k])]
    assert still == []


def test_resumed_equals_uninterrupted():
    config, data = replace(TINY, size=8, widths=(4, 4)), images_of(8)
    whole, first, second = (Trainer("stylegan", config, data, seed=3) for _ in range(3))
    for trainer, count in ((whole, 3), (first, 2)):
        for _ in range(count):
            trainer.iterate()
    second.restore(first.checkpoint())
    second.iterate()
    wanted, found = whole.checkpoint(), second.checkpoint()
    assert wanted.tensors.keys() == found.tensors.keys()
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name


def test_smoke_learns(labeled_images):
    trainer = Trainer("stylegan", SMOKE, labeled_images)
    trainer.iterate()
    begun = distances(sample(trainer.averaged(), 48), labeled_images.images).frechet
    for _ in range(59):
        trainer.iterate()
    found = sample(trainer.averaged(), 48)
    assert distances(found, labeled_images.images).frechet < 0.75 * begun


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 32}, "pixels"),
        ({"widths": (4096,) * 5}, "widths"),
        ({"styles": 10_000}, "styles"),
        ({"mapping": 1000}, "styles"),
        ({"truncation": math.nan}, "truncation"),
        ({"r1_every": 0}, "r1_every"),
        ({"up": "fir"}, "up"),
    ],
)
def test_refusals(changes, told):
    with pytest.raises(ValueError, match=told):
        StyleGANConfig(**changes)
