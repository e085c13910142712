"""Modulated convolutions: what demodulation promises, and that their forms are one."""

import math

import pytest
import torch
from torch.nn import functional as F

from gandetect.gans import UP
from gandetect.gans.modulation import (
    UPS,
    ModulatedConv2d,
    SkipUp,
    StyledConv,
    ToImage,
    fir_kernel,
    fir_up,
)

FORMS = (None, *UPS)


def layer_of(up, inputs=5, outputs=4, styles=3):
    return ModulatedConv2d(inputs, outputs, styles, up).double()


def drawn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def plain(x, weight, up, outputs):
    """One image with its own weight, by torch's functions alone."""
    if up == "conv_transpose":
        return F.conv_transpose2d(x, weight, stride=2, padding=1)
    if up == "fir":
        y = F.conv_transpose2d(x, weight, stride=2)
        kernel = 4 * fir_kernel(outputs).to(x)
        return F.conv2d(y, kernel, padding=1, groups=outputs)
    if up in ("bilinear", "bicubic"):
        x = F.interpolate(x, scale_factor=2, mode=up)
    if up == "nearest":
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    if up == "bed_of_nails":
        high = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        high[..., ::2, ::2] = x
        x = high
    y = F.conv2d(x, weight, padding=1)
    return F.pixel_shuffle(y, 2) if up == "pixel_shuffle" else y


@pytest.mark.parametrize("up", FORMS)
def test_a_weight_for_each_image_gives_the_same(up):
    layer, x, w = layer_of(up), drawn(3, 5, 4, 6), drawn(3, 3)
    weights = layer.weights(w)
    wanted = torch.cat([plain(x[i : i + 1], weights[i], up, 4) for i in range(3)])
    torch.testing.assert_close(layer(x, w), wanted, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("up", FORMS)
def test_demodulated_weights_have_unit_norm(up):
    """For each output channel; where a pixel sees one of four parts, on average over these."""
    layer = layer_of(up)
    squares = layer.weights(drawn(6, 3)).square()
    if up in ("conv_transpose", "fir"):
        sums = squares.sum(dim=(1, 3, 4))
    else:
        sums = squares.sum(dim=(2, 3, 4)).unflatten(1, (4, -1)).sum(dim=2)
    parts = 4 if up in ("bed_of_nails", "pixel_shuffle", "conv_transpose") else 1
    torch.testing.assert_close(sums / parts, torch.ones(6, 4).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("up", FORMS)
def test_how_strong_the_styles_are_does_not_matter(up):
    layer, x, w = layer_of(up), drawn(2, 5, 4, 4), drawn(2, 3)
    before = layer(x, w)
    with torch.no_grad():
        layer.affine.parametrizations.weight.original.mul_(7)
        layer.affine.bias.mul_(7)
    torch.testing.assert_close(layer(x, w), before, atol=1e-5, rtol=1e-5)


def test_styles_start_at_one():
    layer = layer_of(None)
    torch.testing.assert_close(layer.affine(torch.zeros(2, 3).double()), torch.ones(2, 5).double())


@pytest.mark.parametrize("up", FORMS)
def test_inference_computes_what_training_does(up):
    torch.manual_seed(2)
    layer = StyledConv(16, 16, 8, up)
    torch.nn.init.normal_(layer.bias)
    torch.nn.init.constant_(layer.strength, 0.5)
    factor = 2 if up else 1
    for side in (4, 20):
        noise = torch.randn(3, 1, factor * side, factor * side)
        given = (torch.randn(3, 16, side, side), torch.randn(3, 8), noise)
        trained = layer(*given)
        with torch.inference_mode():
            drawn_now = layer(*given)
        torch.testing.assert_close(drawn_now, trained, atol=1e-5, rtol=1e-5)


def test_noise_bias_and_activation_are_added_to_the_convolution():
    layer = StyledConv(5, 4, 3).double()
    x, w, noise = drawn(2, 5, 6, 6), drawn(2, 3), drawn(2, 1, 6, 6)
    torch.testing.assert_close(layer(x, w, noise), layer(x, w, 9 * noise))
    torch.nn.init.normal_(layer.bias)
    torch.nn.init.constant_(layer.strength, 0.5)
    inner = layer.conv(x, w) + 0.5 * noise + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w, noise), math.sqrt(2) * F.leaky_relu(inner, 0.2))


@pytest.mark.parametrize("up", FORMS)
def test_second_derivatives(up):
    """Through the features and the styles, as the penalty of path lengths takes them."""
    layer = layer_of(up, inputs=2, outputs=2, styles=2)
    x, w = drawn(1, 2, 3, 3).requires_grad_(), drawn(1, 2).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x, w))
    assert torch.autograd.gradgradcheck(layer, (x, w))


def test_images_are_made_by_a_convolution_that_is_not_demodulated():
    layer = ToImage(5, 3, 4).double()
    torch.nn.init.normal_(layer.bias)
    x, w = drawn(2, 5, 4, 6), drawn(2, 4)
    scaled = x * (layer.affine(w) / math.sqrt(5))[:, :, None, None]
    wanted = F.conv2d(scaled, layer.weight[:, :, None, None], layer.bias)
    torch.testing.assert_close(layer(x, w), wanted)


def test_fir_up_sampling_is_zeros_between_and_a_filter():
    x = drawn(2, 3, 5, 4)
    high = x.new_zeros(2, 3, 10, 8)
    high[..., ::2, ::2] = x
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]).double() / 4
    kernel = torch.outer(taps, taps).expand(3, 1, 4, 4)
    padded = F.pad(high, (2, 1, 2, 1))
    torch.testing.assert_close(fir_up(x), F.conv2d(padded, kernel, groups=3))
    inside = F.interpolate(x, scale_factor=2, mode="bilinear")[..., 1:-1, 1:-1]
    torch.testing.assert_close(fir_up(x)[..., 1:-1, 1:-1], inside)
    assert not torch.allclose(fir_up(x), F.interpolate(x, scale_factor=2, mode="bilinear"))


@pytest.mark.parametrize("up", UPS)
def test_every_skip_doubles_the_image(up):
    x = drawn(2, 3, 4, 4)
    y = SkipUp(3, up).double()(x)
    assert y.shape == (2, 3, 8, 8)
    if up in ("nearest", "pixel_shuffle", "conv_transpose"):
        torch.testing.assert_close(y, F.interpolate(x, scale_factor=2))


def test_the_models_own_up_sampling_is_one_more_than_the_laboratorys():
    assert (*UP, "fir") == UPS
    with pytest.raises(ValueError, match="fir"):
        ModulatedConv2d(2, 2, 2, "lanczos")


def test_what_is_prepared_follows_to_another_type():
    layer = ModulatedConv2d(3, 4, 5, "fir").requires_grad_(False)
    keys = set(layer.state_dict())
    layer.prepare()
    assert set(layer.state_dict()) == keys
    x, w = torch.randn(2, 3, 4, 4), torch.randn(2, 5)
    single = layer(x, w)
    double = layer.double()(x.double(), w.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single, double.float(), atol=1e-5, rtol=1e-5)
