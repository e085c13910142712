"""What a call of an op must equal, how closely, and where rounding leaves nothing to compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ops_table import (
    SPECTRAL_MEANS,
    SPECTRAL_MEANS_BACKWARD,
    UPSAMPLING_OPS,
    OpCase,
    as_tuple,
    assert_close,
    in_float64,
    means_arguments,
    random_images,
    scalars_of,
)
from torch import Tensor
from upsampling_oracle import PROMISED

from gandetect.ops import reference
from gandetect.ops.conventions import CONVENTIONS, LOG, LOG_AMPLITUDE, MAGNITUDE, POWER

FLOAT64 = 1e-11


def tolerance_of(dtype: torch.dtype) -> float:
    """Of the largest element of the profile.

    The logarithm of a coefficient that cancels to nothing is all rounding error in float32, so
    logs are compared where every coefficient stands well above it (see `is_exact_enough`).
    """
    return FLOAT64 if dtype == torch.float64 else 2e-5


def has_faint_coefficients(arguments: tuple[Any, ...]) -> bool:
    """Whether float32 rounding of the transform moves the logarithm of some coefficient."""
    images, _, _, _, _, gain, _, hann, mode, *_ = arguments
    if mode not in (LOG, LOG_AMPLITUDE, MAGNITUDE):
        return False
    spectrum = reference.half_spectrum(images.double(), False, gain, 0.0, hann).abs()
    return bool((spectrum < 1e-3 * spectrum.square().mean().sqrt()).any())


def is_exact_enough(case: OpCase, arguments: tuple[Any, ...], dtype: torch.dtype) -> bool:
    """Whether results of this call may be compared at `tolerance_of(dtype)`."""
    if dtype == torch.float64 or case not in (SPECTRAL_MEANS, SPECTRAL_MEANS_BACKWARD):
        return True
    return not has_faint_coefficients(arguments)


def on(device: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.to(device) if isinstance(a, Tensor) else a for a in arguments)


def compare(
    case: OpCase, arguments: tuple[Any, ...], dtype: torch.dtype, device: str = "cpu"
) -> None:
    """The op on `device` against its reference in float64 on the CPU."""
    actual, here = as_tuple(case.op(*on(device, arguments))), on("cpu", arguments)
    wanted = as_tuple(case.reference(*oracle_arguments(here)))
    compare_results(case, here, actual, wanted, dtype)


def compare_results(
    case: OpCase,
    arguments: tuple[Any, ...],
    actual: tuple[Tensor, ...],
    wanted: tuple[Tensor, ...],
    dtype: torch.dtype,
) -> None:
    tolerance, scale = tolerance_of(dtype), None
    if case is SPECTRAL_MEANS:
        # DC of a windowed image is a difference of large numbers: what counts is its error beside
        # the other coefficients.
        everything = case.reference(*oracle_arguments(arguments)[:-3], True, False, False)
        scale = torch.maximum(everything[0].abs().amax(-1), everything[3].abs())
    if case is SPECTRAL_MEANS_BACKWARD:
        # The slope of a logarithm magnifies the error of a coefficient by rms|F|/|F|.
        tolerance, scale = 10 * tolerance, wanted[0].abs().amax((-2, -1), keepdim=True)
    if case in UPSAMPLING_OPS:
        tolerance = FLOAT64 if dtype == torch.float64 else PROMISED
        scale = wanted[0].double().abs().amax()
    for index, (a, w) in enumerate(zip(actual, wanted, strict=True)):
        what = f"{case} output {index} of {described(arguments)}"
        scaled = case is SPECTRAL_MEANS_BACKWARD or case in UPSAMPLING_OPS or index == 3
        assert_close(a.cpu(), w, tolerance, what, scale if scaled else None)


def described(arguments: tuple[Any, ...]) -> str:
    """Tensors by their shapes and strides."""
    return ", ".join(
        f"{tuple(a.shape)} {a.stride()}" if isinstance(a, Tensor) else str(a) for a in arguments
    )


def oracle_arguments(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """uint8 images become float64 ones that mean the same."""
    images = arguments[0]
    if images.dtype != torch.uint8:
        return in_float64(arguments)
    _, maps, inverse_counts, folded, round_gray, gain, offset, *rest = arguments
    gray = reference.gray_planes(images, round_gray, torch.float64)[:, None] * gain + offset
    return gray, maps, inverse_counts, folded, False, 1.0, 0.0, *rest


def relaid(images: Tensor, random: np.random.Generator) -> Tensor:
    """The same values in another memory layout."""
    n, _, height, width = images.shape
    layout = random.integers(6)
    if layout == 0:
        buffer = torch.zeros(
            n, images.shape[1], height + 3, width + 5, dtype=images.dtype, device=images.device
        )
        view = buffer[:, :, 2 : 2 + height, 1 : 1 + width]
        view.copy_(images)
        return view
    if layout == 1:
        return images.contiguous(memory_format=torch.channels_last)
    if layout == 2:
        return images.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == 3 and n:
        return images[:1].expand(n, -1, -1, -1)
    if layout == 4:
        return images.flip(0)
    return images


def random_calls(count: int, device: str = "cpu") -> Iterator[tuple[tuple[Any, ...], torch.dtype]]:
    """Calls of `spectral_means` over shapes, dtypes, layouts and arguments, and their dtypes."""
    random = np.random.default_rng(11)
    generator = torch.Generator().manual_seed(11)
    done = 0
    while done < count:
        height, width = random.integers(1, 70, 2)
        n, channels = random.integers(0, 4), random.choice([1, 3])
        dtype = [torch.uint8, torch.float32, torch.float64][random.integers(3)]
        images = random_images((n, channels, height, width), dtype, generator).to(device)
        images = relaid(images, random)
        name = str(random.choice(list(CONVENTIONS)))
        values = [
            value
            for value in scalars_of(CONVENTIONS[name])
            if dtype == torch.float64 or value.mode == POWER
        ]
        if not values:
            name, values = "centered", [CONVENTIONS["centered"].value]
        outputs = tuple(bool(b) for b in random.integers(0, 2, 3))
        value, hann = values[random.integers(len(values))], bool(random.integers(2))
        arguments = means_arguments(images, name, value, hann, outputs)
        if arguments is not None:
            yield on(device, arguments), dtype
            done += 1
