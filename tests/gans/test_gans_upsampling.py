"""The up-samplers of the laboratory double the size, and are what the identities say they are.

That beds of nails are transposed convolutions, and phases of all of them, is tested with the ops.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gandetect import nn as gnn
from gandetect.gans.upsampling import (
    INTERPOLATIONS,
    UP,
    UpProjection,
    even_start_,
    up_conv,
    up_sample,
)

CLOSE = {"atol": 1e-12, "rtol": 1e-12}


def noise(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("up", UP)
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_shapes_and_gradients(up, kernel):
    layer, x = up_conv(3, 4, up, kernel=kernel), torch.randn(2, 3, 5, 6, requires_grad=True)
    y = layer(x)
    assert y.shape == (2, 4, 10, 12)
    y.square().sum().backward()
    for one in (x, *layer.parameters()):
        assert one.grad.isfinite().all()
        assert one.grad.abs().sum() > 0


@pytest.mark.parametrize("up", UP)
def test_activation_and_bias_are_passed_on(up):
    layer = up_conv(3, 4, up, bias=False, activation="leaky_relu", negative_slope=0.5)
    plain = up_conv(3, 4, up, bias=False)
    assert layer.bias is None
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(layer(x), F.leaky_relu(plain(x), 0.5))


@pytest.mark.parametrize("up", ["lanczos", "", "NEAREST"])
def test_unknown_names_are_refused(up):
    for make in (lambda: up_conv(1, 1, up), lambda: UpProjection(1, 1, up)):
        with pytest.raises(ValueError, match="choose one of nearest"):
            make()


@pytest.mark.parametrize("kernel", [0, 2, -1])
def test_even_kernels_are_refused(kernel):
    with pytest.raises(ValueError, match="odd"):
        up_conv(1, 1, "nearest", kernel=kernel)


@pytest.mark.parametrize("mode", ["pixel_shuffle", "conv_transpose"])
def test_up_sampling_without_weights_refuses_what_has_some(mode):
    with pytest.raises(ValueError, match="mode"):
        up_sample(torch.zeros(1, 1, 2, 2), mode)


def test_nearest_and_a_convolution_are_a_transposed_convolution():
    """Of side 4, whose kernel is the flipped one convolved with 2x2 ones, to the border."""
    nearest = up_conv(3, 4, "nearest").double()
    transposed = up_conv(3, 4, "conv_transpose").double()
    flipped = nearest.weight.detach().flip(2, 3).flatten(0, 1)[:, None]
    full = F.conv2d(flipped, torch.ones(1, 1, 2, 2, dtype=torch.float64), padding=1)
    transposed.weight = nn.Parameter(full.reshape(4, 3, 4, 4).transpose(0, 1).contiguous())
    transposed.bias = nearest.bias
    x = noise(2, 3, 5, 6)
    torch.testing.assert_close(transposed(x), nearest(x), **CLOSE)


@pytest.mark.parametrize("mode", INTERPOLATIONS)
def test_a_1x1_convolution_commutes_with_interpolation(mode):
    x, weight, bias = noise(2, 3, 5, 6), noise(4, 3, 1, 1), noise(4)
    before = up_sample(F.conv2d(x, weight, bias), mode)
    torch.testing.assert_close(before, F.conv2d(up_sample(x, mode), weight, bias), **CLOSE)


def test_and_with_a_bed_of_nails_but_for_the_bias():
    x, weight, bias = noise(2, 3, 5, 6), noise(4, 3, 1, 1), noise(4)
    nails = up_sample(x, "bed_of_nails")
    before = up_sample(F.conv2d(x, weight), "bed_of_nails")
    torch.testing.assert_close(before, F.conv2d(nails, weight), **CLOSE)
    apart = F.conv2d(nails, weight, bias) - up_sample(F.conv2d(x, weight, bias), "bed_of_nails")
    between = bias[None, :, None, None].expand_as(apart).clone()
    between[:, :, ::2, ::2] = 0
    torch.testing.assert_close(apart, between, **CLOSE)


@pytest.mark.parametrize("mode", INTERPOLATIONS)
def test_the_shortcut_is_up_sampling_and_then_its_convolution(mode):
    shortcut, x = UpProjection(3, 4, mode).double(), noise(2, 3, 5, 6)
    torch.testing.assert_close(shortcut(x), shortcut.conv(up_sample(x, mode)), **CLOSE)


@pytest.mark.parametrize("up", UP)
def test_shortcuts_have_the_shape_of_the_layers(up):
    x = torch.randn(2, 3, 5, 6)
    assert UpProjection(3, 4, up)(x).shape == up_conv(3, 4, up)(x).shape


def test_bilinear_is_a_bed_of_nails_and_a_filter():
    x, taps = noise(2, 3, 6, 7), torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 4
    nails = F.pad(up_sample(x, "bed_of_nails"), (2, 1, 2, 1))
    filters = torch.outer(taps, taps).expand(3, 1, 4, 4)
    filtered = F.conv2d(nails, filters, groups=3)
    apart = (filtered - up_sample(x, "bilinear")).abs()
    # The first and last row and column are clamped here and end in zeros there.
    assert apart[:, :, 1:-1, 1:-1].max() < 1e-12
    assert apart[:, :, 0].min() > 0


def test_an_even_pixel_shuffle_is_a_convolution_and_then_nearest():
    shuffle = up_conv(3, 4, "pixel_shuffle", bias=False).double()
    even_start_(shuffle)
    x = noise(2, 3, 5, 6)
    low = F.conv2d(x, shuffle.weight[::4], padding=1)
    torch.testing.assert_close(shuffle(x), up_sample(low, "nearest"), **CLOSE)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_an_even_transposed_convolution_is_nearest_and_then_a_convolution(kernel):
    transposed = up_conv(3, 4, "conv_transpose", kernel=kernel, bias=False).double()
    narrow = transposed.weight.detach()[..., :kernel, :kernel] * (kernel + 1) / kernel
    even_start_(transposed)
    x = noise(2, 3, 5, 6)
    # A transposed convolution is one with the flipped kernel.
    weight = narrow.flip(2, 3).transpose(0, 1)
    wanted = F.conv2d(up_sample(x, "nearest"), weight, padding=kernel // 2)
    torch.testing.assert_close(transposed(x), wanted, **CLOSE)


@pytest.mark.parametrize("kernel", [3, 5])
def test_an_even_bed_of_nails_interpolates_in_lines(kernel):
    nails = up_conv(3, 4, "bed_of_nails", kernel=kernel, bias=False).double()
    middle = nails.weight.detach()[..., kernel // 2, kernel // 2] * kernel
    even_start_(nails)
    x = noise(2, 3, 5, 6)
    low, found = torch.einsum("oi,nihw->nohw", middle, x), nails(x)
    torch.testing.assert_close(found[..., ::2, ::2], low, **CLOSE)
    between = (low[..., 1:, :] + low[..., :-1, :]) / 2
    torch.testing.assert_close(found[..., 1:-1:2, ::2], between, **CLOSE)


@pytest.mark.parametrize("up", INTERPOLATIONS)
def test_layers_that_leave_no_lattice_stay_as_they_are(up):
    layer = nn.Sequential(up_conv(3, 4, up), UpProjection(3, 4, up), gnn.ConvTranspose2d(3, 3, 4))
    before = [one.detach().clone() for one in layer.parameters()]
    even_start_(layer)
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
