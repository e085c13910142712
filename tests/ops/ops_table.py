"""Every op once: how to call it, what it must equal, and which op is its adjoint.

The property tests beside this file run over the table, so an op that joins it is covered by all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import upsampling_cases
from torch import Tensor

from gandetect.ops.conventions import CONVENTIONS, VALUES, Convention, Value, make_plan
from gandetect.ops.table import TABLE

# Odd, prime, odd composite with large factors, non-square, one row, one column, tiny.
SHAPES = ((8, 8), (16, 12), (15, 15), (13, 29), (1, 32), (32, 1), (1, 1), (2, 3), (23, 13), (9, 64))
EVERYTHING = (True, True, True)


@dataclass(frozen=True)
class OpCase:
    name: str
    op: Callable[..., Any]
    reference: Callable[..., Any]
    samples: Callable[..., Iterator[tuple[Any, ...]]]
    adjoint: Callable[..., Tensor] | None = None
    # Which of the other arguments run over the batch, as the first does.
    batched: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.name


def plan_arguments(height: int, width: int, convention: str, cutoff: str = "corner") -> Any:
    """(maps, inverse_counts, folded, width), or None where this size has no bin."""
    try:
        plan = make_plan(height, width, convention, cutoff)
    except ValueError:
        return None
    return plan.maps, plan.inverse_counts, plan.folded, plan.width


def scalars_of(convention: Convention) -> list[Value]:
    values = [convention.value, VALUES["magnitude"]]
    return values if convention.ortho else [*values, VALUES["log"]]


def means_arguments(
    images: Tensor,
    convention: str,
    value: Value | None = None,
    hann: bool = False,
    outputs: tuple[bool, bool, bool] = EVERYTHING,
) -> tuple[Any, ...] | None:
    chosen = CONVENTIONS[convention]
    plan = plan_arguments(*images.shape[-2:], convention)
    if plan is None:
        return None
    maps, inverse_counts, folded, _ = plan
    mapped = images.dtype == torch.uint8
    value = value or chosen.value
    return (
        images,
        maps,
        inverse_counts,
        folded,
        chosen.round_gray,
        chosen.input_gain if mapped else 1.0,
        chosen.input_offset if mapped else 0.0,
        hann,
        value.mode,
        value.gain,
        value.eps,
        *outputs,
    )


def random_images(shape: tuple[int, ...], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    levels = torch.randint(0, 256, shape, generator=generator)
    if dtype == torch.uint8:
        return levels.to(torch.uint8)
    return levels.to(dtype) + torch.rand(shape, generator=generator).to(dtype)


def means_samples(
    dtype: torch.dtype, shapes: tuple[tuple[int, int], ...] = SHAPES, n: int = 2
) -> Iterator[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(7)
    for (height, width), name, channels, hann in itertools.product(
        shapes, CONVENTIONS, (1, 3), (False, True)
    ):
        images = random_images((n, channels, height, width), dtype, generator)
        for value in scalars_of(CONVENTIONS[name]):
            arguments = means_arguments(images, name, value, hann)
            if arguments is not None:
                yield arguments


def backward_samples(
    dtype: torch.dtype, shapes: tuple[tuple[int, int], ...] = SHAPES, n: int = 2
) -> Iterator[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(10)
    for images, maps, inverse_counts, *arguments in means_samples(dtype, shapes, n):
        height, width = images.shape[-2:]
        lengths = (inverse_counts.numel(), height // 2 + 1, width // 2 + 1)
        gradients = [
            torch.randn((n, length), generator=generator, dtype=torch.float64).to(dtype)
            for length in lengths
        ]
        at_dc = torch.randn((n,), generator=generator, dtype=torch.float64).to(dtype)
        yield (images, maps, inverse_counts, *arguments[:-3], *gradients, at_dc)


def plane_samples(
    dtype: torch.dtype, shapes: tuple[tuple[int, int], ...] = SHAPES, n: int = 2
) -> Iterator[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(8)
    for (height, width), name in itertools.product(shapes, CONVENTIONS):
        plan = plan_arguments(height, width, name)
        if plan is not None:
            shape = (n, height, width // 2 + 1)
            maps, inverse_counts, folded, full = plan
            plane = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
            yield plane, maps, inverse_counts, full, folded


def profile_samples(
    dtype: torch.dtype, shapes: tuple[tuple[int, int], ...] = SHAPES, n: int = 2
) -> Iterator[tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(9)
    for plane, maps, inverse_counts, width, folded in plane_samples(dtype, shapes, n):
        shape = (plane.shape[0], inverse_counts.numel())
        profile = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        yield profile, maps, inverse_counts, width, folded


def case_of(name: str, samples: Callable[..., Any], **options: Any) -> OpCase:
    entry = TABLE[name]
    adjoint = None if entry.adjoint is None else TABLE[entry.adjoint].op
    return OpCase(name, entry.op, entry.reference, samples, adjoint, **options)


SPECTRAL_MEANS = case_of("spectral_means", means_samples)
SPECTRAL_MEANS_BACKWARD = case_of(
    "spectral_means_backward", backward_samples, batched=(11, 12, 13, 14)
)
AZIMUTHAL_AVERAGE = case_of("azimuthal_average", plane_samples)
AZIMUTHAL_SPREAD = case_of("azimuthal_spread", profile_samples)
# Those with kernels for CUDA, which tests/gpu and tests/simt run too.
OPS = (SPECTRAL_MEANS, SPECTRAL_MEANS_BACKWARD, AZIMUTHAL_AVERAGE, AZIMUTHAL_SPREAD)
UPSAMPLING_OPS = tuple(
    case_of(name, samples, batched=upsampling_cases.BATCHED.get(name, ()))
    for name, samples in upsampling_cases.SAMPLES.items()
)
ALL_OPS = (*OPS, *UPSAMPLING_OPS)


def as_tuple(result: Any) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else tuple(result)


def in_float64(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The call whose result is the oracle: images, planes and weights in double."""
    return tuple(
        a.double() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments
    )


def assert_close(
    actual: Tensor, wanted: Tensor, relative: float, what: str, scale: Tensor | None = None
) -> None:
    """|actual - wanted| <= relative * scale; by default the largest |wanted| of each profile."""
    assert actual.shape == wanted.shape, f"{what}: shape {actual.shape}, wanted {wanted.shape}"
    if not actual.numel():
        return
    if scale is None:
        scale = wanted.double().abs().amax(-1, keepdim=True)
    error = (actual.double() - wanted.double()).abs() / scale.clamp(min=1e-300)
    worst = int(error.argmax())
    assert bool((error <= relative).all()), (
        f"{what}: element {worst} is {actual.flatten()[worst]:.9g}, wanted "
        f"{wanted.flatten()[worst]:.9g}; relative error {error.flatten()[worst]:.3g} > {relative}, "
        f"{float((error > relative).double().mean()):.1%} of the elements are off"
    )
