"""The published features of one image, in float64.

Radial profiles are those of `gandetect.ops`. What the ops do not have is here: a logarithm without
eps, which one of the published experiments uses for generated images alone; the DCT of Frank et
al.; and the decay of the spectrum of Dzanic et al., both written down from their published code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.optimize import minimize_scalar
from torch import Tensor

from gandetect.experiments.settings import Setting
from gandetect.ops import CONVENTIONS, azimuthal_average, spectral_profile
from gandetect.ops.conventions import resampling_matrix

Array = NDArray[np.float64]

_EPS = CONVENTIONS["durall"].value.eps
# Of the decay fit: the tail begins at these shares of the corner radius, and has so many bins.
_TAIL, _FITTED, _BINS, _SMOOTHED = 0.5, 0.85, 200, 5


def published_features(plane: Tensor, setting: Setting, *, eps: float = _EPS) -> Array:
    """Features (F,) of the luma `plane` (H, W), 0..255, of any dtype.

    `eps`: 1e-8, or 0 as in one published experiment; then a coefficient that is exactly zero makes
    features that are not finite. Raises ValueError where the plane is too small for the setting.
    """
    return FEATURES[setting.features](cropped(plane, setting.crop).double(), setting, eps)


def cropped(plane: Tensor, crop: str | int | None) -> Tensor:
    """The part of `plane` (H, W) that counts; see `Setting.crop`."""
    height, width = plane.shape
    if crop is None:
        return plane
    if crop == "third":
        top, left = height // 3, width // 3
        if min(top, left) < 1:
            raise ValueError(f"image of {height}x{width} given; it has no middle third")
        return plane[top:-top, left:-left]
    side = int(crop)
    if min(height, width) < side:
        raise ValueError(f"image of {height}x{width} given; at least {side}x{side} is needed")
    top, left = (height - side) // 2, (width - side) // 2
    return plane[top : top + side, left : left + side]


def _durall(plane: Tensor, setting: Setting, eps: float) -> Array:
    """Mean of 20 ln|F + eps| per radius; resampled and divided by its first, or as it is."""
    resample = setting.length if setting.resampled else None
    if eps == _EPS:
        normalize = "first" if setting.resampled else "none"
        profile = spectral_profile(plane[None], "durall", resample=resample, normalize=normalize)
        return np.asarray(profile[0].numpy(), np.float64)
    logs = 20 * torch.log(torch.abs(torch.fft.fft2(plane) + eps))
    profile = azimuthal_average(logs[None], convention="durall")[0]
    if resample is None:
        return np.asarray(profile.numpy(), np.float64)
    profile = resampling_matrix(len(profile), resample) @ profile
    return np.asarray((profile / profile[0]).numpy(), np.float64)


def _profile(plane: Tensor, setting: Setting, eps: float) -> Array:
    """The profile of the convention that `setting.features` names, mapped onto its range."""
    convention = CONVENTIONS[setting.features]
    mapped = plane * convention.input_gain + convention.input_offset
    return np.asarray(spectral_profile(mapped[None], convention.name)[0].numpy(), np.float64)


def _square_profile(plane: Tensor, setting: Setting, eps: float) -> Array:
    height, width = plane.shape
    if height != width:
        raise ValueError(f"image of {height}x{width} given; {setting.name} wants squares")
    return _profile(plane, setting, eps)


def _dct(plane: Tensor, setting: Setting, eps: float) -> Array:
    """ln(|DCT-II| + 1e-12), orthonormal, row by row.

    The range of the pixels only adds a constant to all but the first, which standardizing removes.
    """
    return np.asarray(np.log(np.abs(dctn(plane.numpy(), norm="ortho")) + 1e-12).ravel(), float)


def _decay(plane: Tensor, setting: Setting, eps: float) -> Array:
    """(b, c, last): `c (x / x_1)^b` fitted to the magnitudes beyond 0.85 of the corner radius.

    c is the first smoothed magnitude of the fitted range and x_1 its radius; last is the outermost.
    """
    radius, magnitude = binned_magnitudes(plane)
    smooth = _moving_mean(magnitude, _SMOOTHED)
    if np.isnan(smooth).any():
        height, width = plane.shape
        raise ValueError(
            f"image of {height}x{width} given; too small for {_BINS} bins of its spectrum"
        )
    start = int(_BINS * (_FITTED - _TAIL) / (1 - _TAIL) + 0.5)
    x, y = radius[start:] / radius[start], smooth[start:]
    fit = minimize_scalar(lambda b: np.linalg.norm(y - y[0] * x**b), bracket=(-3.0, -1.0))
    return np.array([fit.x, y[0], y[-1]])


def binned_magnitudes(plane: Tensor) -> tuple[Array, Array]:
    """Centers of equal bins of radius (B,) and the mean |F| in each (B,), NaN where one is empty.

    The published code counts radii from one coefficient off DC where a side is even; so does this.
    """
    height, width = plane.shape
    spectrum = np.abs(np.fft.fft2(plane.numpy()))
    ky = np.fft.fftfreq(height, 1 / height) + (height % 2 == 0)
    kx = np.fft.fftfreq(width, 1 / width) + (width % 2 == 0)
    radius = np.hypot(ky[:, None], kx[None, :])
    outside = radius > _TAIL * np.hypot((height + 1) // 2, (width + 1) // 2)
    r, magnitude = radius[outside], spectrum[outside]
    edges = np.linspace(r.min(), r.max(), _BINS + 1)
    index = np.clip(np.searchsorted(edges, r, side="left") - 1, 0, _BINS - 1)
    counts = np.bincount(index, minlength=_BINS)
    sums = np.bincount(index, magnitude, _BINS)
    means = np.divide(sums, counts, out=np.full(_BINS, np.nan), where=counts > 0)
    return (edges[:-1] + edges[1:]) / 2, means


def _moving_mean(values: Array, span: int) -> Array:
    """Mean over `span` values about each, fewer toward the ends, leaving out NaN."""
    half = span // 2
    result = np.full(len(values), np.nan)
    for i in range(len(values)):
        reach = min(half, i, len(values) - 1 - i)
        window = values[i - reach : i + reach + 1]
        if np.isfinite(window).any():
            result[i] = np.nanmean(window)
    return result


FEATURES: dict[str, Callable[[Tensor, Setting, float], Array]] = {
    "durall": _durall,
    "power": _profile,
    "jung": _square_profile,
    "dct": _dct,
    "decay": _decay,
}
