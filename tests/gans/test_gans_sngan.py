"""SNGAN's blocks do what the paper draws, whatever they up-sample with."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gandetect.gans import UP, preset
from gandetect.gans.sngan import SNGAN, DownBlock, SNGANConfig, UpBlock

SMOKE = preset("sngan", "smoke")


def test_an_up_block_is_what_the_paper_draws():
    """Nearest, with the shortcut's 1x1 convolution after the up-sampling, as published."""
    block = UpBlock(6, 4, "nearest", classes=0)
    x = torch.randn(3, 6, 5, 5)
    first, _, enlarge, second, _, last = block.residual
    h = F.interpolate(F.relu(F.batch_norm(x, None, None, training=True)), scale_factor=2)
    h = F.batch_norm(F.conv2d(h, enlarge.weight, padding=1), None, None, training=True)
    h = F.conv2d(F.relu(h), last.weight, last.bias, padding=1)
    short = block.shortcut.conv
    wanted = h + F.conv2d(F.interpolate(x, scale_factor=2), short.weight, short.bias)
    assert first.weight.eq(1).all()
    assert second.weight.eq(1).all()
    torch.testing.assert_close(block(x, None), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("halve", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(4, 4), (4, 6)])
def test_a_down_block_is_what_the_paper_draws(inputs, outputs, halve):
    block = DownBlock(inputs, outputs, halve=halve, is_first=False)
    x = torch.randn(2, inputs, 8, 8)
    first, second = (one for one in block.residual if isinstance(one, nn.Conv2d))
    assert first.out_channels == inputs
    h = F.conv2d(F.relu(x), first.weight, first.bias, padding=1)
    h = F.conv2d(F.relu(h), second.weight, second.bias, padding=1)
    short = x
    if halve or inputs != outputs:
        short = F.conv2d(x, block.shortcut[-1].weight, block.shortcut[-1].bias)
    wanted = h + short
    wanted = F.avg_pool2d(wanted, 2) if halve else wanted
    torch.testing.assert_close(block(x), wanted, atol=1e-5, rtol=1e-5)


def test_the_first_down_block_has_no_relu_before_it():
    block = DownBlock(3, 6, halve=True, is_first=True)
    assert [type(one) for one in block.residual] == [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.AvgPool2d]
    assert [type(one) for one in block.shortcut] == [nn.AvgPool2d, nn.Conv2d]
    assert block.residual[0].out_channels == 6


@pytest.mark.parametrize(
    "block", [UpBlock(32, 16, "nearest", 0), DownBlock(32, 16, halve=True, is_first=False)]
)
def test_residuals_start_twice_as_strong_as_shortcuts(block):
    """Uniform weights with a variance of 2 gain² / (inputs + outputs), gain² 2 and 1."""
    for branch, gain in ((block.residual, 2**0.5), (block.shortcut, 1)):
        for layer in branch.modules():
            if isinstance(layer, nn.Conv2d):
                ends = (layer.in_channels + layer.out_channels) * layer.kernel_size[0] ** 2
                bound = gain * (6 / ends) ** 0.5
                assert 0.97 * bound < layer.weight.abs().max() <= bound
                assert layer.bias is None or layer.bias.eq(0).all()


def test_features_are_summed_over_pixels():
    model = SNGAN(SMOKE).eval()
    images = torch.randn(2, 3, 32, 32)
    features = model.discriminator.blocks(images)
    assert features.shape == (2, 16, 8, 8)
    assert features.min() == 0
    wanted = model.discriminator.dense(features.sum(dim=(2, 3)))[:, 0]
    torch.testing.assert_close(model.discriminator(images), wanted)


def test_shapes_of_run():
    model = SNGAN(preset("sngan"))
    assert model.draw(model.latents(2)).shape == (2, 3, 64, 64)
    features = model.discriminator.blocks(torch.zeros(1, 3, 64, 64))
    assert features.shape == (1, model.config.d_widths[-1], 2, 2)


@pytest.mark.parametrize("up", UP)
def test_every_up_sampler_trains(up):
    """Equal shapes, finite gradients everywhere, and no parameter without one."""
    model = SNGAN(replace(SMOKE, up=up))
    images = model.generator(model.latents(4))
    assert images.shape == (4, 3, 32, 32)
    model.generator_terms({"images": torch.zeros(4, 3, 32, 32)})["loss"].backward()
    for name, one in model.generator.named_parameters():
        assert one.grad.isfinite().all(), name
        assert one.grad.abs().sum() > 0, name


def kinds(model):
    """What each block and its shortcut up-sample with."""
    found = []
    for block in model.generator.blocks:
        layer = block.residual[2]
        name = getattr(layer, "mode", type(layer).__name__)
        found.append((name, block.shortcut.up))
    return found


def test_the_last_up_sampling_may_differ():
    model = SNGAN(replace(SMOKE, up="bilinear", up_last="pixel_shuffle"))
    bilinear = ("bilinear", "bilinear")
    assert kinds(model) == [bilinear, bilinear, ("PixelShuffleConv2d", "pixel_shuffle")]


def test_models_of_one_seed_share_what_they_have_in_common():
    """So that experiments on up-sampling differ in nothing else."""
    sizes, judges = {}, []
    for up in UP:
        torch.manual_seed(3)
        model = SNGAN(replace(SMOKE, up=up))
        sizes[up] = sum(one.numel() for one in model.generator.parameters())
        judges.append(model.discriminator.state_dict())
    for judge in judges[1:]:
        assert all(torch.equal(v, judges[0][k]) for k, v in judge.items())
    weightless = {sizes[up] for up in ("nearest", "bilinear", "bicubic", "bed_of_nails")}
    assert len(weightless) == 1
    assert sizes["pixel_shuffle"] > sizes["conv_transpose"] > weightless.pop()


@pytest.mark.parametrize("up", ["pixel_shuffle", "conv_transpose"])
def test_generators_start_without_a_lattice_unless_told(up):
    """Blocks of two by two pixels are all alike where the last convolution sees one block only."""
    apart = []
    for even in (True, False):
        block = SNGAN(replace(SMOKE, up=up, even_start=even)).generator.blocks[0]
        x = block.shortcut(torch.randn(2, SMOKE.widths[0], 4, 4)).detach()
        apart.append(float((x[..., ::2, ::2] - x[..., 1::2, 1::2]).abs().max()))
    assert apart[0] < 1e-6 < 1e-2 < apart[1]


def test_the_rate_falls_to_zero_in_a_line():
    model = SNGAN(replace(SMOKE, steps=10))
    assert [model.rate_at(step) for step in (0, 5, 9)] == pytest.approx([1, 0.5, 0.1])
    assert SNGAN(replace(SMOKE, decay=False)).rate_at(59) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 32}, "pixels"),
        ({"widths": (128,), "size": 4}, "8 or more"),
        ({"d_downs": 0}, "d_downs"),
        ({"d_downs": 6}, "d_downs"),
        ({"classes": 20_000}, "classes"),
    ],
)
def test_refusals(changes, told):
    with pytest.raises(ValueError, match=told):
        SNGANConfig(**changes)
