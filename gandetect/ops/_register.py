"""What each op needs beside its kernels: reference, fake kernel, gradient, vmap and autocast.

`azimuthal_average` and `azimuthal_spread` are each other's backward. The backward of
`spectral_means` recomputes the spectrum from the images and is made of torch's ops and these two,
so that it can be differentiated in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import reference
from ._ext import library
from .conventions import column_weights

ops = torch.ops.gandetect
_MEANS, _AVERAGE, _SPREAD = (
    "gandetect::spectral_means",
    "gandetect::azimuthal_average",
    "gandetect::azimuthal_spread",
)

for _name in ("spectral_means", "azimuthal_average", "azimuthal_spread"):
    library.impl(_name, getattr(reference, _name), "CompositeExplicitAutograd")


# Shapes


@torch.library.register_fake(_MEANS)
def _fake_means(
    images: Tensor, maps: Tensor, inverse_counts: Tensor, *arguments: Any
) -> tuple[Tensor, ...]:
    azimuthal, rows, columns = arguments[-3:]
    n, _, height, width = images.shape
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    lengths = (
        inverse_counts.shape[0] if azimuthal else 0,
        height // 2 + 1 if rows else 0,
        width // 2 + 1 if columns else 0,
    )
    outputs = [images.new_empty((n, length), dtype=dtype) for length in lengths]
    return (*outputs, images.new_empty((n,), dtype=dtype))


@torch.library.register_fake(_AVERAGE)
def _fake_average(
    spectrum: Tensor, maps: Tensor, inverse_counts: Tensor, width: int, folded: bool
) -> Tensor:
    return spectrum.new_empty((spectrum.shape[0], inverse_counts.shape[0]))


@torch.library.register_fake(_SPREAD)
def _fake_spread(
    profile: Tensor, maps: Tensor, inverse_counts: Tensor, width: int, folded: bool
) -> Tensor:
    return profile.new_empty((profile.shape[0], maps.shape[1], maps.shape[2]))


# Gradients


def _save_plan(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, maps, inverse_counts, ctx.width, ctx.folded = inputs
    ctx.save_for_backward(maps, inverse_counts)


def _adjoint(op: Any) -> Callable[..., tuple[Any, ...]]:
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        maps, inverse_counts = ctx.saved_tensors
        return op(gradient, maps, inverse_counts, ctx.width, ctx.folded), None, None, None, None

    return backward


torch.library.register_autograd(
    _AVERAGE, _adjoint(ops.azimuthal_spread), setup_context=_save_plan, lib=library
)
torch.library.register_autograd(
    _SPREAD, _adjoint(ops.azimuthal_average), setup_context=_save_plan, lib=library
)


def _save_means(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    images, maps, inverse_counts, *ctx.arguments = inputs
    ctx.save_for_backward(images, maps, inverse_counts)


def _means_backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
    images, maps, inverse_counts = ctx.saved_tensors
    folded, round_grey, gain, offset, hann, value, value_gain, eps, azimuthal, rows, columns = (
        ctx.arguments
    )
    height, width = images.shape[-2:]
    spectrum = reference.half_spectrum(images, round_grey, gain, offset, hann)
    per_value = _gradient_at_dc(gradients[3], height, width)
    if azimuthal:
        per_value = per_value + ops.azimuthal_spread(
            gradients[0], maps, inverse_counts, width, folded
        )
    if rows:
        per_value = per_value + _rows_spread(gradients[1], height, width)
    if columns:
        per_value = per_value + gradients[2][:, None, :] / height
    per_coefficient = per_value * reference.value_derivative(spectrum, value, value_gain, eps)
    planes = _half_spectrum_adjoint(per_coefficient, height, width, gain, hann)
    return _grey_adjoint(planes, images), *(None,) * (2 + len(ctx.arguments))


def _gradient_at_dc(gradient: Tensor, height: int, width: int) -> Tensor:
    pad = (0, width // 2, 0, height - 1)
    return torch.nn.functional.pad(gradient[:, None, None], pad)


def _rows_spread(gradient: Tensor, height: int, width: int) -> Tensor:
    """Adjoint of `reference.row_means`: (N, H//2+1) to (N, H, W//2+1)."""
    u = torch.arange(height, device=gradient.device)
    partner = torch.minimum(u, height - u)
    alone = (u == 0) | (2 * u == height)
    share = torch.where(alone, 1.0, 0.5).to(gradient.dtype) / width
    weights = column_weights(width, width // 2 + 1, True).to(gradient)
    return (gradient[:, partner] * share)[..., None] * weights


def _half_spectrum_adjoint(
    per_coefficient: Tensor, height: int, width: int, gain: float, hann: bool
) -> Tensor:
    if per_coefficient.shape[0] == 0:  # MKL refuses an empty batch
        return per_coefficient.real.new_zeros(0, height, width)
    # The complex-to-real transform counts inner columns twice, so they enter halved.
    weights = column_weights(width, per_coefficient.shape[-1], True).to(per_coefficient.real)
    # Of the outer columns only the Hermitian part reaches real pixels. What is left of them in a
    # complex-to-real transform differs from library to library (pytorch #154496), so it goes here.
    mirrored = per_coefficient.flip(-2).roll(1, -2).conj()
    hermitian = torch.where(weights == 1, (per_coefficient + mirrored) / 2, per_coefficient)
    planes = torch.fft.irfft2(hermitian / weights, s=(height, width), norm="forward") * gain
    if not hann:
        return planes
    power = reference.hann_power(height, width)
    window = (
        reference.hann(height, planes.dtype, planes.device)[:, None]
        * reference.hann(width, planes.dtype, planes.device)
        * (power**-0.5 if power > 0 else 0.0)
    )
    planes = planes * window
    return planes - planes.mean((-2, -1), keepdim=True)


def _grey_adjoint(planes: Tensor, images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return planes[:, None]
    weights = planes.new_tensor(reference.GREY_WEIGHTS)
    return planes[:, None] * weights[:, None, None]


torch.library.register_autograd(_MEANS, _means_backward, setup_context=_save_means, lib=library)


# vmap: the mapped axis joins the batch


def _vmap_over_batch(op: Any) -> Callable[..., tuple[Any, Any]]:
    def rule(info: Any, in_dims: tuple[Any, ...], batch: Tensor, *rest: Any) -> tuple[Any, Any]:
        if any(dim is not None for dim in in_dims[1:]):
            raise ValueError(f"{op} maps over its first argument only")
        mapped = batch.movedim(in_dims[0], 0)
        result = op(mapped.flatten(0, 1), *rest)

        def split(output: Tensor) -> Tensor:
            return output.unflatten(0, mapped.shape[:2])

        if isinstance(result, Tensor):
            return split(result), 0
        return tuple(map(split, result)), (0,) * len(result)

    return rule


for _qualified, _op in (
    (_MEANS, ops.spectral_means),
    (_AVERAGE, ops.azimuthal_average),
    (_SPREAD, ops.azimuthal_spread),
):
    torch.library.register_vmap(_qualified, _vmap_over_batch(_op), lib=library)
    for _device in ("cpu", "cuda"):
        torch.library.register_autocast(_qualified, _device, torch.float32, lib=library)
