"""What happened to an image on its way here: compression, resampling, sharpening.

A detector of fine traces errs differently on a photograph out of a camera, on one saved as a small
JPEG and on one enlarged. So thresholds are kept for classes of delivery, and an image is judged by
those of its own class. A JPEG file names its own compression by its table. A lossless file may hide
what happened before: a JPEG decoded and saved as PNG still is what the JPEG left, so there only the
pixels can be trusted. They cost milliseconds where a table costs microseconds (`file_delivery`,
`pixel_delivery`), and are asked only where the answer may matter.

**Compression** is told by the steps of JPEG (`jpeg_steps`), **resampling** by a line in the
differences of pixels (`resampling`). Networks that double the size of pictures leave the line of a
doubling; any other is that of a photograph that was resized.

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
from numpy.typing import NDArray

from gandetect.detect.jpeg_steps import BLOCK, Offset, find_compression, table_quality
from gandetect.detect.resampling import periodicity
from gandetect.media import Luma
from gandetect.media.codecs import jpeg_luma_steps, webp_is_lossless

# Side of the central window that is measured: enough blocks to be sure, few enough to be fast.
WINDOW = 256
MIN_SIDE = 32
LOSSLESS, LOSSY, SOFT = "lossless", "JPEG low", "soft"
DELIVERIES = (LOSSLESS, "JPEG high", "JPEG mid", LOSSY, SOFT)
SIZES = ("512+", "256", "128", "64")

_LOSSLESS_FORMATS = frozenset({"png", "bmp", "dib", "tiff", "ppm", "qoi"})
# How far the factor of a doubling is from 2 in a window of 64 pixels.
_DOUBLING = 0.1
_SOFT, _CRISP = -0.4, 0.1


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


def delivery_in_words(
    plane: NDArray[np.uint8], container: str | None, data: bytes
) -> dict[str, str]:
    """What `estimate_delivery` says of an image in a file of `container`, whose bytes, or their
    beginning, are `data`: `jpeg_quality`, `block_grid`, `resampling` and `sharpness`, those of them
    of which there is a trace."""
    steps = jpeg_luma_steps(data) if container == "jpeg" else None
    found = estimate_delivery(plane, None if steps is None else _table_of(steps))
    said = {}
    if found.quality is not None:
        source = "by its table" if steps is not None else "by its pixels"
        said["jpeg_quality"] = f"{found.quality}, {source}"
    down, right = found.grid_offset or (0, 0)
    if (down, right) != (0, 0):
        said["block_grid"] = f"cropped: begins {down} down and {right} to the right"
    if found.resampling is not None:
        said["resampling"] = f"the line of an enlargement by {found.resampling:.2f}"
    elif found.blocks:
        said["resampling"] = "lines of blocks, of another codec or of an enlargement"
    return said | {"sharpness": f"{found.sharpness:+.2f}, {found.finish}"}


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


@lru_cache(maxsize=4096)
def _class_of_steps(steps: bytes) -> str:
    """The class of a table as `jpeg_luma_steps` gives it; few of them serve many files."""
    return quality_class(table_quality(_table_of(steps)).quality)


def _table_of(steps: bytes) -> list[int]:
    """The table, row by row, whose steps a file holds as `jpeg_luma_steps` gives them."""
    values = np.frombuffer(steps, np.uint8 if len(steps) == BLOCK**2 else ">u2").astype(np.int64)
    table = np.empty(BLOCK**2, np.int64)
    # A step of 0 is damage that decoders take for 1.
    table[_zigzag()] = np.maximum(values, 1)
    return [int(step) for step in table]


@cache
def _zigzag() -> NDArray[np.intp]:
    """Where each step of a file belongs in a table written row by row: along the diagonals, up the
    even ones and down the odd."""
    row, column = np.divmod(np.arange(BLOCK**2), BLOCK)
    diagonal = row + column
    return np.lexsort((np.where(diagonal % 2, row, column), diagonal))


def _check_plane(plane: NDArray[Any]) -> None:
    if plane.ndim != 2 or plane.dtype != np.uint8 or min(plane.shape) < MIN_SIDE:
        raise ValueError(
            f"a plane of shape {plane.shape} and type {plane.dtype} given; want (H, W) uint8 of at "
            f"least {MIN_SIDE} pixels a side"
        )
