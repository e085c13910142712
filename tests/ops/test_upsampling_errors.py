"""Every argument that the up-sampling functions reject: the error's class and what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gandetect import ops
from gandetect.ops import _ext

X = torch.zeros(2, 4, 6, 5)
TRANSPOSED = torch.zeros(4, 3, 4, 4)
KERNEL = torch.zeros(3, 4, 3, 3)
INDICES = torch.zeros(2, 4, 6, 5, dtype=torch.int64)
UNBATCHED = r"\(6, 5\); it must be \(N, C, H, W\) or \(C, H, W\)"
ENDS = "choose one of none, relu, leaky_relu, tanh, sigmoid"


def raises(function, arguments, options, error, message):
    with pytest.raises(error, match=message):
        function(*arguments, **options)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (np.zeros((2, 4, 6, 5)), {}, TypeError, "x is a ndarray; it must be a tensor"),
        (X[0, 0], {}, ValueError, UNBATCHED),
        (X[None], {}, ValueError, r"it must be \(N, C, H, W\)"),
        (X, {"scale": 0}, ValueError, "scale is 0; it must be at least 1"),
        (X, {"scale": (2, -1)}, ValueError, r"scale is \(2, -1\); it must be at least 1"),
        (X, {"scale": (2, 2, 2)}, ValueError, "whole number, or two"),
        (X, {"scale": ()}, ValueError, "whole number, or two"),
        (X, {"bias": torch.zeros(3)}, ValueError, r"bias is \(3,\); it must be \(4,\)"),
        (X, {"bias": torch.zeros(4, 1)}, ValueError, r"bias is \(4, 1\); it must be \(4,\)"),
        (X, {"bias": [0.0] * 4}, TypeError, "bias is a list; it must be a tensor"),
        (X, {"activation": "gelu"}, ValueError, ENDS),
        (X, {"activation": None}, ValueError, ENDS),
    ],
)
def test_bed_of_nails(x, options, error, message):
    raises(ops.bed_of_nails, (x,), options, error, message)


@pytest.mark.parametrize(
    ("x", "scale", "options", "error", "message"),
    [
        ([1.0], 2, {}, TypeError, "x is a list; it must be a tensor"),
        (X[0, 0], 2, {}, ValueError, UNBATCHED),
        (X, 0, {}, ValueError, "scale is 0; it must be a whole number of at least 1"),
        (X, 2.0, {}, ValueError, "scale is 2.0; it must be a whole number"),
        (X, (2, 2), {}, ValueError, r"scale is \(2, 2\); it must be a whole number"),
        (X, 3, {}, ValueError, "x has 4 channels; a scale of 3 needs a multiple of 9"),
        (X, 2, {"bias": torch.zeros(1)}, ValueError, r"bias is \(1,\); it must be \(4,\)"),
        (X, 2, {"activation": "Relu"}, ValueError, ENDS),
    ],
)
def test_pixel_shuffle(x, scale, options, error, message):
    raises(ops.pixel_shuffle, (x, scale), options, error, message)


@pytest.mark.parametrize(
    ("x", "weight", "options", "error", "message"),
    [
        (None, TRANSPOSED, {}, TypeError, "x is a NoneType"),
        (X[0, 0], TRANSPOSED, {}, ValueError, UNBATCHED),
        (X, TRANSPOSED.numpy(), {}, TypeError, "weight is a ndarray; it must be a tensor"),
        (X, TRANSPOSED[0], {}, ValueError, r"\(3, 4, 4\); it must be \(C, O, kH, kW\)"),
        (X, TRANSPOSED[:3], {}, ValueError, "x has 4 channels and weight .* which takes 3"),
        (X, TRANSPOSED, {"bias": torch.zeros(4)}, ValueError, r"\(4,\); it must be \(3,\)"),
        (X, TRANSPOSED, {"bias": 1.0}, TypeError, "bias is a float"),
        (X, TRANSPOSED, {"groups": 2, "bias": torch.zeros(3)}, ValueError, r"must be \(6,\)"),
        (X, TRANSPOSED, {"stride": 0}, ValueError, r"stride \[0, 0\] and dilation"),
        (X, TRANSPOSED, {"dilation": (1, 0)}, ValueError, r"dilation \[1, 0\] must be at least 1"),
        (X, TRANSPOSED, {"padding": -1}, ValueError, r"padding \[-1, -1\]"),
        (
            X,
            TRANSPOSED,
            {"output_padding": -1},
            ValueError,
            r"output_padding \[-1, -1\] at least 0",
        ),
        (
            X,
            TRANSPOSED,
            {"stride": 2, "output_padding": (1, 2)},
            ValueError,
            r"output_padding \[1, 2\] must be less than the stride \[2, 2\] or the dilation",
        ),
        (X, TRANSPOSED, {"stride": (1, 2, 3)}, ValueError, r"stride is \(1, 2, 3\)"),
        (X, TRANSPOSED, {"padding": [1, 1, 1]}, ValueError, r"padding is \[1, 1, 1\]"),
        (X, TRANSPOSED, {"activation": "selu"}, ValueError, ENDS),
        (X, TRANSPOSED.double(), {}, RuntimeError, "(?i)type"),
        (X, TRANSPOSED, {"bias": torch.zeros(3).double()}, RuntimeError, "(?i)type"),
        (X, TRANSPOSED, {"padding": 20}, ValueError, "result would be -31x-32; padding"),
        (X, TRANSPOSED[:, :, :0], {}, ValueError, r"\(4, 3, 0, 4\); its sides must be at least 1"),
        (X, TRANSPOSED, {"groups": 3}, RuntimeError, "(?i)groups|divisible"),
    ],
)
def test_conv_transpose2d(x, weight, options, error, message):
    raises(ops.conv_transpose2d, (x, weight), options, error, message)


@pytest.mark.parametrize(
    ("x", "weight", "options", "error", "message"),
    [
        ("x", KERNEL, {}, TypeError, "x is a str"),
        (X[0, 0], KERNEL, {}, ValueError, UNBATCHED),
        (X, None, {}, TypeError, "weight is a NoneType"),
        (X, KERNEL[0], {}, ValueError, r"\(4, 3, 3\); it must be \(O, C, kH, kW\)"),
        (X, KERNEL[:, :3], {}, ValueError, "x has 4 channels .* in 1 groups, which takes 3"),
        (X, KERNEL, {"groups": 2}, ValueError, "in 2 groups, which takes 8"),
        (X, KERNEL, {"bias": torch.zeros(4)}, ValueError, r"bias is \(4,\); it must be \(3,\)"),
        (X, KERNEL, {"mode": "area"}, ValueError, "nearest, bilinear, bicubic, bed_of_nails"),
        (X, KERNEL, {"activation": ""}, ValueError, ENDS),
        (X, KERNEL, {"scale": 2, "size": 4}, ValueError, "scale and size are given; choose one"),
        (X, KERNEL, {"align_corners": True}, ValueError, "belongs to bilinear and bicubic"),
        (
            X,
            KERNEL,
            {"mode": "bed_of_nails", "align_corners": False},
            ValueError,
            "belongs to bilinear and bicubic",
        ),
        (X, KERNEL, {"scale": 0}, ValueError, "scale is 0; it must be a positive number, or two"),
        (X, KERNEL, {"scale": (2, -1.5)}, ValueError, "positive number, or two"),
        (X, KERNEL, {"scale": float("inf")}, ValueError, "positive number, or two"),
        (X, KERNEL, {"scale": float("nan")}, ValueError, "positive number, or two"),
        (X, KERNEL, {"scale": (2,)}, ValueError, "positive number, or two"),
        (X, KERNEL, {"scale": 0.1}, ValueError, "up-sampled image would be 0x0"),
        (X, KERNEL, {"size": (8, 0)}, ValueError, "up-sampled image would be 8x0"),
        (X, KERNEL, {"size": (8,)}, ValueError, r"size is \(8,\); it must be a whole number, or"),
        (X, KERNEL, {"size": (8, 8, 8)}, ValueError, "whole number, or two"),
        (X[:, :, :0], KERNEL, {"size": 8}, ValueError, r"\(2, 4, 0, 5\); its sides"),
        (
            X,
            KERNEL,
            {"mode": "bed_of_nails", "size": (12, 9)},
            ValueError,
            "from 6x5 to 12x9: the scales must be whole",
        ),
        (X, KERNEL, {"mode": "bed_of_nails", "scale": 2.5}, ValueError, "must be whole numbers"),
        (
            X[:, :, :1, :1],
            KERNEL,
            {"mode": "bed_of_nails", "scale": 2.5, "padding": 1},
            ValueError,
            "must be whole numbers",
        ),
        (X, KERNEL, {"stride": (1, 1, 1)}, ValueError, r"stride is \(1, 1, 1\)"),
        (X, KERNEL, {"padding": (1, 1, 1)}, ValueError, r"padding is \(1, 1, 1\)"),
        (X, KERNEL, {"stride": 0}, RuntimeError, "(?i)stride"),
        (X, KERNEL, {"padding": -1}, RuntimeError, "(?i)padding"),
        (X, KERNEL, {"dilation": 0}, RuntimeError, "(?i)dilation"),
        (X, KERNEL, {"padding": "full"}, (RuntimeError, ValueError), "(?i)padding"),
        (X, KERNEL, {"padding": "same", "stride": 2}, (RuntimeError, ValueError), "(?i)same"),
        (X, KERNEL, {"dilation": 9}, RuntimeError, "(?i)kernel .*than"),
        (X, KERNEL.double(), {}, RuntimeError, "(?i)type"),
    ],
)
def test_upsample_conv2d(x, weight, options, error, message):
    raises(ops.upsample_conv2d, (x, weight), options, error, message)


@pytest.mark.parametrize(
    ("x", "indices", "kernel", "options", "error", "message"),
    [
        (1.0, INDICES, 2, {}, TypeError, "x is a float"),
        (X[0, 0], INDICES[0, 0], 2, {}, ValueError, UNBATCHED),
        (X, INDICES.int(), 2, {}, TypeError, "indices are torch.int32; they must be torch.int64"),
        (X, INDICES.tolist(), 2, {}, TypeError, "indices are a list; they must be a tensor"),
        (X, INDICES[:1], 2, {}, ValueError, r"indices are \(1, 4, 6, 5\) and x \(2, 4, 6, 5\)"),
        (X, INDICES, (2, 2, 2), {}, ValueError, r"kernel_size is \(2, 2, 2\)"),
        (X, INDICES, 2, {"stride": (1, 2, 3)}, ValueError, r"stride is \(1, 2, 3\)"),
        (X, INDICES, 2, {"padding": (0, 0, 0)}, ValueError, r"padding is \(0, 0, 0\)"),
        (X, INDICES, 2, {"output_size": (14, 10)}, ValueError, "within the stride of 12x10"),
        (X, INDICES, 2, {"output_size": (10,)}, ValueError, r"\(10,\); it must be \(height, w"),
        (X, INDICES, 2, {"output_size": (4, 12, 10)}, ValueError, r"it must be \(height, width\)"),
        (X, INDICES, 2, {"bias": torch.zeros(2)}, ValueError, r"bias is \(2,\); it must be \(4,\)"),
        (X, INDICES, 2, {"activation": "max"}, ValueError, ENDS),
        (X, INDICES + 120, 2, {}, RuntimeError, "(?i)ind(ex|ices)"),
        (X, INDICES - 1, 2, {}, RuntimeError, "(?i)ind(ex|ices)"),
    ],
)
def test_max_unpool2d(x, indices, kernel, options, error, message):
    raises(ops.max_unpool2d, (x, indices, kernel), options, error, message)


def test_packing():
    for geometry in ({"stride": (1, 1, 1)}, {"padding": (1, 1, 1)}, {"dilation": ()}):
        raises(ops.pack_conv_transpose2d, (TRANSPOSED,), geometry, ValueError, "or two")


@pytest.mark.parametrize("name", ["bed_of_nails", "pixel_shuffle", "bias_activation"])
@pytest.mark.parametrize("activation", [-1, 5])
def test_ops_refuse_a_number_of_no_activation(name, activation):
    scales = {"bed_of_nails": (2, 2), "pixel_shuffle": (2,), "bias_activation": ()}[name]
    with pytest.raises((ValueError, RuntimeError), match="activation"):
        getattr(torch.ops.gandetect, name)(X, *scales, None, activation, 0.0)


@pytest.mark.skipif(not _ext.available(), reason="the reference fails by torch's own checks")
def test_kernels_guard_themselves_against_direct_calls():
    """The ops themselves, called with tensors that do not fit, must not read out of bounds."""
    op, end = torch.ops.gandetect, (0, 0.0)
    lists = ([2, 2], [1, 1], [0, 0], [1, 1])
    target = (12, 10, 2.0, 2.0, 0, False, [1, 1], [1, 1], [1, 1], *end, None)
    sized = (12, 10, None, *end)
    for wild in (
        lambda: op.bed_of_nails(X[0], 2, 2, None, *end),
        lambda: op.bed_of_nails(X, 0, 2, None, *end),
        lambda: op.bed_of_nails(X, 2**40, 2**40, None, *end),
        lambda: op.bed_of_nails(X, 2, 2, torch.zeros(3), *end),
        lambda: op.bed_of_nails(X, 2, 2, torch.zeros(4).double(), *end),
        lambda: op.pixel_shuffle(X, 3, None, *end),
        lambda: op.pixel_shuffle(X, 0, None, *end),
        lambda: op.pixel_shuffle(X, 2, torch.zeros(1), *end),
        lambda: op.conv_transpose2d(X[0], TRANSPOSED, None, *lists, *end, None),
        lambda: op.conv_transpose2d(X, TRANSPOSED[:3], None, *lists, *end, None),
        lambda: op.conv_transpose2d(X, TRANSPOSED.double(), None, *lists, *end, None),
        lambda: op.conv_transpose2d(X, TRANSPOSED, torch.zeros(2), *lists, *end, None),
        lambda: op.conv_transpose2d(X, TRANSPOSED, None, [2, 0], *lists[1:], *end, None),
        lambda: op.conv_transpose2d(X, TRANSPOSED, None, [2, 2], [-1, 1], *lists[2:], *end, None),
        lambda: op.conv_transpose2d(X, TRANSPOSED, None, [2], *lists[1:], *end, None),
        lambda: op.upsample_conv2d(X, KERNEL[:, :2], None, *target),
        lambda: op.upsample_conv2d(X, KERNEL, torch.zeros(9), *target),
        lambda: op.upsample_conv2d(X, KERNEL, None, 0, *target[1:]),
        lambda: op.upsample_conv2d(X, KERNEL, None, *target[:4], 9, *target[5:]),
        lambda: op.upsample_conv2d(X, KERNEL, None, 13, 10, 0.0, 0.0, 3, *target[5:]),
        lambda: op.max_unpool2d(X, INDICES[:1], *sized),
        lambda: op.max_unpool2d(X, INDICES.int(), *sized),
        lambda: op.max_unpool2d(X, INDICES + 120, *sized),
        lambda: op.max_unpool2d(X, INDICES, -1, 10, None, *end),
        lambda: op.bias_activation(X, torch.zeros(5), *end),
        lambda: op.pack_conv_transpose2d(TRANSPOSED[0], [2, 2], [1, 1], [1, 1]),
        lambda: op.pack_conv_transpose2d(TRANSPOSED, [0, 2], [1, 1], [1, 1]),
        lambda: op.pack_upsample_conv2d(KERNEL[0]),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            wild()
