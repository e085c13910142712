"""The identities that the kernels rest on, each written out with plain torch in float64.

Every one must equal what torch computes, and the ops must equal it: in float64 through the op
itself, in float32 through the function that people call.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import Draw
from upsampling_oracle import PROMISED, assert_agree

from gandetect import ops

FLOAT64, FLOAT32 = 1e-13, PROMISED


def draw(seed: int) -> Draw:
    return Draw(seed, torch.float64)


def assert_ops_equal(identity: Tensor, name: str, arguments: tuple, options: dict) -> None:
    """The public function in float64 and in float32, where it is fused."""
    function = getattr(ops, name)
    assert_agree(function(*arguments, **options), identity, FLOAT64, f"{name} in float64")
    single = [a.float() if a.is_floating_point() else a for a in arguments]
    assert_agree(function(*single, **options), identity, FLOAT32, f"{name} in float32")


def assert_op_equals(identity: Tensor, name: str, *arguments) -> None:
    """The op, whose kernels take float64 where the public function leaves it to torch."""
    actual = getattr(torch.ops.gandetect, name)(*arguments)
    assert_agree(actual, identity, FLOAT64, f"the op {name}")


def rows_at(x: Tensor, offset: int, count: int, axis: int) -> Tensor:
    """x[offset + 0], ..., x[offset + count - 1] along an axis, zero outside."""
    side = x.shape[axis]
    index = torch.arange(offset, offset + count)
    inside = ((index >= 0) & (index < side)).to(x.dtype)
    shape = [count if i == axis % x.dim() else 1 for i in range(x.dim())]
    return x.index_select(axis, index.clamp(0, side - 1)) * inside.reshape(shape)


def patch(x: Tensor, down: int, right: int, height: int, width: int) -> Tensor:
    return rows_at(rows_at(x, down, height, 2), right, width, 3)


def taps(kernel: int, stride: int, padding: int, phase: int) -> list[tuple[int, int]]:
    """2.1: (k, offset) of the taps that a phase of a transposed convolution reads, by k."""
    return [
        (k, (phase + padding - k) // stride)
        for k in range(kernel)
        if (phase + padding - k) % stride == 0
    ]


def test_taps_of_a_4x4_kernel_of_stride_2():
    assert sorted(taps(4, 2, 1, 0), key=lambda t: t[1]) == [(3, -1), (1, 0)]
    assert sorted(taps(4, 2, 1, 1), key=lambda t: t[1]) == [(2, 0), (0, 1)]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "extra"),
    [
        ((4, 4), (2, 2), (1, 1), (0, 0)),
        ((3, 3), (2, 2), (1, 1), (1, 1)),
        ((5, 4), (3, 2), (2, 0), (0, 1)),
        ((7, 2), (4, 3), (3, 0), (3, 2)),
        ((4, 4), (1, 1), (0, 0), (0, 0)),
        ((2, 2), (3, 5), (0, 1), (0, 0)),
    ],
)
def test_2_1_a_transposed_convolution_is_one_convolution_for_each_phase(
    kernel, stride, padding, extra
):
    d = draw(1)
    x, weight = d(2, 3, 5, 6), d(3, 4, *kernel)
    wanted = F.conv_transpose2d(x, weight, None, stride, padding, extra)
    y = torch.zeros_like(wanted)
    for a, b in itertools.product(range(stride[0]), range(stride[1])):
        here = y[:, :, a :: stride[0], b :: stride[1]]
        for ky, down in taps(kernel[0], stride[0], padding[0], a):
            for kx, right in taps(kernel[1], stride[1], padding[1], b):
                shifted = patch(x, down, right, *here.shape[2:])
                here += torch.einsum("nchw,co->nohw", shifted, weight[:, :, ky, kx])
    assert_agree(y, wanted, FLOAT64, "phases")
    options = {"stride": stride, "padding": padding, "output_padding": extra}
    assert_ops_equal(y, "conv_transpose2d", (x, weight), options)
    lists = [list(pair) for pair in (stride, padding, extra, (1, 1))]
    assert_op_equals(y, "conv_transpose2d", x, weight, None, *lists, 0, 0.0, None)


def upsample_conv2d_op(identity: Tensor, x: Tensor, weight: Tensor, mode: int, pad: int) -> None:
    height, width = x.shape[2:]
    target = (2 * height, 2 * width, 2.0, 2.0, mode, False)
    geometry = ([1, 1], [pad, pad], [1, 1])
    end = (0, 0.0, None)
    assert_op_equals(identity, "upsample_conv2d", x, weight, None, *target, *geometry, *end)


@pytest.mark.parametrize(("k", "counts"), [(3, (1, 2, 2, 4)), (5, (9, 6, 6, 4))])
def test_2_2_bed_of_nails_and_a_convolution_never_read_the_zeros(k, counts):
    d, q = draw(2), k // 2
    x, weight = d(2, 3, 5, 6), d(4, 3, k, k)
    nails = torch.zeros(2, 3, 10, 12, dtype=torch.float64)
    nails[:, :, ::2, ::2] = x
    wanted = F.conv2d(nails, weight, padding=q)
    y, used = torch.zeros_like(wanted), []
    for a, b in itertools.product(range(2), range(2)):
        meeting = [
            (ky, kx)
            for ky, kx in itertools.product(range(k), range(k))
            if (a + ky - q) % 2 == 0 and (b + kx - q) % 2 == 0
        ]
        used.append(len(meeting))
        for ky, kx in meeting:
            shifted = patch(x, (a + ky - q) // 2, (b + kx - q) // 2, 5, 6)
            y[:, :, a::2, b::2] += torch.einsum("nchw,oc->nohw", shifted, weight[:, :, ky, kx])
    assert tuple(used) == counts
    assert_agree(y, wanted, FLOAT64, "phases")
    flipped = weight.flip(2, 3).transpose(0, 1)
    options = {"stride": 2, "padding": q, "output_padding": 1}
    assert_agree(F.conv_transpose2d(x, flipped, **options), y, FLOAT64, "torch, flipped")
    assert_ops_equal(y, "conv_transpose2d", (x, flipped), options)
    assert_ops_equal(y, "upsample_conv2d", (x, weight), {"mode": "bed_of_nails", "padding": q})
    upsample_conv2d_op(y, x, weight, 3, q)


@pytest.mark.parametrize("k", [3, 5])
def test_2_3_nearest_and_a_convolution_merge_taps(k):
    d, q = draw(3), k // 2
    x, weight = d(2, 3, 5, 6), d(4, 3, k, k)
    wanted = F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=q)
    y = torch.zeros_like(wanted)
    for a, b in itertools.product(range(2), range(2)):
        merged: dict[tuple[int, int], Tensor] = {}
        for ky, kx in itertools.product(range(k), range(k)):
            at = (math.floor((a + ky - q) / 2), math.floor((b + kx - q) / 2))
            merged[at] = merged.get(at, 0) + weight[:, :, ky, kx]
        assert len(merged) == (4 if k == 3 else 9)
        for (down, right), w in merged.items():
            shifted = patch(x, down, right, 5, 6)
            y[:, :, a::2, b::2] += torch.einsum("nchw,oc->nohw", shifted, w)
    assert_agree(y, wanted, FLOAT64, "merged taps")
    assert_ops_equal(y, "upsample_conv2d", (x, weight), {"padding": q})
    upsample_conv2d_op(y, x, weight, 0, q)


def cubic(t: float) -> list[float]:
    """Keys' kernel with a = -0.75, at the four samples about a place t after the second."""
    a = -0.75

    def near(u: float) -> float:
        return ((a + 2) * u - (a + 3)) * u * u + 1

    def far(u: float) -> float:
        return ((a * u - 5 * a) * u + 8 * a) * u - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def sources(mode: str, side: int, size: int, scale: float, align: bool) -> list[dict[int, float]]:
    """2.4: for each row of the interpolated image {row of x: weight}, merged where clamped."""
    if size == side and mode != "bicubic":  # torch leaves such an axis alone, whatever its scale
        return [{row: 1.0} for row in range(size)]
    table = []
    for row in range(size):
        step = 1 / scale if scale else side / size
        if mode == "nearest":
            entries = [(min(math.floor(row * step), side - 1), 1.0)]
        else:
            if align:
                place = row * (side - 1) / (size - 1) if size > 1 else 0.0
            else:
                place = (row + 0.5) * step - 0.5
            if mode == "bilinear":
                place = max(place, 0.0)
                first = min(math.floor(place), side - 1)
                t = place - first
                entries = [(first, 1 - t), (min(first + 1, side - 1), t)]
            else:
                first = math.floor(place)
                weights = cubic(place - first)
                entries = [(min(max(first - 1 + i, 0), side - 1), w) for i, w in enumerate(weights)]
        merged: dict[int, float] = {}
        for s, w in entries:
            merged[s] = merged.get(s, 0.0) + w
        table.append(merged)
    return table


def gather_table(
    rows: list[dict[int, float]], kernel: int, padding: int
) -> list[dict[tuple[int, int], float]]:
    """For each row of the result {(tap, row of x): weight}; taps in the zero padding drop out."""
    count = len(rows) + 2 * padding - kernel + 1
    return [
        {
            (tap, s): w
            for tap in range(kernel)
            if 0 <= out + tap - padding < len(rows)
            for s, w in rows[out + tap - padding].items()
        }
        for out in range(count)
    ]


def matrix(table: list[dict[tuple[int, int], float]], kernel: int, side: int) -> Tensor:
    dense = torch.zeros(len(table), kernel, side, dtype=torch.float64)
    for out, entries in enumerate(table):
        for (tap, s), w in entries.items():
            dense[out, tap, s] = w
    return dense


TARGETS = {
    "twice": {"scale": 2},
    "thrice and 1.5": {"scale": (3, 1.5)},
    "sizes": {"size": (7, 11)},
    "smaller": {"size": (3, 4)},
    "rows as they are": {"scale": (1.1, 1.7)},
    "as it is": {"scale": (1.1, 1.1)},
}


@pytest.mark.parametrize("k", [1, 3, 4])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("mode", "align"),
    [("nearest", None), *itertools.product(("bilinear", "bicubic"), (False, True))],
)
def test_2_4_taps_are_mixed_at_the_low_resolution_and_gathered_along_each_axis(
    mode, align, target, k
):
    d, pad = draw(4), 1
    x, weight = d(2, 3, 5, 6), d(4, 3, k, k)
    options = TARGETS[target]
    scales = options.get("scale", (0.0, 0.0))
    scales = scales if isinstance(scales, tuple) else (scales, scales)
    sizes = options.get("size", tuple(int(v * s) for v, s in zip((5, 6), scales, strict=True)))
    high = F.interpolate(x, options.get("size"), options.get("scale"), mode, align)
    wanted = F.conv2d(high, weight, padding=pad)

    tables = [
        gather_table(sources(mode, side, size, scale, bool(align)), k, pad)
        for side, size, scale in zip((5, 6), sizes, scales, strict=True)
    ]
    longest = max(len(entries) for table in tables for entries in table)
    assert longest <= k * {"nearest": 1, "bilinear": 2, "bicubic": 4}[mode]
    down, right = (matrix(t, k, side) for t, side in zip(tables, (5, 6), strict=True))
    z = torch.einsum("ocyx,nchw->nyxohw", weight, x)
    vertical = torch.einsum("ryh,nyxohw->nxorw", down, z)
    y = torch.einsum("sxw,nxorw->nors", right, vertical)

    assert_agree(y, wanted, FLOAT64, "gathered taps")
    chosen = {"mode": mode, "align_corners": align, "padding": pad, **options}
    assert_ops_equal(y, "upsample_conv2d", (x, weight), chosen)
    code = ("nearest", "bilinear", "bicubic").index(mode)
    settings = (*sizes, *(float(s) for s in scales), code, bool(align))
    rest = ([1, 1], [pad, pad], [1, 1], 0, 0.0, None)
    assert_op_equals(y, "upsample_conv2d", x, weight, None, *settings, *rest)


B = torch.tensor([[1, -1, 0], [0, 1, 0], [0, -1, 1]], dtype=torch.float64)
G = torch.tensor([[1, 0], [1, 1], [0, 1]], dtype=torch.float64)
A = torch.tensor([[1, 1, 0], [0, 1, 1]], dtype=torch.float64)


def test_2_5_winograd_of_one_dimension():
    x, w = draw(5)(3), draw(6)(2)
    y = A @ ((G @ w) * (B @ x))
    torch.testing.assert_close(y, torch.stack([x[0] * w[0] + x[1] * w[1], x[1:] @ w]))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 6), (8, 8)])
def test_2_5_winograd_tiles_of_the_four_phases(height, width):
    d = draw(7)
    x, weight = d(2, 3, height, width), d(3, 4, 4, 4)
    wanted = F.conv_transpose2d(x, weight, None, 2, 1)
    y = torch.zeros_like(wanted)
    ordered = [[3, 1], [2, 0]]  # of each phase, by rising offset
    for a, b in itertools.product(range(2), range(2)):
        phase = weight[:, :, ordered[a]][:, :, :, ordered[b]]
        u = torch.einsum("pi,coij,qj->copq", G, phase, G)
        for i, j in itertools.product(range(0, height, 2), range(0, width, 2)):
            inputs = patch(x, i - 1 + a, j - 1 + b, 3, 3)
            v = torch.einsum("pi,ncij,qj->ncpq", B, inputs, B)
            products = torch.einsum("ncpq,copq->nopq", v, u)
            tile = torch.einsum("ip,nopq,jq->noij", A, products, A)
            y[:, :, 2 * i + a : 2 * i + 4 : 2, 2 * j + b : 2 * j + 4 : 2] = tile
    assert_agree(y, wanted, FLOAT64, "tiles")
    assert_ops_equal(y, "conv_transpose2d", (x, weight), {"stride": 2, "padding": 1})
    geometry = ([2, 2], [1, 1], [0, 0], [1, 1])
    assert_op_equals(y, "conv_transpose2d", x, weight, None, *geometry, 0, 0.0, None)


@pytest.mark.parametrize("r", [2, 3])
def test_2_6_where_pixel_shuffle_puts_each_value(r):
    d = draw(8)
    x, bias = d(2, 3 * r * r, 4, 5), d(3 * r * r)
    y = torch.zeros(2, 3, 4 * r, 5 * r, dtype=torch.float64)
    for c, a, b in itertools.product(range(3), range(r), range(r)):
        k = c * r * r + a * r + b
        y[:, c, a::r, b::r] = torch.relu(x[:, k] + bias[k])
    assert_agree(F.pixel_shuffle(torch.relu(x + bias[:, None, None]), r), y, 0, "torch")
    actual = ops.pixel_shuffle(x, r, bias=bias, activation="relu")
    assert_agree(actual, y, 0, "pixel_shuffle in float64")
    single = ops.pixel_shuffle(x.float(), r, bias=bias.float(), activation="relu")
    assert_agree(single, y, FLOAT32, "pixel_shuffle in float32")
    assert_op_equals(y, "pixel_shuffle", x, r, bias, 1, 0.0)


def test_2_6_bed_of_nails_puts_zeros_between():
    x = draw(9)(2, 3, 4, 5)
    y = torch.zeros(2, 3, 12, 10, dtype=torch.float64)
    for i, j in itertools.product(range(4), range(5)):
        y[:, :, 3 * i, 2 * j] = x[:, :, i, j]
    assert_agree(ops.bed_of_nails(x, (3, 2)), y, 0, "bed_of_nails in float64")
    assert torch.equal(ops.bed_of_nails(x.float(), (3, 2)), y.float())
    assert_op_equals(y, "bed_of_nails", x, 3, 2, None, 0, 0.0)


def test_2_6_max_unpool_needs_two_bits_of_each_index():
    high = draw(10)(2, 3, 8, 10)
    x, indices = F.max_pool2d(high, 2, return_indices=True)
    rows, columns = indices // 10, indices % 10
    code = 2 * (rows % 2) + columns % 2
    y = torch.zeros_like(high)
    for a, b in itertools.product(range(2), range(2)):
        y[:, :, a::2, b::2] = x * (code == 2 * a + b)
    assert_agree(F.max_unpool2d(x, indices, 2), y, 0, "torch")
    assert_ops_equal(y, "max_unpool2d", (x, indices), {"kernel_size": 2})
    assert_op_equals(y, "max_unpool2d", x, indices, 8, 10, None, 0, 0.0)


def test_2_6_batch_norm_folds_into_weight_and_bias():
    d = draw(11)
    x, weight, bias = d(2, 3, 4, 5), d(3, 4, 4, 4), d(4)
    mean, gamma, beta, var = d(4), d(4), d(4), d(4).square() + 0.5
    options = {"stride": 2, "padding": 1}
    y = F.conv_transpose2d(x, weight, bias, **options)
    wanted = torch.relu(F.batch_norm(y, mean, var, gamma, beta, eps=1e-5))
    t = gamma / (var + 1e-5).sqrt()
    folded, shifted = weight * t[:, None, None], (bias - mean) * t + beta
    plain = torch.relu(F.conv_transpose2d(x, folded, shifted, **options))
    assert_agree(plain, wanted, FLOAT64, "folded")
    arguments = (x, folded, shifted)
    assert_ops_equal(wanted, "conv_transpose2d", arguments, {**options, "activation": "relu"})


def test_2_6_the_first_layer_of_a_generator_is_a_matrix_product():
    d = draw(12)
    x, weight = d(3, 10, 1, 1), d(10, 6, 4, 4)
    y = (x.flatten(1) @ weight.flatten(1)).reshape(3, 6, 4, 4)
    assert_agree(F.conv_transpose2d(x, weight), y, FLOAT64, "torch")
    assert_ops_equal(y, "conv_transpose2d", (x, weight), {})
