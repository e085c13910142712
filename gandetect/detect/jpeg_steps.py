"""The steps of JPEG in pixels: what an image's last compression was, and where its blocks lie.

After JPEG the DCT coefficients of the 8x8 blocks, c, sit on multiples of the steps q of a
quantization table, but for the rounding of the pixels (deviation 1/sqrt(12)). Against a smooth
density of c that is worth log(q p(c mod q)) for each coefficient that is not zero, p the density of
the rounding wrapped at q. The sum over the steps of a standard table is the log-odds of its
quality. The same odds find the grid: away from it, every step fits badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect.tiles import as_tensor
from gandetect.ops import jpeg_step_log_odds

BLOCK = 8
QUALITIES = np.arange(1, 101)
# The luma table of the JPEG standard (annex K), quality 50, rows of growing vertical frequency.
STANDARD_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
Offset = tuple[int, int]
# Rounding of the pixels, and a little more: colors are rounded before they become luma.
_NOISE = 0.35
# Coefficients off their lattice all the same: where pixels were clipped at black or white.
_OUTLIERS = 0.05
# Smaller coefficients may be zeros and say nothing.
_NONZERO = 1.25
# Bins per unit of size, and the largest step and size that are looked at: to judge one grid, and
# to compare all 64.
_FINE, _COARSE = (4, 128), (2, 24)
# Never compressed photographs reach 0, compressed ones thousands.
_MIN_LOG_ODDS = 30.0
_SURE_LOG_ODDS = 300.0
# The grid is looked for in this many cells of 16x16 pixels, each with room for a block at every
# offset.
_CELL, _CELLS = 2 * BLOCK, 32
_KNOWN_STEP = 10.0


@dataclass(frozen=True)
class Compression:
    """`quality`: of the standard table that fits the steps best, 1..100. `log_odds`: against no
    compression, in nats. `standard`: whether the table is that table."""

    quality: int
    log_odds: float
    standard: bool = True


def quantization_table(quality: int) -> NDArray[np.int64]:
    """The standard luma table (8, 8) at `quality` 1..100, as the IJG library scales it."""
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality {quality} given; want 1 to 100")
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((STANDARD_LUMA * scale + 50) // 100, 1, 255)


def table_quality(table: Sequence[int]) -> Compression:
    """The quality of a quantization `table`, 64 steps row by row; the nearest for a nonstandard
    one, by the mean distance of the logarithms. Raises ValueError for anything else."""
    steps = np.asarray(table).ravel()
    if steps.shape != (BLOCK**2,) or steps.min() < 1:
        raise ValueError(f"a table of shape {np.shape(table)} given; want 64 steps of at least 1")
    distance = np.abs(np.log(_tables() / steps)).mean(axis=1)
    nearest = int(distance.argmin())
    return Compression(int(QUALITIES[nearest]), np.inf, bool(distance[nearest] == 0))


def find_compression(plane: NDArray[np.uint8]) -> tuple[Compression | None, Offset, float]:
    """The compression of `plane`, the offset of its grid and the log-odds per block; None, (0, 0)
    and 0 without a trace. Most files are not cropped: their own grid is tried first."""
    offset = (0, 0)
    found = fit_table(plane)
    if found.log_odds < _SURE_LOG_ODDS or not found.standard:
        other = _likeliest_grid(plane)
        fitted = found if other == offset else fit_table(plane, other)
        if fitted.log_odds > found.log_odds:
            found, offset = fitted, other
    if found.log_odds < _MIN_LOG_ODDS:
        return None, (0, 0), 0.0
    return found, offset, found.log_odds / _block_origins(plane.shape, offset).shape[1]


def fit_table(plane: NDArray[np.uint8], offset: Offset = (0, 0)) -> Compression:
    """The quantization table that fits the whole 8x8 blocks of `plane` from `offset` (y, x) best.

    Where steps chosen freely fit far better than any standard table, the table is nonstandard, and
    the nearest standard one is that of the steps that are certain.
    """
    odds = _step_log_odds(plane, _block_origins(plane.shape, offset), *_FINE)[0].numpy()
    totals = np.append(odds, np.float32(0)).take(_odds_of_tables()).sum(axis=1)
    best = int(totals.argmax())
    free, largest = odds.argmax(axis=0) + 1, odds.max(axis=0)
    certain = largest > _KNOWN_STEP
    if largest[certain].sum() <= 2 * max(totals[best], _MIN_LOG_ODDS):
        return Compression(int(QUALITIES[best]), float(totals[best]))
    distance = np.abs(np.log(_tables()[:, certain] / free[certain])).mean(axis=1)
    nearest = int(QUALITIES[distance.argmin()])
    return Compression(nearest, float(largest[certain].sum()), standard=False)


def _likeliest_grid(plane: NDArray[np.uint8]) -> Offset:
    """The offset whose coefficients fit steps of their own best, over the cells richest in
    contrast."""
    rows, columns = (length // _CELL for length in plane.shape)
    cells = plane[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL)
    pixels = cells.swapaxes(1, 2).reshape(-1, _CELL**2).astype(np.float32)
    variance = np.einsum("ij,ij->i", pixels, pixels) / _CELL**2 - pixels.mean(axis=1) ** 2
    richest = np.argsort(variance)[-_CELLS:]
    corners = _CELL * np.stack(np.divmod(richest, columns), axis=-1)
    origins = torch.from_numpy((_offsets() + corners).astype(np.int32))
    best = _step_log_odds(plane, origins, *_COARSE).amax(dim=1).sum(dim=1).argmax()
    y, x = divmod(int(best), BLOCK)
    return y, x


def _step_log_odds(
    plane: NDArray[np.uint8], origins: Tensor, per_unit: int, largest: int
) -> Tensor:
    """(O, largest, 64): log-odds of the coefficients of each grid of `origins` (O, B, 2) that their
    steps are 1..`largest`. Sizes up to `largest` count, `per_unit` bins each.

    That of the mean of a block is no evidence: it lies on a lattice in every flat picture.
    """
    evidence = _evidence(per_unit, largest)
    odds = jpeg_step_log_odds(as_tensor(plane), origins, evidence, per_unit=per_unit)
    odds[:, :, 0] = 0
    return odds


@cache
def _tables() -> NDArray[np.int64]:
    """(100, 64), the standard tables of QUALITIES."""
    return np.stack([quantization_table(int(quality)).ravel() for quality in QUALITIES])


@cache
def _odds_of_tables() -> NDArray[np.intp]:
    """(100, 64), where the odds of the steps of `_tables` lie among those of all steps, (largest,
    64) in one line; of steps beyond these behind them."""
    largest = _FINE[1]
    places = (_tables() - 1) * BLOCK**2 + np.arange(BLOCK**2)
    return np.where(_tables() <= largest, places, largest * BLOCK**2)


@lru_cache(maxsize=256)
def _block_origins(shape: tuple[int, ...], offset: Offset) -> Tensor:
    """(1, B, 2), where the whole blocks of a plane of this `shape` begin from `offset` (y, x)."""
    rows, columns = (
        torch.arange(first, side - BLOCK + 1, BLOCK, dtype=torch.int32)
        for first, side in zip(offset, shape, strict=True)
    )
    return torch.cartesian_prod(rows, columns)[None]


@cache
def _offsets() -> NDArray[np.int64]:
    """(64, 1, 2), all offsets of a grid, those of rows slowest."""
    return np.indices((BLOCK, BLOCK)).reshape(2, -1).T[:, None]


@cache
def _evidence(per_unit: int, largest: int) -> Tensor:
    """(bins, largest): log-odds that a coefficient of size bin / `per_unit` was quantized in steps
    of 1..`largest`, against a smooth density."""
    size = np.arange(largest * per_unit + 1)[:, None] / per_unit
    step = np.arange(1, largest + 1)[None, :]
    off = size - step * np.round(size / step)
    wraps = np.arange(-3, 4)[:, None, None] * step
    density = np.exp(-0.5 * ((off + wraps) / _NOISE) ** 2).sum(axis=0)
    density /= _NOISE * np.sqrt(2 * np.pi)
    odds = np.log((1 - _OUTLIERS) * step * density + _OUTLIERS)
    return torch.from_numpy(np.where(size >= _NONZERO, odds, 0.0).astype(np.float32))
