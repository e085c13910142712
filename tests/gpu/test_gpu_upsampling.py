"""The up-sampling ops on a GPU: over every kernel, mode, activation, dtype and layout.

They have not been run on one yet; the CPU stands in for it, as in test_gpu.py.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from ops_oracle import on
from ops_table import UPSAMPLING_OPS, in_float64
from torch.nn import functional as F

from gandetect import ops
from gandetect.ops import upsampling_reference as reference
from gandetect.ops.upsampling_reference import Activation, is_channels_last

CHECK = {"atol": 1e-4, "rtol": 1e-3, "fast_mode": True}
LAYOUTS = (torch.contiguous_format, torch.channels_last)
# Of the largest value. The kernels promise 2e-6; cuDNN's Winograd and torch's own interpolation,
# which finds places in float32, are off by more.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@pytest.fixture(autouse=True)
def precise():
    """No TF32: it is torch's to choose, and not what is tested."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield
    torch.set_float32_matmul_precision(before)


def some(samples, device: str) -> list:
    """All of them on a GPU; the stand-in's results are tested at length elsewhere."""
    return list(itertools.islice(samples, 0, None, 1 if device == "cuda" else 11))


def assert_agree(actual, wanted, what: object = "") -> None:
    assert actual.shape == wanted.shape
    if not wanted.numel():
        return
    error = (actual.cpu().double() - wanted.double()).abs().max()
    scale = wanted.double().abs().max().clamp(min=1e-300)
    assert error <= TOLERANCE[actual.dtype] * scale, f"{what}: {error / scale:.3g}"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_agrees_with_the_reference(case, dtype, layout, device):
    for x, *rest in some(case.samples(dtype), device):
        there = on(device, (x.contiguous(memory_format=layout), *rest))
        actual = case.op(*there)
        assert actual.device.type == device
        assert is_channels_last(actual) == is_channels_last(there[0]) or 1 in actual.shape
        assert_agree(actual, case.reference(*in_float64((x, *rest))), case)


@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_bitwise_equal_over_runs(case, device):
    for arguments in some(case.samples(torch.float32), device):
        there = on(device, arguments)
        a, b = case.op(*there), case.op(*there)
        assert torch.equal(a.view(torch.int32), b.view(torch.int32))


# Layers of generators, and odd ones; (channels, sides) of the input.
LAYERS = [((128, 16, 16), 4), ((64, 32, 32), 4), ((33, 17, 29), 2), ((3, 100, 7), 1)]


def layer(shape: tuple[int, int, int], n: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    weight = torch.randn(shape[0], 32, 4, 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(32, generator=generator, dtype=torch.float64)
    weight = weight / (16 * shape[0]) ** 0.5
    return x.to(dtype), weight.to(dtype), bias.to(dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("shape", "n"), LAYERS)
def test_layers_of_real_sizes(shape, n, layout, device):
    x, weight, bias = layer(shape, n if device == "cuda" else 1)
    there = x.to(device).contiguous(memory_format=layout)
    options = {"stride": 2, "padding": 1, "activation": "relu"}
    actual = ops.conv_transpose2d(there, weight.to(device), bias.to(device), **options)
    y = F.conv_transpose2d(x.double(), weight.double(), bias.double(), stride=2, padding=1)
    assert_agree(actual, y.relu())

    kernel = weight[:, :, :3, :3].transpose(0, 1)
    for mode in ("nearest", "bilinear", "bicubic"):
        actual = ops.upsample_conv2d(
            there, kernel.to(device), bias.to(device), mode=mode, padding=1, activation="leaky_relu"
        )
        high = F.interpolate(x.double(), scale_factor=2, mode=mode)
        y = F.conv2d(high, kernel.double(), bias.double(), padding=1)
        assert_agree(actual, F.leaky_relu(y), mode)
    assert_agree(ops.bed_of_nails(there, 3), reference.zeros_between(x, 3, 3))
    wide = there.repeat(1, 4, 1, 1).contiguous(memory_format=layout)
    assert_agree(ops.pixel_shuffle(wide, 2), F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2))
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    sides = {"output_size": x.shape[2:]}
    actual = ops.max_unpool2d(pooled.to(device), indices.to(device), 2, **sides)
    assert_agree(actual, F.max_unpool2d(pooled, indices, 2, **sides))


@pytest.mark.parametrize("activation", [a.name.lower() for a in Activation])
def test_first_and_second_derivatives(activation, device):
    """At points where no activation has a corner."""
    x, weight, bias = (t.to(device) for t in layer((3, 3, 2), 2, torch.float64))
    weight, bias = weight[:, :2].contiguous(), bias[:2] + 3
    tensors = [t.detach().requires_grad_() for t in (x, weight, bias)]

    def transposed(x, weight, bias):
        return ops.conv_transpose2d(x, weight, bias, stride=2, padding=1, activation=activation)

    assert torch.autograd.gradcheck(transposed, tensors, **CHECK)
    assert torch.autograd.gradgradcheck(transposed, tensors, **CHECK)
    code = (int(Activation[activation.upper()]), 0.2, None)

    def upsampled(x, weight, bias):
        weight = weight.transpose(0, 1)[:, :, :3, :3]
        settings = (6, 4, 2.0, 2.0, 1, False, [1, 1], [1, 1], [1, 1])
        return torch.ops.gandetect.upsample_conv2d(x, weight, bias, *settings, *code)

    assert torch.autograd.gradcheck(upsampled, tensors, **CHECK)
    assert torch.autograd.gradgradcheck(upsampled, tensors, **CHECK)


@pytest.mark.parametrize("activation", [int(a) for a in Activation])
def test_what_is_not_finite_is_kept_as_torch_keeps_it(activation, device):
    x = torch.linspace(-2, 2, 48).view(1, 4, 3, 4).clone()
    x[0, 1, 2, :3] = torch.tensor([math.nan, math.inf, -math.inf])
    ending = (torch.tensor([0.5, -1.0, math.nan, 0.0]), activation, 0.3)
    there = on(device, ending)
    for name, *arguments in (
        ("bias_activation", x),
        ("bed_of_nails", x, 2, 3),
        ("pixel_shuffle", x, 2),
    ):
        actual = getattr(torch.ops.gandetect, name)(*on(device, arguments), *there).cpu()
        wanted = getattr(reference, name)(*arguments, *ending)
        torch.testing.assert_close(actual, wanted, equal_nan=True)


def test_of_a_place_named_twice_the_last_counts(device):
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(2, 5, 9, 11, generator=generator)
    indices = torch.randint(0, 40, x.shape, generator=generator)
    wanted = torch.zeros(2, 5, 40)
    for s in range(99):
        wanted.scatter_(2, indices.flatten(2)[..., s, None], x.flatten(2)[..., s, None])
    for layout in LAYOUTS:
        there = x.to(device).contiguous(memory_format=layout)
        actual = torch.ops.gandetect.max_unpool2d(there, indices.to(device), 5, 8, None, 0, 0.0)
        assert torch.equal(actual.cpu(), wanted.view(2, 5, 5, 8))


def test_empty_batches(device):
    x = torch.empty(0, 4, 3, 3, device=device)
    weight = torch.rand(4, 4, 3, 3, device=device)
    for y in (
        ops.bed_of_nails(x),
        ops.pixel_shuffle(x, 2).repeat(1, 4, 1, 1),
        ops.conv_transpose2d(x, weight, stride=2, padding=1, output_padding=1),
        ops.upsample_conv2d(x, weight, padding=1),
        ops.max_unpool2d(x, x.long(), 2),
    ):
        assert (y.shape, y.device.type) == ((0, 4, 6, 6), device)


def test_other_dtypes_are_torch_s_own(device):
    """bfloat16 has no kernels here: the documented functions compose torch's."""
    x, weight, bias = (t.to(device, torch.bfloat16) for t in layer((8, 5, 6), 2))
    y = ops.conv_transpose2d(x, weight, bias, stride=2, padding=1, activation="relu")
    assert y.dtype == torch.bfloat16
    wanted = F.conv_transpose2d(x, weight, bias, stride=2, padding=1).relu()
    torch.testing.assert_close(y, wanted)
    assert ops.bed_of_nails(x, activation="tanh").dtype == torch.bfloat16
