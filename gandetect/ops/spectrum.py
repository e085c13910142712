"""Spectral profiles of images: the documented functions, their checks and their defaults."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from . import _register  # noqa: F401  (registers the ops)
from .conventions import (
    CONVENTIONS,
    CUTOFFS,
    NORMALIZATIONS,
    PROJECTIONS,
    VALUES,
    Convention,
    Plan,
    Value,
    choice,
    make_plan,
    member,
    plain_tensors,
    resampling_matrix,
)

_MAX_PIXELS = 2**31 - 1
Function = TypeVar("Function", bound=Callable[..., Any])


def _constant_when_traced(function: Function) -> Function:
    """torch.compiler.assume_constant_result, which would import the whole compiler at once."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def spectral_profile(
    images: Tensor,
    convention: str = "centered",
    *,
    projections: Sequence[str] = ("azimuthal",),
    window: str | None = None,
    value: str | None = None,
    cutoff: str | None = None,
    normalize: str | None = None,
    resample: int | None = None,
) -> Tensor | tuple[Tensor, ...]:
    """Profiles of the 2-D power spectrum of each image, fused from pixels to bins.

    With ``g`` the gray plane, ``F[u,v] = sum g[y,x] exp(-2 pi i (u y/H + v x/W))`` (unnormalized),
    ``P = |F|^2`` and ``f`` the value mode:

    - azimuthal: ``A[k] = mean of f over the coefficients of integer radius k``
    - rows: ``R[u] = mean over v of f(F[u,v])``, ``u = 0..H//2``
    - columns: ``C[v] = mean over u of f(F[u,v])``, ``v = 0..W//2``

    Parameters
    ----------
    images : (N, H, W) or (N, 1 or 3, H, W), uint8 or floating. Three channels are mixed as
        ``.299 R + .587 G + .114 B`` without rounding; `durall` and `power` round uint8 RGB to
        8-bit gray as decoders do. uint8 counts as 0..255 and is mapped onto the range of the
        convention; floating values are taken to be in it (`centered`, `durall` 0..255, `jung`
        0..1, `power` -1..1). float16 and bfloat16 are computed in float32.
    convention : what None below stands for, and the geometry of the bins.

        ========  ==========================  =======================  ===========  =========
        name      f                           center, domain           bins kept    normalize
        ========  ==========================  =======================  ===========  =========
        centered  P                           DC, plane                all          none
        durall    20 ln abs(F + 1e-8)         (N-1)/2, plane           1..max-1     none
        jung      20 ln(P + 1e-8)             DC, half plane weight 1  all          minmax
        power     P/(H W)                     (N-1)/2, plane           1..max-1     none
        ========  ==========================  =======================  ===========  =========
    projections : any of "azimuthal", "rows", "columns"; one tensor each, in this order.
        Rows and columns always describe the full plane.
    window : None, or "hann" for tiles cut from larger images: g becomes
        ``(g - mean g) h_H[y] h_W[x]`` and P is divided by ``mean(h_H^2) mean(h_W^2)``, so that
        white noise keeps its level. ``h_N[n] = 0.5 - 0.5 cos(2 pi n/N)``.
    value : "power" (P), "magnitude" (sqrt P) or "log" (10 ln(P + 1e-16), natural).
    cutoff : "corner" keeps every bin, "nyquist" the complete rings below ``ceil(min(H,W)/2)``.
        Azimuthal only.
    normalize : "none", "dc" (divide by f at DC), "first" (by the first kept bin) or "minmax".
        A zero divisor gives zeros.
    resample : read each profile at this many equidistant positions of the not-a-knot cubic spline
        through it; before normalizing, as in the literature.

    Returns
    -------
    (N, K) float32, float64 for float64 images; a tuple where several projections are asked for.
    K of the azimuthal profile is ``isqrt((H//2)^2 + (W//2)^2) + 1`` for bins about DC.

    Notes
    -----
    Differentiable to any order for floating images by torch.autograd (torch.func.grad refuses
    custom ops), works under vmap, autocast, torch.compile and torch.export. Bitwise equal for any
    number of threads. Accuracy against float64 with exact integer radii, enforced by the tests:
    float64 1e-10 relative; float32 power of uint8 images median 2e-7 and, for complete rings, 1e-6
    relative, of float32 images 5e-7 and 2e-6; logs over complete rings 1e-5. The pure-torch
    fallback is ten times less exact, with the library transform of the machine.
    Gradients: one fused op that computes the spectrum again from the images, so that autograd
    keeps nothing but the images (and the cached plan of their size); derivatives beyond the first
    are composed of torch's operations and take several half spectra of memory. float32 gradients
    are within 1e-5 of the float64 ones in the L2 norm of an image, and within 2e-3 for logs, whose
    slope 1/F is steepest where F is faintest: a larger eps trains better. Where P is 0, magnitudes
    and logs of P have the gradient 0. NaN and Inf stay in the gradient of the image that has them.
    Definitions: Durall et al., CVPR 2020 (`durall`); Jung and Keuper, AAAI 2021 (`jung`);
    Ricker et al., 2022 (`power`).

    Raises
    ------
    TypeError: images are not a tensor, or neither uint8 nor floating.
    ValueError: a shape, name or number that makes no sense, with what was wanted.
    """
    chosen = choice("convention", convention, CONVENTIONS)
    asked = _check_projections(projections)
    batch = _check_images(images)
    _refuse_forward_mode(batch)
    hann = choice("window", window or "none", {"none": False, "hann": True})
    normalization = member("normalize", normalize or chosen.normalize, NORMALIZATIONS)
    height, width = (_static(side) for side in batch.shape[-2:])
    plan = plan_on(
        str(batch.device),
        height,
        width,
        convention,
        member("cutoff", cutoff or chosen.cutoff, CUTOFFS),
    )
    mapped = batch.dtype == torch.uint8
    scalar = _scalar(chosen, value, height, width)
    *profiles, at_dc = torch.ops.gandetect.spectral_means(
        batch,
        plan.maps,
        plan.inverse_counts,
        plan.folded,
        chosen.round_gray,
        chosen.input_gain if mapped else 1.0,
        chosen.input_offset if mapped else 0.0,
        hann,
        scalar.mode,
        scalar.gain,
        scalar.eps,
        *(name in asked for name in PROJECTIONS),
    )
    results = {}
    for name, profile in zip(PROJECTIONS, profiles, strict=True):
        if name in asked:
            if resample is not None:
                profile = _resampled(profile, resample)
            results[name] = _normalized(profile, at_dc, normalization)
    ordered = tuple(results[name] for name in asked)
    return ordered[0] if len(ordered) == 1 else ordered


def azimuthal_average(
    spectrum: Tensor,
    *,
    width: int | None = None,
    convention: str = "centered",
    cutoff: str | None = None,
) -> Tensor:
    """Mean of a real plane over integer radii: the projection of `spectral_profile` alone.

    ``A[k] = (1/n_k) sum over radius(u,v) = k of X[u,v]``; sums run in float64.

    Parameters
    ----------
    spectrum : (N, H, V) floating, frequencies unshifted (as torch.fft gives them). V is the full
        width, or ``width//2 + 1`` where `width` names the full width and X is the half plane of
        an even function (a power spectrum); its inner columns then count for both halves, but
        only once in the half-plane convention `jung`.
    convention, cutoff : center and kept bins, as in `spectral_profile`.

    Returns
    -------
    (N, K), dtype of the input. Adjoint: `azimuthal_spread`. Accuracy: 1e-12 (float64) and one
    rounding (float32) of the mean of absolute values.

    Raises
    ------
    TypeError: not a floating tensor. ValueError: shapes that do not fit together.
    """
    _check_plane("spectrum", spectrum, "(N, H, V)", 3)
    height, columns = (_static(side) for side in spectrum.shape[-2:])
    plan = _plane_plan(spectrum.device, height, columns, width, convention, cutoff)
    return torch.ops.gandetect.azimuthal_average(
        _single_or_double(spectrum), plan.maps, plan.inverse_counts, plan.width, plan.folded
    ).to(spectrum.dtype)


def azimuthal_spread(
    profile: Tensor,
    height: int,
    width: int,
    *,
    half: bool = False,
    convention: str = "centered",
    cutoff: str | None = None,
) -> Tensor:
    """Adjoint of `azimuthal_average`: ``X[u,v] = w[u,v] q[k(u,v)] / n_k``, 0 in dropped bins.

    ``<azimuthal_average(X), q> == <X, azimuthal_spread(q)>`` for every X and q.

    Parameters
    ----------
    profile : (N, K) floating. height, width : of the full plane. half : return the half plane
        (N, H, W//2+1), w = 2 on the columns that stand for two, instead of (N, H, W).

    Raises
    ------
    TypeError: not a floating tensor. ValueError: K is not the number of bins of this geometry.
    """
    _check_plane("profile", profile, "(N, K)", 2)
    columns = width // 2 + 1 if half else width
    plan = _plane_plan(profile.device, height, columns, width if half else None, convention, cutoff)
    if profile.shape[1] != plan.counts.numel():
        raise ValueError(
            f"profile has {profile.shape[1]} bins; a {height}x{width} plane in convention "
            f"{convention!r} has {plan.counts.numel()}"
        )
    return torch.ops.gandetect.azimuthal_spread(
        _single_or_double(profile), plan.maps, plan.inverse_counts, plan.width, plan.folded
    ).to(profile.dtype)


@functools.lru_cache(maxsize=4)
@plain_tensors()
def _plan_on_accelerator(device: str, *geometry: Any) -> Plan:
    return make_plan(*geometry).to(torch.device(device))


def _static(size: int) -> int:
    """The size as a constant: bins depend on it, so a compiled graph holds for one image size.

    Under dynamic shapes a size is symbolic, and the length of a tuple is what makes the tracer
    settle on its value.
    """
    return len((None,) * size)


@_constant_when_traced
def plan_on(
    device: str,
    height: int,
    width: int,
    convention: str,
    cutoff: str,
    full_plane: bool = False,
) -> Plan:
    """The plan of a geometry on a device, cached."""
    geometry = (height, width, convention, cutoff, full_plane)
    return make_plan(*geometry) if device == "cpu" else _plan_on_accelerator(device, *geometry)


def _plane_plan(
    device: torch.device,
    height: int,
    columns: int,
    width: int | None,
    convention: str,
    cutoff: str | None,
) -> Plan:
    chosen = choice("convention", convention, CONVENTIONS)
    kept = member("cutoff", cutoff or chosen.cutoff, CUTOFFS)
    if min(height, columns) < 1:
        raise ValueError(f"the plane is {height}x{columns}; both sides must be at least 1")
    if width is None:
        return plan_on(str(device), height, columns, convention, kept, full_plane=True)
    if columns != width // 2 + 1:
        raise ValueError(
            f"a half plane of width={width} has {width // 2 + 1} columns, not {columns}; leave "
            "width out for a full plane"
        )
    return plan_on(str(device), height, width, convention, kept)


def _check_plane(name: str, tensor: Tensor, shape: str, dims: int) -> None:
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        given = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a floating torch.Tensor {shape}, not {given}")
    if tensor.dim() != dims:
        raise ValueError(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")
    _refuse_forward_mode(tensor)


def _check_images(images: Tensor) -> Tensor:
    """The batch as (N, C, H, W) in a dtype the kernels take."""
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images must be a torch.Tensor, not {type(images).__name__}; use torch.from_numpy"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8 or floating, not {images.dtype}")
    if images.dim() not in (3, 4):
        raise ValueError(
            f"images must have shape (N, H, W) or (N, 1 or 3, H, W), not {tuple(images.shape)}"
        )
    batch = images if images.dim() == 4 else images.unsqueeze(1)
    if batch.shape[1] not in (1, 3):
        raise ValueError(
            f"images must have 1 or 3 channels, not {batch.shape[1]}; their shape is "
            f"{tuple(images.shape)}, wanted (N, H, W) or (N, 1 or 3, H, W)"
        )
    if min(batch.shape[-2:]) < 1:
        raise ValueError(f"images are {batch.shape[-2]}x{batch.shape[-1]}; sides must be positive")
    if batch.shape[-2] * batch.shape[-1] > _MAX_PIXELS:
        raise ValueError(f"one image may have at most {_MAX_PIXELS} pixels; cut it into tiles")
    return batch if batch.dtype == torch.uint8 else _single_or_double(batch)


def _single_or_double(tensor: Tensor) -> Tensor:
    """The kernels compute in float32 and float64; narrower types are widened."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _refuse_forward_mode(tensor: Tensor) -> None:
    # torch drops the tangent of a custom op's input without a word.
    active = torch.autograd.forward_ad._current_level >= 0
    if active and torch.autograd.forward_ad.unpack_dual(tensor).tangent is not None:
        raise NotImplementedError(
            "the spectral ops have no forward-mode derivative; use torch.autograd.grad"
        )


def _check_projections(projections: Sequence[str]) -> tuple[str, ...]:
    names = (projections,) if isinstance(projections, str) else tuple(projections)
    if not names:
        raise ValueError(f"projections is empty; ask for one or more of {PROJECTIONS}")
    for name in names:
        member("projections", name, PROJECTIONS)
    if len(set(names)) != len(names):
        raise ValueError(f"projections names one thing twice: {names}")
    return names


def _scalar(convention: Convention, value: str | None, height: int, width: int) -> Value:
    scalar = convention.value if value is None else choice("value", value, VALUES)
    if not convention.ortho:
        return scalar
    # An orthonormal transform divides P by H W, which every value mode here turns into a gain.
    power = 1.0 / (height * width)
    if scalar.mode == VALUES["log"].mode:
        raise ValueError(
            f"value='log' is not defined for convention {convention.name!r}; "
            "use convention='centered'"
        )
    exponent = 1.0 if scalar.mode == VALUES["power"].mode else 0.5
    return replace(scalar, gain=scalar.gain * power**exponent)


@functools.lru_cache(maxsize=64)
@plain_tensors()
def _cached_resampling(length: int, points: int, dtype: torch.dtype, device: str) -> Tensor:
    return resampling_matrix(length, points).to(device=device, dtype=dtype)


@_constant_when_traced
def _resampling_on(length: int, points: int, dtype: torch.dtype, device: str) -> Tensor:
    return _cached_resampling(length, points, dtype, device)


def _resampled(profile: Tensor, points: int) -> Tensor:
    if not isinstance(points, int) or points < 1:
        raise ValueError(f"resample={points!r}; give the number of points, an integer of 1 or more")
    matrix = _resampling_on(_static(profile.shape[-1]), points, profile.dtype, str(profile.device))
    return profile @ matrix.T


def _normalized(profile: Tensor, at_dc: Tensor, normalization: str) -> Tensor:
    if normalization == "none":
        return profile
    if normalization == "minmax":
        lowest = profile.amin(-1, keepdim=True)
        return _divided(profile - lowest, profile.amax(-1, keepdim=True) - lowest)
    divisor = at_dc[:, None] if normalization == "dc" else profile[:, :1]
    return _divided(profile, divisor)


def _divided(numerator: Tensor, divisor: Tensor) -> Tensor:
    zero = divisor == 0
    quotient = numerator / torch.where(zero, torch.ones_like(divisor), divisor)
    return torch.where(zero, torch.zeros_like(quotient), quotient)
