"""Where traces of up-sampling and of compression are counted: the documented functions.

They measure images that nobody trains through, and have no gradient.
"""

from __future__ import annotations

import numbers
from typing import Any

import torch
from torch import Tensor

from . import traces_reference as reference
from ._ext import library

for _name in ("phase_means", "row_log_means", "jpeg_step_log_odds"):
    library.impl(_name, getattr(reference, _name), "CompositeExplicitAutograd")
_PERIOD = reference.PERIOD


@torch.library.register_fake("gandetect::phase_means", lib=library)
def _fake_phases(images: Tensor, filters: Tensor, rounding: float) -> Tensor:
    shape = (images.shape[0], filters.shape[0], 2, _PERIOD, _PERIOD)
    return images.new_empty(shape, dtype=torch.float32)


@torch.library.register_fake("gandetect::row_log_means", lib=library)
def _fake_rows(images: Tensor, filters: Tensor, rounding: float) -> Tensor:
    shape = (images.shape[0], filters.shape[0], images.shape[1] - filters.shape[1] + 1)
    return images.new_empty(shape, dtype=torch.float32)


@torch.library.register_fake("gandetect::jpeg_step_log_odds", lib=library)
def _fake_odds(plane: Tensor, origins: Tensor, evidence: Tensor, per_unit: float) -> Tensor:
    return evidence.new_empty((origins.shape[0], evidence.shape[1], reference.BLOCK**2))


def phase_means(images: Tensor, filters: Tensor, *, rounding: float = 0.5) -> Tensor:
    """Means of the responses of small filters, and of the logarithm of their size, at each phase of
    a grid of 4x4 pixels.

    Up-sampling makes its samples by turns from different inputs, so what a high-pass filter leaves
    varies with the period of the up-sampling (Gallagher 2005; Mahdian and Saic 2008). With
    ``r[y, x]`` the sum over the taps of ``w[i, j] image[y + i, x + j]``, for all whole periods of
    rows and columns that have all of their taps, and ``s = |r| + rounding``:

    ``result[n, f, 0, a, b]`` is the mean of ``r`` over (y, x) = (a, b) modulo 4, over the mean of
    ``s`` over all; ``result[n, f, 1, a, b]`` the mean of ``log s`` over the same.

    Parameters
    ----------
    images : (N, H, W), uint8 or floating, computed in float32.
    filters : w, (F, h, w), floating; zeros beyond the taps of a filter cost it nothing.
    rounding : of the images, in their unit; positive. Differences of zero have a logarithm by it.

    Returns
    -------
    (N, F, 2, 4, 4) float32. No gradient.

    Notes
    -----
    On a CPU one sweep for all filters, logarithms by the product of significands. Against float64
    the tests enforce 2e-6 for uint8, whose responses are exact, and 1e-5 for other pixels, of both
    means; a response that cancels is only as exact as its pixels. Bitwise equal for any number of
    threads, and whatever else is in the batch. A response that is not finite leaves the logarithms
    of its filter no numbers.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    _check_filtering(images, filters, rounding, _PERIOD)
    op = torch.ops.gandetect.phase_means
    with torch.no_grad():
        return op(_floats(images), filters.float(), float(rounding))  # type: ignore[no-any-return]


def row_log_means(images: Tensor, filters: Tensor, *, rounding: float = 0.5) -> Tensor:
    """The mean logarithm of the size of the responses of small filters in each row of pixels.

    Of an image that was enlarged it varies along the rows with the period of the interpolation:
    ``result[n, f, y]`` is the mean of ``log(|r[y, x]| + rounding)`` over the columns that have all
    taps of the filter, with ``r`` as in `phase_means`. For columns give the images transposed.

    Parameters
    ----------
    images : (N, H, W), uint8 or floating, computed in float32.
    filters : (F, h, w), floating; zeros beyond the taps of a filter cost it nothing.
    rounding : of the images, in their unit; positive.

    Returns
    -------
    (N, F, H - h + 1) float32. No gradient.

    Notes
    -----
    On a CPU one sweep, logarithms by the product of significands. Against float64 the tests enforce
    2e-6 for uint8 and 1e-5 for other pixels, as in `phase_means`. Bitwise equal for any number of
    threads, and whatever else is in the batch.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    _check_filtering(images, filters, rounding, 1)
    op = torch.ops.gandetect.row_log_means
    with torch.no_grad():
        return op(_floats(images), filters.float(), float(rounding))  # type: ignore[no-any-return]


def jpeg_step_log_odds(
    plane: Tensor, origins: Tensor, evidence: Tensor, *, per_unit: float
) -> Tensor:
    """Log-odds that the blocks of each of several grids were quantized by JPEG in given steps.

    The coefficients of a block of 8x8 pixels are its orthonormal two-dimensional DCT. A coefficient
    ``c`` falls into the bin ``floor(|c| per_unit + 1/2 + 2**-10)``, or into none where ``evidence``
    has no such bin: coefficients that are whole eighths, where bins often end, belong to the upper
    one however they were summed. With the numbers ``n[o, g, k]`` of blocks of grid o whose
    coefficient g, row by row of growing vertical frequency, is in bin k, ``odds[o, q, g]`` is the
    sum over the bins of ``n[o, g, k] evidence[k, q]``: the log-likelihood ratio of hypothesis q, a
    step of quantization.

    Parameters
    ----------
    plane : (H, W) uint8, of luma.
    origins : (O, B, 2) int32, row and column where each of B blocks of O grids begins.
    evidence : (K, Q), what one coefficient in bin k says of hypothesis q, in nats, floating.
    per_unit : bins per unit of size; positive.

    Returns
    -------
    (O, Q, 64) float32. No gradient.

    Notes
    -----
    On a CPU blocks are transformed in registers and only counts are kept, which are exact: no order
    of the blocks changes a bit. Coefficients are within 2e-4 of float64, and only those so near to
    an edge may fall into the next bin; the tests enforce 1e-6 of the sum of the sizes of the terms
    where none is. Bitwise equal for any number of threads.

    Raises
    ------
    ValueError, TypeError: arguments that make no sense, with what was wanted.
    """
    _check_tensor(plane, "plane", 2, "(H, W)")
    _check_type(plane, "plane", torch.uint8)
    _check_tensor(origins, "origins", 3, "(O, B, 2)")
    _check_type(origins, "origins", torch.int32)
    if origins.shape[2] != 2:
        raise ValueError(f"origins is {tuple(origins.shape)}; it must be (O, B, 2)")
    _check_floating(evidence, "evidence", 2, "(K, Q)")
    if not _is_normal(per_unit):
        raise ValueError(f"per_unit is {per_unit!r}; it must be a positive number of float32")
    devices = {str(one.device) for one in (plane, origins, evidence)}
    if len(devices) > 1:
        raise ValueError(f"arguments on {sorted(devices)} given; they must be on one device")
    _check_origins(origins, plane)
    op = torch.ops.gandetect.jpeg_step_log_odds
    with torch.no_grad():
        return op(plane, origins, evidence.float(), float(per_unit))  # type: ignore[no-any-return]


def _check_origins(origins: Tensor, plane: Tensor) -> None:
    if origins.numel() == 0:
        return
    lowest, highest = (int(one) for one in origins.aminmax())
    rooms = [side - reference.BLOCK for side in plane.shape]
    if lowest >= 0 and highest <= min(rooms):
        return
    rows, columns = (int(one) for one in origins.flatten(0, 1).amax(dim=0))
    if lowest < 0 or rows > rooms[0] or columns > rooms[1]:
        raise ValueError(
            f"origins of blocks beyond a plane of {plane.shape[0]}x{plane.shape[1]} given; they "
            f"must leave room for {reference.BLOCK}x{reference.BLOCK} pixels"
        )


def _floats(images: Tensor) -> Tensor:
    return images if images.dtype == torch.uint8 else images.float()


def _check_filtering(images: Any, filters: Any, rounding: Any, responses: int) -> None:
    """Whether each filter has that many `responses` along each axis at least, and the rest."""
    _check_tensor(images, "images", 3, "(N, H, W)")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images are {images.dtype}; they must be uint8 or floating")
    _check_floating(filters, "filters", 3, "(F, h, w)")
    if 0 in filters.shape[1:]:
        raise ValueError(f"filters are {tuple(filters.shape)}; they must have a tap")
    if not _is_normal(rounding):
        raise ValueError(f"rounding is {rounding!r}; it must be a positive number of float32")
    least = [side - 1 + responses for side in filters.shape[1:]]
    if images.shape[1] < least[0] or images.shape[2] < least[1]:
        raise ValueError(
            f"images of {images.shape[1]}x{images.shape[2]} given; these filters need at least "
            f"{least[0]}x{least[1]}"
        )


def _check_tensor(given: Any, name: str, dims: int, wanted: str) -> None:
    if not isinstance(given, Tensor):
        raise TypeError(f"{name} is a {type(given).__name__}; it must be a tensor")
    if given.dim() != dims:
        raise ValueError(f"{name} is {tuple(given.shape)}; it must be {wanted}")


def _check_type(given: Tensor, name: str, wanted: torch.dtype) -> None:
    if given.dtype != wanted:
        raise TypeError(f"{name} is {given.dtype}; it must be {wanted}")


def _check_floating(given: Any, name: str, dims: int, wanted: str) -> None:
    _check_tensor(given, name, dims, wanted)
    if not given.is_floating_point():
        raise TypeError(f"{name} is {given.dtype}; it must be floating")


def _is_normal(value: Any) -> bool:
    """Whether this is a positive number that float32 holds without loss of digits."""
    limits = torch.finfo(torch.float32)
    try:
        return isinstance(value, numbers.Real) and limits.tiny <= float(value) <= limits.max
    except OverflowError:
        return False
