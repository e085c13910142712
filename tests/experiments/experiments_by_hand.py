"""The published methods written out in float64 NumPy and SciPy, apart from the package's ops."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import griddata
from scipy.optimize import curve_fit


def durall(gray: np.ndarray, eps: float = 1e-8) -> np.ndarray:
    """20 ln|F + eps| averaged over floor(distance to the middle), both ends dropped."""
    with np.errstate(divide="ignore"):
        spectrum = 20 * np.log(np.abs(np.fft.fftshift(np.fft.fft2(gray.astype(float))) + eps))
    y, x = np.indices(gray.shape)
    radius = np.hypot(y - (gray.shape[0] - 1) / 2, x - (gray.shape[1] - 1) / 2).astype(int)
    sums = np.bincount(radius.ravel(), spectrum.ravel())
    return (sums / np.bincount(radius.ravel()))[1:-1]


def resampled(profile: np.ndarray, points: int) -> np.ndarray:
    """Read at `points` places of a cubic through the profile, divided by the first."""
    at = np.linspace(0, points, len(profile))
    read = griddata(at, profile, np.linspace(0, points, points), method="cubic")
    return read / read[0]


def inner_face(gray: np.ndarray) -> np.ndarray:
    top, left = int(gray.shape[0] / 3), int(gray.shape[1] / 3)
    return gray[top:-top, left:-left]


def faces_hq(gray: np.ndarray, label: int) -> np.ndarray:
    return durall(gray)


def celeba(gray: np.ndarray, label: int) -> np.ndarray:
    return resampled(durall(gray), 80)


def deepfake_detection(gray: np.ndarray, label: int) -> np.ndarray:
    """No eps for generated images, as published."""
    return resampled(durall(inner_face(gray), 0.0 if label else 1e-8), 300)


def jung(gray: np.ndarray, label: int) -> np.ndarray:
    spectrum = np.fft.rfft2(gray / 255)
    values = 20 * np.log(spectrum.real**2 + spectrum.imag**2 + 1e-8)
    height, width = gray.shape
    ky = np.fft.fftfreq(height, 1 / height).round().astype(int)
    radius = np.sqrt(ky[:, None] ** 2 + np.arange(width // 2 + 1) ** 2).astype(int)
    profile = np.bincount(radius.ravel(), values.ravel()) / np.bincount(radius.ravel())
    return (profile - profile.min()) / (profile.max() - profile.min())


def ricker(gray: np.ndarray, label: int) -> np.ndarray:
    top, left = (gray.shape[0] - 256) // 2, (gray.shape[1] - 256) // 2
    scaled = gray[top : top + 256, left : left + 256] / 127.5 - 1
    power = np.abs(np.fft.fftshift(np.fft.fft2(scaled, norm="ortho"))) ** 2
    y, x = np.indices(power.shape)
    radius = np.hypot(y - 127.5, x - 127.5).astype(int).ravel()
    return (np.bincount(radius, power.ravel()) / np.bincount(radius))[1:-1]


def frank(gray: np.ndarray, label: int) -> np.ndarray:
    """The DCT-II from its definition, as a matrix on both sides."""
    top, left = (gray.shape[0] - 128) // 2, (gray.shape[1] - 128) // 2
    k, n = np.indices((128, 128))
    basis = np.cos(np.pi * (n + 0.5) * k / 128) * np.where(k == 0, 1, np.sqrt(2)) / np.sqrt(128)
    coefficients = basis @ gray[top : top + 128, left : left + 128].astype(float) @ basis.T
    return np.log(np.abs(coefficients) + 1e-12).ravel()


def dzanic(gray: np.ndarray, label: int) -> np.ndarray:
    """Coefficient by coefficient, with the one-based indices of the published program."""
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(gray)))
    middle = [int(np.floor(side / 2 + 0.5)) for side in gray.shape]
    corner = np.hypot(*middle)
    places = np.ndindex(*gray.shape)
    found = [(np.hypot(i + 1 - middle[0], j + 1 - middle[1]), magnitude[i, j]) for i, j in places]
    tail = [(r, m) for r, m in found if r > 0.5 * corner]
    edges = np.linspace(min(tail)[0], max(tail)[0], 201)
    bins: list[list[float]] = [[] for _ in range(200)]
    for r, m in tail:
        first = next(j for j in range(200) if edges[j] <= r <= edges[j + 1])
        bins[first].append(m)
    means = np.array([np.mean(held) if held else np.nan for held in bins])
    reach = [min(2, i, 199 - i) for i in range(200)]
    smooth = np.array([np.nanmean(means[i - w : i + w + 1]) for i, w in enumerate(reach)])
    x, y = ((edges[:-1] + edges[1:]) / 2)[140:], smooth[140:]
    (b,), _ = curve_fit(lambda x, b: y[0] * (x / x[0]) ** b, x, y, p0=[-2.0])
    return np.array([b, y[0], y[-1]])


FEATURES = {
    "faces-hq": faces_hq,
    "celeba": celeba,
    "deepfake-detection": deepfake_detection,
    "ricker": ricker,
    "cloaking-score": jung,
    "frank-dct": frank,
    "dzanic-decay": dzanic,
}
