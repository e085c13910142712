"""The layers of StyleGAN2: against float64, in every layout, over threads, and what torch does."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import Draw
from upsampling_oracle import assert_agree

from gandetect import ops
from gandetect.ops import _ext, styled_reference

SLOPE = 0.2
ERRORS = {"styled_conv2d": 2e-6, "styled_filter": 1e-6}
# (images, channels, channels of the result, height, width)
SIZES = (
    (2, 64, 64, 8, 8),
    (1, 64, 64, 4, 4),
    (3, 5, 7, 5, 9),
    (2, 17, 33, 7, 1),
    (1, 1, 1, 1, 1),
    (4, 16, 16, 64, 64),
    (2, 32, 32, 31, 33),
    (2, 3, 40, 2, 3),
    (5, 48, 20, 6, 6),
)
LAYOUTS = (torch.contiguous_format, torch.channels_last)


def call(name: str, size: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    n, channels, outputs, height, width = size
    draw = Draw(5, dtype)
    bias = draw(outputs if name == "styled_conv2d" else channels)
    factors = 0.5 + draw(n, len(bias)).abs()
    end = [factors, draw(n, 1, height, width), draw(1)[0], bias]
    if name == "styled_filter":
        return [draw(n, channels, height + 1, width + 1), *end]
    weight = draw.weight(outputs, channels, 3, 3, inputs=channels)
    return [draw(n, channels, height, width), weight, draw(n, channels), *end]


def of_torch(name: str, arguments: list[Tensor]) -> Tensor:
    """Written anew from the formula of the docstring."""
    x, *others = arguments
    if name == "styled_conv2d":
        weight, styles, *others = others
        y = F.conv2d(x * styles[..., None, None], weight, padding=1)
    else:
        taps = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=x.dtype)
        rows = F.pad(x, (0, 0, 1, 1)).unfold(2, 4, 1) @ taps
        y = F.pad(rows, (1, 1)).unfold(3, 4, 1) @ taps
    factors, noise, strength, bias = others
    z = y * factors[..., None, None] + strength * noise + bias[:, None, None]
    return torch.where(z > 0, z, SLOPE * z)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ERRORS)
def test_accuracy(name, size, layout):
    arguments = call(name, size)
    arguments[0] = arguments[0].contiguous(memory_format=layout)
    wanted = of_torch(name, [one.double() for one in arguments])
    actual = getattr(ops, name)(*arguments)
    assert_agree(actual, wanted, ERRORS[name], f"{name} {size}")
    if size[-1] > 1 and actual.shape[1] > 1:
        assert actual.is_contiguous(memory_format=layout)
    by_torch = getattr(styled_reference, name)(*arguments, SLOPE)
    assert_agree(actual, by_torch, 2 * ERRORS[name], f"{name} {size} and its reference")
    assert actual.stride() == by_torch.stride()


@pytest.mark.parametrize("name", ERRORS)
def test_views_of_every_kind(name):
    """Transposed, strided, expanded: and nothing that was given is changed."""
    wanted_of = getattr(styled_reference, name)
    n, side = 3, 6
    plain = call(name, (n, 12, 12, side, side))
    larger = torch.randn(2 * n, 24, *(2 * s for s in plain[0].shape[2:]))
    views = (
        plain[0].transpose(2, 3),
        larger[::2, ::2, ::2, ::2],
        plain[0][:1].expand_as(plain[0]),
        plain[0].flip(3),
    )
    for x in views:
        arguments = [x, *plain[1:]]
        before = [one.clone() for one in arguments]
        actual = getattr(ops, name)(*arguments)
        assert_agree(actual, wanted_of(*arguments, SLOPE), 4e-6, name)
        assert all(torch.equal(a, b) for a, b in zip(arguments, before, strict=True))


@pytest.mark.parametrize("name", ERRORS)
def test_bits_do_not_depend_on_threads(name):
    before = torch.get_num_threads()
    try:
        for size, layout in itertools.product(SIZES[:6], LAYOUTS):
            arguments = call(name, size)
            arguments[0] = arguments[0].contiguous(memory_format=layout)
            torch.set_num_threads(1)
            wanted = getattr(ops, name)(*arguments)
            for count in (2, 3, 5):
                torch.set_num_threads(count)
                assert torch.equal(getattr(ops, name)(*arguments), wanted), (size, count)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ERRORS)
def test_gradients_of_any_order(name):
    leaves = [one.requires_grad_() for one in call(name, (1, 2, 2, 3, 2), torch.float64)]

    def function(*arguments):
        return getattr(ops, name)(*arguments, negative_slope=0.3)

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("name", ERRORS)
def test_what_wants_a_gradient_has_one(name):
    """In float32 too, where the kernel would give none."""
    arguments = call(name, (2, 4, 4, 5, 5))
    plain = getattr(ops, name)(*arguments)
    for i in range(len(arguments)):
        given = [one.clone().requires_grad_(k == i) for k, one in enumerate(arguments)]
        y = getattr(ops, name)(*given)
        (slope,) = torch.autograd.grad(y.square().sum(), given[i])
        assert slope.abs().sum() > 0
        assert_agree(y.detach(), plain, 4e-6, name)


@pytest.mark.skipif(not _ext.available(), reason="the kernels are not compiled")
@pytest.mark.parametrize("name", ERRORS)
def test_opcheck(name):
    """What the dispatcher asks of an op without a gradient of its own."""
    tests = ("test_schema", "test_faketensor")
    for size, layout in itertools.product(SIZES[:4], LAYOUTS):
        arguments = call(name, size)
        arguments[0] = arguments[0].contiguous(memory_format=layout)
        op = getattr(torch.ops.gandetect, name)
        torch.library.opcheck(op, (*arguments, SLOPE), test_utils=tests)


@pytest.mark.parametrize("cheap", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ERRORS)
def test_autocast_and_other_types_are_torchs(name, cheap):
    arguments = call(name, (2, 8, 8, 6, 6))
    with torch.autocast("cpu", cheap):
        actual = getattr(ops, name)(*arguments)
        wanted = getattr(styled_reference, name)(*arguments, SLOPE)
    assert torch.equal(actual, wanted)
    double = [one.double() for one in arguments]
    assert_agree(getattr(ops, name)(*double), of_torch(name, double), 1e-14, name)


@pytest.mark.parametrize("name", ERRORS)
def test_no_image(name):
    assert getattr(ops, name)(*call(name, (0, 3, 3, 4, 4))).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_no_number_stays_in_its_image(name):
    for bad in (float("nan"), float("inf")):
        arguments = call(name, (3, 20, 20, 7, 7))
        arguments[0][1, 4, 3, 3] = bad
        y = getattr(ops, name)(*arguments)
        assert y[::2].isfinite().all()
        assert not y[1].isfinite().all()


def changed(name: str, place: int, given: object) -> list[object]:
    arguments: list[object] = list(call(name, (2, 3, 3, 4, 5)))
    arguments[place] = given
    return arguments


CONV, FILTER = "styled_conv2d", "styled_filter"
WRONG = (
    (CONV, 0, torch.ones(3, 4, 5), r"x is \(3, 4, 5\); it must be \(N, C, H, W\)"),
    (CONV, 1, torch.ones(3, 3, 5, 5), r"weight is \(3, 3, 5, 5\); it must be \(O, 3, 3, 3\)"),
    (CONV, 1, None, r"weight is a NoneType; it must be \(O, 3, 3, 3\)"),
    (CONV, 2, torch.ones(2, 4), r"styles is \(2, 4\); it must be \(2, 3\)"),
    (CONV, 3, torch.ones(1, 3), r"factors is \(1, 3\); it must be \(2, 3\)"),
    (CONV, 4, torch.ones(2, 1, 4, 4), r"noise is \(2, 1, 4, 4\); it must be \(2, 1, 4, 5\)"),
    (CONV, 5, torch.ones(2), r"strength is \(2,\); it must have one element"),
    (CONV, 6, torch.ones(2), r"bias is \(2,\); it must be \(3,\)"),
    (FILTER, 0, torch.ones(2, 3, 1, 6), r"its sides must be at least 2"),
    (FILTER, 1, torch.ones(2, 4), r"factors is \(2, 4\); it must be \(2, 3\)"),
    (FILTER, 2, torch.ones(2, 1, 5, 6), r"noise is \(2, 1, 5, 6\); it must be \(2, 1, 4, 5\)"),
    (FILTER, 3, 0.5, r"strength is a float; it must have one element"),
    (FILTER, 4, torch.ones(4), r"bias is \(4,\); it must be \(3,\)"),
)


@pytest.mark.parametrize(("name", "place", "given", "said"), WRONG)
def test_errors(name, place, given, said):
    with pytest.raises(ValueError, match=said):
        getattr(ops, name)(*changed(name, place, given))


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_all(name):
    function = getattr(ops, name)
    with pytest.raises(TypeError, match="x is a list; it must be a tensor"):
        function(*changed(name, 0, [1.0]))
    with pytest.raises(ValueError, match=r"negative_slope is -0\.1; it must not be negative"):
        function(*call(name, (2, 3, 3, 4, 5)), negative_slope=-0.1)
