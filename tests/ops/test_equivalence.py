"""Kernels against the float64 reference: every op, value mode, convention, dtype; and a fuzz."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ops_table import (
    OPS,
    SPECTRAL_MEANS,
    SPECTRAL_MEANS_BACKWARD,
    as_tuple,
    assert_close,
    in_float64,
    means_arguments,
    random_images,
    scalars_of,
)

from gandetect.ops import reference
from gandetect.ops.conventions import CONVENTIONS, LOG, LOG_AMPLITUDE, MAGNITUDE, POWER

FLOAT64 = 1e-11


def tolerance_of(dtype: torch.dtype) -> float:
    """Of the largest element of the profile.

    The logarithm of a coefficient that cancels to nothing is all rounding error in float32, so
    logs are compared where every coefficient stands well above it (see `has_faint_coefficients`).
    """
    return FLOAT64 if dtype == torch.float64 else 2e-5


def has_faint_coefficients(arguments) -> bool:
    """Whether float32 rounding of the transform moves the logarithm of some coefficient."""
    images, _, _, _, _, gain, _, hann, mode, *_ = arguments
    if mode not in (LOG, LOG_AMPLITUDE, MAGNITUDE):
        return False
    exact = images.double() if images.is_floating_point() else images
    spectrum = reference.half_spectrum(
        exact.double() if exact.dtype == torch.uint8 else exact, False, gain, 0.0, hann
    ).abs()
    return bool((spectrum < 1e-3 * spectrum.square().mean().sqrt()).any())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.uint8])
@pytest.mark.parametrize("case", OPS, ids=str)
def test_matches_reference(case, dtype):
    if dtype == torch.uint8 and case is not SPECTRAL_MEANS:
        pytest.skip("planes are floating")
    compared = 0
    for arguments in case.samples(dtype):
        if (
            dtype != torch.float64
            and case in (SPECTRAL_MEANS, SPECTRAL_MEANS_BACKWARD)
            and has_faint_coefficients(arguments)
        ):
            continue
        compare(case, arguments, dtype)
        compared += 1
    assert compared > 20


def compare(case, arguments, dtype: torch.dtype) -> None:
    wanted = as_tuple(case.reference(*oracle_arguments(arguments)))
    scale = None
    if case is SPECTRAL_MEANS:
        # DC of a windowed image is a difference of large numbers: what counts is its error beside
        # the other coefficients.
        everything = case.reference(*oracle_arguments(arguments)[:-3], True, False, False)
        scale = torch.maximum(everything[0].abs().amax(-1), everything[3].abs())
    if case is SPECTRAL_MEANS_BACKWARD:
        # The slope of a logarithm magnifies the error of a coefficient by rms|F|/|F|.
        tolerance, scale = 10 * tolerance_of(dtype), wanted[0].abs().amax((-2, -1), keepdim=True)
    else:
        tolerance = tolerance_of(dtype)
    for index, (a, w) in enumerate(zip(as_tuple(case.op(*arguments)), wanted, strict=True)):
        what = f"{case} output {index} of {tuple(arguments[0].shape)}, {arguments[3:]}"
        scaled = case is SPECTRAL_MEANS_BACKWARD or index == 3
        assert_close(a, w, tolerance, what, scale if scaled else None)


def oracle_arguments(arguments):
    """uint8 images become float64 ones that mean the same."""
    images = arguments[0]
    if images.dtype != torch.uint8:
        return in_float64(arguments)
    _, maps, inverse_counts, folded, round_grey, gain, offset, *rest = arguments
    grey = reference.grey_planes(images, round_grey, torch.float64)[:, None] * gain + offset
    return grey, maps, inverse_counts, folded, False, 1.0, 0.0, *rest


def test_fuzz_of_shapes_strides_and_arguments():
    """700 random calls; layouts include slices, transposes, channels-last and expanded batches."""
    random = np.random.default_rng(11)
    generator = torch.Generator().manual_seed(11)
    done = 0
    while done < 700:
        height, width = random.integers(1, 70, 2)
        n, channels = random.integers(0, 4), random.choice([1, 3])
        dtype = [torch.uint8, torch.float32, torch.float64][random.integers(3)]
        images = relaid(random_images((n, channels, height, width), dtype, generator), random)
        name = str(random.choice(list(CONVENTIONS)))
        values = scalars_of(CONVENTIONS[name])
        if dtype != torch.float64:
            values = [value for value in values if value.mode == POWER] or [None]
        if values == [None]:
            name, values = "centered", [CONVENTIONS["centered"].value]
        outputs = tuple(bool(b) for b in random.integers(0, 2, 3))
        arguments = means_arguments(
            images, name, values[random.integers(len(values))], bool(random.integers(2)), outputs
        )
        if arguments is None:
            continue
        compare(SPECTRAL_MEANS, arguments, dtype)
        done += 1


def relaid(images: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """The same values in another memory layout."""
    n, _, height, width = images.shape
    layout = random.integers(6)
    if layout == 0:
        buffer = torch.zeros(n, images.shape[1], height + 3, width + 5, dtype=images.dtype)
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
