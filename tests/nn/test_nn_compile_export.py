"""Layers and fused generators in torch.compile without a graph break, and in torch.export."""

from __future__ import annotations

import io

import pytest
import torch
from nn_generators import dcgan, exact_output, relative_error, resnet, settled, subpixel
from torch import nn

from gandetect import nn as gnn

GENERATORS = {
    "dcgan": (dcgan, (2, 100, 1, 1)),
    "bilinear": (lambda: resnet("bilinear"), (2, 5, 4, 4)),
    "subpixel": (subpixel, (2, 5, 6, 6)),
}


@pytest.fixture(params=GENERATORS)
def case(request):
    make, shape = GENERATORS[request.param]
    generator, x = settled(make()), torch.randn(shape)
    return gnn.fuse(generator), x, exact_output(generator, x)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_compile(case, mode):
    torch._dynamo.reset()
    fused, x, wanted = case
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    with mode():
        assert relative_error(compiled(x), wanted) < 2e-6


@pytest.mark.parametrize("strict", [False, True])
def test_export(case, strict):
    fused, x, wanted = case
    batch = {"input": {0: torch.export.Dim("n", min=2)}} if type(fused) is nn.Sequential else None
    program = torch.export.export(fused, (x,), dynamic_shapes=batch, strict=strict)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    assert relative_error(loaded(x), wanted) < 2e-6
    assert relative_error(loaded(x.repeat(2, 1, 1, 1)), wanted.repeat(2, 1, 1, 1)) < 2e-6


@pytest.mark.usefixtures("handles_are_believed")
def test_an_exported_program_holds_no_handle(case):
    fused, x, _ = case
    program = torch.export.export(fused, (x,))
    assert not program.constants
    assert set(program.state_dict) == set(fused.state_dict())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_trace(case):
    fused, x, wanted = case
    assert relative_error(torch.jit.trace(fused, x)(x), wanted) < 2e-6


def test_layers_compile_with_their_gradients():
    torch._dynamo.reset()
    layers = nn.Sequential(
        gnn.ConvTranspose2d(3, 4, 4, 2, 1, activation="relu"),
        gnn.UpsampleConv2d(4, 4, 3, padding="same", mode="bicubic", activation="leaky_relu"),
        gnn.UpsampleConv2d(4, 4, 3, padding=1, padding_mode="reflect", mode="bed_of_nails"),
        gnn.PixelShuffleConv2d(4, 8, 3, activation="tanh"),
        gnn.BedOfNails(2),
        gnn.PixelShuffle(1, activation="sigmoid"),
    )
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    results = []
    for module in (layers, compiled):
        x = torch.ones(1, 3, 4, 4, requires_grad=True)
        y = module(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [x, *layers.parameters()])))
    for found, wanted in zip(*results, strict=True):
        assert relative_error(found, wanted) < 2e-6
