"""The CUDA kernels of the up-sampling ops, run on the CPU, against their pure-torch references.

Every case in three schedules, bit for bit; odd, prime, tiny and unaligned shapes; both layouts,
both types, every activation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from simt_build import Simt, SimtError
from simt_upsampling import Int, Upsampling
from torch import Tensor
from torch.nn import functional as F

from gandetect.ops import _upsampling_cuda as cuda
from gandetect.ops import upsampling_reference as reference
from gandetect.ops.upsampling_reference import Activation, Mode

DTYPES = (torch.float32, torch.float64)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
ACTIVATIONS = tuple(int(a) for a in Activation)
# Of the largest value: a library's tanh differs from another's by a few units in the last place.
TOLERANCE = {torch.float32: 1e-6, torch.float64: 2e-15}

Random = np.random.Generator


def normal(rng: Random, *shape: int, dtype: torch.dtype, layout: int = 0) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape)).to(dtype, memory_format=LAYOUTS[layout])


def random_ending(rng: Random, channels: int, seed: int, dtype: torch.dtype):
    """Every activation in turn, with a bias more often than not."""
    bias = normal(rng, channels, dtype=dtype) if rng.random() < 0.7 else None
    return bias, ACTIVATIONS[seed % 5], float(rng.choice([0.2, 0.0, 1.5]))


def random_shape(rng: Random) -> tuple[int, int, int, int]:
    n, c = (int(i) for i in rng.integers((1, 1), (4, 9)))
    height, width = (int(i) for i in rng.integers(1, 14, 2))
    if rng.random() < 0.2:
        c = int(rng.integers(30, 70))
    if rng.random() < 0.2:
        width = int(rng.integers(100, 300))
    return n, c, height, width


def in_every_schedule(simt: Simt, compute: Callable[[], Tensor], seed: int) -> Tensor:
    """The result of `compute`, which must not depend on the schedule by a single bit."""
    simt.schedule(0)
    first = compute()
    for kind in (1, 2):
        simt.schedule(kind, seed)
        assert same_bits(first, compute()), f"the result depends on schedule {kind}"
    return first


def same_bits(a: Tensor, b: Tensor) -> bool:
    integers = torch.int32 if a.dtype == torch.float32 else torch.int64
    return torch.equal(a.contiguous().view(integers), b.contiguous().view(integers))


def assert_close(got: Tensor, want: Tensor, scale: float | None = None) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if scale is None:
        scale = 1 + float(want.abs().max())
    error = (got - want).abs().max().item() / scale
    assert error <= TOLERANCE[got.dtype], f"{error:.3g} of the largest value"


def kernels(simt: Simt, rng: Random) -> Upsampling:
    """Now and then with results that are not aligned, or a launch for each image or two."""
    limit = int(rng.choice([0, 0, 1, 20000]))
    return Upsampling(simt, shifted=rng.random() < 0.25, limit=limit)


@pytest.mark.parametrize("seed", range(80))
def test_bed_of_nails(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([31, seed])
    dtype, layout = DTYPES[seed % 2], seed // 2 % 2
    x = normal(rng, *random_shape(rng), dtype=dtype, layout=layout)
    down, right = (int(s) for s in rng.integers(1, 5, 2))
    ending, ours = random_ending(rng, x.shape[1], seed, dtype), kernels(simt, rng)
    got = in_every_schedule(simt, lambda: ours.bed_of_nails(x, down, right, *ending), seed)
    want = reference.bed_of_nails(x, down, right, *ending)
    assert_close(got, want)
    if ending[1] <= Activation.RELU:
        assert torch.equal(got, want)


@pytest.mark.parametrize("seed", range(80))
def test_pixel_shuffle(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([32, seed])
    dtype, layout = DTYPES[seed % 2], seed // 2 % 2
    n, c, height, width = random_shape(rng)
    scale = int(rng.integers(1, 5))
    x = normal(rng, n, c * scale**2, height, width, dtype=dtype, layout=layout)
    ending, ours = random_ending(rng, x.shape[1], seed, dtype), kernels(simt, rng)
    got = in_every_schedule(simt, lambda: ours.pixel_shuffle(x, scale, *ending), seed)
    want = reference.pixel_shuffle(x, scale, *ending)
    assert_close(got, want)
    if ending[1] <= Activation.RELU:
        assert torch.equal(got, want)


@pytest.mark.parametrize("seed", range(80))
def test_bias_activation(simt: Simt, seed: int) -> None:
    """Into a result of its own and in place."""
    rng = np.random.default_rng([33, seed])
    dtype, layout = DTYPES[seed % 2], seed // 2 % 2
    x = normal(rng, *random_shape(rng), dtype=dtype, layout=layout)
    ending, ours = random_ending(rng, x.shape[1], seed, dtype), kernels(simt, rng)
    got = in_every_schedule(simt, lambda: ours.bias_activation(x, *ending), seed)
    assert_close(got, reference.bias_activation(x, *ending))
    over = in_every_schedule(
        simt, lambda: ours.bias_activation(x.clone(), *ending, in_place=True), seed
    )
    assert same_bits(over, got)


@pytest.mark.parametrize("seed", range(80))
def test_max_unpool2d(simt: Simt, seed: int) -> None:
    """Of windows that overlap, so that places repeat with the same value, and that do not."""
    rng = np.random.default_rng([34, seed])
    dtype, layout = DTYPES[seed % 2], seed // 2 % 2
    n, c, height, width = random_shape(rng)
    high = normal(rng, n, c, height + 3, width + 3, dtype=dtype)
    stride = (1, 2, 3)[seed // 4 % 3]
    x, indices = F.max_pool2d(high, 3, stride, return_indices=True)
    x, indices = (t.contiguous(memory_format=LAYOUTS[layout]) for t in (x, indices))
    if not x.is_contiguous() and indices.stride() != x.stride():
        pytest.skip("extents of 1 leave a choice")
    sides = high.shape[2:]
    ending, ours = random_ending(rng, c, seed, dtype), kernels(simt, rng)
    got = in_every_schedule(simt, lambda: ours.max_unpool2d(x, indices, *sides, *ending), seed)
    want = reference.max_unpool2d(x, indices, *sides, *ending)
    assert_close(got, want)


def last_one_wins(x: Tensor, indices: Tensor, height: int, width: int) -> Tensor:
    planes = torch.zeros(*x.shape[:2], height * width, dtype=x.dtype)
    flat, places = x.flatten(2), indices.flatten(2)
    for s in range(flat.shape[2]):
        planes.scatter_(2, places[:, :, s : s + 1], flat[:, :, s : s + 1])
    return planes.view(*x.shape[:2], height, width)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_of_a_place_named_twice_the_last_counts(simt: Simt, dtype: torch.dtype, layout: int):
    rng = np.random.default_rng(35)
    x = normal(rng, 2, 5, 9, 11, dtype=dtype, layout=layout)
    indices = torch.from_numpy(rng.integers(0, 40, tuple(x.shape)))
    indices = indices.contiguous(memory_format=LAYOUTS[layout])
    ours = Upsampling(simt)
    got = in_every_schedule(
        simt, lambda: ours.max_unpool2d(x, indices, 5, 8, None, Activation.NONE, 0.0), 1
    )
    assert torch.equal(got, last_one_wins(x, indices, 5, 8))


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outside", [-1, 40, 2**40, -(2**62)])
def test_an_index_outside_makes_its_plane_nan_and_no_other(
    simt: Simt, outside: int, dtype: torch.dtype, layout: int
):
    rng = np.random.default_rng(36)
    x = normal(rng, 3, 4, 3, 5, dtype=dtype, layout=layout)
    indices = torch.from_numpy(rng.integers(0, 40, tuple(x.shape)))
    indices = indices.contiguous(memory_format=LAYOUTS[layout])
    wrong = indices.clone(memory_format=torch.preserve_format)
    wrong[1, 2, 0, 3] = outside
    ending = (normal(rng, 4, dtype=dtype), int(Activation.RELU), 0.0)
    ours = Upsampling(simt, limit=40)
    want = ours.max_unpool2d(x, indices, 5, 8, *ending)
    got = in_every_schedule(simt, lambda: ours.max_unpool2d(x, wrong, 5, 8, *ending), 2)
    assert got[1, 2].isnan().all()
    got[1, 2] = want[1, 2]
    assert same_bits(got, want)


# The gather: lists of rows and columns that any interpolation and convolution make.


def geometry(rng: Random, seed: int):
    """Sides, scales, mode, align_corners, kernel, stride, padding, dilation; results not empty."""
    while True:
        mode = Mode(seed % 4)
        low = tuple(int(i) for i in rng.integers(1, 12, 2))
        if rng.random() < 0.2:
            low = (low[0] // 4 + 1, int(rng.integers(60, 200)))
        scales = tuple(float(s) for s in rng.uniform(0.4, 3.5, 2))
        if mode == Mode.BED_OF_NAILS or rng.random() < 0.6:
            scales = tuple(float(s) for s in rng.integers(1, 4, 2))
        high = tuple(math.floor(side * s) for side, s in zip(low, scales, strict=True))
        align = bool(rng.random() < 0.4) and mode in (Mode.BILINEAR, Mode.BICUBIC)
        kernel = tuple(int(k) for k in rng.integers(1, 6, 2))
        stride, dilation = (
            (1, 1) if rng.random() < 0.6 else tuple(int(s) for s in rng.integers(1, 4, 2))
            for _ in range(2)
        )
        padding = tuple(int(p) for p in rng.integers(0, 4, 2))
        sides = [
            (side + 2 * p - d * (k - 1) - 1) // s + 1
            for side, k, s, p, d in zip(high, kernel, stride, padding, dilation, strict=True)
        ]
        if min(*high, *sides) >= 1:
            return low, high, scales, int(mode), align, kernel, stride, padding, dilation


@pytest.mark.parametrize("seed", range(160))
def test_tap_gather(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([37, seed])
    dtype, interleaved = DTYPES[seed // 4 % 2], bool(seed // 8 % 2)
    chosen = geometry(rng, seed)
    tables = cuda.tap_tables(*chosen, dtype, torch.device("cpu"))
    n, channels = int(rng.integers(1, 4)), int(rng.choice([1, 3, 4, 8, 33, 40]))
    z = normal(rng, n, *chosen[5], channels, *chosen[0], dtype=dtype)
    if interleaved or seed % 7 == 0:  # any strides do, whatever the result's layout
        z = z.permute(0, 4, 5, 1, 2, 3).contiguous().permute(0, 3, 4, 5, 1, 2)
    ending = random_ending(rng, channels, seed, dtype)
    ours = Upsampling(simt, shifted=rng.random() < 0.2)
    window = int(rng.choice([0, 0, 1, 3]))

    def compute() -> Tensor:
        return ours.tap_gather(z, tables, interleaved, *ending, window=window)

    got = in_every_schedule(simt, compute, seed)
    want = torch.empty(got.shape, dtype=dtype)
    reference.tap_gather_(want, z, *tables, *ending)
    entries = tables[0].shape[1] * tables[2].shape[1]
    assert_close(got, want, (1 + float(z.abs().max())) * entries**0.5)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tap_gather_of_a_wide_span(simt: Simt, dtype: torch.dtype, interleaved: bool) -> None:
    """What a piece of a row needs is more than shared memory holds: it comes in several windows."""
    rng = np.random.default_rng(38)
    chosen = ((1, 3000), (1, 3000), (1.0, 1.0), 0, False, (1, 7), (1, 9), (0, 0), (1, 40))
    tables = cuda.tap_tables(*chosen, dtype, torch.device("cpu"))
    z = normal(rng, 1, 1, 7, 5, 1, 3000, dtype=dtype)
    ending, ours = (None, int(Activation.NONE), 0.0), Upsampling(simt)
    got = in_every_schedule(simt, lambda: ours.tap_gather(z, tables, interleaved, *ending), 3)
    want = torch.empty(got.shape, dtype=dtype)
    reference.tap_gather_(want, z, *tables, *ending)
    assert_close(got, want, 20.0)


def test_tap_gather_refuses_what_does_not_fit(simt: Simt) -> None:
    chosen = ((2, 200), (2, 200), (1.0, 1.0), 0, False, (1, 128), (1, 1), (0, 0), (1, 1))
    ours, ending = Upsampling(simt), (None, 0, 0.0)
    tables = cuda.tap_tables(*chosen, torch.float64, torch.device("cpu"))
    z = torch.zeros(1, 1, 128, 1, 2, 200, dtype=torch.float64)
    with pytest.raises(SimtError):
        ours.tap_gather(z, tables, True, *ending)
    widest = (*chosen[:5], (1, cuda.MAX_KERNEL_WIDTH), *chosen[6:])
    tables = cuda.tap_tables(*widest, torch.float64, torch.device("cpu"))
    for interleaved in (False, True):
        ours.tap_gather(z[:, :, : cuda.MAX_KERNEL_WIDTH], tables, interleaved, *ending)


# What holds for all of them.


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_kept_as_torch_keeps_it(simt: Simt, dtype, activation, bad) -> None:
    x = torch.linspace(-2, 2, 36, dtype=dtype).view(1, 4, 3, 3).clone()
    x[0, 1, 2, 0] = bad
    bias = torch.tensor([0.5, 0.0, bad, -1.0], dtype=dtype)
    ours = Upsampling(simt)
    for b in (None, bias):
        ending = (b, activation, 0.3)
        for got, want in (
            (ours.bias_activation(x, *ending), reference.bias_activation(x, *ending)),
            (ours.bed_of_nails(x, 2, 3, *ending), reference.bed_of_nails(x, 2, 3, *ending)),
            (ours.pixel_shuffle(x, 2, *ending), reference.pixel_shuffle(x, 2, *ending)),
        ):
            torch.testing.assert_close(got, want, equal_nan=True)


def test_a_bad_pixel_stays_among_the_outputs_that_read_it(simt: Simt) -> None:
    """Entries that a list does not have are not zeros times something."""
    chosen = ((6, 9), (12, 18), (2.0, 2.0), 1, False, (3, 3), (1, 1), (1, 1), (1, 1))
    tables = cuda.tap_tables(*chosen, torch.float32, torch.device("cpu"))
    z = torch.ones(2, 3, 3, 2, 6, 9)
    z[1, :, :, 1, 0, 0] = math.nan
    for interleaved in (False, True):
        got = Upsampling(simt).tap_gather(z, tables, interleaved, None, 0, 0.0)
        bad = got.isnan()
        assert bad[1, 1, :3, :3].all()
        assert bad.sum() == bad[1, 1, :4, :4].sum()


def test_nothing_to_do_launches_nothing(simt: Simt) -> None:
    ours, ending = Upsampling(simt), (None, 0, 0.0)
    for shape in ((0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5)):
        x = torch.empty(shape)
        assert not ours.bed_of_nails(x, 2, 2, *ending).numel()
        assert not ours.bias_activation(x, *ending).numel()
        assert not ours.pixel_shuffle(x, 1, *ending).numel()
    indices = torch.empty((2, 3, 0, 5), dtype=torch.int64)
    bias = torch.tensor([1.0, 2.0, 3.0])
    got = ours.max_unpool2d(torch.empty((2, 3, 0, 5)), indices, 2, 2, bias, 0, 0.0)
    assert torch.equal(got, bias[None, :, None, None].expand(2, 3, 2, 2))


def test_an_image_of_2_31_numbers_is_refused(simt: Simt) -> None:
    ours, ending = Upsampling(simt), (None, Int(0), 0.0)
    one = torch.zeros(1)
    huge = (1, 2**20, 2**6, 2**5)
    for call in (
        lambda: ours._call("bed_of_nails", Int(0), one, *huge, 1, 1, Int(0), *ending, 0, one),
        lambda: ours._call("pixel_shuffle", Int(0), one, *huge, 1, Int(0), *ending, 0, one),
        lambda: ours._call(
            "bias_activation", Int(0), one, 1, 2**40, 2**30, Int(0), *ending, 0, one
        ),
    ):
        with pytest.raises(SimtError, match="status 1"):
            call()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 255, 256, 257, 641, 46341, 65535, 65536, 99991])
def test_divisions_by_multiplication(simt: Simt, count: int) -> None:
    """Channels beyond every power of two: the bias of a channel is the channel's number."""
    channels = torch.arange(count, dtype=torch.float64)
    x = torch.zeros(3, count, 1, 2, dtype=torch.float64)
    got = Upsampling(simt).bias_activation(x, channels, 0, 0.0)
    assert torch.equal(got, channels[None, :, None, None].expand(3, -1, 1, 2))


def test_results_do_not_depend_on_the_size_of_a_launch(simt: Simt) -> None:
    rng = np.random.default_rng(39)
    x = normal(rng, 7, 3, 5, 6, dtype=torch.float32)
    calls = [
        lambda ours: ours.bed_of_nails(x, 2, 2, None, 3, 0.0),
        lambda ours: ours.bias_activation(x, None, 3, 0.0),
    ]
    for call, limit in itertools.product(calls, (1, 100, 500, 1000)):
        assert same_bits(call(Upsampling(simt, limit=limit)), call(Upsampling(simt)))
