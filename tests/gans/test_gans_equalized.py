"""Equalized layers: how strong they are, and the norms that go with them."""

import math

import pytest
import torch
from torch.nn import functional as F

from gandetect.gans import UP
from gandetect.gans.equalized import (
    GAIN,
    MinibatchDeviation,
    PixelNorm,
    conv,
    dense,
    equalized_up_conv,
)

SEEN = {"bed_of_nails": 9 / 4, "conv_transpose": 4}


@pytest.mark.parametrize("up", UP)
def test_the_weight_in_use_has_a_variance_of_gain_over_fan_in(up):
    layer = equalized_up_conv(32, 64, up)
    stored = layer.parametrizations.weight.original
    assert float(stored.detach().var()) == pytest.approx(1, rel=0.05)
    assert float(layer.weight.detach().var()) == pytest.approx(2 / (32 * SEEN.get(up, 9)), rel=0.05)


@pytest.mark.parametrize("up", UP)
def test_every_up_sampling_keeps_the_variance_of_noise(up):
    """Or gains it, by its GAIN²; interpolations lose what they average away."""
    with torch.no_grad():
        y = equalized_up_conv(64, 64, up)(torch.randn(4, 64, 16, 16))[..., 2:-2, 2:-2]
    kept = {"nearest": 1, "bilinear": 0.4, "bicubic": 0.7}.get(up, 1)
    assert y.var() == pytest.approx(2 * kept, rel=0.35)


def test_dense_layers_and_convolutions_are_equalized():
    assert float(dense(400, 100).weight.detach().var()) == pytest.approx(1 / 400, rel=0.05)
    assert float(conv(40, 50).weight.detach().var()) == pytest.approx(GAIN**2 / 360, rel=0.05)
    assert dense(400, 100).bias.eq(0).all()


def test_a_slower_layer_computes_the_same_and_moves_less():
    """Adam's step is the same for what is stored, so a hundredth for what is used."""
    torch.manual_seed(1)
    fast = dense(30, 20, bias=1.0)
    torch.manual_seed(1)
    slow = dense(30, 20, rate=0.01, bias=1.0)
    x = torch.randn(5, 30)
    torch.testing.assert_close(slow(x), fast(x))
    moved = []
    for layer in (fast, slow):
        weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        optimizer = torch.optim.Adam(layer.parameters(), 0.1)
        layer(x).square().sum().backward()
        optimizer.step()
        changes = (layer.weight - weight, layer.bias - bias)
        moved.append([float(change.detach().abs().mean()) for change in changes])
    for before, after in zip(*moved, strict=True):
        assert after == pytest.approx(before / 100, rel=0.01)


def test_nearest_up_sampling_and_its_convolution_are_one_layer():
    """Also a transposed convolution of side 4 whose kernel is the full one of the 3x3 and ones."""
    layer = equalized_up_conv(5, 4, "nearest").double()
    x = torch.randn(2, 5, 6, 6, dtype=torch.float64)
    wanted = F.conv2d(F.interpolate(x, scale_factor=2), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), wanted)
    ones = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    kernel = F.conv2d(layer.weight.flip(2, 3).reshape(-1, 1, 3, 3), ones, padding=1)
    kernel = kernel.view(4, 5, 4, 4).transpose(0, 1)
    fused = F.conv_transpose2d(x, kernel, layer.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(x), fused)


@pytest.mark.parametrize("shape", [(6, 8), (2, 8, 3, 3)])
def test_pixel_norm_makes_the_mean_square_one_at_every_pixel(shape):
    y = PixelNorm()(5 * torch.randn(shape))
    torch.testing.assert_close(y.square().mean(dim=1), torch.ones(shape[:1] + shape[2:]))


def test_the_deviation_of_copies_is_nothing():
    x = torch.randn(1, 5, 3, 3).expand(8, -1, -1, -1)
    y = MinibatchDeviation()(x)
    assert torch.equal(y[:, :5], x)
    torch.testing.assert_close(y[:, 5], torch.full((8, 3, 3), 1e-4))


@pytest.mark.parametrize(("count", "group"), [(8, 4), (6, 2), (5, 1), (4, 4)])
def test_the_deviation_is_that_of_a_group(count, group):
    x = torch.randn(count, 5, 3, 3)
    found = MinibatchDeviation()(x)[:, 5]
    assert torch.equal(found, found[:, :1, :1].expand(-1, 3, 3))
    groups = count // group
    for image in range(count):
        company = x[image % groups :: groups]
        assert len(company) == group
        wanted = company.std(dim=0, correction=0).mean()
        assert float(found[image, 0, 0]) == pytest.approx(float(wanted), abs=2e-4)


def test_images_that_are_alike_have_finite_gradients():
    x = torch.ones(4, 2, 3, 3, requires_grad=True)
    MinibatchDeviation()(x).sum().backward()
    assert x.grad.isfinite().all()
    assert math.isfinite(GAIN)
