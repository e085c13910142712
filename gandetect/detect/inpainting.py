"""Filling a hole in a picture from what surrounds it, as retouching tools do.

Two classic fills: diffusion, which leaves the hole smooth, and patches copied from the rest of the
picture, which leaves it textured.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH = 16
STRIDE = PATCH // 2
_SWEEPS = 8
_ROUNDS = 2


def diffuse(image: Tensor, hole: Tensor) -> Tensor:
    """`image` (H, W) float, its pixels in `hole` (H, W) bool diffused inwards from the rim.

    An approximate solution of Laplace's equation, coarse to fine. Raises ValueError where
    everything is hole.
    """
    if hole.all():
        raise ValueError("the hole covers the whole image; there is nothing to fill it from")
    known = (~hole).to(image)[None, None]
    x = image[None, None] * known
    return torch.where(hole, _diffused(x, known)[0, 0], image)


def _diffused(x: Tensor, known: Tensor) -> Tensor:
    """`x` (1, 1, H, W), 0 where `known` is 0, filled there: from half the size, then relaxed."""
    if known.all():
        return x
    weight = F.avg_pool2d(known, 2, ceil_mode=True)
    half = F.avg_pool2d(x, 2, ceil_mode=True) / weight.clamp(min=1e-6)
    coarse = _diffused(half, (weight > 0).to(x))
    start = F.interpolate(coarse, x.shape[-2:], mode="bilinear")
    filled = torch.lerp(start, x, known)
    neighbors = x.new_tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None] / 4
    for _ in range(_SWEEPS):
        mean = F.conv2d(F.pad(filled, (1, 1, 1, 1), mode="replicate"), neighbors)
        filled = torch.lerp(mean, x, known)
    return filled


def patch_fill(image: Tensor, hole: Tensor) -> Tensor:
    """`image` (H, W) float, its pixels in `hole` (H, W) bool filled with patches of the rest.

    Every patch that touches the hole is replaced by the known patch nearest to it, overlaps are
    averaged, and that is done twice (after Wexler et al. 2007). Sides must be multiples of
    `STRIDE`. Where no known patch is left, the hole is diffused.
    """
    if any(side % STRIDE for side in image.shape):
        raise ValueError(f"image of {tuple(image.shape)} given; want multiples of {STRIDE}")
    filled = diffuse(image, hole)
    library = _patches(image, STRIDE // 2)[~_touched(hole, STRIDE // 2)]
    if not len(library):
        return filled
    wanted = _touched(hole, STRIDE)
    for _ in range(_ROUNDS):
        patches = _patches(filled, STRIDE)
        nearest = torch.cdist(patches[wanted], library).argmin(dim=1)
        patches[wanted] = library[nearest]
        filled = torch.where(hole, _averaged(patches, image.shape), image)
    return filled


def _patches(image: Tensor, stride: int) -> Tensor:
    """The patches of `image` (H, W) as (L, PATCH^2)."""
    return F.unfold(image[None, None], PATCH, stride=stride)[0].T.contiguous()


def _touched(hole: Tensor, stride: int) -> Tensor:
    """Which patches (L,) hold pixels of `hole` (H, W)."""
    return _patches(hole.float(), stride).amax(dim=1) > 0


def _averaged(patches: Tensor, shape: torch.Size) -> Tensor:
    """The image of `shape` from `patches` (L, PATCH^2), each strongest in its middle."""
    line = torch.hann_window(PATCH + 1, periodic=True)[1:] ** 2 + 1e-3
    window = torch.outer(line, line).reshape(-1, 1)
    total = F.fold((patches.T * window)[None], shape, PATCH, stride=STRIDE)
    weight = F.fold(window.expand(-1, len(patches))[None], shape, PATCH, stride=STRIDE)
    return (total / weight)[0, 0]
