"""NaN, Inf, empty batches, layouts and large strides in the up-sampling functions."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F
from upsampling_cases import Draw
from upsampling_oracle import ACTIVATIONS, TOLERANCE, Call, assert_agree

from gandetect import ops

BAD = (float("nan"), float("inf"), -float("inf"))
UPSAMPLING = ("nearest", "bilinear", "bicubic", "bed_of_nails")


def draw_float(seed: int) -> Draw:
    return Draw(seed, torch.float32)


def assert_same_kinds(call: Call) -> None:
    """NaN where torch has NaN, the same infinities, equal values elsewhere."""
    actual, wanted = call.ours(), call.torchs()
    for kind in (torch.isnan, torch.isposinf, torch.isneginf):
        a, w = kind(actual), kind(wanted)
        places = [tuple(p) for p in (a != w).nonzero().tolist()]
        assert torch.equal(a, w), f"{kind.__name__} differs at {places[:4]}: {call}"
    finite = wanted.isfinite()
    if bool(finite.any()):
        assert_agree(actual[finite], wanted[finite], TOLERANCE[torch.float32], call)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_nan_and_infinity(activation, bad):
    """To each element by itself; ReLU keeps a NaN, tanh and sigmoid saturate."""
    d = draw_float(60)
    end = {"activation": activation, "negative_slope": 0.2}
    for width in (1, 3, 8, 21):  # whole vectors and what is left over
        x = d(2, 8, 3, width)
        x[1, 5, 2, width // 2] = bad
        assert_same_kinds(Call("bed_of_nails", (x, 2), {"bias": d(8), **end}))
        assert_same_kinds(Call("pixel_shuffle", (x, 2), {"bias": d(8), **end}))
        high = d(1, 2, 6, 2 * width)
        pooled, indices = F.max_pool2d(high, 2, return_indices=True)
        pooled[0, 1, 2, width // 2] = bad
        assert_same_kinds(Call("max_unpool2d", (pooled, indices, 2), {"bias": d(2), **end}))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_bias_that_is_not_finite(activation):
    d = draw_float(61)
    bias = d(6)
    bias[1], bias[2], bias[3] = BAD
    end = {"activation": activation, "negative_slope": 0.2}
    transposed, kernel = d(3, 6, 4, 4), d(6, 3, 3, 3)
    geometry = {"stride": 2, "padding": 1}
    for side in (1, 3, 8):
        x = d(1, 3, side, side)
        assert_same_kinds(Call("conv_transpose2d", (x, transposed, bias), {**geometry, **end}))
        assert_same_kinds(Call("upsample_conv2d", (x, kernel, bias), {"padding": 1, **end}))
        assert_same_kinds(Call("bed_of_nails", (d(1, 6, side, side), 2), {"bias": bias, **end}))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
@pytest.mark.parametrize("channels", [3, 16])
def test_bad_pixels_of_a_transposed_convolution_stay_in_their_reach(channels, activation, bad):
    """No further than the four results of a tile beyond what the kernel covers, never elsewhere.

    A tile is a few sums of the same products: within it an infinity may turn to NaN and spread.
    """
    d = draw_float(62)
    x, weight, bias = d(3, 8, 12, 12), d(8, channels, 4, 4), d(channels)
    options = {"stride": 2, "padding": 1, "activation": activation}
    clean = ops.conv_transpose2d(x, weight, bias, **options)
    spoiled = x.clone()
    spoiled[1, 3, 5, 6] = bad
    actual = ops.conv_transpose2d(spoiled, weight, bias, **options)
    wanted = F.conv_transpose2d(spoiled, weight, bias, stride=2, padding=1)
    covered = ~wanted.isfinite()
    near = torch.zeros_like(covered)
    near[1, :, 2 * 5 - 5 : 2 * 5 + 7, 2 * 6 - 5 : 2 * 6 + 7] = True
    assert bool(covered.any())
    assert torch.equal(covered & near, covered)
    assert_agree(actual[~near], clean[~near], 0, "far from the bad pixel")
    if activation == "none":
        assert not bool(actual[covered].isfinite().any()), "a result that the pixel reaches"
    if bad != bad and activation != "none":
        assert bool(actual[covered].isnan().all()), "a NaN was lost"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("mode", UPSAMPLING)
def test_bad_pixels_of_an_upsampled_convolution_stay_in_their_reach(mode, bad):
    d = draw_float(63)
    x, weight, bias = d(3, 8, 12, 12), d(16, 8, 3, 3), d(16)
    options = {"mode": mode, "padding": 1}
    clean = ops.upsample_conv2d(x, weight, bias, **options)
    spoiled = x.clone()
    spoiled[1, 3, 5, 6] = bad
    actual = ops.upsample_conv2d(spoiled, weight, bias, **options)
    wanted = Call("upsample_conv2d", (spoiled, weight, bias), options).torchs()
    covered = ~wanted.isfinite()
    near = torch.zeros_like(covered)
    near[1, :, 2 * 5 - 6 : 2 * 5 + 8, 2 * 6 - 6 : 2 * 6 + 8] = True
    assert bool(covered.any())
    assert torch.equal(covered & near, covered)
    assert_agree(actual[~near], clean[~near], 0, "far from the bad pixel")
    # Tables leave out what they would multiply by zero, which torch's 0 * Inf makes a NaN.
    certain = torch.zeros_like(covered)
    certain[1, :, 10:12, 12:14] = True
    assert not bool(actual[certain & covered].isfinite().any())


def test_a_bad_weight_spoils_its_channel_only():
    d = draw_float(64)
    x, weight = d(2, 8, 8, 8), d(8, 20, 4, 4)
    clean = ops.conv_transpose2d(x, weight, stride=2, padding=1)
    weight[3, 11, 2, 1] = float("nan")
    actual = ops.conv_transpose2d(x, weight, stride=2, padding=1)
    others = [c for c in range(20) if c != 11]
    assert bool(actual[:, 11].isnan().any())
    assert_agree(actual[:, others], clean[:, others], 0, "the other channels")


def test_denormal_and_huge_values():
    for scale in (1e-40, 1e-20, 1e20, 3e37):
        x = draw_float(65)(2, 4, 6, 6).clamp(-1, 1) * scale
        weight = torch.full((4, 4, 4, 4), 2.0**-8)
        for call in (
            Call("bed_of_nails", (x, 2), {}),
            Call("pixel_shuffle", (x, 2), {}),
            Call("conv_transpose2d", (x, weight), {"stride": 2, "padding": 1}),
        ):
            actual, wanted = call.ours(), call.torchs()
            assert bool(actual.isfinite().all()), f"scale {scale}: {call}"
            # Denormal numbers have few digits.
            assert_agree(actual / scale, wanted / scale, 1e-4 if scale < 1e-38 else 1e-6, call)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_empty_batches(layout):
    def empty(channels: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(0, channels, 4, 5, dtype=dtype).contiguous(memory_format=layout)

    d = draw_float(66)
    for activation in ACTIVATIONS:
        end = {"activation": activation}
        calls = {
            (0, 8, 8, 10): Call("bed_of_nails", (empty(8), 2), {"bias": d(8), **end}),
            (0, 2, 8, 10): Call("pixel_shuffle", (empty(8), 2), {"bias": d(8), **end}),
            (0, 5, 8, 10): Call(
                "conv_transpose2d",
                (empty(8), d(8, 5, 4, 4), d(5)),
                {"stride": 2, "padding": 1, **end},
            ),
            (0, 6, 8, 10): Call(
                "upsample_conv2d", (empty(8), d(6, 8, 3, 3), d(6)), {"padding": 1, **end}
            ),
            (0, 7, 8, 10): Call("max_unpool2d", (empty(7), empty(7, torch.int64), 2), end),
        }
        for shape, call in calls.items():
            assert call.ours().shape == shape, call
            assert call.ours().dtype == torch.float32


def relaid(t: torch.Tensor):
    """Every layout of the same values; `None` stands for those that t itself has."""
    yield "contiguous", t.contiguous()
    wide = torch.full([3 * side + 2 for side in t.shape], torch.nan)
    inner = wide[tuple(slice(1, 1 + 3 * side, 3) for side in t.shape)]
    yield "strided slice", inner.copy_(t)
    wide = torch.full([side + 5 for side in t.shape], torch.nan)
    inner = wide[tuple(slice(3, 3 + side) for side in t.shape)]
    yield "slice", inner.copy_(t)
    if t.dim() == 4:
        yield "channels_last", t.contiguous(memory_format=torch.channels_last)
        for order in itertools.permutations(range(4)):
            back = [order.index(i) for i in range(4)]
            yield f"permuted {order}", t.permute(order).contiguous().permute(back)
        rows = torch.full((t.shape[2], 1000, *t.shape[:2], t.shape[3]), torch.nan)[:, 7]
        yield "rows far apart", rows.permute(1, 2, 0, 3).copy_(t)


def layouts_of_calls():
    d = draw_float(67)
    geometry = {"stride": 2, "padding": 1, "activation": "relu"}
    x, weight, bias = d(2, 5, 6, 7), d.weight(5, 3, 4, 4, inputs=5), d(3)
    kernel = d.weight(3, 5, 3, 3, inputs=5)
    yield Call("conv_transpose2d", (x, weight, bias), geometry)
    wide, thick = d(3, 16, 8, 8), d.weight(16, 16, 4, 4, inputs=16)
    yield Call("conv_transpose2d", (wide, thick, d(16)), geometry)
    tall = d.weight(5, 16, 4, 4, inputs=5)
    yield Call("conv_transpose2d", (d(2, 5, 1, 1), tall, d(16)), {"activation": "relu"})
    yield Call("upsample_conv2d", (x, kernel, bias), {"padding": 1, "activation": "relu"})
    for mode in UPSAMPLING[1:]:
        yield Call("upsample_conv2d", (x, kernel, bias), {"padding": 1, "mode": mode})
    yield Call("bed_of_nails", (x, 2), {"bias": d(5)})
    yield Call("pixel_shuffle", (d(2, 8, 5, 9), 2), {"bias": d(8)})


@pytest.mark.parametrize("call", [*layouts_of_calls()], ids=lambda c: str(c)[:60])
def test_layouts_of_every_tensor(call):
    """x, weight and bias in turn in every layout: one result, whatever lies between the values."""
    wanted = call.ours()
    assert_agree(wanted, call.torchs(), TOLERANCE[torch.float32], call)
    for i, t in enumerate(call.tensors()):
        for layout, same in relaid(t):
            changed = call.with_tensors(lambda a, t=t, same=same: same if a is t else a)
            assert torch.equal(same, t), layout
            assert_agree(changed.ours(), wanted, 1e-6, f"tensor {i} {layout}: {call}")


def test_the_last_of_those_that_share_a_place_counts():
    x = torch.arange(1.0, 9.0).reshape(1, 2, 2, 2)
    indices = torch.tensor([[[3, 3], [0, 3]], [[1, 0], [1, 1]]])[None]
    for threads_share in (x, x.double(), x.repeat(40, 1, 1, 1)):
        places = indices.expand(threads_share.shape[0], -1, -1, -1)
        y = ops.max_unpool2d(threads_share, places, 1, stride=1)
        wanted = torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[6.0, 8.0], [0.0, 0.0]]])
        assert torch.equal(y, wanted.to(y.dtype).expand_as(y))


@pytest.mark.parametrize("index", [-1, 64, 2**31, 2**40, -(2**63)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_index_beyond_the_output_is_refused(dtype, index):
    x, indices = F.max_pool2d(torch.rand(2, 3, 8, 8, dtype=dtype), 2, return_indices=True)
    ops.max_unpool2d(x, indices, 2)
    indices[1, 2, 3, 3] = index
    with pytest.raises(RuntimeError):
        ops.max_unpool2d(x, indices, 2)


def test_results_are_new_memory():
    """Nothing is returned that writing to would change the input, even where nothing is done."""
    x = torch.ones(1, 4, 2, 2)
    for result in (
        ops.bed_of_nails(x, 1),
        ops.pixel_shuffle(x, 1),
        ops.bed_of_nails(x.double(), 1),
        ops.pixel_shuffle(x.double(), 1),
        torch.ops.gandetect.bias_activation(x, None, 0, 0.0),
    ):
        before = x.clone()
        result.zero_()
        assert torch.equal(x, before)
