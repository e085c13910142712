"""The CUDA kernels, run on the CPU, against the definitions; every case in three schedules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import simt_oracle as oracle
from simt_build import Simt

SCHEDULES = 3
REALS = (np.float32, np.float64)
KINDS = ("dc", "half", "middle", "full")
VALUES = ((0, 1.0, 0.0), (1, 0.5, 0.0), (2, 10.0, 1e-16), (3, 10.0, 1e-8))


def in_every_schedule(simt: Simt, compute: Callable[[], list[np.ndarray]], seed: int):
    """The results of `compute`, which must not depend on the schedule by a single bit."""
    simt.schedule(0)
    first = compute()
    for kind in range(1, SCHEDULES):
        simt.schedule(kind, seed)
        for index, (a, b) in enumerate(zip(first, compute(), strict=True)):
            assert a.tobytes() == b.tobytes(), f"result {index} depends on schedule {kind}"
    return first


def assert_close(got: np.ndarray, want: np.ndarray, scale: np.ndarray | float) -> None:
    """Within a few units in the last place of `scale`, the size of what was summed."""
    tolerance = 200 * np.finfo(got.dtype).eps * (np.abs(scale) + np.abs(want)) + 1e-30
    error = np.abs(got - want)
    worst = np.unravel_index(np.argmax(error - tolerance), error.shape)
    assert (error <= tolerance).all(), (
        f"at {worst}: {got[worst]} instead of {want[worst]}; "
        f"{(error > tolerance).mean():.1%} of {got.shape} differ"
    )


def random_shape(rng: np.random.Generator) -> tuple[int, int, int]:
    """Batches of small planes, mostly; now and then a long side, for several tiles or chunks."""
    n, height, width = rng.integers(1, 5), rng.integers(1, 40), rng.integers(1, 60)
    if rng.random() < 0.15:
        height = rng.integers(64, 150)
    if rng.random() < 0.2:
        width = rng.integers(100, 260)
    return int(n), int(height), int(width)


def random_spectra(rng: np.random.Generator, shape: tuple[int, ...], real: type) -> np.ndarray:
    spectra = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return spectra.astype(np.result_type(real, np.complex64))


def laid_out(images: np.ndarray, layout: int) -> np.ndarray:
    """The same images: contiguous, interleaved, or a window of larger ones."""
    if layout == 1:
        return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == 2:
        n, channels, height, width = images.shape
        larger = np.zeros((n, channels + 1, height + 3, width + 5), images.dtype)
        view = larger[:, :channels, 2 : 2 + height, 4 : 4 + width]
        view[:] = images
        return view
    return images


@pytest.mark.parametrize("seed", range(90))
def test_gray(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([1, seed])
    n, height, width = random_shape(rng)
    channels = (1, 3)[seed % 2]
    shape = (n, channels, height, width)
    if seed % 3 == 0:
        images = rng.integers(0, 256, shape, dtype=np.uint8)
    else:
        images = rng.uniform(-1, 300, shape).astype(REALS[seed % 3 - 1])
    rounded, shifted = bool(seed // 6 % 2), bool(seed // 12 % 2)
    images = laid_out(images, seed // 24 % 3)

    def compute() -> list[np.ndarray]:
        means = simt.mean(images, rounded)
        return [means, simt.gray(images, rounded, means if shifted else None)]

    means, got = in_every_schedule(simt, compute, seed)
    want = oracle.gray(images, rounded)
    exact = images.dtype != np.float32
    np.testing.assert_allclose(means, want.mean((1, 2)), rtol=1e-14 if exact else 1e-7)
    if shifted:
        want = want - np.floor(means + 0.5)[:, None, None]
    assert_close(got, want, 255)
    if images.dtype == np.uint8 and (channels == 1 or rounded):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("seed", range(54))
def test_windowed_gray(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([2, seed])
    n, height, width = random_shape(rng)
    shape = (n, (1, 3)[seed % 2], height, width)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    if seed % 3:
        images = rng.uniform(-10, 300, shape).astype(REALS[seed % 3 - 1])
    images = laid_out(images, seed // 6 % 3)
    rounded = bool(seed // 18 % 2)
    real = np.dtype(np.float64 if images.dtype == np.float64 else np.float32)

    def compute() -> list[np.ndarray]:
        table = simt.window(height, width, real)
        return [simt.gray(images, rounded, simt.mean(images, rounded), table)]

    (got,) = in_every_schedule(simt, compute, seed)
    assert_close(got, oracle.hann(oracle.gray(images, rounded)), 300)


@pytest.mark.parametrize("seed", range(40))
def test_gray_adjoint(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([11, seed])
    planes = rng.standard_normal(random_shape(rng)).astype(REALS[seed % 2])
    channels, windowed = (1, 3)[seed // 2 % 2], bool(seed // 4 % 2)

    def compute() -> list[np.ndarray]:
        table = simt.window(*planes.shape[1:], planes.dtype) if windowed else None
        return [simt.gray_adjoint(planes, channels, table)]

    (got,) = in_every_schedule(simt, compute, seed)
    assert_close(got, oracle.gray_adjoint(planes, channels, windowed), np.abs(planes).max())


@pytest.mark.parametrize("seed", range(30))
def test_dc(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([3, seed])
    n, height, width = random_shape(rng)
    real = REALS[seed % 2]
    planes = rng.uniform(-100, 300, (n, height, width)).astype(real)
    spectra = random_spectra(rng, (n, height, width // 2 + 1), real)
    means = simt.mean(planes[:, None]) if seed % 3 else None
    (got,) = in_every_schedule(simt, lambda: [simt.dc(means, spectra, 5.0, width)], seed)
    want = spectra.astype(np.complex128)
    total = planes.astype(np.float64).sum((1, 2)) if means is not None else want[:, 0, 0].real
    want[:, 0, 0].real = total + 5.0
    assert_close(got.real, want.real, 0)
    np.testing.assert_array_equal(got.imag, spectra.imag)


@pytest.mark.parametrize("seed", range(160))
def test_means(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([4, seed])
    n, height, width = random_shape(rng)
    real = REALS[seed % 2]
    maps, inverse_counts, folded = oracle.random_maps(rng, height, width, KINDS[seed // 2 % 3])
    value, amplitude = VALUES[seed // 6 % 4], float(rng.uniform(0.5, 2))
    spectra = random_spectra(rng, (n, height, width // 2 + 1), real)

    def compute() -> list[np.ndarray]:
        return simt.means(spectra, maps, inverse_counts, width, folded, value, amplitude)

    bins, rows, columns, dc = in_every_schedule(simt, compute, seed)
    values = oracle.value_of(spectra, *value, amplitude)
    size = np.abs(values) + value[1]
    for got, project in (
        (bins, lambda x: oracle.average(x, maps, inverse_counts, width, folded)),
        (rows, lambda x: oracle.rows(x, width)),
        (columns, oracle.columns),
        (dc, lambda x: x[:, 0, :1]),
    ):
        assert_close(got, project(values), project(size))


@pytest.mark.parametrize("seed", range(60))
def test_average(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([5, seed])
    n, height, width = random_shape(rng)
    maps, inverse_counts, folded = oracle.random_maps(rng, height, width, KINDS[seed % 4])
    plane = rng.standard_normal((n, *maps.shape[1:])).astype(REALS[seed // 4 % 2])
    only_bins = (True, False, False, False)

    def compute() -> list[np.ndarray]:
        call = simt.means(plane, maps, inverse_counts, width, folded, wanted=only_bins)
        return [call[0]]

    (got,) = in_every_schedule(simt, compute, seed)
    plan = (maps, inverse_counts, width, folded)
    assert_close(got, oracle.average(plane, *plan), oracle.average(np.abs(plane), *plan))


@pytest.mark.parametrize("seed", range(60))
def test_spread_and_adjoint(simt: Simt, seed: int) -> None:
    rng = np.random.default_rng([6, seed])
    n, height, width = random_shape(rng)
    maps, inverse_counts, folded = oracle.random_maps(rng, height, width, KINDS[seed % 4])
    plan = (maps, inverse_counts, width, folded)
    q = rng.standard_normal((n, len(inverse_counts))).astype(REALS[seed // 4 % 2])
    (got,) = in_every_schedule(simt, lambda: [simt.spread(q, *plan)], seed)
    assert_close(got, oracle.spread(q, *plan), np.abs(q).max())

    plane = rng.standard_normal(got.shape).astype(q.dtype)
    averaged = simt.means(plane, *plan, wanted=(True, False, False, False))[0]
    left, right = np.vdot(averaged, q.astype(np.float64)), np.vdot(plane.astype(np.float64), got)
    assert abs(left - right) <= 1e3 * np.finfo(q.dtype).eps * np.abs(plane * got).sum()


def random_gradients(
    rng: np.random.Generator, n: int, height: int, width: int, n_bins: int, real: type
) -> list[np.ndarray | None]:
    """Of bins, rows, columns and DC; each is missing now and then."""
    lengths = (n_bins, height // 2 + 1, width // 2 + 1, 1)
    return [
        rng.standard_normal((n, length)).astype(real) if rng.random() < 0.8 else None
        for length in lengths
    ]


@pytest.mark.parametrize("seed", range(120))
def test_backward(simt: Simt, seed: int) -> None:
    """Over spectra of no real plane, whose outer columns are not Hermitian."""
    rng = np.random.default_rng([12, seed])
    n, height, width = random_shape(rng)
    real = REALS[seed % 2]
    maps, inverse_counts, folded = oracle.random_maps(rng, height, width, KINDS[seed // 2 % 3])
    value, amplitude = VALUES[seed // 6 % 4], float(rng.uniform(0.5, 2))
    spectra = random_spectra(rng, (n, height, width // 2 + 1), real)
    gradients = random_gradients(rng, n, height, width, len(inverse_counts), real)
    plan = (maps, inverse_counts, width, folded)

    def compute() -> list[np.ndarray]:
        return [simt.backward(spectra, *plan, gradients, value, amplitude)]

    (got,) = in_every_schedule(simt, compute, seed)
    slope = oracle.value_derivative(spectra, *value, amplitude)
    weights = oracle.weights_of_gradients(gradients, *plan, n)
    size = oracle.weights_of_gradients([q if q is None else np.abs(q) for q in gradients], *plan, n)
    want = oracle.for_real_planes(weights * slope, width)
    scale = np.abs(oracle.for_real_planes(size * np.abs(slope) + 0j, width))
    assert_close(got.real, want.real, scale)
    assert_close(got.imag, want.imag, scale)


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (5, 6), (1, 9), (9, 1), (8, 2)])
def test_backward_is_the_derivative_of_means(simt: Simt, size, value, kind: str) -> None:
    """Along a random direction in the space of planes, by differences of the oracle's means."""
    height, width = size
    rng = np.random.default_rng([13, height, width, value[0]])
    maps, inverse_counts, folded = oracle.random_maps(rng, height, width, kind)
    plan = (maps, inverse_counts, width, folded)
    gradients = random_gradients(rng, 1, height, width, len(inverse_counts), np.float64)
    plane, direction = rng.standard_normal((2, 1, height, width))

    def loss(planes: np.ndarray) -> float:
        values = oracle.value_of(np.fft.rfft2(planes), *value, 0.7)
        means = (
            oracle.average(values, *plan),
            oracle.rows(values, width),
            oracle.columns(values),
            values[:, 0, :1],
        )
        return sum((q * m).sum() for q, m in zip(gradients, means, strict=True) if q is not None)

    step = 1e-6
    numeric = (loss(plane + step * direction) - loss(plane - step * direction)) / (2 * step)
    spectra = np.fft.rfft2(plane)
    gradient = simt.backward(spectra, *plan, gradients, value, 0.7)
    found = (np.fft.irfft2(gradient, s=size, norm="forward") * direction).sum()
    assert abs(found - numeric) <= 1e-6 * (abs(numeric) + np.abs(gradient).sum())


@pytest.mark.parametrize("real", REALS)
def test_backward_where_there_is_no_power(simt: Simt, real: type) -> None:
    """Of a black image the gradient is zero, but for the log of an amplitude."""
    maps, inverse_counts, folded = oracle.random_maps(np.random.default_rng(14), 6, 8, "dc")
    spectra = np.zeros((1, 6, 5), np.result_type(real, np.complex64))
    gradients = random_gradients(np.random.default_rng(14), 1, 6, 8, len(inverse_counts), real)
    for value in VALUES:
        plan = (maps, inverse_counts, 8, folded)
        got = simt.backward(spectra, *plan, gradients, value)
        assert np.isfinite(got).all()
        assert np.any(got != 0) == (value[0] == 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_backward_keeps_images_apart(simt: Simt, bad: float) -> None:
    rng = np.random.default_rng(15)
    maps, inverse_counts, folded = oracle.random_maps(rng, 12, 10, "middle")
    spectra = random_spectra(rng, (3, 12, 6), np.float32)
    spectra[1, 4, 2] = bad
    gradients = random_gradients(rng, 3, 12, 10, len(inverse_counts), np.float32)
    got = simt.backward(spectra, maps, inverse_counts, 10, folded, gradients, VALUES[2])
    finite = np.isfinite(got)
    assert finite[0].all()
    assert finite[2].all()
    assert not finite[1, 4, 2]


@pytest.mark.parametrize(
    ("height", "width"),
    [(3, 4200), (2, 2100), (1, 3000), (150, 1), (300, 4), (1, 1), (2, 2), (129, 33)],
)
@pytest.mark.parametrize("real", REALS)
def test_shapes_at_the_edges(simt: Simt, height: int, width: int, real: type) -> None:
    """Several chunks, more bins than shared memory holds, single rows and columns."""
    rng = np.random.default_rng([7, height, width])
    maps, inverse_counts, folded = oracle.random_maps(rng, height, width, "dc")
    spectra = random_spectra(rng, (1, height, width // 2 + 1), real)

    def compute() -> list[np.ndarray]:
        return simt.means(spectra, maps, inverse_counts, width, folded)

    bins, rows, columns, _ = in_every_schedule(simt, compute, 3)
    power = oracle.value_of(spectra, 0, 1.0, 0.0, 1.0)
    assert_close(bins, oracle.average(power, maps, inverse_counts, width, folded), 0)
    assert_close(rows, oracle.rows(power, width), 0)
    assert_close(columns, oracle.columns(power), 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_ring(simt: Simt, bad: float) -> None:
    rng = np.random.default_rng(8)
    height, width, u, v = 20, 30, 7, 11
    maps, inverse_counts, folded = oracle.random_maps(rng, height, width, "dc")
    spectra = random_spectra(rng, (2, height, width // 2 + 1), np.float32)
    spectra[1, u, v] = bad
    bins, rows, columns, dc = simt.means(spectra, maps, inverse_counts, width, folded)
    assert np.isfinite(dc).all()
    for result, place in ((bins, maps[0, u, v]), (rows, u), (columns, v)):
        expected = np.zeros(result.shape, bool)
        if place < result.shape[1]:
            expected[1, place] = True
        np.testing.assert_array_equal(~np.isfinite(result), expected)


def test_no_images_launch_nothing(simt: Simt) -> None:
    maps, inverse_counts, folded = oracle.random_maps(np.random.default_rng(0), 4, 6, "dc")
    empty = np.empty((0, 4, 4), np.complex64)
    for result in simt.means(empty, maps, inverse_counts, 6, folded):
        assert result is not None
        assert len(result) == 0
    assert simt.gray(np.empty((0, 3, 4, 6), np.uint8)).shape == (0, 4, 6)
    assert simt.mean(np.empty((0, 3, 4, 6), np.uint8)).shape == (0,)
    assert simt.gray_adjoint(np.empty((0, 4, 6), np.float32), 3).shape == (0, 3, 4, 6)
    assert simt.backward(empty, maps, inverse_counts, 6, folded, [None] * 4).shape == (0, 4, 4)
    assert simt.spread(np.empty((0, len(inverse_counts))), maps, inverse_counts, 6, True).size == 0


@pytest.mark.parametrize("wanted", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
def test_each_projection_alone_equals_all_together(simt: Simt, wanted: tuple[int, ...]) -> None:
    rng = np.random.default_rng(9)
    maps, inverse_counts, folded = oracle.random_maps(rng, 40, 50, "middle")
    spectra = random_spectra(rng, (2, 40, 26), np.float32)
    everything = simt.means(spectra, maps, inverse_counts, 50, folded)
    chosen = tuple(map(bool, wanted))
    alone = simt.means(spectra, maps, inverse_counts, 50, folded, wanted=chosen)
    for a, b, is_wanted in zip(alone, everything, chosen, strict=True):
        assert (a is not None) == is_wanted
        if a is not None:
            np.testing.assert_array_equal(a, b)


def test_maps_that_break_the_plan_stay_in_bounds(simt: Simt) -> None:
    """Wrong sums are the caller's affair; a wrong address would not be."""
    rng = np.random.default_rng(10)
    maps = rng.integers(-5, 40, (2, 12, 9), dtype=np.int32)
    spectra = random_spectra(rng, (1, 12, 9), np.float32)
    bins = simt.means(spectra, maps, np.ones(20), 16, False)[0]
    assert np.isfinite(bins).all()
    gradients = [np.ones((1, 20), np.float32), None, None, None]
    assert np.isfinite(simt.backward(spectra, maps, np.ones(20), 16, False, gradients)).all()
