"""Each layer is torch's composition: checkpoints both ways, initialization, outputs, gradients."""

from __future__ import annotations

import pytest
import torch
from nn_generators import relative_error
from torch import nn

from gandetect import nn as gnn
from gandetect import ops

ACTIVATIONS = {
    "none": nn.Identity(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "tanh": nn.Tanh(),
    "sigmoid": nn.Sigmoid(),
}


class Nails(nn.Module):
    def forward(self, x):
        return ops.bed_of_nails(x, 2)


def conv_transpose(*arguments, **options):
    def make(**ending):
        ours = gnn.ConvTranspose2d(6, 8, *arguments, **options, **ending)
        return ours, nn.ConvTranspose2d(6, 8, *arguments, **options), nn.Identity(), nn.Identity()

    return make


def upsample(up, up_options, *arguments, **options):
    def make(**ending):
        ours = gnn.UpsampleConv2d(6, 8, *arguments, **options, **up_options, **ending)
        return ours, nn.Conv2d(6, 8, *arguments, **options), up, nn.Identity()

    return make


def shuffle(scale, *arguments, **options):
    def make(**ending):
        ours = gnn.PixelShuffleConv2d(6, 8 * scale**2, *arguments, scale=scale, **options, **ending)
        theirs = nn.Conv2d(6, 8 * scale**2, *arguments, **options)
        return ours, theirs, nn.Identity(), nn.PixelShuffle(scale)

    return make


def interpolated(**options):
    return nn.Upsample(**options)


LAYERS = {
    "transposed": conv_transpose(4, 2, 1, bias=False),
    "transposed_1x1_start": conv_transpose(4, 1, 0),
    "transposed_odd": conv_transpose((3, 5), (2, 3), (1, 2), (1, 0), dilation=2),
    "transposed_groups": conv_transpose(3, 2, 1, 1, groups=2),
    "nearest": upsample(interpolated(scale_factor=2), {}, 3, padding=1),
    "nearest_same": upsample(interpolated(scale_factor=2), {"scale": 2}, 3, padding="same"),
    "nearest_same_even": upsample(interpolated(scale_factor=2), {}, (2, 4), padding="same"),
    "nearest_valid": upsample(interpolated(scale_factor=3), {"scale": 3}, 3, padding="valid"),
    "nearest_stride": upsample(interpolated(scale_factor=2), {}, 3, stride=2, dilation=2),
    "nearest_groups": upsample(interpolated(scale_factor=2), {}, 3, padding=1, groups=2),
    "nearest_fraction": upsample(
        interpolated(scale_factor=(1.5, 2.5)), {"scale": (1.5, 2.5)}, 3, padding=1
    ),
    "bilinear": upsample(
        interpolated(scale_factor=2, mode="bilinear"), {"mode": "bilinear"}, 3, padding=1
    ),
    "bilinear_corners": upsample(
        nn.UpsamplingBilinear2d(size=(11, 13)),
        {"mode": "bilinear", "align_corners": True, "size": (11, 13)},
        3,
        padding=2,
    ),
    "bicubic": upsample(
        interpolated(scale_factor=2, mode="bicubic"), {"mode": "bicubic"}, 5, padding=2
    ),
    "bed_of_nails": upsample(Nails(), {"mode": "bed_of_nails"}, 3, padding=1),
    "reflect": upsample(
        interpolated(scale_factor=2, mode="bilinear", align_corners=True),
        {"mode": "bilinear", "align_corners": True},
        3,
        padding=1,
        padding_mode="reflect",
    ),
    "circular_same": upsample(
        interpolated(size=(9, 14)),
        {"size": (9, 14)},
        (4, 3),
        padding="same",
        padding_mode="circular",
    ),
    "replicate_nails": upsample(
        Nails(), {"mode": "bed_of_nails", "scale": 2.0}, 3, padding=1, padding_mode="replicate"
    ),
    "shuffle": shuffle(2, 3, padding=1),
    "shuffle_thirds": shuffle(3, 3, padding="same", bias=False),
    "shuffle_reflect": shuffle(2, 3, padding=1, groups=2, padding_mode="reflect"),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients(name, activation):
    ours, theirs, before, after = LAYERS[name](activation=activation, negative_slope=0.2)
    ours.load_state_dict(theirs.state_dict())
    composed = nn.Sequential(before, theirs, after, ACTIVATIONS[activation])
    x = torch.randn(2, 6, 5, 7)
    results = []
    for layer in (ours, composed):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        torch.manual_seed(3)
        gradients = torch.autograd.grad(y, [leaf, *layer.parameters()], torch.randn_like(y))
        results.append((y, *gradients))
    for found, wanted in zip(*results, strict=True):
        assert relative_error(found, wanted) < 2e-6
    single = ours(x[0])
    assert relative_error(single, results[1][0][0]) < 2e-6


@pytest.mark.parametrize("name", LAYERS)
def test_checkpoints_load_both_ways(name):
    ours, theirs, *_ = LAYERS[name]()
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    theirs.load_state_dict(before)
    assert list(before) == list(theirs.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in theirs.state_dict().items())
    nn.init.normal_(theirs.weight)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(ours.weight, theirs.weight)


@pytest.mark.parametrize("name", ["transposed_odd", "nearest", "shuffle"])
def test_initialization(name):
    torch.manual_seed(1)
    ours, *_ = LAYERS[name]()
    torch.manual_seed(1)
    kind = nn.ConvTranspose2d if isinstance(ours, nn.ConvTranspose2d) else nn.Conv2d
    options = {
        option: getattr(ours, option)
        for option in ("stride", "padding", "dilation", "groups", "padding_mode")
    }
    theirs = kind(ours.in_channels, ours.out_channels, ours.kernel_size, **options)
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


def test_a_checkpoint_of_upsample_and_convolution_needs_new_keys_only():
    theirs = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3, padding=1))
    ours = gnn.UpsampleConv2d(3, 4, 3, padding=1)
    ours.load_state_dict({k.removeprefix("1."): v for k, v in theirs.state_dict().items()})
    x = torch.randn(1, 3, 6, 6)
    assert relative_error(ours(x), theirs(x)) < 2e-6


def test_output_size():
    ours = gnn.ConvTranspose2d(3, 4, 3, stride=2, padding=1)
    theirs = nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 5, 5)
    for size in ([9, 10], [2, 4, 10, 9]):
        assert relative_error(ours(x, output_size=size), theirs(x, output_size=size)) < 2e-6
    with pytest.raises(ValueError, match="output size"):
        ours(x, output_size=[20, 20])


@pytest.mark.parametrize("shape", [(18, 4, 5), (2, 18, 4, 5), (2, 3, 18, 4, 5)])
def test_pixel_shuffle(shape):
    x = torch.randn(shape)
    assert torch.equal(gnn.PixelShuffle(3)(x), nn.PixelShuffle(3)(x))
    ending = gnn.PixelShuffle(3, activation="leaky_relu", negative_slope=0.3)
    assert torch.equal(ending(x), nn.functional.leaky_relu(nn.PixelShuffle(3)(x), 0.3))


def test_bed_of_nails():
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(gnn.BedOfNails((2, 3))(x), ops.bed_of_nails(x, (2, 3)))
    y = gnn.BedOfNails(2, activation="sigmoid")(x)
    assert relative_error(y, torch.sigmoid(ops.bed_of_nails(x, 2))) < 2e-6


def test_max_unpool():
    x = torch.randn(2, 3, 9, 8)
    y, places = nn.MaxPool2d(2, return_indices=True)(x)
    for size in (None, x.shape):
        found = gnn.MaxUnpool2d(2, activation="relu")(y, places, output_size=size)
        assert torch.equal(found, nn.MaxUnpool2d(2)(y, places, output_size=size).relu())


@pytest.mark.parametrize("name", ["transposed", "bilinear", "reflect", "shuffle"])
def test_autocast_gives_torchs_dtype(name):
    ours, theirs, before, after = LAYERS[name](activation="relu")
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 6, 5, 7)
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = ours(x), after(theirs(before(x))).relu()
    assert found.dtype == wanted.dtype == torch.bfloat16
    assert relative_error(found, wanted) < 2e-2


def test_channels_last_stays():
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=torch.channels_last)
    for name in ("transposed", "nearest", "shuffle"):
        y = LAYERS[name]()[0](x)
        assert y.is_contiguous(memory_format=torch.channels_last), name


def test_repr_says_what_is_added():
    layer = gnn.UpsampleConv2d(3, 4, 3, mode="bilinear", activation="leaky_relu")
    assert "scale=2, mode=bilinear" in repr(layer)
    assert "activation=leaky_relu, negative_slope=0.01" in repr(layer)
    assert repr(gnn.BedOfNails(3)) == "BedOfNails(scale=3)"
    assert "activation" not in repr(gnn.ConvTranspose2d(3, 4, 3))
