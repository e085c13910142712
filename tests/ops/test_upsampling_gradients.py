"""Gradients of the up-sampling ops: of every input, of second order, and what is kept for them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from ops_table import UPSAMPLING_OPS
from torch import Tensor
from torch.nn import functional as F
from upsampling_calls import CALLS, pick
from upsampling_cases import ADJOINTS, ENDS, Draw, is_linear
from upsampling_oracle import Call, assert_agree, shown

from gandetect import ops

TINY = ((3, 4), (2, 2))
# Of two computations, relative to one plus the largest gradient.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
SHARES, CALLS_EACH = 2, 70


def differentiable(t: Tensor) -> Tensor:
    """A leaf of the same layout; what is no floating tensor passes."""
    return t.detach().requires_grad_() if t.is_floating_point() else t


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_adjoint_dot_product(case, dtype):
    """<A x, y> == <x, A* y>, the adjoint written with torch's functions."""
    checked = 0
    for call in case.samples(dtype):
        if not is_linear(case.name, call):
            continue
        x, *rest = call
        result = case.op(x, *rest)
        y = torch.randn_like(result)
        left = (result.double() * y.double()).sum()
        right = (x.double() * ADJOINTS[case.name](x.shape, y, *rest).double()).sum()
        error = float((left - right).abs() / (x.double().norm() * y.double().norm()))
        tolerance = 1e-13 if dtype == torch.float64 else 1e-6
        what = f"{case}({', '.join(map(shown, call))})"
        assert error < tolerance, f"{what}: <Ax, y> {left:.9g}, <x, A*y> {right:.9g}"
        checked += 1
    assert checked >= 10


@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_backward_is_the_adjoint(case):
    for call in case.samples(torch.float64, TINY):
        if not is_linear(case.name, call):
            continue
        x, *rest = call
        leaf = x.clone().requires_grad_()
        result = case.op(leaf, *rest)
        y = torch.randn_like(result)
        (actual,) = torch.autograd.grad(result, leaf, y)
        what = f"{case}({', '.join(map(shown, call))})"
        assert_agree(actual, ADJOINTS[case.name](x.shape, y, *rest), 1e-13, what)


@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_gradcheck_of_weight_and_bias(case):
    """Every order in all inputs together, through the op's float64 kernels."""
    for call in list(case.samples(torch.float64, TINY, 1))[::3]:
        at = [i for i, a in enumerate(call) if isinstance(a, Tensor) and a.is_floating_point()]

        def function(*tensors, call=call, at=at):
            given = list(call)
            for i, t in zip(at, tensors, strict=True):
                given[i] = t
            return case.op(*given)

        leaves = [call[i].clone().requires_grad_() for i in at]
        options = {"atol": 1e-4, "rtol": 1e-3, "fast_mode": True}
        assert torch.autograd.gradcheck(function, leaves, **options)
        assert torch.autograd.gradgradcheck(function, leaves, **options)


def is_near_a_kink(call: Call) -> bool:
    """Whether rounding may turn an element round where the activation bends."""
    if call.options.get("activation") not in ("relu", "leaky_relu"):
        return False
    as_double = call.with_tensors(lambda t: t.double() if t.is_floating_point() else t)
    linear = {**as_double.options, "activation": "none"}
    before = Call(call.name, as_double.arguments, linear).torchs().abs()
    before = before[before > 0]
    return bool(before.numel()) and float(before.min() / before.max()) < 1e-4


def random_differentiable_calls(name: str, share: int):
    """Calls that torch takes, in float32 and float64, with their results."""
    random = np.random.default_rng([31, *name.encode(), share])
    while True:
        call = CALLS[name](random, pick(random, torch.float32, torch.float32, torch.float64))
        try:
            result = call.torchs()
        except Exception:
            continue
        if result.numel() and not is_near_a_kink(call):
            yield random, call


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", CALLS)
def test_random_calls_have_the_gradients_of_torch(name, share):
    """Of x, weight and bias together, 700 calls over all functions."""
    calls = random_differentiable_calls(name, share)
    for random, call in itertools.islice(calls, CALLS_EACH):
        ours, torchs = (call.with_tensors(differentiable) for _ in range(2))
        wanted_result = torchs.torchs()
        upstream = torch.from_numpy(random.standard_normal(tuple(wanted_result.shape)))
        upstream = upstream.to(wanted_result.dtype)
        actual = torch.autograd.grad(ours.ours(), ours.tensors(), upstream)
        wanted = torch.autograd.grad(wanted_result, torchs.tensors(), upstream)
        for i, (a, w) in enumerate(zip(actual, wanted, strict=True)):
            assert a.dtype == w.dtype, call
            assert_agree(a, w, TOLERANCE[w.dtype], f"gradient {i} of {call}")


def some_calls() -> dict[str, Call]:
    """One of each function, fused in float32."""
    draw = Draw(50, torch.float32)
    high = draw(2, 4, 8, 8)
    pooled, indices = F.max_pool2d(high, 2, return_indices=True)
    end = {"activation": "tanh"}
    weight = draw.weight(4, 6, 4, 4, inputs=4)
    kernel = draw.weight(6, 4, 3, 3, inputs=4)
    twice = {"stride": 2, "padding": 1}
    return {
        "bed_of_nails": Call("bed_of_nails", (draw(2, 4, 5, 6), 2), {"bias": draw(4), **end}),
        "pixel_shuffle": Call("pixel_shuffle", (draw(2, 8, 5, 6), 2), {"bias": draw(8), **end}),
        "conv_transpose2d": Call(
            "conv_transpose2d", (draw(2, 4, 8, 8), weight, draw(6)), {**twice, **end}
        ),
        "upsample_conv2d": Call(
            "upsample_conv2d", (draw(2, 4, 6, 6), kernel, draw(6)), {"padding": 1, **end}
        ),
        "max_unpool2d": Call("max_unpool2d", (pooled, indices, 2), {"bias": draw(4), **end}),
    }


@pytest.mark.parametrize("name", CALLS)
def test_each_combination_of_inputs_that_require_gradients(name):
    call = some_calls()[name]
    count = len(call.tensors())
    for wanted in itertools.product((False, True), repeat=count):
        if not any(wanted):
            assert not call.ours().requires_grad
            continue
        both = []
        for function in (Call.ours, Call.torchs):
            flags = iter(wanted)
            some = call.with_tensors(
                lambda t, flags=flags: (
                    t.detach().clone().requires_grad_(next(flags)) if t.is_floating_point() else t
                )
            )
            leaves = [t for t in some.tensors() if t.requires_grad]
            both.append(torch.autograd.grad(function(some).square().sum(), leaves))
        assert len(both[0]) == sum(wanted)
        for a, w in zip(*both, strict=True):
            assert_agree(a, w, 1e-5, f"{wanted} of {call}")


@pytest.mark.parametrize("name", CALLS)
def test_second_derivatives_are_those_of_torch(name):
    """A penalty on the gradient, as discriminators and regularizers have it."""
    found = []
    for function in (Call.ours, Call.torchs):
        call = some_calls()[name].with_tensors(differentiable)
        leaves = call.tensors()
        first = torch.autograd.grad(function(call).square().sum(), leaves, create_graph=True)
        penalty = sum(g.square().sum() for g in first)
        found.append(torch.autograd.grad(penalty, leaves))
    for i, (a, w) in enumerate(zip(*found, strict=True)):
        assert_agree(a / w.abs().max(), w / w.abs().max(), 1e-5, f"second derivative {i} of {name}")


def kept_by(call: Call) -> list[Tensor]:
    """What autograd keeps between forward and backward."""
    kept = []
    call = call.with_tensors(differentiable)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        call.ours()
    return kept


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "bed_of_nails"])
def test_upsample_conv2d_keeps_the_low_resolution(mode):
    draw = Draw(51, torch.float32)
    x, weight = draw(2, 4, 8, 8), draw.weight(6, 4, 3, 3, inputs=4)
    options = {"mode": mode, "padding": 1, "activation": "none"}
    kept = kept_by(Call("upsample_conv2d", (x, weight, draw(6)), options))
    assert {tuple(t.shape) for t in kept} == {tuple(x.shape), tuple(weight.shape)}


@pytest.mark.parametrize("name", CALLS)
def test_an_activation_keeps_its_output_and_nothing_of_its_size_besides(name):
    call = some_calls()[name]
    result = call.ours()
    kept = [t for t in kept_by(call) if t.shape == result.shape]
    assert len(kept) == 1, f"{name} keeps {[tuple(t.shape) for t in kept]}"
    assert_agree(kept[0], result, 0, name)
    bare = Call(name, call.arguments, {**call.options, "activation": "none"})
    assert not [t for t in kept_by(bare) if t.shape == result.shape]


def test_ends_name_the_bias_and_the_activation():
    """What tells linear calls from others is right for every schema."""
    for name, (bias, activation) in ENDS.items():
        arguments = getattr(torch.ops.gandetect, name).default._schema.arguments
        assert [arguments[bias].name, arguments[activation].name] == ["bias", "activation"]


def test_gradients_of_inputs_that_are_not_contiguous():
    draw = Draw(52, torch.float32)
    x = draw(4, 6, 2, 5).permute(2, 3, 0, 1)
    weight = draw(4, 4, 3, 5).permute(3, 2, 0, 1)
    bias = draw(6)[::2]
    options = {"stride": 2, "padding": 1}
    ours, torchs = (
        Call("conv_transpose2d", (x, weight, bias), options).with_tensors(differentiable)
        for _ in range(2)
    )
    actual = torch.autograd.grad(ours.ours().square().sum(), ours.tensors())
    wanted = torch.autograd.grad(torchs.torchs().square().sum(), torchs.tensors())
    for a, w in zip(actual, wanted, strict=True):
        assert_agree(a, w, 1e-5, ours)


def test_a_gradient_that_is_expanded():
    """sum() hands on a gradient without memory of its own."""
    for call in some_calls().values():
        ours, torchs = (call.with_tensors(differentiable) for _ in range(2))
        actual = torch.autograd.grad(ours.ours().sum(), ours.tensors())
        wanted = torch.autograd.grad(torchs.torchs().sum(), torchs.tensors())
        for a, w in zip(actual, wanted, strict=True):
            assert_agree(a, w, 1e-5, call)


def test_empty_batch_has_zero_gradients():
    x, weight, bias = torch.empty(0, 3, 4, 4), torch.ones(3, 2, 4, 4), torch.ones(2)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    ops.conv_transpose2d(x, weight, bias, stride=2, padding=1, activation="relu").sum().backward()
    assert [t.grad.shape for t in leaves] == [t.shape for t in leaves]
    assert not any(t.grad.any() for t in leaves)
