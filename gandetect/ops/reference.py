"""Every op in pure torch: the oracle of the tests, and what runs where no kernel was compiled.

Same arguments and results as `torch.ops.gandetect.*`. Sums run in float64, so the only float32
error is that of the transform. uint8 images are shifted by their rounded mean before a float32
transform and the DC coefficient is set from the exact sum: a large mean would cost the faint corner
bins two decimal digits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .conventions import LOG, LOG_AMPLITUDE, MAGNITUDE, POWER, column_weights

GRAY_WEIGHTS = (0.299, 0.587, 0.114)


def hann(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Periodic Hann window 0.5 - 0.5 cos(2 pi k/n), (n,)."""
    k = torch.arange(n, dtype=torch.float64, device=device)
    return (0.5 - 0.5 * torch.cos(2 * torch.pi * k / n)).to(dtype)


def hann_power(height: int, width: int) -> float:
    """mean(h_H^2) mean(h_W^2), by which windowed power is divided."""

    def mean_square(n: int) -> float:
        # The sum of cos^2 over a full period is n/2, except where one period has two samples.
        return 0.375 if n > 2 else 0.5 * (n - 1)

    return mean_square(height) * mean_square(width)


def rfft2(planes: Tensor) -> Tensor:
    """torch.fft.rfft2, and for an empty batch the empty result that MKL refuses to give."""
    if planes.shape[0] == 0:
        dtype = torch.complex128 if planes.dtype == torch.float64 else torch.complex64
        return planes[..., : planes.shape[-1] // 2 + 1].to(dtype)
    return torch.fft.rfft2(planes)


def gray_planes(images: Tensor, round_gray: bool, dtype: torch.dtype) -> Tensor:
    """(N, C, H, W) to (N, H, W) in the images' own scale."""
    if images.shape[1] == 1:
        return images[:, 0].to(dtype)
    if round_gray and images.dtype == torch.uint8:
        red, green, blue = images.int().unbind(1)
        return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).to(dtype)
    red, green, blue = images.to(dtype).unbind(1)
    r, g, b = GRAY_WEIGHTS
    return r * red + g * green + b * blue


def windowed(gray: Tensor) -> Tensor:
    """(g - mean g) h_H h_W for planes (N, H, W)."""
    height, width = gray.shape[-2:]
    rows = hann(height, gray.dtype, gray.device)
    columns = hann(width, gray.dtype, gray.device)
    mean = gray.double().mean((-2, -1), keepdim=True).to(gray.dtype)
    return (gray - mean) * rows[:, None] * columns


def half_spectrum(
    images: Tensor, round_gray: bool, input_gain: float, input_offset: float, hann_window: bool
) -> Tensor:
    """(N, C, H, W) to the scaled half spectrum (N, H, W//2+1)."""
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    gray = gray_planes(images, round_gray, dtype)
    height, width = gray.shape[-2:]
    if hann_window:
        # On a side of one or two samples the window, and then the power it passes, can be zero.
        scale = hann_power(height, width) ** -0.5 if hann_power(height, width) > 0 else 0.0
        return rfft2(windowed(gray * input_gain)) * scale
    if images.dtype != torch.uint8:
        spectrum = rfft2(gray * input_gain)
        if input_offset:
            spectrum[:, 0, 0] += input_offset * height * width
        return spectrum
    mean = gray_planes(images, round_gray, torch.float64).mean((-2, -1))
    shift = mean.round().to(dtype)[:, None, None]
    spectrum = rfft2((gray - shift) * input_gain)
    spectrum[:, 0, 0] = ((mean * input_gain + input_offset) * (height * width)).to(dtype)
    return spectrum


def value_of(spectrum: Tensor, mode: int, gain: float, eps: float) -> Tensor:
    """The scalar f of each complex coefficient; see `conventions.Value`."""
    if mode == LOG_AMPLITUDE:
        return gain * torch.log((spectrum.real + eps).square() + spectrum.imag.square())
    power = spectrum.real.square() + spectrum.imag.square()
    if mode == POWER:
        return gain * power
    if mode == MAGNITUDE:
        return gain * torch.sqrt(power)
    assert mode == LOG
    return gain * torch.log(power + eps)


def value_derivative(spectrum: Tensor, mode: int, gain: float, eps: float) -> Tensor:
    """df/dRe + i df/dIm of each coefficient, zero where a magnitude has none."""
    if mode == POWER:
        return 2 * gain * spectrum
    if mode == LOG_AMPLITUDE:
        shifted = spectrum + eps
        return 2 * gain * shifted / (shifted.real.square() + shifted.imag.square())
    power = spectrum.real.square() + spectrum.imag.square()
    if mode == LOG:
        return 2 * gain * spectrum / (power + eps)
    safe = torch.where(power > 0, power, 1.0)
    return gain * spectrum * torch.where(power > 0, safe.rsqrt(), 0.0)


def azimuthal_average(
    spectrum: Tensor, maps: Tensor, inverse_counts: Tensor, width: int, folded: bool
) -> Tensor:
    """Means over bins: (N, H, V) real to (N, K)."""
    n, bins = spectrum.shape[0], inverse_counts.numel()
    weights = column_weights(width, spectrum.shape[-1], folded).to(spectrum.device)
    weighted = (spectrum.double() * weights).flatten(1)
    sums = weighted.new_zeros(n, bins + 2)
    for bin_map in maps:
        sums.index_add_(1, bin_map.reshape(-1).long() + 1, weighted)
    return (sums[:, 1:-1] * inverse_counts).to(spectrum.dtype)


def azimuthal_spread(
    profile: Tensor, maps: Tensor, inverse_counts: Tensor, width: int, folded: bool
) -> Tensor:
    """Adjoint of `azimuthal_average`: (N, K) to (N, H, V)."""
    weights = column_weights(width, maps.shape[-1], folded).to(profile.device)
    padded = torch.nn.functional.pad(profile.double() * inverse_counts, (1, 1))
    spread = sum(padded[:, bin_map.long() + 1] for bin_map in maps)
    assert isinstance(spread, Tensor)
    return (spread * weights).to(profile.dtype)


def row_means(values: Tensor, width: int) -> Tensor:
    """(N, H, V) half-plane values to means over the full plane's rows 0..H//2."""
    height, columns = values.shape[-2:]
    weights = column_weights(width, columns, True).to(values.device)
    means = (values.double() * weights).sum(-1) / width
    u = torch.arange(height // 2 + 1, device=values.device)
    return ((means[:, u] + means[:, (height - u) % height]) / 2).to(values.dtype)


def column_means(values: Tensor) -> Tensor:
    """(N, H, V) half-plane values to means over columns 0..W//2."""
    return values.double().mean(-2).to(values.dtype)


def spectral_means(
    images: Tensor,
    maps: Tensor,
    inverse_counts: Tensor,
    folded: bool,
    round_gray: bool,
    input_gain: float,
    input_offset: float,
    hann: bool,
    value: int,
    value_gain: float,
    eps: float,
    azimuthal: bool,
    rows: bool,
    columns: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Un-normalized means of f(F): (N, K), (N, H//2+1), (N, W//2+1) and f at DC, (N,)."""
    width = images.shape[-1]
    spectrum = half_spectrum(images, round_gray, input_gain, input_offset, hann)
    values = value_of(spectrum, value, value_gain, eps)
    none = values.new_empty(values.shape[0], 0)
    return (
        azimuthal_average(values, maps, inverse_counts, width, folded) if azimuthal else none,
        row_means(values, width) if rows else none.clone(),
        column_means(values) if columns else none.clone(),
        values[:, 0, 0].clone(),
    )


def spectral_means_backward(
    images: Tensor,
    maps: Tensor,
    inverse_counts: Tensor,
    folded: bool,
    round_gray: bool,
    input_gain: float,
    input_offset: float,
    hann: bool,
    value: int,
    value_gain: float,
    eps: float,
    gradient_azimuthal: Tensor | None,
    gradient_rows: Tensor | None,
    gradient_columns: Tensor | None,
    gradient_at_dc: Tensor | None,
) -> Tensor:
    """Gradient of floating images (N, C, H, W) from those of the outputs of `spectral_means`."""
    if not images.is_floating_point():
        raise TypeError("images must be float32 or float64: integers have no gradient")
    height, width = images.shape[-2:]
    spectrum = half_spectrum(images, round_gray, input_gain, input_offset, hann)
    per_value = torch.zeros_like(spectrum.real)
    if gradient_azimuthal is not None:
        per_value = per_value + azimuthal_spread(
            gradient_azimuthal, maps, inverse_counts, width, folded
        )
    if gradient_rows is not None:
        per_value = per_value + rows_spread(gradient_rows, height, width)
    if gradient_columns is not None:
        per_value = per_value + gradient_columns[:, None, :] / height
    if gradient_at_dc is not None:
        pad = (0, width // 2, 0, height - 1)
        per_value = per_value + torch.nn.functional.pad(gradient_at_dc[:, None, None], pad)
    per_coefficient = per_value * value_derivative(spectrum, value, value_gain, eps)
    planes = half_spectrum_adjoint(per_coefficient, height, width, input_gain, hann)[:, None]
    if images.shape[1] == 1:
        return planes
    return planes * planes.new_tensor(GRAY_WEIGHTS)[:, None, None]


def rows_spread(gradient: Tensor, height: int, width: int) -> Tensor:
    """Adjoint of `row_means`: (N, H//2+1) to (N, H, W//2+1)."""
    u = torch.arange(height, device=gradient.device)
    partner = torch.minimum(u, height - u)
    alone = (u == 0) | (2 * u == height)
    share = torch.where(alone, 1.0, 0.5).to(gradient.dtype) / width
    weights = column_weights(width, width // 2 + 1, True).to(gradient)
    return (gradient[:, partner] * share)[..., None] * weights


def half_spectrum_adjoint(
    per_coefficient: Tensor, height: int, width: int, gain: float, hann_window: bool
) -> Tensor:
    """Adjoint of `half_spectrum` of gray planes: (N, H, W//2+1) complex to (N, H, W)."""
    if per_coefficient.shape[0] == 0:  # MKL refuses an empty batch
        return per_coefficient.real.new_zeros(0, height, width)
    # The complex-to-real transform counts inner columns twice, so they enter halved.
    weights = column_weights(width, per_coefficient.shape[-1], True).to(per_coefficient.real)
    # Of the outer columns only the Hermitian part reaches real pixels. What is left of them in a
    # complex-to-real transform differs from library to library (pytorch #154496), so it goes here.
    # A lazy conjugate would be lost where a compiled graph calls this op as a whole.
    mirrored = torch.conj_physical(per_coefficient.flip(-2).roll(1, -2))
    hermitian = torch.where(weights == 1, (per_coefficient + mirrored) / 2, per_coefficient)
    planes = torch.fft.irfft2(hermitian / weights, s=(height, width), norm="forward") * gain
    if not hann_window:
        return planes
    power = hann_power(height, width)
    window = (
        hann(height, planes.dtype, planes.device)[:, None]
        * hann(width, planes.dtype, planes.device)
        * (power**-0.5 if power > 0 else 0.0)
    )
    planes = planes * window
    return planes - planes.mean((-2, -1), keepdim=True)
