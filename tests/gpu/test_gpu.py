"""The CUDA kernels on a GPU: against the reference, against themselves, and under CUDA's own rules.

Not run on one yet. Where there is none, or no CUDA build, everything here is skipped.
"""

from __future__ import annotations

import pytest
import torch
from ops_table import OPS, SPECTRAL_MEANS, SPECTRAL_MEANS_BACKWARD, as_tuple

from gandetect import ops
from gandetect.ops.benchmark import Unavailable, check_available

try:
    check_available("cuda")
    MISSING = ""
except Unavailable as error:
    MISSING = str(error)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(MISSING), reason=MISSING)]


def moved(arguments: tuple, device: str = "cuda") -> tuple:
    return tuple(a.to(device) if isinstance(a, torch.Tensor) else a for a in arguments)


def largest_error(actual: torch.Tensor, wanted: torch.Tensor) -> float:
    if not wanted.numel():
        return 0.0
    scale = wanted.double().abs().max().clamp(min=1e-300)
    return float((actual.cpu().double() - wanted.double()).abs().max() / scale)


@pytest.mark.parametrize("dtype", [torch.float64, torch.uint8])
@pytest.mark.parametrize("case", OPS, ids=str)
def test_agrees_with_the_reference(case, dtype):
    if dtype == torch.uint8 and case is not SPECTRAL_MEANS:
        pytest.skip("planes are floating")
    for arguments in case.samples(dtype):
        if dtype == torch.uint8 and arguments[8] != 0:
            continue  # logs of coefficients that cancel are all rounding in float32
        wanted = as_tuple(case.reference(*arguments))
        for actual, expected in zip(as_tuple(case.op(*moved(arguments))), wanted, strict=True):
            tolerance = 1e-10 if dtype == torch.float64 else 2e-5
            assert largest_error(actual, expected) <= tolerance


@pytest.mark.parametrize("case", OPS, ids=str)
def test_bitwise_equal_over_runs_and_streams(case):
    for arguments in list(case.samples(torch.float32))[::5]:
        there = moved(arguments)
        once = as_tuple(case.op(*there))
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            again = as_tuple(case.op(*there))
        torch.cuda.current_stream().wait_stream(side)
        for a, b in zip(once, again, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("size", [(224, 224), (256, 256), (1080, 1920), (97, 101)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_large_bytes_of_both_layouts(size, layout):
    images = torch.randint(0, 256, (3, 3, *size), dtype=torch.uint8).contiguous(
        memory_format=layout
    )
    wanted = ops.spectral_profile(images.double())
    actual = ops.spectral_profile(images.cuda())
    rings = min(size) // 2
    assert largest_error(actual[:, 1:rings], wanted[:, 1:rings]) <= 1e-5


def test_first_and_second_derivatives():
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64, device="cuda", requires_grad=True)

    def profile(x):
        return ops.spectral_profile(x, value="log", projections=("azimuthal", "rows"))

    assert torch.autograd.gradcheck(profile, x, atol=1e-4, rtol=1e-3)
    assert torch.autograd.gradgradcheck(profile, x, atol=1e-3, rtol=1e-2)


def test_gradient_is_that_of_the_cpu():
    for arguments in list(SPECTRAL_MEANS_BACKWARD.samples(torch.float64))[::5]:
        wanted = SPECTRAL_MEANS_BACKWARD.op(*arguments)
        assert largest_error(SPECTRAL_MEANS_BACKWARD.op(*moved(arguments)), wanted) <= 1e-9


def test_no_float_copy_of_bytes():
    images = torch.randint(0, 256, (64, 3, 512, 512), dtype=torch.uint8, device="cuda")
    ops.spectral_profile(images[:1])
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    ops.spectral_profile(images)
    assert torch.cuda.max_memory_allocated() - before < images.numel() * 4 // 3


def test_empty_batch_and_errors():
    images = torch.empty(0, 3, 16, 16, device="cuda")
    assert ops.spectral_profile(images).shape[0] == 0
    arguments = list(next(SPECTRAL_MEANS.samples(torch.float64)))
    with pytest.raises(RuntimeError):
        SPECTRAL_MEANS.op(arguments[0].cuda(), *arguments[1:])
