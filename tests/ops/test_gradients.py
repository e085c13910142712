"""First and second derivatives, adjoint pairs, and that a spectral loss really has a gradient."""

from __future__ import annotations

import pytest
import torch
from ops_table import (
    ALL_OPS,
    SPECTRAL_MEANS,
    SPECTRAL_MEANS_BACKWARD,
    UPSAMPLING_OPS,
    as_tuple,
    backward_samples,
    means_arguments,
    means_samples,
)

from gandetect import ops
from gandetect.ops import reference
from gandetect.ops.conventions import CONVENTIONS

TINY = ((4, 6), (5, 5), (1, 4))


def differentiable(case):
    samples = case.samples(torch.float64, TINY, 1)
    if case is SPECTRAL_MEANS:
        # Away from zero coefficients, where magnitudes and logs have no useful derivative.
        samples = list(means_samples(torch.float64, TINY, 1))[::7]
    if case is SPECTRAL_MEANS_BACKWARD:
        samples = list(backward_samples(torch.float64, TINY, 1))[::7]
    if case in UPSAMPLING_OPS:
        samples = list(samples)[::5]
    for first, *rest in samples:
        yield (lambda x, rest=tuple(rest): case.op(x, *rest)), first.clone().requires_grad_()


@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_gradcheck(case):
    for function, x in differentiable(case):
        assert torch.autograd.gradcheck(function, x, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_gradgradcheck(case):
    # Along random directions for the ops with many outputs.
    options = {"atol": 1e-4, "rtol": 1e-3, "fast_mode": case in UPSAMPLING_OPS}
    for function, x in differentiable(case):
        assert torch.autograd.gradgradcheck(function, x, **options)


def test_gradient_of_non_contiguous_images():
    x = torch.rand(5, 4, 2, 3, dtype=torch.float64).permute(2, 3, 0, 1).requires_grad_()
    assert not x.is_contiguous()
    assert torch.autograd.gradcheck(lambda x: ops.spectral_profile(x, value="log"), x)


@pytest.mark.parametrize("normalize", ["none", "dc", "first", "minmax"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_gradient_through_normalization_and_resampling(convention, normalize):
    x = torch.rand(1, 5, 6, dtype=torch.float64).requires_grad_()

    def profile(x):
        return ops.spectral_profile(
            x, convention, normalize=normalize, resample=4, projections=("azimuthal", "rows")
        )

    assert torch.autograd.gradcheck(profile, x, atol=1e-4, rtol=1e-3)
    assert torch.autograd.gradgradcheck(profile, x, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", [case for case in ALL_OPS if case.adjoint], ids=str)
def test_adjoint_dot_product(case, dtype):
    """<A x, y> == <x, A* y>."""
    for x, *plan in case.samples(dtype):
        y = torch.randn_like(case.op(x, *plan))
        left = (as_tuple(case.op(x, *plan))[0] * y).sum()
        right = (x * case.adjoint(y, *plan)).sum()
        scale = x.norm() * y.norm()
        assert float((left - right).abs() / scale) < (1e-13 if dtype == torch.float64 else 1e-6)


def test_public_adjoint_pair():
    """The documented functions are adjoint too, on full and half planes."""
    for height, width, half in ((8, 6, True), (8, 6, False), (7, 9, True), (1, 5, False)):
        for convention in CONVENTIONS:
            if ops.profile_length(height, width, convention) == 0:
                continue
            columns = width // 2 + 1 if half else width
            x = torch.randn(2, height, columns, dtype=torch.float64)
            options = {"convention": convention}
            average = ops.azimuthal_average(x, width=width if half else None, **options)
            q = torch.randn_like(average)
            spread = ops.azimuthal_spread(q, height, width, half=half, **options)
            torch.testing.assert_close((average * q).sum(), (x * spread).sum())


def test_average_of_power_is_the_profile():
    images = torch.rand(2, 12, 10, dtype=torch.float64)
    power = torch.fft.fft2(images).abs().square()
    for convention in ("centered", "durall"):
        wanted = ops.spectral_profile(images, convention, value="power")
        torch.testing.assert_close(ops.azimuthal_average(power, convention=convention), wanted)
        half = ops.azimuthal_average(power[..., :6], width=10, convention=convention)
        torch.testing.assert_close(half, wanted)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (6, 7)])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_inverse_transform_is_asked_for_real_planes(monkeypatch, convention, size):
    """Libraries differ in what they make of a spectrum that belongs to no real plane."""
    spectra = []
    inverse = torch.fft.irfft2
    monkeypatch.setattr(torch.fft, "irfft2", lambda x, **k: [spectra.append(x), inverse(x, **k)][1])
    images = torch.rand(1, 1, *size, dtype=torch.float64)
    *arguments, _, _, _ = means_arguments(
        images, convention, CONVENTIONS[convention].value, hann=False
    )
    means = reference.spectral_means(*arguments, True, True, True)
    reference.spectral_means_backward(*arguments, *map(torch.randn_like, means))
    (spectrum,) = spectra
    outer = spectrum[0, :, [0, -1] if size[1] % 2 == 0 else [0]]
    mirror = torch.arange(size[0]).neg() % size[0]
    torch.testing.assert_close(outer, outer[mirror].conj())


def test_spectral_loss_reaches_the_images():
    """Published regularizers computed the profile on detached data: their gradient was zero."""
    images = torch.rand(4, 3, 32, 32, requires_grad=True)
    ops.spectral_profile(images, "jung").square().mean().backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 1e-8


def test_zero_divisor_gives_zeros_and_no_gradient():
    images = torch.zeros(1, 8, 8, dtype=torch.float64, requires_grad=True)
    for normalize in ("dc", "first", "minmax"):
        profile = ops.spectral_profile(images, normalize=normalize)
        assert torch.equal(profile, torch.zeros_like(profile))
        profile.sum().backward()
        assert torch.equal(images.grad, torch.zeros_like(images))
