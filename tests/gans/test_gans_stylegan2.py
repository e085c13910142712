"""StyleGAN2: paths from styles to images, lazy penalties, and every up-sampling under both."""

import math
from dataclasses import replace

import pytest
import torch
from equalized_layers import gains
from torch import nn
from torch.nn import functional as F

from gandetect.gans import Images, Settings, Trainer, preset, sample, stylegan2
from gandetect.gans.checkpoints import Checkpoint
from gandetect.gans.config import Config
from gandetect.gans.distances import distances
from gandetect.gans.inference import for_inference
from gandetect.gans.modulation import UPS, SkipUp, fir_kernel
from gandetect.gans.stylegan2 import (
    DownBlock,
    StyleGAN2,
    StyleGAN2Config,
    Synthesis,
    path_lengths,
)

SMOKE = preset("stylegan2", "smoke")
TINY = replace(SMOKE, size=16, widths=(8, 8, 8), styles=8, latent=8, batch=4)


def images_of(size, count=24):
    """Smooth random images."""
    rng = torch.Generator().manual_seed(5)
    coarse = torch.rand(count, 3, 4, 4, generator=rng)
    smooth = F.interpolate(coarse, size=(size, size), mode="bilinear")
    return Images((255 * smooth).to(torch.uint8), {"name": "smooth", "source": "random numbers"})


def test_the_number_of_styles():
    assert preset("stylegan2").layers == 10
    model = StyleGAN2(TINY)
    w = model.generator.styles(model.latents(3))
    assert w.shape == (3, 6, 8)
    seen = []
    for layer in model.generator.synthesis.modules():
        if hasattr(layer, "affine"):
            layer.affine.register_forward_hook(lambda module, given, y: seen.append(given[0]))
    marked = torch.arange(6.0)[:, None].expand(3, 6, 8)
    model.generator.synthesis(marked)
    assert [int(one[0, 0]) for one in seen] == [0, 1, 1, 2, 3, 3, 4, 5]


def test_styles_change_nothing_before_their_layer():
    """Features bit by bit; the image of a resolution has the styles of the layer after it."""
    synthesis = StyleGAN2(TINY).generator.synthesis
    convolutions = [synthesis.first]
    for block in synthesis.blocks:
        convolutions += [block.enlarge, block.conv]
    kept = {}
    for number, layer in enumerate(convolutions):
        layer.register_forward_hook(lambda module, given, y, at=number: kept.update({at: y}))
    w, noise = torch.randn(2, 6, 8), [torch.randn(2, 1, s, s) for s in synthesis.noise_sides]
    synthesis.synthesized(w, noise)
    before = dict(kept)
    for changed in range(5):
        other = w.clone()
        other[:, changed:] += 1
        synthesis.synthesized(other, noise)
        same = [torch.equal(kept[at], before[at]) for at in range(5)]
        assert same == [at < changed for at in range(5)]


def test_the_image_is_the_sum_of_what_each_resolution_adds():
    config = replace(TINY, up="nearest", widths=(8, 8), size=8)
    synthesis = Synthesis(config).eval()
    w, noise = torch.randn(2, 4, 8), [torch.randn(2, 1, s, s) for s in synthesis.noise_sides]
    images = synthesis.synthesized(w, noise)
    x = synthesis.first(synthesis.constant.expand(2, -1, -1, -1), w[:, 0], noise[0])
    low = synthesis.image(x, w[:, 1])
    block = synthesis.blocks[0]
    x = block.conv(block.enlarge(x, w[:, 1], noise[1]), w[:, 2], noise[2])
    wanted = F.interpolate(low, scale_factor=2) + block.image(x, w[:, 3])
    torch.testing.assert_close(images, wanted)


def test_a_down_block_filters_before_it_leaves_pixels_out():
    block, x = DownBlock(3, 5), torch.randn(2, 3, 8, 8)
    kernel = fir_kernel(3)
    assert kernel[0].sum() == 1
    torch.testing.assert_close(kernel[0, 0, 0] * 64, torch.tensor([1.0, 3.0, 3.0, 1.0]))
    h = F.leaky_relu(F.conv2d(x, block.conv.weight, block.conv.bias, padding=1), 0.2)
    h = F.conv2d(F.pad(h, (2, 2, 2, 2)), kernel, groups=3)
    h = F.leaky_relu(F.conv2d(h, block.halve.weight, block.halve.bias, stride=2), 0.2)
    short = F.conv2d(F.pad(x, (1, 1, 1, 1)), kernel, groups=3)[..., ::2, ::2]
    wanted = (h + F.conv2d(short, block.shortcut.weight)) / math.sqrt(2)
    torch.testing.assert_close(block(x), wanted, atol=1e-5, rtol=1e-5)


def test_all_weights_of_the_discriminator_are_equalized():
    found = gains(StyleGAN2(preset("stylegan2")).discriminator)
    assert len(found) == 1 + 4 * 3 + 3
    plain = [name for name in found if name == "head" or name.endswith("shortcut")]
    assert len(plain) == 5
    wanted = {name: 1 if name in plain else math.sqrt(2) for name in found}
    assert found == pytest.approx(wanted, rel=1e-4)


def test_path_lengths_of_a_linear_generator_are_its_frobenius_norm():
    """E ‖Aᵀy‖² = ‖A‖² / (HW); with the same A for each of two layers its mean is ‖A‖²."""
    matrix, count = torch.randn(3 * 4 * 4, 5), 20_000
    w = torch.randn(count, 2, 5, requires_grad=True)
    images = (w.sum(dim=1) @ matrix.T).view(count, 3, 4, 4)
    found = path_lengths(images, w).square().mean()
    assert float(found) == pytest.approx(float(matrix.square().sum()) / 16, rel=0.03)


def test_path_lengths_are_held_at_their_running_mean():
    model = StyleGAN2(TINY)
    batch, means = {"images": torch.zeros(4, 3, 16, 16)}, [0.0]
    for _ in range(3):
        terms = model.path_terms(batch)
        wanted = means[-1] + 0.01 * (float(terms["length"].detach()) - means[-1])
        assert float(model.path_mean) == pytest.approx(wanted, rel=1e-5)
        assert float(terms["loss"].detach()) == pytest.approx(
            8 * float(terms["penalty"].detach()), rel=1e-5
        )
        means.append(float(model.path_mean))
    assert float(terms["penalty"].detach()) == pytest.approx(
        float(terms["length"].detach()) ** 2, rel=0.6
    )


@pytest.mark.parametrize(("batch", "half"), [(4, 2), (7, 3), (1, 1)])
def test_path_lengths_are_taken_of_half_a_batch(batch, half, monkeypatch):
    seen = []

    def noted(images, w):
        seen.append((len(images), tuple(w.shape), path_lengths(images, w)))
        return seen[-1][2]

    monkeypatch.setattr(stylegan2, "path_lengths", noted)
    terms = StyleGAN2(TINY).path_terms({"images": torch.zeros(batch, 3, 16, 16)})
    ((images, shape, lengths),) = seen
    assert (images, shape, len(lengths)) == (half, (half, 6, 8), half)
    torch.testing.assert_close(terms["length"], lengths.mean())


@pytest.mark.parametrize("up", UPS)
def test_both_penalties_have_gradients_through_every_up_sampling(up):
    """And all the rest too: the adversarial loss reaches every weight of the generator."""
    model, batch = StyleGAN2(replace(TINY, up=up)), {"images": torch.randn(4, 3, 16, 16)}
    model.path_terms(batch)["loss"].backward()
    slopes = {k: v.grad for k, v in model.generator.named_parameters()}
    within = [v for k, v in slopes.items() if k.endswith("conv.weight") and "skip" not in k]
    assert len(within) == 5
    assert all(v.isfinite().all() and v.abs().sum() > 0 for v in within)
    model.zero_grad()
    model.r1_terms(batch)["loss"].backward()
    convolutions = [m for m in model.discriminator.modules() if isinstance(m, nn.Conv2d)]
    for layer in convolutions:
        slope = layer.parametrizations.weight.original.grad
        assert slope.isfinite().all()
        assert slope.abs().sum() > 0
    model.zero_grad()
    model.generator_terms(batch)["loss"].backward()
    for name, one in model.generator.named_parameters():
        assert one.grad.isfinite().all(), name
        assert one.grad.abs().sum() > 0, name


@pytest.mark.parametrize("up", UPS)
def test_every_up_sampler_draws(up):
    model = StyleGAN2(replace(TINY, up=up)).eval()
    images = model.draw(model.latents(3))
    assert images.shape == (3, 3, 16, 16)
    assert -1 <= images.min() < images.max() <= 1


def test_the_last_up_sampling_may_differ():
    model = StyleGAN2(replace(TINY, up_last="pixel_shuffle"))
    blocks = model.generator.synthesis.blocks
    assert [one.enlarge.conv.up for one in blocks] == ["fir", "pixel_shuffle"]
    assert [one.up for one in model.modules() if isinstance(one, SkipUp)] == [
        "fir",
        "pixel_shuffle",
    ]


def test_penalties_are_lazy_and_rates_make_up_for_it():
    model = StyleGAN2(TINY)
    due = [[one.name for one in model.phases() if one.is_due(step)] for step in (0, 1, 4, 16)]
    both = ["discriminator", "generator"]
    assert due == [
        ["discriminator", "r1", "generator", "path"],
        both,
        [*both, "path"],
        ["discriminator", "r1", "generator", "path"],
    ]
    judge, maker = (model.players()[name] for name in both)
    assert judge.rate == pytest.approx(5e-3 * 16 / 17)
    assert judge.betas == pytest.approx((0, 0.99 ** (16 / 17)))
    assert maker.rate == pytest.approx(5e-3 * 4 / 5)
    assert maker.betas == pytest.approx((0, 0.99 ** (4 / 5)))


def test_without_penalties_there_are_two_phases():
    model = StyleGAN2(replace(TINY, r1=0.0, path=0.0))
    assert [one.name for one in model.phases()] == ["discriminator", "generator"]
    assert {one.rate for one in model.players().values()} == {5e-3}


def test_without_truncation_left_all_images_are_the_mean_image():
    model = StyleGAN2(TINY).eval()
    model.generator.mapping.mean.normal_()
    drawn = model.draw(model.latents(3), truncation=0)
    torch.testing.assert_close(drawn, drawn[:1].expand(3, -1, -1, -1))
    assert model.draw(model.latents(3), truncation=1).std(dim=0).mean() > 1e-3


def test_the_presets_truncate_by_seven_tenths():
    assert preset("stylegan2", "run").truncation == SMOKE.truncation == 0.7


@pytest.mark.parametrize("truncation", [0.7, 0.4])
def test_samples_have_styles_truncated_as_the_configuration_says(truncation):
    model = StyleGAN2(replace(TINY, truncation=truncation)).eval()
    generator = model.generator
    generator.mapping.mean.normal_()
    for layer in model.modules():
        if hasattr(layer, "strength"):
            nn.init.ones_(layer.strength)
    z, mean = model.latents(3), generator.mapping.mean
    w = (mean + truncation * (generator.mapping(z) - mean))[:, None].expand(-1, 6, -1)

    def seeded(images, *given, **options):
        torch.manual_seed(1)
        return images(*given, **options)

    drawn = seeded(model.draw, z)
    assert torch.equal(drawn, seeded(model.draw, z, truncation=truncation))
    assert (drawn - seeded(model.draw, z, truncation=1.0)).abs().max() > 0.1
    wanted = seeded(generator.synthesis, w).clamp(-1, 1)
    torch.testing.assert_close(drawn, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("up", UPS)
def test_a_copy_for_inference_draws_the_same(up):
    model = StyleGAN2(replace(TINY, up=up)).eval()
    for layer in model.modules():
        if hasattr(layer, "strength"):
            torch.nn.init.ones_(layer.strength)
    fast, z = for_inference(model), model.latents(3)
    drawn = []
    for one in (model, fast):
        torch.manual_seed(1)
        with torch.inference_mode():
            drawn.append(one.draw(z))
    torch.testing.assert_close(drawn[1], drawn[0], atol=1e-5, rtol=0)


def test_noise_comes_in_with_its_strength_and_is_of_the_seed():
    model, z = StyleGAN2(TINY).eval(), torch.randn(2, 8)
    assert torch.equal(model.draw(z), model.draw(z))
    for layer in model.modules():
        if hasattr(layer, "strength"):
            torch.nn.init.ones_(layer.strength)
    assert not torch.equal(model.draw(z), model.draw(z))
    assert torch.equal(sample(model, 3, seed=1), sample(model, 3, seed=1))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(precision):
    trainer = Trainer("stylegan2", TINY, images_of(16), settings=Settings(precision=precision))
    before = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
    for _ in range(3):
        terms = trainer.iterate()
        assert all(math.isfinite(value) for value in terms.values())
    still = [k for k, v in trainer.model.named_parameters() if torch.equal(v, before[k])]
    assert still == []
    assert len(sample(trainer.averaged(), 3).unique()) > 1


def test_resumed_equals_uninterrupted():
    data = images_of(16)
    whole, first, second = (Trainer("stylegan2", TINY, data, seed=3) for _ in range(3))
    for trainer, count in ((whole, 3), (first, 2)):
        for _ in range(count):
            trainer.iterate()
    second.restore(first.checkpoint())
    second.iterate()
    wanted, found = whole.checkpoint(), second.checkpoint()
    assert isinstance(found, Checkpoint)
    assert wanted.tensors.keys() == found.tensors.keys()
    assert "weights.path_mean" in found.tensors
    assert "average.generator.mapping.mean" in found.tensors
    for name, tensor in wanted.tensors.items():
        assert torch.equal(tensor, found.tensors[name]), name


def test_smoke_learns(labeled_images):
    trainer = Trainer("stylegan2", SMOKE, labeled_images)
    trainer.iterate()
    begun = distances(sample(trainer.averaged(), 48), labeled_images.images).frechet
    for _ in range(39):
        trainer.iterate()
    assert distances(sample(trainer.averaged(), 48), labeled_images.images).frechet < begun / 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 32}, "pixels"),
        ({"widths": (8,), "size": 4}, "8 or more"),
        ({"widths": (4096,) * 5}, "widths"),
        ({"styles": 10_000}, "styles"),
        ({"mapping": 0}, "mapping"),
        ({"mapping": 1000}, "styles"),
        ({"mixing": 1.5}, "mixing"),
        ({"truncation": 3.0}, "truncation"),
        ({"mean_decay": 1.5}, "mean_decay"),
        ({"r1_every": 0}, "r1_every"),
        ({"path_every": 0}, "path_every"),
        ({"path_decay": 2.0}, "path_decay"),
        ({"path": -1.0}, "path"),
        ({"up": "lanczos"}, "fir"),
        ({"up_last": "lanczos"}, "up_last"),
    ],
)
def test_refusals(changes, told):
    with pytest.raises(ValueError, match=told):
        StyleGAN2Config(**changes)


def test_the_models_own_up_sampling_is_no_other_models():
    with pytest.raises(ValueError, match="up"):
        Config(up="fir")
    card = StyleGAN2Config(up="nearest", up_last="fir").to_dict()
    assert StyleGAN2Config.from_dict(card).last == "fir"


@pytest.mark.parametrize("truncation", [-0.1, 3.0, math.nan])
def test_truncations_that_make_no_sense_are_refused(truncation):
    model = StyleGAN2(TINY)
    with pytest.raises(ValueError, match="truncation"):
        model.draw(model.latents(1), truncation=truncation)
    with pytest.raises(ValueError, match="no conditions"):
        model.draw(model.latents(1), labels=1)


def test_the_spectral_discriminator_has_an_r1_of_its_own():
    model = StyleGAN2(replace(TINY, spectral="discriminator", r1_every=4))
    (phase,) = [one for one in model.phases() if one.name == "spectral_r1"]
    assert (phase.player, phase.every) == ("spectral_discriminator", 4)
    terms = phase.terms({"images": torch.rand(4, 3, 16, 16)})
    assert terms["loss"].item() == pytest.approx(4 * model.config.r1 * terms["penalty"].item())
    terms["loss"].backward()
    assert any(
        one.grad.abs().sum() > 0
        for one in model.spectral_discriminator.parameters()
        if one.grad is not None
    )
    players = model.players()
    assert players["spectral_discriminator"].rate == players["discriminator"].rate
    assert [one.name for one in model.phases()][:4] == [
        "discriminator", "r1", "spectral", "spectral_r1",
    ]  # fmt: skip
