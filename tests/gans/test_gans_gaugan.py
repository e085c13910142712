"""GauGAN: norms that follow the label map, and change nothing where the map does not."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from translations import drawn_logits, moved, resumed_is_the_same

from gandetect.gans import UP, Trainer, model_class, preset, sample
from gandetect.gans.distances import distances
from gandetect.gans.gaugan import GauGAN, GauGANConfig, divergence, feature_matching
from gandetect.gans.maps import segmented
from gandetect.gans.spade import Spade, SpadeBlock, layout_of
from gandetect.gans.spectral_norm import SpectralNorm

SMOKE = preset("gaugan", "smoke")
TINY = GauGANConfig(
    size=16, latent=3, kinds=4, widths=(4, 4), hidden=4, encoder_widths=(4,), d_width=4, d_downs=1,
    batch=4, steps=3, ema=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def painted(labeled_images):
    """The images of three colors with maps of four labels."""
    return segmented(labeled_images, 4)


@pytest.fixture
def batch(painted):
    found = painted.batch(4)
    return {**found, "images": found["images"].float() / 127.5 - 1}


def varied(module):
    """The module with modulations that are not almost nothing, as at the start."""
    for one in module.modules():
        if isinstance(one, Spade):
            nn.init.normal_(one.read[0].weight)
            nn.init.normal_(one.modulate.weight, std=0.2)
    return module


def test_spade_normalizes_and_then_takes_gain_and_bias_from_the_map():
    layer = varied(Spade(5, 3, 4))
    x, layout = torch.randn(4, 5, 6, 6), layout_of(torch.randint(3, (4, 6, 6)), 3, 6)
    gamma, beta = layer.modulation(layout)
    plain = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(layer(x, layout), plain * (1 + gamma) + beta)
    hidden = F.relu(F.conv2d(layout, layer.read[0].weight, layer.read[0].bias, padding=1))
    both = F.conv2d(hidden, layer.modulate.weight, layer.modulate.bias, padding=1)
    torch.testing.assert_close(torch.cat((gamma, beta), dim=1), both)
    assert [k for k, _ in layer.norm.named_parameters()] == []


@pytest.mark.parametrize("label", [0, 2])
def test_a_map_of_one_label_is_a_plain_affine_norm_inside(label):
    """Inside: two pixels from the border, which both convolutions see beyond."""
    layer = varied(Spade(5, 3, 4))
    x, layout = torch.randn(2, 5, 8, 8), layout_of(torch.full((2, 8, 8), label), 3, 8)
    for one in layer.modulation(layout):
        inside = one[:, :, 2:-2, 2:-2]
        torch.testing.assert_close(inside, inside[:1, :, :1, :1].expand_as(inside))
        assert (one[:, :, 0] - one[:, :, 4]).abs().max() > 1e-3
    gamma, beta = (one[:1, :, 4:5, 4:5] for one in layer.modulation(layout))
    wanted = F.batch_norm(x, None, None, training=True) * (1 + gamma) + beta
    found = layer(x, layout)
    torch.testing.assert_close(found[:, :, 2:-2, 2:-2], wanted[:, :, 2:-2, 2:-2])


@pytest.mark.parametrize("latent", [0, 8])
def test_other_labels_change_only_what_sees_their_pixels(latent):
    """A cell of 8x8 in the corner is read up to four cells away: two 3x3 of the first norm and two
    of the block; each doubling doubles the reach and its block adds as much. With fixed moments.
    """
    model = varied(GauGAN(replace(SMOKE, latent=latent))).eval()
    maps = torch.randint(4, (1, 32, 32))
    changed = maps.clone()
    changed[:, :4, :4] = (maps[:, :4, :4] + 1) % 4
    z = model.latents(1)
    with torch.no_grad():
        images = [model.draw(z, maps=one) for one in (maps, changed)]
    differ = (images[0] != images[1]).any(dim=1)[0]
    # At 8x8 pixels 0 to 4, and one more where the map is read before the first block.
    reach = 4 + (latent == 0)
    for _ in range(2):
        reach = 2 * reach + 1 + 2
    # The last convolution.
    reach += 1
    assert differ[:20, :20].any()
    assert not differ[reach + 1 :].any()
    assert not differ[:, reach + 1 :].any()
    assert reach < 31


def test_a_layout_takes_the_label_of_the_nearest_pixel():
    maps = torch.randint(5, (2, 16, 16))
    for side in (16, 8, 4):
        wanted = F.interpolate(F.one_hot(maps, 5).movedim(3, 1).float(), size=side)
        assert torch.equal(layout_of(maps.to(torch.uint8), 5, side), wanted)


def test_a_block_is_what_the_paper_draws():
    block = varied(SpadeBlock(6, 4, 3, 4)).eval()
    x, layout = torch.randn(2, 6, 5, 5), layout_of(torch.randint(3, (2, 5, 5)), 3, 5)
    (first, second), (one, two) = block.norms, block.convolutions
    h = F.conv2d(F.leaky_relu(first(x, layout), 0.2), one.weight, one.bias, padding=1)
    h = F.conv2d(F.leaky_relu(second(h, layout), 0.2), two.weight, two.bias, padding=1)
    short = F.conv2d(block.shortcut_norm(x, layout), block.shortcut.weight)
    torch.testing.assert_close(block(x, layout), h + short, atol=1e-5, rtol=1e-5)
    assert one.out_channels == 4
    assert not SpadeBlock(4, 4, 3, 4).widens
    for layer in (one, two, block.shortcut):
        assert isinstance(layer.parametrizations.weight[0], SpectralNorm)


def test_feature_matching_is_nothing_for_equal_images(batch):
    model = GauGAN(SMOKE)
    layout = layout_of(batch["maps"], 4, 32)
    judge = model.discriminator.eval()
    ours, theirs = (judge(one, layout) for one in (batch["images"], batch["images"].flip(0)))
    assert feature_matching(ours, ours) == 0
    assert feature_matching(ours, theirs) > 0


def test_feature_matching_sums_layers_and_averages_scales():
    ones, halves = torch.ones(2, 3), torch.full((2, 3), 0.5)
    logits = torch.full((2, 1), 99.0)
    ours = [[ones, ones, logits], [ones, ones, logits]]
    theirs = [[halves, ones, -logits], [halves, halves, -logits]]
    assert feature_matching(ours, theirs).item() == pytest.approx((0.5 + 1.0) / 2)


def test_the_divergence_is_that_of_normal_distributions():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    ours = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    wanted = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(divergence(mean, log_variance), wanted.sum(dim=1).mean())
    assert divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


def test_both_discriminators_see_map_and_image_at_full_size_and_at_half(batch):
    seen = []
    model = GauGAN(SMOKE)
    for judge in (model.discriminator.fine, model.discriminator.coarse):
        judge.stages[0].register_forward_hook(lambda _, x, y: seen.append(x[0]))
    layout = layout_of(batch["maps"], 4, 32)
    model.discriminator(batch["images"], layout)
    assert torch.equal(seen[0], torch.cat((layout, batch["images"]), dim=1))
    assert seen[1].shape == (4, 7, 16, 16)


def test_the_discriminators_loss_is_the_hinge_of_both_scales(batch):
    model = GauGAN(SMOKE)
    both = model.discriminator.fine, model.discriminator.coarse
    fine, coarse = (drawn_logits(judge.stages[-1]) for judge in both)
    found = model.discriminator_terms(batch)["loss"]
    assert fine[0].shape[-1] > coarse[0].shape[-1]
    wanted = [
        F.relu(1 - real).mean() + F.relu(1 + painted).mean() for real, painted in (fine, coarse)
    ]
    torch.testing.assert_close(found, (wanted[0] + wanted[1]) / 2)


def test_terms_add_up(batch):
    model = GauGAN(replace(SMOKE, matching=3.0, kl=0.25))
    terms = model.generator_terms(batch)
    wanted = terms["adversarial"] + 3 * terms["matching"] + 0.25 * terms["kl"]
    torch.testing.assert_close(terms["loss"], wanted)
    assert "kl" not in GauGAN(replace(SMOKE, latent=0)).generator_terms(batch)


@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(up, batch):
    model = GauGAN(replace(SMOKE, up=up))
    assert model.generator(model.latents(4), batch["maps"]).shape == (4, 3, 32, 32)
    model.generator_terms(batch)["loss"].backward()
    for network in (model.generator, model.encoder):
        for name, one in network.named_parameters():
            assert one.grad.isfinite().all(), name
            assert one.grad.abs().sum() > 0, name


def test_the_last_up_sampling_may_differ():
    model = GauGAN(replace(SMOKE, up="bilinear", up_last="conv_transpose"))
    assert [one.up for one in model.generator.enlarge] == ["bilinear", "conv_transpose"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("latent", [0, 8])
def test_every_weight_moves(latent, precision, painted):
    assert moved("gaugan", replace(SMOKE, latent=latent), painted, precision) == []


def test_resumed_equals_uninterrupted(painted, tmp_path):
    resumed_is_the_same("gaugan", TINY, painted, tmp_path)


def test_smoke_learns_to_paint_after_the_map(painted):
    """Nearer to the images than at first, and nearer to the image of the map than to another."""
    trainer = Trainer("gaugan", SMOKE, painted)
    maps = painted.extras["maps"]
    begun = distances(sample(trainer.averaged(), 48, maps=maps), painted.images).frechet
    for _ in range(45):
        trainer.iterate()
    drawn = sample(trainer.averaged(), 48, maps=maps)
    assert distances(drawn, painted.images).frechet < begun / 3
    wanted = painted.images.float()
    near = (drawn.float() - wanted).abs().mean()
    assert near < 0.8 * (drawn.float() - wanted.roll(1, 0)).abs().mean()


@pytest.mark.parametrize(
    "maps",
    [
        None,
        torch.zeros(2, 32, 32),
        torch.zeros(3, 32, 32, dtype=torch.int64),
        torch.full((2, 32, 32), 4),
        torch.full((2, 32, 32), -1),
    ],
)
def test_drawing_wants_maps(maps):
    model = GauGAN(SMOKE).eval()
    with pytest.raises(ValueError, match="maps"):
        model.draw(model.latents(2), maps=maps)


def test_data_without_maps_are_refused(labeled_images):
    with pytest.raises(ValueError, match="maps"):
        Trainer("gaugan", SMOKE, labeled_images).iterate()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 48}, "pixels"),
        ({"kinds": 0}, "kinds"),
        ({"kinds": 10**6}, "kinds"),
        ({"hidden": 10**6}, "hidden"),
        ({"widths": [8]}, "widths"),
        ({"widths": [2**30] * 4}, "widths"),
        ({"encoder_widths": []}, "encoder_widths"),
        ({"encoder_widths": [8] * 6}, "encoder_widths"),
        ({"d_downs": 4}, "d_downs"),
        ({"matching": float("inf")}, "matching"),
        ({"latent": 10**6}, "latent"),
        ({"kl": "much"}, "kl"),
    ],
)
def test_hostile_configurations_are_refused(changes, told):
    kind = model_class("gaugan").Configuration
    with pytest.raises(ValueError, match=told):
        kind.from_dict({**preset("gaugan").to_dict(), **changes})
