"""What CUDA makes of the convolutions, on the CPU: the same functions over the ops' references.

The kernels themselves are emulated in tests/simt, the glue too.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from upsampling_cases import SAMPLES, interpolation_matrix

from gandetect.ops import _ext
from gandetect.ops import _upsampling_cuda as cuda
from gandetect.ops import upsampling_reference as reference
from gandetect.ops.upsampling_reference import Activation, Mode

CPU = torch.device("cpu")
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}


def in_float64(arguments: tuple) -> tuple:
    return tuple(
        a.double() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments
    )


def error_of(got: Tensor, want: Tensor) -> float:
    assert got.shape == want.shape
    if not want.numel():
        return 0.0
    error = (got.double() - want.double()).abs().max()
    return float(error / want.double().abs().max().clamp(min=1e-300))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("function", [cuda.conv_transpose2d, cuda.upsample_conv2d])
def test_the_functions_equal_the_references(function, dtype, layout):
    for x, *rest in SAMPLES[function.__name__](dtype):
        x = x.contiguous(memory_format=layout)
        got = function(x, *rest)
        want = getattr(reference, function.__name__)(*in_float64((x, *rest)))
        assert got.dtype == dtype
        # Where the taps do not pay, torch's own interpolation runs, which finds places in float32.
        assert error_of(got, want) <= (5e-6 if dtype == torch.float32 else 1e-13)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_taps_are_interpolation_and_convolution(dtype):
    """Whatever the geometry, also where they would not pay."""
    for *call, activation, slope, _ in SAMPLES["upsample_conv2d"](dtype):
        got = cuda.tap_convolution(*call, activation, slope)
        want = reference.upsample_conv2d(*in_float64(tuple(call)), activation, slope, None)
        assert error_of(got, want) <= TOLERANCE[dtype]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_interpolations_are_those_of_torch(mode: Mode, align: bool, given: bool):
    """Of every size to every other, by sizes and by scales."""
    if align and mode in (Mode.NEAREST, Mode.BED_OF_NAILS):
        pytest.skip("these have no corners to align")
    for low in (1, 2, 3, 5, 8, 17):
        for scale in (0.4, 1, 1.37, 2, 2.5, 3, 3.1, 7):
            high = math.floor(low * scale)
            if high < 1 or (mode == Mode.BED_OF_NAILS and scale % 1):
                continue
            # torch's CPU and CUDA kernels differ where a scale is given and its size is the same
            # as without one, or twice the input's: the former then ignore the scale.
            if given and scale % 1 and high in (low, 2 * low):
                continue
            passed = float(scale) if given and not align else 0.0
            want = interpolation_matrix(mode, low, high, passed, align, torch.float64)
            sources, weights = cuda.interpolation(low, high, passed, mode, align, low == high)
            got = torch.zeros(high, low, dtype=torch.float64)
            for source, weight in zip(torch.tensor(sources), torch.tensor(weights), strict=True):
                there = (source >= 0).double()
                got.scatter_add_(1, source.clamp(min=0)[:, None], (weight * there)[:, None])
            torch.testing.assert_close(got, want, rtol=0, atol=2e-15 * max(1, high))


def test_nearest_rounds_as_torchs_cuda_kernels_do():
    """In float32: an exact place may be another pixel."""
    different = 0
    for low in range(1, 200):
        for scale in (1.1, 1.3, 1.7, 2.3, 2.9):
            high = math.floor(low * scale)
            sources, _ = cuda.interpolation(low, high, scale, Mode.NEAREST, False, low == high)
            if high == low:
                continue
            ratio = torch.tensor(1 / scale, dtype=torch.float32)
            want = (torch.arange(high, dtype=torch.float32) * ratio).floor().clamp(max=low - 1)
            assert torch.equal(torch.tensor(sources[0]), want.long())
            exact = (torch.arange(high, dtype=torch.float64) / scale).floor().clamp(max=low - 1)
            different += int((exact != want).sum())
    assert different > 0


def test_lists_end_where_they_end():
    """Each output lists the taps that fall inside, in order, and nothing after its end."""
    chosen = ((4, 5), (8, 10), (2.0, 2.0), int(Mode.BICUBIC), False, (3, 5), (1, 2), (1, 3), (1, 1))
    rows, row_weights, columns, column_weights, span = cuda.tap_tables(*chosen, torch.float64, CPU)
    for places, weights in ((rows, row_weights), (columns, column_weights)):
        assert places.dtype == torch.int32
        assert places.is_contiguous()
        assert weights.is_contiguous()
        taps = places[0]
        ended = (taps < 0).cumsum(0) > 0
        assert torch.equal(ended, taps < 0)
        assert not weights[ended].any()
        later, earlier = taps[1:], taps[:-1]
        assert (later[later >= 0] >= earlier[later >= 0]).all()
    there = columns[0] >= 0
    least = torch.where(there, columns[1], 99).amin(0)
    largest = torch.where(there, columns[1], -1).amax(0)
    for first in range(columns.shape[2]):
        for last in range(first, columns.shape[2]):
            assert span[0, first] <= least[first : last + 1].min()
            assert span[1, last] >= largest[first : last + 1].max()


def test_tables_are_made_once_for_a_geometry():
    chosen = ((4, 5), (8, 10), (2.0, 2.0), 0, False, (3, 3), (1, 1), (1, 1), (1, 1))
    with torch.inference_mode():
        first = cuda.tap_tables(*chosen, torch.float32, CPU)
    assert cuda.tap_tables(*chosen, torch.float32, CPU) is first
    assert not any(t.is_inference() for t in first)


def test_a_batch_in_chunks_is_the_same(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 3, 6, 7, generator=generator, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    call = (x, weight, None, 12, 14, 2.0, 2.0, 1, False, [1, 1], [1, 1], [1, 1], 1, 0.0)
    whole = cuda.tap_convolution(*call)
    for bytes_of_a_chunk in (1, 3 * 9 * 4 * 42 * 8):
        monkeypatch.setattr(cuda, "CHUNK_BYTES", bytes_of_a_chunk)
        for layout in (torch.contiguous_format, torch.channels_last):
            got = cuda.tap_convolution(x.contiguous(memory_format=layout), *call[1:])
            assert got.is_contiguous(memory_format=layout)
            torch.testing.assert_close(got, whole, rtol=1e-13, atol=1e-13)
    high = F.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(whole, F.conv2d(high, weight, padding=1).relu())


@pytest.mark.parametrize("shape", [(0, 3, 3, 3), (2, 3, 30, 30)])
def test_what_torch_refuses_is_torch_s_to_refuse(shape):
    """No output channels, and a kernel larger than the image."""
    call = (torch.rand(2, 3, 4, 4), torch.rand(shape), None, 8, 8, 2.0, 2.0, 0, False)
    geometry = ([1, 1], [0, 0], [1, 1])
    for function in (cuda.upsample_conv2d, reference.upsample_conv2d):
        with pytest.raises(RuntimeError, match=r"at least 1|Kernel size"):
            function(*call, *geometry, 0, 0.0, None)


def test_the_gather_s_bad_pixels_stay_where_they_are():
    chosen = ((6, 6), (12, 12), (2.0, 2.0), 1, False, (3, 3), (1, 1), (1, 1), (1, 1))
    tables = cuda.tap_tables(*chosen, torch.float32, CPU)
    z = torch.ones(1, 3, 3, 1, 6, 6)
    z[..., 0, 0] = math.inf
    out = torch.empty(1, 1, 12, 12)
    torch.ops.gandetect.tap_gather_(out, z, *tables, None, 0, 0.0)
    assert not out[0, 0, :3, :3].isfinite().any()
    assert out[0, 0, 4:].isfinite().all()
    assert out[0, 0, :, 4:].isfinite().all()


def test_private_ops_have_schema_and_fake_kernel():
    chosen = ((3, 4), (6, 8), (2.0, 2.0), 0, False, (3, 3), (1, 1), (1, 1), (1, 1))
    tables = cuda.tap_tables(*chosen, torch.float32, CPU)
    out, z = torch.zeros(2, 5, 6, 8), torch.randn(2, 3, 3, 5, 3, 4)
    tests = ("test_schema", "test_faketensor")
    gather = (out, z, *tables, torch.ones(5), int(Activation.TANH), 0.0)
    torch.library.opcheck(torch.ops.gandetect.tap_gather_, gather, test_utils=tests)
    ending = (torch.randn(2, 5, 3, 4), torch.ones(5), int(Activation.TANH), 0.0)
    torch.library.opcheck(torch.ops.gandetect.bias_activation_, ending, test_utils=tests)


def test_in_place_equals_out_of_place():
    x, bias = torch.randn(2, 3, 4, 5), torch.randn(3)
    want = reference.bias_activation(x, bias, int(Activation.SIGMOID), 0.0)
    assert torch.ops.gandetect.bias_activation_(x, bias, int(Activation.SIGMOID), 0.0) is None
    torch.testing.assert_close(x, want)


def kernels_of(name: str) -> set[str]:
    """Dispatch keys that have a kernel of their own."""
    lines = torch._C._dispatch_dump(f"gandetect::{name}").splitlines()
    return {line.split(":")[0] for line in lines if ": registered at" in line}


@pytest.mark.parametrize("name", [*SAMPLES, "bias_activation_", "tap_gather_"])
def test_cuda_has_kernels_with_a_cuda_build_and_only_then(name: str):
    assert ("CUDA" in kernels_of(name)) == bool(_ext.config().get("cuda"))


def test_registration_is_what_a_cuda_build_does():
    """On another key, in a process of its own: the functions then serve the op."""
    code = """
import torch
from gandetect.ops import _ext, _upsampling_cuda as cuda
cuda.register(_ext.library, "XPU")
for name in ("conv_transpose2d", "upsample_conv2d"):
    assert "XPU: registered" in torch._C._dispatch_dump(f"gandetect::{name}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
