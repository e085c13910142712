"""What the kernels compute, in numpy float64 and from the definitions alone."""

from __future__ import annotations

import math

import numpy as np

POWER, MAGNITUDE, LOG, LOG_AMPLITUDE = range(4)


def gray(images: np.ndarray, rounded: bool = False) -> np.ndarray:
    if images.shape[1] == 1:
        return images[:, 0].astype(np.float64)
    if rounded and images.dtype == np.uint8:
        r, g, b = (images[:, c].astype(np.int64) for c in range(3))
        return ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.float64)
    return np.einsum("c,nchw->nhw", [0.299, 0.587, 0.114], images.astype(np.float64))


def hann_window(height: int, width: int) -> np.ndarray:
    def window(n: int) -> np.ndarray:
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)

    return window(height)[:, None] * window(width)


def hann(planes: np.ndarray) -> np.ndarray:
    planes = planes.astype(np.float64)
    centered = planes - planes.mean((-2, -1), keepdims=True)
    return centered * hann_window(*planes.shape[-2:])


def gray_adjoint(planes: np.ndarray, channels: int, hann_windowed: bool) -> np.ndarray:
    planes = planes.astype(np.float64)
    if hann_windowed:
        planes = planes * hann_window(*planes.shape[-2:])
        planes = planes - planes.mean((-2, -1), keepdims=True)
    weights = np.array([1.0] if channels == 1 else [0.299, 0.587, 0.114])
    return planes[:, None] * weights[:, None, None]


def value_of(spectra: np.ndarray, mode: int, gain: float, eps: float, amplitude: float):
    f = spectra.astype(np.complex128) * amplitude
    power = f.real**2 + f.imag**2
    if mode == POWER:
        return gain * power
    if mode == MAGNITUDE:
        return gain * np.sqrt(power)
    if mode == LOG:
        return gain * np.log(power + eps)
    return gain * np.log((f.real + eps) ** 2 + f.imag**2)


def doubled(width: int, columns: int) -> np.ndarray:
    """2 in the columns that stand for their mirror image as well, else 1."""
    v = np.arange(columns)
    return np.where((v > 0) & (2 * v < width), 2.0, 1.0)


def weights(maps: np.ndarray, width: int, folded: bool) -> np.ndarray:
    columns = maps.shape[-1]
    return doubled(width, columns) if folded and len(maps) == 1 else np.ones(columns)


def average(
    values: np.ndarray, maps: np.ndarray, inverse_counts: np.ndarray, width: int, folded: bool
) -> np.ndarray:
    n_bins = len(inverse_counts)
    out = np.zeros((len(values), n_bins))
    weighted = values.astype(np.float64) * weights(maps, width, folded)
    for bin_map in maps:
        kept = (bin_map >= 0) & (bin_map < n_bins)
        for image, plane in enumerate(weighted):
            out[image] += np.bincount(bin_map[kept], plane[kept], minlength=n_bins)
    return out * inverse_counts


def spread(
    q: np.ndarray, maps: np.ndarray, inverse_counts: np.ndarray, width: int, folded: bool
) -> np.ndarray:
    n_bins = len(inverse_counts)
    padded = np.pad(q.astype(np.float64) * inverse_counts, ((0, 0), (1, 1)))
    total = sum(padded[:, np.clip(bin_map, -1, n_bins) + 1] for bin_map in maps)
    return total * weights(maps, width, folded)


def rows(values: np.ndarray, width: int) -> np.ndarray:
    height, columns = values.shape[1:]
    u = np.arange(height // 2 + 1)
    means = (values * doubled(width, columns)).sum(-1) / width
    return (means[:, u] + means[:, (height - u) % height]) / 2


def columns(values: np.ndarray) -> np.ndarray:
    return values.mean(-2)


def value_derivative(spectra: np.ndarray, mode: int, gain: float, eps: float, amplitude: float):
    """df/dRe F + i df/dIm F."""
    f = spectra.astype(np.complex128) * amplitude
    power = f.real**2 + f.imag**2
    if mode == POWER:
        slope = 2 * f
    elif mode == MAGNITUDE:
        slope = f / np.sqrt(np.where(power == 0, 1, power))
    elif mode == LOG:
        slope = 2 * f / (power + eps)
    else:
        slope = 2 / np.conj(f + eps)
    return gain * amplitude * slope


def rows_spread(q: np.ndarray, height: int, width: int, columns: int) -> np.ndarray:
    """Adjoint of `rows`."""
    per_row = np.zeros((len(q), height))
    for u in range(height // 2 + 1):
        per_row[:, u] += q[:, u] / 2
        per_row[:, (height - u) % height] += q[:, u] / 2
    return per_row[:, :, None] * doubled(width, columns) / width


def weights_of_gradients(
    gradients: list[np.ndarray | None],
    maps: np.ndarray,
    inverse_counts: np.ndarray,
    width: int,
    folded: bool,
    n: int,
) -> np.ndarray:
    """What reaches f(F) of each coefficient of the half plane."""
    _, height, n_columns = maps.shape
    q_bins, q_rows, q_columns, q_dc = (
        None if q is None else q.astype(np.float64) for q in gradients
    )
    total = np.zeros((n, height, n_columns))
    if q_bins is not None:
        total += spread(q_bins, maps, inverse_counts, width, folded)
    if q_rows is not None:
        total += rows_spread(q_rows, height, width, n_columns)
    if q_columns is not None:
        total += q_columns[:, None] / height
    if q_dc is not None:
        total[:, 0, 0] += q_dc[:, 0]
    return total


def for_real_planes(gradient: np.ndarray, width: int) -> np.ndarray:
    """Gradients of coefficients, as a complex-to-real transform wants them."""
    height, n_columns = gradient.shape[1:]
    mirrored = np.conj(gradient[:, -np.arange(height) % height])
    outer = doubled(width, n_columns) == 1
    return np.where(outer, (gradient + mirrored) / 2, gradient / 2)


def random_maps(rng: np.random.Generator, height: int, width: int, kind: str):
    """Maps laid out as in the plans of gandetect.ops, (K,) inverse counts, and `folded`.

    kind: "dc" radii about DC; "half" the same without folding; "middle" two maps about (N-1)/2;
    "full" a whole plane. A random number of bins is cut off at either end. Two maps are never
    folded, whatever the flag says; it is set for them so that the kernels show it.
    """
    columns = width if kind == "full" else width // 2 + 1
    u = ((np.arange(height) + height // 2) % height - height // 2)[:, None]
    # Of a full plane only the order matters to the kernels: along a row no bin may fall.
    v = np.arange(columns)[None, :]
    offsets = (0.5, -0.5) if kind == "middle" else (0.0,)
    radii = [np.floor(np.hypot(u + d, v + d)).astype(int) for d in offsets]
    first = int(rng.integers(0, 2))
    stop = max(first + 1, math.floor(max(r.max() for r in radii) * rng.uniform(0.4, 1.1)) + 1)
    n_bins = stop - first
    maps = np.stack([np.clip(r - first, -1, n_bins) for r in radii]).astype(np.int32)
    if kind == "middle":
        maps[1, :, 0] = -1
        if width % 2 == 0:
            maps[1, :, width // 2] = n_bins
    inverse_counts = 1.0 / rng.integers(1, 50, n_bins)
    return np.ascontiguousarray(maps), inverse_counts, kind in ("dc", "middle")
