"""What happened to an image on its way here: compression, resampling, sharpening.

A detector of fine traces errs differently on a photograph out of a camera, on one saved as a small
JPEG and on one enlarged. So thresholds are kept for classes of delivery, and an image is judged by
those of its own class. A JPEG file names its own compression by its table. A lossless file may hide
what happened before: a JPEG decoded and saved as PNG still is what the JPEG left, so there only the
pixels can be trusted. They cost milliseconds where a table costs microseconds (`file_delivery`,
`pixel_delivery`), and are asked only where the answer may matter.

**Compression.** After JPEG the DCT coefficients of the 8x8 blocks, c, sit on multiples of the steps
q of a quantization table, but for the rounding of the pixels (deviation 1/sqrt(12)). Against a
smooth density of c that is worth log(q p(c mod q)) for each coefficient that is not zero, p the
density of the rounding wrapped at q. The sum over the steps of a standard table is the log-odds of
its quality. The same odds find the grid: away from it, every step fits badly.

**Resampling.** An interpolated sample is smoother the farther it lies from the original ones, so
the size of the differences of pixels varies with the period of the resampling (Gallagher 2005;
Mahdian and Saic 2008): a line in the spectrum of its mean over rows or columns. Second differences
show it where some samples were kept, third ones where all lie between the original ones. Networks
that double the size of pictures leave the line of a doubling; any other is that of a photograph
that was resized.

**Sharpness.** Neighboring differences of pixels agree in sign on a soft edge and disagree where
sharpening made it overshoot: their autocorrelation. It tells softened pictures from others
reliably, sharpened ones from pictures that were as crisp by nature only by tendency. A photograph
that was blurred or enlarged lacks the frequencies that up-sampling does not restore, as what smooth
generators draw does: soft images, and resized ones, are a class of their own, however they were
compressed, and need such photographs to certify a verdict.

Big images are measured in a window at their center. Of codecs other than JPEG, and of JPEG under
later processing, no more is seen than the lines of their blocks, if any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.media import Luma
from gandetect.media.codecs import jpeg_luma_steps, webp_is_lossless
from gandetect.ops import jpeg_step_log_odds, row_log_means

BLOCK = 8
# Side of the central window that is measured: enough blocks to be sure, few enough to be fast.
WINDOW = 256
MIN_SIDE = 32
QUALITIES = np.arange(1, 101)
LOSSLESS, LOSSY, SOFT = "lossless", "JPEG low", "soft"
DELIVERIES = (LOSSLESS, "JPEG high", "JPEG mid", LOSSY, SOFT)
SIZES = ("512+", "256", "128", "64")

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
_LOSSLESS_FORMATS = frozenset({"png", "bmp", "dib", "tiff", "ppm", "qoi"})

Array = NDArray[np.float32]
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
# Below this frequency the picture itself has lines.
_LOWEST_FREQUENCY = 0.08
# Of the geometric mean of both axes, each about 1 by chance; never resampled ones reach 6.
_MIN_PERIODICITY = 12.0
# How far the factor of a doubling is from 2 in a window of 64 pixels.
_DOUBLING = 0.1
# The second and the third difference down a column.
_DIFFERENCES = torch.tensor([[1.0, -2.0, 1.0, 0.0], [-1.0, 3.0, -3.0, 1.0]])[:, :, None]
_SOFT, _CRISP = -0.4, 0.1
_KNOWN_STEP = 10.0


@dataclass(frozen=True)
class Compression:
    """`quality`: of the standard table that fits the steps best, 1..100. `log_odds`: against no
    compression, in nats. `standard`: whether the table is that table."""

    quality: int
    log_odds: float
    standard: bool = True


@dataclass(frozen=True)
class Periodicity:
    """`strength`: how far the strongest line stands out, about 1 by chance. `factor`: the
    enlargement that leaves it, 1 < factor <= 2; `blocks`: it is rather that of blocks of 4 or 8
    pixels. Neither where the line is no stronger than pictures have by nature."""

    strength: float
    factor: float | None = None
    blocks: bool = False


@dataclass(frozen=True)
class DeliveryEstimate:
    """What the pixels of an image tell of its delivery.

    `quality`: of the last JPEG compression, 1..100, None where there is no trace; of a nonstandard
    table (`standard_table` False) the nearest. `grid_offset`: where the first whole block begins
    (y, x), each 0..7; other than (0, 0) after a crop. `grid_strength`: log-odds of compression per
    block in nats, 0 without. `blocks`: lines of blocks without JPEG steps: another codec, JPEG
    processed later, or an enlargement by 4/3, 4 or 8, which leaves the same. `resampling`: the
    enlargement s, 1 < s <= 2, or None; its line at f = 1 - 1/s is also that of 1/f >= 2 and of the
    reduction 1/(1 + f). `resampling_strength`: how far the line stands out, about 1 by chance.
    `sharpness`: -1..1, minus the autocorrelation of neighboring differences; higher is sharper.
    `size`: one of SIZES.
    """

    quality: int | None
    standard_table: bool
    grid_offset: Offset | None
    grid_strength: float
    blocks: bool
    resampling: float | None
    resampling_strength: float
    sharpness: float
    size: str

    @property
    def finish(self) -> str:
        """One of "softened", "untouched", "sharpened", as far as `sharpness` tells."""
        if self.sharpness < _SOFT:
            return "softened"
        return "sharpened" if self.sharpness > _CRISP else "untouched"


def estimate_delivery(
    plane: NDArray[np.uint8], table: Sequence[int] | None = None
) -> DeliveryEstimate:
    """What happened to the image with the luma `plane` (H, W) uint8.

    `table`: the luma quantization table of its JPEG file, 64 steps row by row as Pillow gives them,
    where it is such a file; it goes before what the pixels tell. Raises ValueError for another
    shape or type, or less than 32 pixels a side.
    """
    _check_plane(plane)
    window = central_window(plane)
    found, offset, strength = find_compression(window)
    if table is not None:
        found, offset = table_quality(table), (0, 0)
    line = periodicity(window, compressed=found is not None)
    return DeliveryEstimate(
        quality=None if found is None else found.quality,
        standard_table=found is None or found.standard,
        grid_offset=None if found is None else offset,
        grid_strength=strength,
        blocks=line.blocks,
        resampling=line.factor,
        resampling_strength=line.strength,
        sharpness=sharpness(window),
        size=size_class(min(plane.shape)),
    )


def quality_class(quality: int | None) -> str:
    """The class of an image by its last JPEG `quality`, 1..100, or None for no trace of one."""
    if quality is None:
        return LOSSLESS
    if quality >= 85:
        return "JPEG high"
    return "JPEG mid" if quality >= 65 else LOSSY


def file_delivery(container: str | None, data: bytes) -> str:
    """What a still image file says of its own compression; one of DELIVERIES but SOFT.

    `container`: its format, as `Luma` names it. `data`: the file, or its beginning. A JPEG file is
    of the class of its table. Lossless formats are "lossless", whatever their pixels went through
    before. All else is counted as the hardest JPEG: other lossy codecs, of which thresholds know
    nothing, the palettes of GIF, and JPEG files without a table.
    """
    if container == "jpeg":
        steps = jpeg_luma_steps(data)
        return LOSSY if steps is None else _class_of_steps(steps)
    if container == "webp" and webp_is_lossless(data):
        return LOSSLESS
    return LOSSLESS if container in _LOSSLESS_FORMATS else LOSSY


def pixel_delivery(plane: NDArray[Any]) -> str:
    """The class of the luma `plane` (H, W), 0..255, by the steps of JPEG in its pixels alone.

    Raises ValueError for less than 32 pixels a side.
    """
    window = eight_bit_window(plane)
    _check_plane(window)
    found, _, _ = find_compression(window)
    return quality_class(None if found is None else found.quality)


def compression_delivery(luma: Luma, data: bytes) -> str:
    """How an image was compressed by its file `data`, and where that is lossless by its pixels."""
    delivery = file_delivery(luma.container, data)
    return pixel_delivery(luma.as_uint8_range().numpy()) if delivery == LOSSLESS else delivery


def image_delivery(luma: Luma, data: bytes) -> str:
    """The class of an image: SOFT, or else that of its compression."""
    compression = compression_delivery(luma, data)
    return SOFT if looks_enlarged(luma.as_uint8_range().numpy(), compression) else compression


def looks_enlarged(plane: NDArray[Any], compression: str) -> bool:
    """Whether the luma `plane` (H, W), 0..255, is as soft as a photograph that was blurred or
    enlarged, or shows that it was resized. `compression`: how it was compressed, of DELIVERIES."""
    return is_soft(plane) or is_resized(plane, compression)


def is_resized(plane: NDArray[Any], compression: str) -> bool:
    """Whether the luma `plane` (H, W), 0..255, has the line of an interpolation in its differences.

    Not that of a doubling, which up-sampling networks leave as well; doubled photographs are soft.
    Nothing is known of the compression "JPEG low", which is also that of codecs whose blocks leave
    lines of their own.
    """
    if compression == LOSSY:
        return False
    factor = periodicity(eight_bit_window(plane), compression != LOSSLESS).factor
    return factor is not None and abs(factor - 2) > _DOUBLING


def is_soft(plane: NDArray[Any]) -> bool:
    """Whether the luma `plane` (H, W), 0..255, is so soft that it may have been blurred or
    enlarged."""
    return sharpness(eight_bit_window(plane)) < _SOFT


def size_class(side: int) -> str:
    """The size class of a tile, or of an image by its shorter side: the largest that fits into
    `side` pixels, "64" for all that is smaller than 128."""
    return "512+" if side >= 512 else "256" if side >= 256 else "128" if side >= 128 else "64"


def calibration_class(delivery: str, size: str) -> str:
    """The name of the class whose calibration an image is judged by, such as "JPEG mid 256"."""
    return f"{delivery} {size}"


def calibration_harm() -> dict[str, tuple[int, int]]:
    """How much each class has suffered, (delivery, size), for `calibration.class_thresholds`."""
    return {
        calibration_class(delivery, size): (i, j)
        for i, delivery in enumerate(DELIVERIES)
        for j, size in enumerate(SIZES)
    }


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


def eight_bit_window(plane: NDArray[Any]) -> NDArray[np.uint8]:
    """`central_window` of a `plane` (H, W) on the scale 0..255, of any type, as uint8."""
    window = central_window(plane)
    return window if window.dtype == np.uint8 else np.rint(window).clip(0, 255).astype(np.uint8)


def central_window(plane: NDArray[Any]) -> NDArray[Any]:
    """The central square of `plane` (H, W), at most WINDOW a side; it begins at multiples of 8, so
    that the block grid keeps its offset."""
    side = min(WINDOW, *plane.shape)
    top, left = ((length - side) // 2 // BLOCK * BLOCK for length in plane.shape)
    return plane[top : top + side, left : left + side]


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


def periodicity(plane: NDArray[np.uint8], compressed: bool) -> Periodicity:
    """The strongest line in the differences of the square `plane`, and what it comes from.

    `compressed`: whether it shows the steps of JPEG, whose blocks leave lines at multiples of 1/8;
    these are left out then, and with them the factors 8/7, 4/3, 8/5 and 2.
    """
    lines = _lines(plane)
    frequency, usable = _frequencies(len(lines), len(plane), compressed)
    lines = np.where(usable, lines, 0)
    best = int(lines.argmax())
    strength, peak = float(lines[best]), float(frequency[best])
    if strength < _MIN_PERIODICITY:
        return Periodicity(strength)
    # Twofold enlargement leaves 1/2 alone; blocks of 4 or 8 leave 1/4 or 1/8, and 1/2 besides.
    fourth = lines[np.abs(frequency - 1 / 4) < 1.5 / len(plane)].max()
    of_blocks = min(abs(peak - 1 / 4), abs(peak - 1 / 8)) < 1.5 / len(plane)
    if of_blocks or (peak == 1 / 2 and fourth >= _MIN_PERIODICITY):
        return Periodicity(strength, blocks=True)
    return Periodicity(strength, factor=1 / (1 - peak))


def sharpness(plane: NDArray[np.uint8]) -> float:
    """Minus the autocorrelation of neighboring differences along both axes, -1..1; 0 if flat."""
    values = plane.astype(np.int16)
    down = (values[1:] - values[:-1]).astype(np.float32)
    across = (values[:, 1:] - values[:, :-1]).astype(np.float32)
    # Without copies: all of `across` in one line, less what meets over the ends of the rows.
    line, ends = across.ravel(), np.dot(across[:-1, -1], across[1:, 0])
    agreement = np.dot(down[:-1].ravel(), down[1:].ravel()) + np.dot(line[:-1], line[1:]) - ends
    total = np.dot(down.ravel(), down.ravel()) + np.dot(line, line)
    return float(-agreement / total) if total else 0.0


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
    odds = jpeg_step_log_odds(_tensor(plane), origins, evidence, per_unit=per_unit)
    odds[:, :, 0] = 0
    return odds


@lru_cache(maxsize=64)
def _frequencies(
    count: int, side: int, compressed: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The frequencies of `count` lines of a square, and which are looked at; see `periodicity`."""
    frequency = np.arange(count) / (2 * (count - 1))
    usable = frequency >= _LOWEST_FREQUENCY
    if compressed:
        away = np.abs(frequency - np.round(frequency * BLOCK) / BLOCK)
        usable &= away > 4 / side
    return frequency, usable


def _tensor(plane: NDArray[np.uint8]) -> Tensor:
    """The plane itself where torch takes it, or else a copy."""
    return torch.from_numpy(np.require(plane, requirements=["C", "W"]))


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


def _lines(plane: NDArray[np.uint8]) -> Array:
    """Spectrum of the mean log size of second and of third differences, whichever is more, from 0
    to 1/2 cycles per pixel, relative to its neighborhood: the geometric mean of both axes, since a
    texture is periodic along one."""
    both = _tensor(np.stack([plane, plane.T]))
    # By axis and by order; of an even number of rows.
    sizes = row_log_means(both, _DIFFERENCES, rounding=1.0).numpy()
    spectra = _line_spectra(sizes[..., : sizes.shape[-1] // 2 * 2])
    return np.asarray(np.sqrt((spectra[0] * spectra[1]).max(axis=0)))


def _line_spectra(profiles: Array) -> Array:
    """Power spectra of `profiles` (..., N) over the median of the frequencies about each."""
    sums = np.cumsum(profiles, axis=-1, dtype=np.float64)
    # The mean of nine, where there are nine.
    smooth = sums[..., 8:].copy()
    smooth[..., 1:] -= sums[..., :-9]
    rest = profiles[..., 4:-4] - smooth / 9
    power = np.abs(np.fft.rfft(rest * np.hanning(rest.shape[-1]))) ** 2
    reach = min(8, power.shape[-1] - 1)
    ends = (power[..., reach:0:-1], power, power[..., -2 : -2 - reach : -1])
    padded = np.concatenate(ends, axis=-1)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=-1)
    # The middle of an odd number is their median; `np.median` takes several times as long.
    middle = np.partition(around, reach, axis=-1)[..., reach]
    return np.asarray(power / (middle + 1e-12))


@lru_cache(maxsize=4096)
def _class_of_steps(steps: bytes) -> str:
    """The class of a table as `jpeg_luma_steps` gives it; few of them serve many files."""
    values = np.frombuffer(steps, np.uint8 if len(steps) == BLOCK**2 else ">u2").astype(np.int64)
    table = np.empty(BLOCK**2, np.int64)
    # A step of 0 is damage that decoders take for 1.
    table[_zigzag()] = np.maximum(values, 1)
    return quality_class(table_quality(table.tolist()).quality)


@cache
def _zigzag() -> NDArray[np.intp]:
    """Where each step of a file belongs in a table written row by row: along the diagonals, up the
    even ones and down the odd."""
    row, column = np.divmod(np.arange(BLOCK**2), BLOCK)
    diagonal = row + column
    return np.lexsort((np.where(diagonal % 2, row, column), diagonal))


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


def _check_plane(plane: NDArray[Any]) -> None:
    if plane.ndim != 2 or plane.dtype != np.uint8 or min(plane.shape) < MIN_SIDE:
        raise ValueError(
            f"a plane of shape {plane.shape} and type {plane.dtype} given; want (H, W) uint8 of at "
            f"least {MIN_SIDE} pixels a side"
        )
