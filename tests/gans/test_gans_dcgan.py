"""DCGAN keeps its five rules, and its last layer is the variant that was asked for."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from gandetect import nn as gnn
from gandetect.gans import UP, preset
from gandetect.gans.dcgan import DCGAN, DCGANConfig

SMOKE = preset("dcgan", "smoke")
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
POOLINGS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Upsample)


def leaves(module):
    return [one for one in module.modules() if not list(one.children())]


def what(layers):
    return [type(one) for one in layers]


def test_rule_1_strided_convolutions_in_the_place_of_pooling():
    model = DCGAN(SMOKE)
    assert not any(isinstance(one, POOLINGS) for one in model.modules())
    ups = [one for one in leaves(model.generator) if isinstance(one, CONVOLUTIONS)]
    downs = [one for one in leaves(model.discriminator) if isinstance(one, CONVOLUTIONS)]
    assert what(ups) == [gnn.ConvTranspose2d] * 4
    assert what(downs) == [nn.Conv2d] * 4
    assert {one.kernel_size for one in ups + downs} == {(4, 4)}
    assert [one.stride[0] for one in ups] == [1, 2, 2, 2]
    assert [one.stride[0] for one in downs] == [2, 2, 2, 1]


def test_rule_2_no_fully_connected_layers():
    assert not any(isinstance(one, nn.Linear) for one in DCGAN(SMOKE).modules())


def test_rule_3_batch_norm_but_at_the_output_and_the_input():
    model = DCGAN(SMOKE)
    generator, discriminator = leaves(model.generator), leaves(model.discriminator)
    for number, layer in enumerate(generator[:-1]):
        if isinstance(layer, CONVOLUTIONS):
            assert type(generator[number + 1]) is nn.BatchNorm2d
    assert isinstance(generator[-1], CONVOLUTIONS)
    normalized = [
        type(discriminator[number + 1]) is nn.BatchNorm2d
        for number, layer in enumerate(discriminator[:-1])
        if isinstance(layer, CONVOLUTIONS)
    ]
    assert normalized == [False, True, True]


def test_rule_4_relu_in_the_generator_and_tanh_at_its_end():
    layers = leaves(DCGAN(SMOKE).generator)
    assert [type(b) for a, b in pairwise(layers) if type(a) is nn.BatchNorm2d] == [nn.ReLU] * 3
    assert layers[-1].activation == "tanh"
    assert {one.activation for one in layers[:-1] if isinstance(one, CONVOLUTIONS)} == {"none"}


def test_rule_5_leaky_relu_in_the_discriminator():
    layers = leaves(DCGAN(SMOKE).discriminator)
    others = {*CONVOLUTIONS, nn.BatchNorm2d}
    activations = [one for one in layers if type(one) not in others]
    assert what(activations) == [nn.LeakyReLU] * 3
    assert {one.negative_slope for one in activations} == {0.2}


def test_weights_start_small():
    model = DCGAN(replace(SMOKE, widths=(64, 64, 64)))
    for layer in model.modules():
        if isinstance(layer, CONVOLUTIONS):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("up", UP)
@pytest.mark.parametrize(("convs", "kernel"), [(0, 5), (1, 3), (1, 5), (3, 5), (3, 7)])
def test_last_layers(up, convs, kernel):
    """U.k.s has k convolutions of side s after the up-sampling, none of it without weights."""
    config = replace(SMOKE, up_last=up, last_convs=convs, last_kernel=kernel)
    model = DCGAN(config)
    layers = leaves(model.generator)
    last = max(n for n, one in enumerate(layers) if type(one) is nn.BatchNorm2d) + 2
    convolutions = [one for one in layers[last:] if isinstance(one, CONVOLUTIONS)]
    sides = [one.kernel_size[0] for one in convolutions]
    if convs == 0:
        assert sides == [4 if up == "conv_transpose" else 3]
    elif up == "conv_transpose":
        assert sides == [kernel + 3] + [kernel] * convs
        assert convolutions[0].stride == (2, 2)
    else:
        assert sides == [kernel] * convs
    assert getattr(convolutions[0], "mode", up) == up
    images = model.generator(torch.randn(2, config.latent))
    assert images.shape == (2, 3, 32, 32)
    assert images.abs().max() <= 1


@pytest.mark.parametrize("with_relu", [False, True])
def test_relu_between_the_last_convolutions(with_relu):
    config = replace(SMOKE, last_convs=3, last_relu=with_relu)
    tail = what(DCGAN(config).generator.layers)[-7:]
    between = [nn.ReLU, nn.Conv2d] if with_relu else [nn.Conv2d]
    assert tail[-1] is nn.Tanh
    assert tail[-1 - 3 * len(between) : -1] == between * 3


def test_the_transposed_convolution_of_jung_and_keuper():
    config = DCGANConfig(last_convs=3, last_relu=True)
    first = next(
        one for one in DCGAN(config).generator.layers[::-1] if isinstance(one, gnn.ConvTranspose2d)
    )
    assert (first.kernel_size, first.stride, first.padding) == ((8, 8), (2, 2), (3, 3))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"size": 48}, "pixels"),
        ({"last_kernel": 4}, "odd"),
        ({"last_convs": 9}, "last_convs"),
        ({"norm": "instance"}, "norm"),
        ({"widths": (8, 0, 8, 8)}, "widths"),
    ],
)
def test_refusals(changes, told):
    with pytest.raises(ValueError, match=told):
        DCGANConfig(**changes)


def test_the_generator_of_512_channels_takes_209_mflop_an_image():
    """Two for each weight that meets a pixel, norms and biases left out."""
    model = DCGAN(replace(preset("dcgan", "run"), widths=(512, 256, 128, 64)))
    found = []

    def count(layer, inputs, output):
        each_meets = layer.weight.numel() // layer.in_channels
        found.append(2 * inputs[0][0].numel() * each_meets)

    for layer in leaves(model.generator):
        if isinstance(layer, CONVOLUTIONS):
            layer.register_forward_hook(count)
    model.draw(model.latents(2))
    assert round(sum(found) / 1e6) == 209
