"""The ops on a GPU: what they compute, over every convention, value, window, dtype and layout.

They have not been run on one yet. The CPU stands in for it, with a share of the cases, to prove
that the tests themselves work; test_gpu_rules.py holds what only a GPU can answer.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from ops_oracle import compare, is_exact_enough, on, random_calls
from ops_table import OPS, SPECTRAL_MEANS, SPECTRAL_MEANS_BACKWARD, as_tuple

from gandetect import ops
from gandetect.ops.conventions import CONVENTIONS, PROJECTIONS

CHECK = {"atol": 1e-4, "rtol": 1e-3, "fast_mode": True}


def some(samples, device: str) -> list:
    """All of them on a GPU; the stand-in's results are tested at length elsewhere."""
    return list(itertools.islice(samples, 0, None, 1 if device == "cuda" else 17))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.uint8])
@pytest.mark.parametrize("case", OPS, ids=str)
def test_agrees_with_the_reference(case, dtype, device):
    if dtype == torch.uint8 and case is not SPECTRAL_MEANS:
        pytest.skip("planes are floating")
    for arguments in some(case.samples(dtype), device):
        if is_exact_enough(case, arguments, dtype):
            compare(case, arguments, dtype, device)


def test_fuzz_of_shapes_strides_and_arguments(device):
    """Layouts include slices, transposes, channels-last and expanded batches, on the device."""
    for arguments, dtype in random_calls(700 if device == "cuda" else 40, device):
        assert arguments[0].device.type == device
        compare(SPECTRAL_MEANS, arguments, dtype, device)


@pytest.mark.parametrize("size", [(224, 224), (512, 512), (1080, 1920), (97, 101)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bytes_of_real_sizes(size, layout, device):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=generator)
    wanted = ops.spectral_profile(images.double(), cutoff="nyquist")
    there = images.to(device).contiguous(memory_format=layout)
    actual = ops.spectral_profile(there, cutoff="nyquist").cpu()
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual.double(), wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize("window", [None, "hann"])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_documented_functions(convention, window, device):
    """Plans, normalization and resampling on the device."""
    generator = torch.Generator().manual_seed(2)
    images = 255 * torch.rand((2, 3, 30, 41), dtype=torch.float64, generator=generator)

    def compute(x):
        profiles = ops.spectral_profile(
            x, convention, projections=PROJECTIONS, window=window, resample=9
        )
        average = ops.azimuthal_average(x[:, 0], convention=convention)
        return *profiles, average, ops.azimuthal_spread(average, 30, 41, convention=convention)

    for actual, wanted in zip(compute(images.to(device)), compute(images), strict=True):
        assert actual.device.type == device
        torch.testing.assert_close(actual.cpu(), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", OPS, ids=str)
def test_bitwise_equal_over_runs(case, device):
    for arguments in some(case.samples(torch.float32), device):
        there = on(device, arguments)
        for a, b in zip(as_tuple(case.op(*there)), as_tuple(case.op(*there)), strict=True):
            assert torch.equal(a.view(torch.int32), b.view(torch.int32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_an_image_does_not_depend_on_its_batch(dtype, device):
    """Large enough for several chunks of the batch."""
    n = 40 if device == "cuda" else 4
    images = torch.randint(0, 256, (n, 3, 512, 512), device=device).to(dtype)
    together = ops.spectral_profile(images, value="log")
    for i in (0, n // 2, n - 1):
        torch.testing.assert_close(
            ops.spectral_profile(images[i : i + 1], value="log")[0], together[i], rtol=1e-5, atol=0
        )


@pytest.mark.parametrize(
    ("convention", "value", "window"),
    [
        ("centered", "power", None),
        ("centered", "magnitude", "hann"),
        ("durall", None, None),
        ("jung", None, None),
        ("power", None, "hann"),
    ],
)
def test_first_and_second_derivatives(convention, value, window, device):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand((1, 3, 5, 6), dtype=torch.float64, generator=generator)
    images = images.to(device).requires_grad_()

    def profiles(x):
        return ops.spectral_profile(
            x, convention, value=value, window=window, projections=PROJECTIONS, normalize="none"
        )

    assert torch.autograd.gradcheck(profiles, images, **CHECK)
    assert torch.autograd.gradgradcheck(profiles, images, **CHECK)


def test_gradients_of_a_spectral_loss_are_those_of_the_cpu(device):
    generator = torch.Generator().manual_seed(4)
    images = torch.rand((2, 3, 32, 40), dtype=torch.float64, generator=generator)

    def derivatives(x):
        x = x.requires_grad_()
        loss = ops.spectral_profile(x, value="log").square().mean()
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return first.detach(), second

    there = derivatives(images.to(device, copy=True))
    for actual, wanted in zip(there, derivatives(images), strict=True):
        assert actual.device.type == device
        assert wanted.abs().max() > 0
        error = (actual.cpu() - wanted).norm() / wanted.norm()
        assert error <= 1e-9


def test_autocast_and_vmap(device):
    images = torch.rand(3, 2, 16, 16, device=device)
    wanted = ops.spectral_profile(images.flatten(0, 1)).unflatten(0, (3, 2))
    torch.testing.assert_close(torch.func.vmap(ops.spectral_profile)(images), wanted)
    with torch.autocast(device, torch.bfloat16):
        assert ops.spectral_profile(images[0]).dtype == torch.float32


def test_nan_stays_with_its_image(device):
    images = torch.rand(3, 1, 24, 20, device=device)
    images[1, 0, 5, 5] = float("nan")
    profile = ops.spectral_profile(images)
    assert profile[1].isnan().all()
    assert profile[[0, 2]].isfinite().all()


def test_empty_batch(device):
    images = torch.empty(0, 3, 16, 16, device=device, requires_grad=True)
    profile = ops.spectral_profile(images)
    assert (profile.shape[0], profile.device.type) == (0, device)
    profile.sum().backward()
    assert images.grad.shape == images.shape
    assert ops.azimuthal_average(images[:, 0].detach()).shape[0] == 0


def test_direct_calls_are_checked(device):
    images, maps, *rest = on(device, next(SPECTRAL_MEANS.samples(torch.float64)))
    for wrong in (images[:, :, 1:], images.int(), images[:, :0], images[0]):
        with pytest.raises(RuntimeError):
            SPECTRAL_MEANS.op(wrong, maps, *rest)
    with pytest.raises(RuntimeError, match="int32"):
        SPECTRAL_MEANS.op(images, maps.long(), *rest)
    *call, at_dc = on(device, next(SPECTRAL_MEANS_BACKWARD.samples(torch.float64)))
    with pytest.raises(RuntimeError, match="gradient_at_dc"):
        SPECTRAL_MEANS_BACKWARD.op(*call, at_dc.float())
