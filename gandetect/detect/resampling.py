"""The line that interpolation leaves in the differences of pixels.

An interpolated sample is smoother the farther it lies from the original ones, so the size of the
differences of pixels varies with the period of the resampling (Gallagher 2005; Mahdian and Saic
2008): a line in the spectrum of its mean over rows or columns. Second differences show it where
some samples were kept, third ones where all lie between the original ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from gandetect.detect.jpeg_steps import BLOCK
from gandetect.detect.tiles import as_tensor
from gandetect.ops import row_log_means

Array = NDArray[np.float32]

# Below this frequency the picture itself has lines.
_LOWEST_FREQUENCY = 0.08
# Of the geometric mean of both axes, each about 1 by chance; never resampled ones reach 6.
_MIN_PERIODICITY = 12.0
# The second and the third difference down a column.
_DIFFERENCES = torch.tensor([[1.0, -2.0, 1.0, 0.0], [-1.0, 3.0, -3.0, 1.0]])[:, :, None]


@dataclass(frozen=True)
class Periodicity:
    """`strength`: how far the strongest line stands out, about 1 by chance. `factor`: the
    enlargement that leaves it, 1 < factor <= 2; `blocks`: it is rather that of blocks of 4 or 8
    pixels. Neither where the line is no stronger than pictures have by nature."""

    strength: float
    factor: float | None = None
    blocks: bool = False


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


def _lines(plane: NDArray[np.uint8]) -> Array:
    """Spectrum of the mean log size of second and of third differences, whichever is more, from 0
    to 1/2 cycles per pixel, relative to its neighborhood: the geometric mean of both axes, since a
    texture is periodic along one."""
    both = as_tensor(np.stack([plane, plane.T]))
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
