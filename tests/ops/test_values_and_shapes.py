"""NaN, Inf, empty batches, layouts, and that nothing depends on threads or on the run."""

from __future__ import annotations

import pytest
import torch
from ops_table import ALL_OPS, as_tuple

from gandetect import ops
from gandetect.ops import _ext


@pytest.mark.parametrize("convention", ["centered", "durall", "jung", "power"])
def test_empty_batch(convention):
    for shape in ((0, 16, 12), (0, 3, 16, 12)):
        profile = ops.spectral_profile(torch.zeros(shape, dtype=torch.uint8), convention)
        assert profile.shape == (0, ops.profile_length(16, 12, convention))
    images = torch.zeros(0, 8, 8, requires_grad=True)
    ops.spectral_profile(images).sum().backward()
    assert images.grad.shape == images.shape


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("value", ["power", "magnitude", "log"])
def test_bad_pixels_spoil_their_image_only(value, bad):
    images = torch.rand(3, 16, 16)
    wanted = ops.spectral_profile(images, value=value)
    images[1, 4, 5] = bad
    profile = ops.spectral_profile(images, value=value)
    assert not bool(profile[1].isfinite().any())
    torch.testing.assert_close(profile[[0, 2]], wanted[[0, 2]], rtol=0, atol=0)


def test_non_finite_stays_in_its_ring():
    plane = torch.rand(1, 16, 16)
    wanted = ops.azimuthal_average(plane)
    plane[0, 0, 5], plane[0, 7, 0] = float("nan"), float("inf")
    profile = ops.azimuthal_average(plane)
    assert bool(profile[0, 5].isnan())
    assert bool(profile[0, 7].isinf())
    rest = [k for k in range(profile.shape[1]) if k not in (5, 7)]
    torch.testing.assert_close(profile[0, rest], wanted[0, rest], rtol=0, atol=0)


def test_overflow_is_infinite_in_every_projection():
    """DC beyond float32 is Inf wherever it is averaged, never the NaN of a difference."""
    profiles = ops.spectral_profile(
        torch.full((1, 64, 64), 1e17), projections=("azimuthal", "rows", "columns")
    )
    for profile in profiles:
        assert float(profile[0, 0]) == float("inf")
        assert not bool(profile.isnan().any())


def test_log_up_to_the_largest_float():
    pixel = torch.full((1, 1, 1), 1.8e19)
    wanted = 10 * pixel.double().square().log()
    torch.testing.assert_close(ops.spectral_profile(pixel, value="log").double(), wanted[0])


def test_denormal_and_huge_pixels():
    tiny = torch.full((1, 8, 8), 1e-40)
    assert bool(torch.isfinite(ops.spectral_profile(tiny, value="log")).all())
    images = torch.rand(1, 8, 8, dtype=torch.float64) * 1e150
    assert bool(torch.isfinite(ops.spectral_profile(images, value="magnitude")).all())


@pytest.mark.parametrize("case", ALL_OPS, ids=str)
def test_layouts(case):
    """Contiguous, transposed, sliced, offset and expanded inputs mean the same.

    To the bit with the kernels; the reference's library transform rounds by layout.
    """
    tolerance = 0 if _ext.available() else 1e-6
    for first, *rest in list(case.samples(torch.float32, ((6, 8),), 3))[::5]:
        wanted = as_tuple(case.op(first, *rest))
        buffer = torch.zeros(*(side + 2 for side in first.shape))
        inner = buffer[tuple(slice(1, side + 1) for side in first.shape)]
        inner.copy_(first)
        turned = first.transpose(-1, -2).contiguous().transpose(-1, -2)
        for same in (inner, turned):
            for a, w in zip(as_tuple(case.op(same, *rest)), wanted, strict=True):
                torch.testing.assert_close(a, w, rtol=tolerance, atol=tolerance)
        repeated = first[:1].expand_as(first)
        alike = [
            r[:1].expand_as(r) if i in case.batched else r for i, r in enumerate(rest, start=1)
        ]
        for a, w in zip(as_tuple(case.op(repeated, *alike)), wanted, strict=True):
            torch.testing.assert_close(a, w[:1].expand_as(w), rtol=tolerance, atol=tolerance)


def test_inputs_are_not_written():
    for case in ALL_OPS:
        for first, *rest in list(case.samples(torch.float32, ((6, 8),)))[::9]:
            before = first.clone()
            case.op(first, *rest)
            assert torch.equal(first, before)


def test_bitwise_equal_over_runs_and_threads():
    images = torch.randint(0, 256, (5, 3, 100, 76), dtype=torch.uint8)
    threads = torch.get_num_threads()

    def run() -> tuple[torch.Tensor, ...]:
        return ops.spectral_profile(
            images, value="log", projections=("azimuthal", "rows", "columns"), window="hann"
        )

    try:
        torch.set_num_threads(1)
        wanted = run()
        for count in (1, 2, 3, 4):
            torch.set_num_threads(count)
            for _ in range(5):
                assert all(map(torch.equal, run(), wanted))
        torch.use_deterministic_algorithms(True)
        assert all(map(torch.equal, run(), wanted))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


def test_window_keeps_the_level_of_white_noise():
    noise = torch.randn(64, 64, 64, dtype=torch.float64)
    plain = ops.spectral_profile(noise)[:, 4:28].mean()
    windowed = ops.spectral_profile(noise, window="hann")[:, 4:28].mean()
    assert float(windowed / plain) == pytest.approx(1, abs=0.02)


def test_window_stops_leakage():
    """A smooth ramp wraps into a step: without a window its borders cover the spectrum."""
    ramp = torch.arange(64.0).expand(64, 64)[None].double()
    plain = ops.spectral_profile(ramp, projections=("columns",))[0, 30]
    windowed = ops.spectral_profile(ramp, projections=("columns",), window="hann")[0, 30]
    assert float(windowed / plain) < 1e-4


def test_cutoff_only_cuts():
    images = torch.rand(2, 20, 14, dtype=torch.float64)
    for convention in ("centered", "durall", "jung", "power"):
        options = {"convention": convention, "normalize": "none"}
        whole = ops.spectral_profile(images, **options)
        cut = ops.spectral_profile(images, cutoff="nyquist", **options)
        assert cut.shape[1] == 7 - (convention in ("durall", "power"))
        torch.testing.assert_close(cut, whole[:, : cut.shape[1]], rtol=0, atol=0)


def test_projections_come_in_the_order_asked():
    images = torch.rand(1, 8, 12)
    rows, azimuthal = ops.spectral_profile(images, projections=("rows", "azimuthal"))
    assert rows.shape == (1, 5)
    torch.testing.assert_close(azimuthal, ops.spectral_profile(images))


def test_half_precision_is_computed_in_float32():
    images = torch.rand(2, 16, 16)
    for dtype in (torch.float16, torch.bfloat16):
        profile = ops.spectral_profile(images.to(dtype))
        assert profile.dtype == torch.float32
        torch.testing.assert_close(profile, ops.spectral_profile(images.to(dtype).float()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_planes_keep_their_type(dtype):
    plane = torch.rand(2, 8, 8).to(dtype)
    average = ops.azimuthal_average(plane)
    assert average.dtype == dtype
    torch.testing.assert_close(average, ops.azimuthal_average(plane.float()).to(dtype))
    spread = ops.azimuthal_spread(average, 8, 8)
    assert spread.dtype == dtype
    torch.testing.assert_close(spread, ops.azimuthal_spread(average.float(), 8, 8).to(dtype))
