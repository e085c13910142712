"""A fused module computes what the module in eval mode does, to 2e-6 of its largest value."""

from __future__ import annotations

import random

import pytest
import torch
from nn_generators import dcgan, exact_output, relative_error, resnet, settled, subpixel
from torch import nn

from gandetect import nn as gnn

TOLERANCE = 2e-6
UNTOUCHED = (nn.Upsample, nn.PixelShuffle, nn.Dropout)

GENERATORS = {
    "dcgan": (dcgan, (3, 100, 1, 1), 5),
    "nearest": (lambda: resnet("nearest"), (2, 5, 4, 4), 5),
    "bilinear": (lambda: resnet("bilinear"), (2, 5, 4, 4), 5),
    "bicubic": (lambda: resnet("bicubic"), (2, 5, 4, 4), 5),
    "subpixel": (subpixel, (2, 5, 6, 6), 3),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name):
    make, shape, merged = GENERATORS[name]
    generator, x = settled(make()), torch.randn(shape)
    fused = gnn.fuse(generator)
    assert relative_error(fused(x), exact_output(generator, x)) < TOLERANCE
    kinds = [type(module) for module in fused.modules()]
    assert sum(bool(getattr(module, "fused_from", ())) for module in fused.modules()) == merged
    assert not {nn.ConvTranspose2d, *UNTOUCHED} & set(kinds)


def test_dcgan_in_inference_mode_and_channels_last():
    generator, x = settled(dcgan()), torch.randn(16, 100, 1, 1)
    wanted = exact_output(generator, x)
    fused = gnn.fuse(generator.to(memory_format=torch.channels_last))
    with torch.inference_mode():
        assert relative_error(fused(x), wanted) < TOLERANCE
        again = gnn.fuse(generator)
    assert relative_error(again(x), wanted) < TOLERANCE


def a_layer(chance: random.Random, channels: int) -> tuple[list[nn.Module], int]:
    """Something that enlarges or not, in torch's modules or ours, and its channels."""
    out = chance.choice([2, 4, 8])
    bias, groups = chance.random() < 0.5, chance.choice([1, 1, 2])
    options = {"bias": bias, "groups": groups}
    ending = chance.choice([{}, {}, {"activation": "tanh"}])
    mode = chance.choice(["nearest", "bilinear", "bicubic"])
    corners = None if mode == "nearest" else chance.choice([None, True])
    interpolation = {"mode": mode, "align_corners": corners}
    padding_mode = chance.choice(["zeros", "zeros", "reflect"])
    menu = {
        "transposed": lambda: [
            chance.choice([nn.ConvTranspose2d, gnn.ConvTranspose2d])(
                channels, out, 4, 2, 1, **options
            )
        ],
        "transposed_ending": lambda: [
            gnn.ConvTranspose2d(channels, out, 3, 1, 1, **options, **ending)
        ],
        "upsample": lambda: [
            nn.Upsample(scale_factor=chance.choice([2, 1.5, (1, 3)]), **interpolation),
            nn.Conv2d(channels, out, 3, padding=1, padding_mode=padding_mode, **options),
        ],
        "upsample_size": lambda: [
            nn.Upsample(size=(9, 10), **interpolation),
            nn.Conv2d(channels, out, 3, padding="same", **options),
        ],
        "ours": lambda: [
            gnn.UpsampleConv2d(
                channels,
                out,
                3,
                padding=1,
                padding_mode=padding_mode,
                **interpolation,
                **options,
                **ending,
            )
        ],
        "nails": lambda: [gnn.BedOfNails(2), nn.Conv2d(channels, out, 3, padding=1, **options)],
        "nails_alone": lambda: [gnn.BedOfNails((2, 1), **ending), nn.Conv2d(channels, out, 1)],
        "shuffle": lambda: [
            nn.Conv2d(channels, 4 * out, 3, padding=1, **options),
            *chance.choice([[], [nn.BatchNorm2d(4 * out)], [nn.ReLU()], [nn.Dropout()]]),
            nn.PixelShuffle(2),
        ],
        "shuffle_ours": lambda: [
            gnn.PixelShuffleConv2d(channels, 4 * out, 3, padding=1, **options, **ending)
        ],
        "plain": lambda: [nn.Conv2d(channels, out, 3, padding=1)],
    }
    return menu[chance.choice(list(menu))](), out


def what_follows(chance: random.Random, channels: int) -> list[nn.Module]:
    norms = [
        nn.BatchNorm2d(channels),
        nn.BatchNorm2d(channels, affine=False),
        nn.BatchNorm2d(channels, eps=0.1, momentum=None),
        nn.GroupNorm(1, channels),
    ]
    activations = [nn.ReLU(), nn.LeakyReLU(0.3), nn.Tanh(), nn.Sigmoid(), nn.ELU()]
    parts = [chance.choice(norms), chance.choice(activations), nn.Dropout2d(), nn.Identity()]
    return chance.sample(parts, chance.randint(0, 4))


@pytest.mark.parametrize("seed", range(60))
def test_random_sequentials(seed):
    chance = random.Random(seed)
    layers: list[nn.Module] = []
    channels = 4
    for _ in range(3):
        more, channels = a_layer(chance, channels)
        block = [*more, *what_follows(chance, channels)]
        layers += chance.choice([block, [nn.Sequential(*block)]])
    module = settled(nn.Sequential(*layers), seed)
    x = torch.randn(2, 4, 5, 6)
    assert relative_error(gnn.fuse(module)(x), exact_output(module, x)) < TOLERANCE, module


def test_bed_of_nails_and_a_convolution_are_one_layer():
    module = nn.Sequential(
        gnn.BedOfNails(2), nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()
    )
    fused, x = gnn.fuse(settled(module)), torch.randn(2, 4, 5, 5)
    assert [type(layer) for layer in fused] == [gnn.PrepackedUpsampleConv2d]
    assert relative_error(fused(x), exact_output(module, x)) < TOLERANCE


def test_a_norm_of_grouped_transposed_convolution():
    module = nn.Sequential(nn.ConvTranspose2d(6, 9, 3, 2, groups=3), nn.BatchNorm2d(9))
    x = torch.randn(2, 6, 5, 5)
    fused = gnn.fuse(settled(module))
    assert len(fused) == 1
    assert relative_error(fused(x), exact_output(module, x)) < TOLERANCE


def test_fusing_again_changes_nothing():
    generator, x = settled(dcgan()), torch.randn(2, 100, 1, 1)
    once = gnn.fuse(generator)
    assert torch.equal(gnn.fuse(once)(x), once(x))


def test_double_stays_double():
    generator = settled(dcgan()).double()
    x = torch.randn(2, 100, 1, 1, dtype=torch.float64)
    assert relative_error(gnn.fuse(generator)(x), generator.eval()(x)) < 1e-13
