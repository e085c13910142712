"""Every rejected argument of the layers and of `fuse`: what was given and what was wanted."""

from __future__ import annotations

import pytest
import torch

from gandetect import nn as gnn


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gnn.ConvTranspose2d(3, 4, 3, activation="gelu"), "none, relu, leaky_relu"),
        (lambda: gnn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "zeros"),
        (lambda: gnn.UpsampleConv2d(3, 4, 3, mode="area"), "nearest, bilinear, bicubic"),
        (lambda: gnn.UpsampleConv2d(3, 4, 3, scale=2, size=8), "choose one"),
        (lambda: gnn.UpsampleConv2d(3, 4, 3, align_corners=True), "bilinear and bicubic"),
        (lambda: gnn.PixelShuffleConv2d(3, 6, 3), "out_channels 6"),
        (lambda: gnn.PixelShuffleConv2d(3, 8, 3, scale=0), "at least 1"),
        (lambda: gnn.PixelShuffleConv2d(3, 8, 3, scale=2.0), "whole number"),
        (lambda: gnn.BedOfNails(2, activation="swish"), "none, relu"),
    ],
)
def test_construction(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (gnn.ConvTranspose2d(3, 4, 3), (1, 5, 4, 4), "5 channels"),
        (gnn.UpsampleConv2d(3, 4, 3), (1, 5, 4, 4), "5 channels"),
        (gnn.UpsampleConv2d(3, 4, 3, size=(9, 8), mode="bed_of_nails"), (3, 4, 4), "whole"),
        (
            gnn.UpsampleConv2d(
                3, 4, 3, size=9, mode="bed_of_nails", padding=1, padding_mode="circular"
            ),
            (3, 4, 4),
            "whole numbers",
        ),
        (gnn.PixelShuffle(2), (1, 3, 4, 4), "multiple of 4"),
        (gnn.BedOfNails(0), (1, 3, 4, 4), "at least 1"),
        (gnn.BedOfNails(2), (4, 4), r"\(N, C, H, W\)"),
    ],
)
def test_call(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(torch.zeros(shape))


def test_fuse_takes_modules():
    with pytest.raises(TypeError, match="OrderedDict; it must be"):
        gnn.fuse(torch.nn.Linear(1, 1).state_dict())
