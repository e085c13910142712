"""The gradient of the spectral means: every combination, accuracy, layouts, extremes, memory."""

from __future__ import annotations

import itertools

import pytest
import torch
from ops_table import means_arguments, scalars_of

from gandetect import ops
from gandetect.ops import reference
from gandetect.ops.conventions import CONVENTIONS, LOG_AMPLITUDE, MAGNITUDE, POWER, PROJECTIONS

BACKWARD = torch.ops.gandetect.spectral_means_backward
MEANS = torch.ops.gandetect.spectral_means
SIZES = ((4, 6), (5, 5), (1, 7), (7, 1), (6, 3), (2, 2))
# None is the convention's own; an orthonormal transform has no value "log".
NAMED_VALUES = dict.fromkeys(CONVENTIONS, (None, "power", "magnitude", "log"))
NAMED_VALUES["power"] = ("power", "magnitude")
COMBINATIONS = [
    (convention, value, window)
    for convention, values in NAMED_VALUES.items()
    for value, window in itertools.product(values, (None, "hann"))
]
SUBSETS = [names for k in (1, 2, 3) for names in itertools.combinations(PROJECTIONS, k)]


def in_float64(argument):
    is_real = isinstance(argument, torch.Tensor) and argument.is_floating_point()
    return argument.double() if is_real else argument


def random_call(size, convention="centered", dtype=torch.float64, n=2, channels=1, **options):
    """Arguments of the op: images, the plan and scalars, then four random gradients."""
    generator = torch.Generator().manual_seed(11)
    images = torch.rand((n, channels, *size), generator=generator, dtype=dtype) * 255
    arguments = means_arguments(images, convention, **options)
    outputs = MEANS(*arguments)
    gradients = [torch.randn(o.shape, generator=generator, dtype=dtype) for o in outputs]
    return [*arguments[:-3], *gradients]


@pytest.mark.parametrize(("convention", "value", "window"), COMBINATIONS)
def test_first_and_second_derivatives(convention, value, window):
    generator = torch.Generator().manual_seed(12)
    # Each size meets some of the subsets of projections, and each subset some of the sizes.
    for (height, width), names in zip(SIZES * 2, SUBSETS + SUBSETS[:5], strict=True):
        if ops.profile_length(height, width, convention) == 0:
            continue
        shape = (1, 3 if height > 4 else 1, height, width)
        x = torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()

        def profiles(x, names=names):
            return ops.spectral_profile(
                x, convention, value=value, window=window, projections=names, normalize="none"
            )

        check = {"atol": 1e-4, "rtol": 1e-3, "fast_mode": True}
        assert torch.autograd.gradcheck(profiles, x, **check)
        assert torch.autograd.gradgradcheck(profiles, x, **check)


@pytest.mark.parametrize("value", ["power", "log"])
def test_third_derivatives(value):
    x = torch.rand(1, 4, 5, dtype=torch.float64).requires_grad_()

    def gradient(x):
        loss = ops.spectral_profile(x, value=value).square().sum()
        return torch.autograd.grad(loss, x, create_graph=True)[0]

    assert torch.autograd.gradgradcheck(gradient, x, atol=1e-3, rtol=1e-3, fast_mode=True)


def test_the_op_is_differentiable_in_each_of_its_gradients():
    images, *plan = random_call((4, 5), value=scalars_of(CONVENTIONS["centered"])[1])
    plan, gradients = plan[:-4], plan[-4:]
    inputs = [x.requires_grad_() for x in (images, *gradients)]

    def op(images, *gradients):
        return BACKWARD(images, *plan, *gradients)

    for chosen in ((0,), (2, 4), (0, 1, 2, 3, 4)):
        for i, x in enumerate(inputs):
            x.requires_grad_(i in chosen)
        assert torch.autograd.gradcheck(op, inputs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_adjoint_of_the_derivative(convention):
    """<means'(x) h, q> == <h, backward(x, q)>, the left by a difference quotient."""
    call = random_call((9, 12), convention, value=CONVENTIONS[convention].value)
    images, plan, gradients = call[0], call[1:-4], call[-4:]
    direction = torch.randn_like(images)
    step = 1e-4
    ends = [MEANS(images + s * direction, *plan, True, True, True) for s in (step, -step)]
    left = sum(((a - b) * q).sum() / (2 * step) for a, b, q in zip(*ends, gradients, strict=True))
    gradient = BACKWARD(*call)
    right = (direction * gradient).sum()
    # Beside the norms: a direction that happens to be orthogonal to the gradient makes both sides
    # small, and the error of the quotient no smaller.
    assert float((left - right).abs() / (direction.norm() * gradient.norm())) < 1e-7


def tolerance_of(mode: int) -> float:
    """float32 against float64, in the L2 norm of an image's gradient.

    The slope of a logarithm is largest where a coefficient is smallest, and so is its error.
    """
    return {POWER: 1e-5, MAGNITUDE: 1e-5}.get(mode, 2e-3)


@pytest.mark.parametrize("hann", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (61, 67), (90, 128), (1, 101)])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_float32_accuracy(convention, size, hann):
    for value in scalars_of(CONVENTIONS[convention]):
        if means_arguments(torch.zeros(1, 1, *size), convention, value) is None:
            continue
        call = random_call(size, convention, torch.float32, channels=3, value=value, hann=hann)
        wanted = reference.spectral_means_backward(*map(in_float64, call))
        error = (BACKWARD(*call) - wanted).flatten(1).norm(dim=1)
        assert float((error / wanted.flatten(1).norm(dim=1).clamp(min=1e-30)).max()) <= (
            tolerance_of(value.mode)
        )


def test_channels_get_the_weights_of_gray():
    call = random_call((6, 7), channels=3)
    got = BACKWARD(*call)
    gray = reference.gray_planes(call[0], False, torch.float64)[:, None]
    of_gray = BACKWARD(gray, *call[1:])
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(got, of_gray * weights, rtol=1e-10, atol=1e-8)


def test_layouts_of_images_and_gradients():
    images, *rest = random_call((6, 10), "durall", n=3, channels=3)
    plan, gradients = rest[:-4], rest[-4:]
    wanted = BACKWARD(images, *plan, *gradients)
    larger = torch.zeros(3, 4, 8, 14, dtype=torch.float64)[:, 1:, 2:, 3:13]
    larger.copy_(images)
    apart = [q.mT.contiguous().mT for q in gradients[:3]] + [gradients[3].repeat_interleave(2)[::2]]
    for same in (images.to(memory_format=torch.channels_last), images.mT.contiguous().mT, larger):
        assert not same.is_contiguous()
        torch.testing.assert_close(BACKWARD(same, *plan, *apart), wanted)
    alike = [q[:1].expand_as(q) for q in gradients]
    of_alike = BACKWARD(images[:1].expand_as(images), *plan, *alike)
    torch.testing.assert_close(of_alike[1:], of_alike[:1].expand(2, -1, -1, -1))


def test_an_empty_batch():
    images = torch.zeros(0, 3, 8, 9, requires_grad=True)
    profiles = ops.spectral_profile(images, projections=PROJECTIONS)
    sum(p.sum() for p in profiles).backward()
    assert images.grad.shape == images.shape


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_stay_in_their_image(bad):
    call = random_call((8, 9), n=3, dtype=torch.float32)
    wanted = BACKWARD(*call)
    call[0] = call[0].clone()
    call[0][1, 0, 3, 4] = bad
    got = BACKWARD(*call)
    assert torch.equal(got[::2], wanted[::2])
    assert not bool(got[1].isfinite().any())


@pytest.mark.parametrize("missing", [*range(4), None])
def test_a_missing_gradient_is_zero(missing):
    images, *rest = random_call((7, 8), "jung", value=CONVENTIONS["jung"].value)
    plan, gradients = rest[:-4], rest[-4:]
    absent = range(4) if missing is None else (missing,)
    some = [None if i in absent else q for i, q in enumerate(gradients)]
    zeros = [torch.zeros_like(q) if i in absent else q for i, q in enumerate(gradients)]
    torch.testing.assert_close(BACKWARD(images, *plan, *some), BACKWARD(images, *plan, *zeros))


def test_outputs_that_nothing_came_from_are_not_spread(monkeypatch):
    """Only the gradient of what was asked for, and used, reaches the op."""
    given = []
    kernel = BACKWARD

    def spy(*arguments):
        given.append([x is not None for x in arguments[-4:]])
        return kernel(*arguments)

    monkeypatch.setattr("gandetect.ops._register.ops.spectral_means_backward", spy)
    images = torch.rand(1, 8, 8, requires_grad=True)
    ops.spectral_profile(images, projections=("rows",)).sum().backward()
    _, columns = ops.spectral_profile(images, projections=("azimuthal", "columns"))
    columns.sum().backward()
    ops.spectral_profile(images, normalize="dc").sum().backward()
    assert given == [
        [False, True, False, False],
        [False, False, True, False],
        [True, False, False, True],
    ]


def test_autograd_keeps_the_images_and_the_plan():
    """What is saved takes no memory: the caller's images, and the plan that is cached anyway."""
    images = torch.rand(3, 3, 16, 20, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: [kept.append(x), x][1], lambda x: x):
        profile = ops.spectral_profile(images, value="log", window="hann")
    plan = means_arguments(images, "centered")[1:3]
    owned = {x.untyped_storage().data_ptr() for x in (images, *plan)}
    assert len(kept) == 3
    assert {x.untyped_storage().data_ptr() for x in kept} == owned
    profile.sum().backward()
    assert images.grad is not None


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_no_power_has_a_finite_gradient(convention):
    """A black image: zero, except where the logarithm of an amplitude has a slope at its eps."""
    for value in scalars_of(CONVENTIONS[convention]):
        for dtype in (torch.float32, torch.float64):
            call = random_call((6, 8), convention, dtype, value=value)
            call[0] = torch.zeros_like(call[0])
            got = BACKWARD(*call)
            assert bool(got.isfinite().all())
            assert bool(got.any()) == (value.mode == LOG_AMPLITUDE)


@pytest.mark.parametrize("level", [1e-25, 1e-12, 1e-6])
def test_tiny_power(level):
    """Powers far below eps, and below what float32 can hold."""
    for value in scalars_of(CONVENTIONS["centered"]):
        call = random_call((6, 8), dtype=torch.float32, value=value)
        call[0] = call[0] * (level / 255)
        got = BACKWARD(*call)
        assert bool(got.isfinite().all())
        if value.mode == MAGNITUDE and level == 1e-25:
            continue  # the power is zero in float32, and the slope of its root with it
        wanted = BACKWARD(*map(in_float64, call))
        error = (got - wanted).norm() / wanted.norm()
        assert float(error) <= tolerance_of(value.mode)


def test_bytes_have_no_gradient():
    images, *rest = random_call((6, 8), dtype=torch.float32)
    with pytest.raises((TypeError, RuntimeError), match="must be float32 or float64"):
        BACKWARD(images.byte(), *rest)
