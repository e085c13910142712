"""The six up-samplers of generators on planes (C, H, W): as they are, and with drawn kernels.

The first half of this module is deterministic and has the known spectral signatures; the second
draws the kernels, phases and companions that a network might have learned around them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from gandetect import ops
from gandetect.detect.simulation.kernels import (
    OFFSETS,
    SHAPES,
    Kernels,
    balanced,
    bump,
    draw_balance,
    interpolation_kernel,
    perturbed,
    strength,
)

MODES = (
    "nearest",
    "bilinear",
    "bicubic",
    "bed_of_nails",
    "pixel_shuffle",
    "transposed",
)
_FIR = np.outer([1, 3, 3, 1], [1, 3, 3, 1])[None] / 64


def interpolated(x: Tensor, mode: str, factor: int, align_corners: bool = False) -> Tensor:
    """`x` (C, H, W) enlarged by nearest, bilinear or bicubic interpolation."""
    corners = None if mode == "nearest" else align_corners
    return F.interpolate(x[None], scale_factor=factor, mode=mode, align_corners=corners)[0]


def nails(x: Tensor, factor: int) -> Tensor:
    """`x` (C, H, W) with factor - 1 zeros after each sample, along both axes."""
    return ops.bed_of_nails(x, factor)


def transposed(x: Tensor, kernels: Kernels, factor: int) -> Tensor:
    """Transposed convolution of each plane of `x` (C, H, W) with its own of `kernels` (C, k, k).

    k is at least the factor.
    """
    full = F.conv_transpose2d(x[None], _weight(kernels), stride=factor, groups=len(x))[0]
    trim = (kernels.shape[-1] - factor) // 2
    rows, columns = (factor * side for side in x.shape[1:])
    return full[:, trim : trim + rows, trim : trim + columns]


def shuffled(x: Tensor, kernels: Kernels, factor: int) -> Tensor:
    """Convolutions of each plane of `x` (C, H, W), one for each phase of the output, interleaved.

    `kernels` (C factor², k, k), k odd, each applied as a correlation; the phases in rows.
    """
    margin = kernels.shape[-1] // 2
    padded = F.pad(x[None], (margin,) * 4, mode="replicate")
    return F.pixel_shuffle(F.conv2d(padded, _weight(kernels), groups=len(x)), factor)[0]


def convolved(x: Tensor, kernels: Kernels) -> Tensor:
    """Each plane of `x` (C, H, W) correlated with its own of `kernels` (C, k, k); of equal size.

    Pixels beyond the border are those at the border.
    """
    # Torch's convolutions are made for many planes, and slow for three.
    import cv2

    before = (kernels.shape[-1] - 1) // 2
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    for plane, kernel, out in zip(x.numpy(), kernels, result.numpy(), strict=True):
        cv2.filter2D(
            plane, cv2.CV_32F, kernel, out, (before, before), borderType=cv2.BORDER_REPLICATE
        )
    return result


def draw_stage(x: Tensor, mode: str, factor: int, rng: Generator) -> Tensor:
    """`x` (C, H, W) enlarged `factor` times by a random neighbor of `mode`.

    One time in six it is a residual: the plain interpolation of `x` has a share in the result.
    """
    enlarged = _DRAWN[mode](x, factor, rng)
    if rng.random() < 0.2:
        # The smoothing filter that follows the up-sampling of some generators.
        enlarged = convolved(enlarged, np.repeat(_FIR, len(x), axis=0))
    if rng.random() < 1 / 6:
        skip = interpolated(x, str(rng.choice(("nearest", "bilinear"))), factor)
        enlarged = enlarged + rng.uniform(0.2, 0.8) * (skip - enlarged)
    return enlarged


def _draw_interpolated(mode: str) -> Callable[[Tensor, int, Generator], Tensor]:
    """Interpolation and the convolution after it, near the identity or near a small blur."""

    def draw(x: Tensor, factor: int, rng: Generator) -> Tensor:
        large = interpolated(x, mode, factor, align_corners=bool(rng.random() < 0.15))
        size = int(rng.choice((3, 5)))
        kernel = bump(size, rng.uniform(0.2, 1.2), _draw_offset(rng))
        return convolved(large, perturbed(kernel, len(x), rng))

    return draw


def _draw_bed_of_nails(x: Tensor, factor: int, rng: Generator) -> Tensor:
    """Zeros between the samples, then one convolution for all phases."""
    size = int(rng.choice((3, 5, 7))) if factor == 2 else 2 * factor + 1
    return convolved(nails(x, factor), _draw_kernels(size, factor, len(x), rng))


def _draw_transposed(x: Tensor, factor: int, rng: Generator) -> Tensor:
    """An odd kernel covers the phases unevenly, which training mends or not."""
    size = factor + int(rng.choice((0, 1, 2, 2, 3, 4, 6)))
    return transposed(x, _draw_kernels(size, factor, len(x), rng), factor)


def _draw_pixel_shuffle(x: Tensor, factor: int, rng: Generator) -> Tensor:
    """Convolutions of 3 x 3, each phase its own: the phases of a classical kernel, moved apart."""
    kernel = interpolation_kernel(str(rng.choice(SHAPES)), 3 * factor, factor, _draw_offset(rng))
    phases = np.stack([kernel[0, i::factor, j::factor][::-1, ::-1]
                       for i in range(factor) for j in range(factor)])  # fmt: skip
    own = len(x) if rng.random() < 0.5 else 1
    noise = rng.standard_normal((own, *phases.shape)) / 3
    noise -= noise.mean(axis=(1, 2, 3), keepdims=True)
    kernels = phases + strength(rng) * noise
    kernels += draw_balance(rng) * (1 - kernels.sum(axis=(2, 3), keepdims=True)) / 9
    return shuffled(x, np.repeat(kernels, len(x) // own, axis=0).reshape(-1, 3, 3), factor)


def _draw_kernels(size: int, factor: int, planes: int, rng: Generator) -> Kernels:
    kernel = interpolation_kernel(str(rng.choice(SHAPES)), size, factor, _draw_offset(rng))
    return balanced(perturbed(kernel, planes, rng), factor, draw_balance(rng))


def _draw_offset(rng: Generator) -> float:
    return float(rng.choice(OFFSETS))


_DRAWN: dict[str, Callable[[Tensor, int, Generator], Tensor]] = {
    "nearest": _draw_interpolated("nearest"),
    "bilinear": _draw_interpolated("bilinear"),
    "bicubic": _draw_interpolated("bicubic"),
    "bed_of_nails": _draw_bed_of_nails,
    "pixel_shuffle": _draw_pixel_shuffle,
    "transposed": _draw_transposed,
}


def _weight(kernels: Kernels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(kernels)).float()[:, None]
