"""The six up-samplers as they are have the spectra that are known of them."""

import numpy as np
import pytest
import torch

from gandetect.detect.simulation.kernels import (
    SHAPES,
    balanced,
    bump,
    interpolation_kernel,
    perturbed,
)
from gandetect.detect.simulation.upsamplers import (
    MODES,
    convolved,
    draw_stage,
    interpolated,
    nails,
    shuffled,
    transposed,
)

SIDE = 16


def gain(enlarge):
    """|H| / 2 along one axis of doubling, at the frequencies 0 to 1/2: that of an impulse."""
    impulse = torch.zeros(1, SIDE, SIDE)
    impulse[0, SIDE // 2, SIDE // 2] = 1
    return torch.fft.rfft2(enlarge(impulse))[0, 0].abs() / 4


def frequencies():
    return torch.fft.rfftfreq(2 * SIDE)


@pytest.fixture
def noise():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((1, SIDE, SIDE))).float()


@pytest.mark.parametrize(("mode", "power"), [("nearest", 1), ("bilinear", 3)])
def test_interpolation_attenuates_by_a_power_of_the_cosine(mode, power):
    expected = torch.cos(torch.pi * frequencies()).abs() ** power
    torch.testing.assert_close(
        gain(lambda x: interpolated(x, mode, 2)), expected, atol=1e-5, rtol=0
    )


def test_bicubic_attenuates_as_published():
    found = gain(lambda x: interpolated(x, "bicubic", 2))[:: SIDE // 4]
    expected = torch.tensor([1.0, 0.985, 0.486, 0.011, 0.0])
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_zeros_between_the_samples_repeat_the_spectrum(noise):
    spectrum = torch.fft.fft2(noise)
    torch.testing.assert_close(torch.fft.fft2(nails(noise, 2)), spectrum.repeat(1, 2, 2))


def test_transposed_convolution_with_a_triangle_is_bilinear(noise):
    kernel = interpolation_kernel("triangle", 4, 2)
    inner = (slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(
        transposed(noise, kernel, 2)[inner], interpolated(noise, "bilinear", 2)[inner]
    )


def test_nails_and_a_kernel_are_the_transposed_convolution(noise):
    kernel = np.random.default_rng(1).standard_normal((1, 5, 5))
    mirrored = kernel[:, ::-1, ::-1]
    inner = (slice(None), slice(4, -4), slice(4, -4))
    # Five taps and doubling: trimmed by one pixel where the convolution is centered on two.
    shifted = torch.roll(convolved(nails(noise, 2), mirrored), (1, 1), (1, 2))
    torch.testing.assert_close(transposed(noise, kernel, 2)[inner], shifted[inner])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_shuffled_phases_that_are_alike_are_nearest(noise, factor):
    identity = np.zeros((factor**2, 3, 3))
    identity[:, 1, 1] = 1
    torch.testing.assert_close(
        shuffled(noise, identity, factor), interpolated(noise, "nearest", factor)
    )


def test_shuffled_phases_that_differ_leave_a_peak_at_the_highest_frequency():
    kernels = np.zeros((4, 3, 3))
    kernels[:, 1, 1] = (1.1, 0.9, 1.1, 0.9)
    spectrum = torch.fft.fft2(shuffled(torch.ones(1, SIDE, SIDE), kernels, 2))[0].abs()
    assert spectrum[0, SIDE] == pytest.approx(0.1 * spectrum[0, 0].item(), rel=1e-4)
    assert spectrum[SIDE, SIDE] < 1e-3


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_balanced_kernels_keep_flat_surfaces_flat(factor):
    rng = np.random.default_rng(2)
    kernel = perturbed(interpolation_kernel("cubic", 2 * factor, factor), 3, rng)
    flat = transposed(torch.ones(3, 8, 8), balanced(kernel, factor, 1.0), factor)
    inner = flat[:, factor:-factor, factor:-factor]
    torch.testing.assert_close(inner, torch.ones_like(inner))


def test_half_balanced_is_half_way():
    kernel = np.ones((1, 2, 2))
    np.testing.assert_allclose(balanced(3 * kernel, 2, 0.5), 2 * kernel)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "factor"), [(2, 2), (4, 2), (7, 2), (9, 3), (12, 4)])
def test_every_kernel_keeps_the_mean(shape, size, factor):
    kernel = interpolation_kernel(shape, size, factor, 0.25)
    assert kernel.shape == (1, size, size)
    assert kernel.sum() == pytest.approx(factor**2)


def test_the_triangle_of_four_taps_is_the_smoothing_of_generators():
    expected = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
    np.testing.assert_allclose(interpolation_kernel("triangle", 4, 2)[0], expected)


@pytest.mark.parametrize("offset", [-0.5, 0.25, 0.5])
def test_an_offset_moves_the_kernel_by_so_much(offset):
    line = bump(9, 0.8, offset)[0].sum(axis=0)
    assert (line * (np.arange(9) - 4)).sum() == pytest.approx(offset, abs=1e-3)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("planes", [1, 3])
def test_convolution_repeats_the_border(size, planes):
    rng = np.random.default_rng(size)
    x = torch.from_numpy(rng.standard_normal((planes, 12, 15))).float()
    kernels = rng.standard_normal((planes, size, size))
    before, after = (size - 1) // 2, size // 2
    wide = np.pad(x.double().numpy(), ((0, 0), *[(before, after)] * 2), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(wide, (size, size), axis=(1, 2))
    expected = torch.from_numpy(np.einsum("chwij,cij->chw", windows, kernels))
    torch.testing.assert_close(convolved(x, kernels).double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_drawn_stage_enlarges_every_plane(mode, factor):
    x = torch.rand(3, 10, 10)
    for seed in range(12):
        stage = draw_stage(x, mode, factor, np.random.default_rng(seed))
        assert stage.shape == (3, 10 * factor, 10 * factor)
        assert stage.isfinite().all()


@pytest.mark.parametrize("planes", [1, 3])
def test_deviations_leave_the_mean_alone(planes):
    kernel = interpolation_kernel("triangle", 5, 2)
    for seed in range(20):
        moved = perturbed(kernel, planes, np.random.default_rng(seed))
        assert moved.shape == (planes, 5, 5)
        np.testing.assert_allclose(moved.sum(axis=(1, 2)), 4)
        assert np.abs(moved - kernel).max() > 1e-4
