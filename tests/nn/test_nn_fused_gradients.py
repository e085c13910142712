"""Gradients flow through a fused generator to its input, as through the module in eval mode."""

from __future__ import annotations

import pytest
import torch
from nn_generators import dcgan, relative_error, resnet, settled, subpixel

from gandetect import nn as gnn


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (dcgan, (2, 100, 1, 1)),
        (lambda: resnet("bicubic"), (2, 5, 4, 4)),
        (subpixel, (2, 5, 6, 6)),
    ],
    ids=["dcgan", "resnet", "subpixel"],
)
def test_of_the_input(make, shape):
    """In float64, where no rectifier's sign is decided by rounding."""
    generator = settled(make()).double().eval()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    gradients = [
        torch.autograd.grad(module(x).square().sum(), x)[0]
        for module in (generator, gnn.fuse(generator))
    ]
    assert relative_error(*reversed(gradients)) < 1e-12


def test_in_single_precision():
    generator = settled(dcgan()).eval()
    x = torch.randn(2, 100, 1, 1, requires_grad=True)
    gradients = [
        torch.autograd.grad(module(x).square().sum(), x)[0]
        for module in (generator, gnn.fuse(generator))
    ]
    assert relative_error(*reversed(gradients)) < 1e-4


def test_of_a_generator_fused_in_inference_mode():
    with torch.inference_mode():
        fused = gnn.fuse(settled(dcgan()))
    x = torch.randn(2, 100, 1, 1, requires_grad=True)
    fused(x).sum().backward()
    assert x.grad.abs().max() > 0
