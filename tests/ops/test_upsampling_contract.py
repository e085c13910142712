"""What torch asks of the up-sampling ops and functions beyond what the shared table covers."""

from __future__ import annotations

import itertools

import pytest
import torch
from ops_table import UPSAMPLING_OPS
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import SHAPES, Draw
from upsampling_oracle import Call, assert_agree

from gandetect import ops

FUNCTIONS = ("bed_of_nails", "pixel_shuffle", "conv_transpose2d", "upsample_conv2d", "max_unpool2d")


@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_opcheck_of_every_input_that_has_a_gradient(case):
    """In channels_last too."""
    layouts = itertools.cycle((torch.channels_last, torch.contiguous_format))
    for call, layout in zip(
        list(case.samples(torch.float32, ((4, 3),)))[::5], layouts, strict=False
    ):
        leaves = [
            a.clone().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a
            for a in call
        ]
        leaves[0] = call[0].contiguous(memory_format=layout).requires_grad_()
        torch.library.opcheck(case.op, tuple(leaves))


def test_opcheck_of_packing():
    """The size is the kernels' own affair: torch is told that it depends on the data."""
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    weight = torch.rand(4, 3, 4, 4)
    packing = torch.ops.gandetect.pack_conv_transpose2d
    torch.library.opcheck(packing, (weight, [2, 2], [1, 1], [1, 1]), test_utils=tests)
    packing = torch.ops.gandetect.pack_upsample_conv2d
    torch.library.opcheck(packing, (weight, False), test_utils=tests)


@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_meta_of_channels_last(case):
    """Shapes and strides as the kernels give them, in the layouts that are and are not ambiguous.

    A tensor with one channel or one pixel is contiguous in both.
    """
    for call in case.samples(torch.float32, SHAPES[:1] + SHAPES[4:8]):
        x, *rest = call
        x = x.contiguous(memory_format=torch.channels_last)
        on_meta = [a.to("meta") if isinstance(a, Tensor) else a for a in rest]
        layout = torch.empty_strided(x.shape, x.stride(), device="meta")
        actual, wanted = case.op(layout, *on_meta), case.op(x, *rest)
        assert (actual.shape, actual.stride()) == (wanted.shape, wanted.stride()), f"{x.stride()}"


@pytest.mark.parametrize("case", UPSAMPLING_OPS, ids=str)
def test_vmap_over_weights_and_biases(case):
    """An ensemble: each member has its own x, weight and bias."""
    for call in list(case.samples(torch.float64, ((3, 4),)))[::3]:
        at = [i for i, a in enumerate(call) if isinstance(a, Tensor) and a.is_floating_point()]

        def function(*tensors, call=call, at=at):
            given = list(call)
            for i, t in zip(at, tensors, strict=True):
                given[i] = t
            return case.op(*given)

        members = [torch.stack([call[i], 2 * call[i], call[i] - 1]) for i in at]
        mapped = torch.func.vmap(function)(*members)
        for m in range(3):
            assert_agree(mapped[m], function(*(t[m] for t in members)), 1e-13, f"{case} {m}")


def calls(n: int, side: int) -> dict[str, tuple]:
    """A function of one tensor, as a model has it, and that tensor.

    A number of images or a side that a weight has too would tie the two together for torch.compile.
    """
    d = Draw(n, torch.float32)
    transposed, kernel, bias = Draw(1, torch.float32)(4, 6, 4, 4), d(6, 4, 3, 3), torch.ones(6)
    end = {"activation": "leaky_relu", "negative_slope": 0.2}
    four = torch.ones(4)
    low = d(n, 4, side, side)
    indices = torch.arange(side * side).reshape(side, side).mul(4).expand(n, 4, -1, -1)

    def conv_transpose2d(x):
        return ops.conv_transpose2d(x, transposed, bias, stride=2, padding=1, **end)

    return {
        "bed_of_nails": (lambda x: ops.bed_of_nails(x, 2, bias=four, **end), low),
        "pixel_shuffle": (lambda x: ops.pixel_shuffle(x, 2, bias=four, **end), low),
        "conv_transpose2d": (conv_transpose2d, low),
        "nearest": (lambda x: ops.upsample_conv2d(x, kernel, bias, padding=1, **end), low),
        "bilinear": (lambda x: ops.upsample_conv2d(x, kernel, scale=1.5, mode="bilinear"), low),
        "bicubic": (lambda x: ops.upsample_conv2d(x, kernel, size=(9, 8), mode="bicubic"), low),
        "nails": (lambda x: ops.upsample_conv2d(x, kernel, bias, mode="bed_of_nails"), low),
        "max_unpool2d": (
            lambda x: ops.max_unpool2d(x, indices[: x.shape[0]], 2, bias=four, **end),
            low,
        ),
    }


KINDS = tuple(calls(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_compile_without_breaks(kind):
    torch._dynamo.reset()
    function, x = calls(5, 10)[kind]
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    assert_agree(compiled(x), function(x), 1e-6, kind)
    leaf = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(function(leaf).square().sum(), leaf)
    (actual,) = torch.autograd.grad(compiled(leaf).square().sum(), leaf)
    assert_agree(actual, wanted, 1e-5, kind)
    if kind != "max_unpool2d":  # whose indices belong to the first batch
        for n, side in ((7, 10), (2, 13)):
            _, other = calls(n, side)[kind]
            assert_agree(compiled(other), function(other), 1e-6, f"{kind} of another size")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "max_unpool2d"])
def test_a_second_size_is_not_compiled_again(kind):
    torch._dynamo.reset()
    function, x = calls(5, 10)[kind]
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    compiled(x)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for n, side in ((7, 10), (2, 13)):
            compiled(torch.ones(n, 4, side, side))


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_export(kind, strict):
    torch._dynamo.reset()
    function, x = calls(5, 10)[kind]

    class Module(torch.nn.Module):
        def forward(self, x):
            return function(x)

    exported = torch.export.export(Module(), (x,), strict=strict)
    names = {str(node.target) for node in exported.graph.nodes}
    assert any(name.startswith("gandetect.") for name in names), f"{names} has no op of ours"
    other = x.flip(0)
    assert_agree(exported.module()(other), function(other), 1e-6, kind)


@pytest.mark.slow
def test_compile_with_the_weight_as_an_argument():
    """As a module has it: a parameter that a step changes."""
    torch._dynamo.reset()

    def function(x, weight, bias):
        return ops.conv_transpose2d(x, weight, bias, stride=2, padding=1, activation="tanh")

    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="aot_eager")
    d = Draw(3, torch.float32)
    x, weight, bias = d(2, 4, 6, 6), d(4, 8, 4, 4).requires_grad_(), d(8).requires_grad_()
    for _ in range(3):
        wanted = torch.autograd.grad(function(x, weight, bias).square().sum(), (weight, bias))
        actual = torch.autograd.grad(compiled(x, weight, bias).square().sum(), (weight, bias))
        for a, w in zip(actual, wanted, strict=True):
            assert_agree(a, w, 1e-5, "gradient")
        with torch.no_grad():
            weight.sub_(0.1 * wanted[0])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("cheap", [torch.bfloat16, torch.float16])
def test_autocast_leaves_types_to_torch(name, cheap):
    """Convolutions in the cheap type, as torch's own; what only moves values in the type of x."""
    d = Draw(4, torch.float32)
    x, weight = d(2, 4, 6, 6), d(4, 4, 3, 3)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    call = {
        "bed_of_nails": Call("bed_of_nails", (x, 2), {}),
        "pixel_shuffle": Call("pixel_shuffle", (x, 2), {}),
        "conv_transpose2d": Call("conv_transpose2d", (x, weight, d(4)), {"activation": "relu"}),
        "upsample_conv2d": Call("upsample_conv2d", (x, weight, d(4)), {"activation": "relu"}),
        "max_unpool2d": Call("max_unpool2d", (pooled, indices, 2), {}),
    }[name]
    with torch.autocast("cpu", cheap):
        actual, wanted = call.ours(), call.torchs()
    assert actual.dtype == wanted.dtype
    assert_agree(actual, wanted, 0, call)


@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, torch.enable_grad], ids=lambda m: m.__name__
)
def test_modes(mode):
    for function, x in calls(2, 5).values():
        wanted = function(x)
        with mode():
            assert torch.equal(function(x), wanted)


def test_subclasses_pass_through():
    """A parameter in, a plain tensor out; a tensor of one's own class keeps its class."""

    class Mine(torch.Tensor):
        pass

    for function, x in calls(2, 5).values():
        assert type(function(torch.nn.Parameter(x))) is torch.Tensor
        assert_agree(function(x.as_subclass(Mine)).as_subclass(torch.Tensor), function(x), 0, "")
