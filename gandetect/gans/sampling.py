"""Images drawn from a trained model: the same model, seed and number give the same image.

Image `i` of a seed has latents of its own and is always computed in the same company of
`TOGETHER` images, so that it does not depend on how many are asked for, nor on where one began.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gandetect.gans.model import GenerativeModel

TOGETHER = 32


def sample(
    model: GenerativeModel, count: int, *, seed: int = 0, first: int = 0, **conditions: Any
) -> Tensor:
    """Images `first` to `first + count - 1` of `seed`: (count, C, S, S) uint8.

    `conditions` go to the model's `draw`; a tensor (count, ...) has one row for each image.
    The model stays as it is; it should be in eval mode, see `registry.load_model`.
    """
    if count < 1 or first < 0:
        raise ValueError(f"count={count}, first={first} given; want at least 1 and 0")
    start = first // TOGETHER * TOGETHER
    parts = []
    for begin in range(start, first + count, TOGETHER):
        asked = _rows(conditions, begin - first, count)
        images = _drawn(model, _latents(model, seed, begin), seed, begin, asked)
        parts.append(images[max(first - begin, 0) : first + count - begin])
    return torch.cat(parts)


def latents_of(model: GenerativeModel, seed: int, index: int) -> Tensor:
    """The latents (1, ...) of image `index` of `seed`."""
    return model.latents(1, torch.Generator().manual_seed(_mixed(seed, index)))


def interpolated(
    model: GenerativeModel, rows: int, steps: int, *, seed: int = 0, **conditions: Any
) -> Tensor:
    """`rows` ways in `steps` images each, from image 2 i of `seed` to 2 i + 1.

    (rows * steps, C, S, S) uint8, row by row.
    `conditions`: as in `sample`, a row for each way. Models with noise of their own inside have on
    all of a way that of its first image. Raises ValueError for fewer than one way or two steps, and
    for a model without latents.
    """
    if rows < 1 or steps < 2:
        raise ValueError(f"rows={rows}, steps={steps} given; want at least 1 and 2")
    check_latents(model)
    ways = []
    for begin in range(0, 2 * rows, TOGETHER):
        asked = _rows(conditions, begin // 2, rows, TOGETHER // 2)
        # An image and the one that its way leads to are given the same.
        asked = {name: _twice(value) for name, value in asked.items()}
        ways.append(
            [_part_of_ways(model, seed, begin, step / (steps - 1), asked) for step in range(steps)]
        )
    images = torch.cat([torch.stack(one, dim=1) for one in ways])
    return images[:rows].flatten(0, 1)


def _part_of_ways(
    model: GenerativeModel, seed: int, begin: int, share: float, conditions: dict[str, Any]
) -> Tensor:
    """Images that lie `share` of the way from each even one of `TOGETHER` to the one after it.

    Drawn in the place of the even one, so that noise inside the model is that image's own.
    """
    latents = _latents(model, seed, begin)
    first, second = latents[::2], latents[1::2]
    # Exactly, so that ways begin with images of the seed, and end so where there is no noise.
    between = {0.0: first, 1.0: second}.get(share)
    if between is None:
        between = model.between(first, second, share)
    both = torch.stack([between, second], dim=1).flatten(0, 1)
    return _drawn(model, both, seed, begin, conditions)[::2]


def check_latents(model: GenerativeModel) -> None:
    """Raise ValueError where `model` has no latents: all images of a way would be the same."""
    if latents_of(model, 0, 0).numel() == 0:
        raise ValueError(f"{model.name} has no latents, so there are no ways between them")


def to_uint8(images: Tensor) -> Tensor:
    """-1..1 to 0..255, clipped and rounded."""
    return (images.float() * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)


def grid(images: Tensor, columns: int = 8) -> Image.Image:
    """`images` (N, C, S, S) uint8 side by side, a pixel apart."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    sheet = torch.full(
        (3, rows * (height + 1) - 1, columns * (width + 1) - 1), 255, dtype=torch.uint8
    )
    for number, image in enumerate(images.cpu()):
        top, left = number // columns * (height + 1), number % columns * (width + 1)
        sheet[:, top : top + height, left : left + width] = image.expand(3, -1, -1)
    return Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy())


def save_grid(images: Tensor, path: str | Path, columns: int = 8) -> None:
    """Write `grid` as an image file, making its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    grid(images, columns).save(path)


def _latents(model: GenerativeModel, seed: int, begin: int) -> Tensor:
    """Those of `TOGETHER` images from number `begin`."""
    return torch.cat([latents_of(model, seed, begin + i) for i in range(TOGETHER)])


def _drawn(
    model: GenerativeModel, latents: Tensor, seed: int, begin: int, conditions: dict[str, Any]
) -> Tensor:
    """The images of `TOGETHER` latents; noise inside the model is that of images from `begin`."""
    at = next(model.parameters()).device
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(_mixed(seed, begin))
        return to_uint8(model.draw(latents.to(at), **conditions)).cpu()


def _rows(
    conditions: dict[str, Any], begin: int, count: int, together: int = TOGETHER
) -> dict[str, Any]:
    """The conditions of `together` images from number `begin` of `count`, repeated at the ends."""
    at = torch.arange(begin, begin + together).clamp(0, count - 1)
    return {k: v[at] if isinstance(v, Tensor) and v.dim() else v for k, v in conditions.items()}


def _twice(value: Any) -> Any:
    return value.repeat_interleave(2, 0) if isinstance(value, Tensor) and value.dim() else value


def _mixed(seed: int, index: int) -> int:
    """One number for both; torch takes 64 bits."""
    return (seed * 0x9E3779B97F4A7C15 + index) % 2**63
