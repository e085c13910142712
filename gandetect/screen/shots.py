"""Where one shot of a video ends and the next begins, from the frames that are scored anyway.

Of each frame a histogram of luma in BINS bins is kept, over every STEP-th pixel of every STEP-th
row. Two frames belong to one shot while the histograms overlap:

    d = 1/2 sum_k |h_k - g_k|      (0: equal, 1: nothing in common)

d > CUT against the frame before and against the running mean of the shot begins a new one. Where
that has one frame only and the next resembles the shot before it, it was a flash, and the shot goes
on. It needs no motion, and works at one frame a second.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

BINS = 32
STEP = 16
CUT = 0.35
_MEMORY = 0.8


class Shots:
    """Numbers the shots of one video from 0, frame by frame in their order."""

    def __init__(self, bit_depth: int = 8) -> None:
        self._shift = max(0, bit_depth - 5)
        self._last: np.ndarray | None = None
        self._mean = np.zeros(BINS)
        self._shot = self._n_cuts = 0
        # The shot before (number, mean), while the present one has one frame.
        self._before: tuple[int, np.ndarray] | None = None

    def of(self, pixels: Tensor) -> int:
        """The shot of the next frame, luma (H, W)."""
        histogram = self._histogram(pixels)
        if self._last is None:
            self._mean = histogram
        elif min(_distance(histogram, self._last), _distance(histogram, self._mean)) > CUT:
            self._cut(histogram)
        else:
            self._mean = _MEMORY * self._mean + (1 - _MEMORY) * histogram
            self._before = None
        self._last = histogram
        return self._shot

    def _cut(self, histogram: np.ndarray) -> None:
        before = self._before
        if before is not None and _distance(histogram, before[1]) <= CUT:
            self._shot, self._mean = before
            self._before = None
            return
        self._before = self._shot, self._mean
        self._n_cuts += 1
        self._shot, self._mean = self._n_cuts, histogram

    def _histogram(self, pixels: Tensor) -> np.ndarray:
        height, width = pixels.shape
        step = min(STEP, max(1, min(height, width) // 16))
        sample = pixels[::step, ::step].numpy() >> self._shift
        counts = np.bincount(np.minimum(sample, BINS - 1).ravel(), minlength=BINS)
        return counts / sample.size


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return 0.5 * float(np.abs(a - b).sum())


def effective_frames(shot_sizes: np.ndarray, correlation: float) -> float:
    """How many independent frames frames are worth of which those of a shot resemble each other.

        n_eff = sum_s n_s / (1 + (n_s - 1) rho)

    One shot of identical frames counts once; unrelated frames count each.
    """
    return float((shot_sizes / (1.0 + (shot_sizes - 1) * correlation)).sum())


def shot_correlation(logits: np.ndarray, shots: np.ndarray, spread: float) -> float:
    """How alike the frames of one shot score: rho = 1 - s^2 / spread^2, within 0 .. 1.

    s^2 is the pooled variance within shots, `spread` the standard deviation of the scores of
    unrelated real pictures. 1 where no shot has two frames: nothing is known then.
    """
    _, member = np.unique(shots, return_inverse=True)
    sizes = np.bincount(member)
    freedom = int((sizes - 1).sum())
    if freedom == 0 or spread <= 0:
        return 1.0
    means = np.bincount(member, logits) / sizes
    within = float(((logits - means[member]) ** 2).sum()) / freedom
    return min(1.0, max(0.0, 1.0 - within / spread**2))


def frame_weights(shots: np.ndarray, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """(weight of each frame, sizes of the shots): 1 / (1 + (n_s - 1) rho)."""
    _, member = np.unique(shots, return_inverse=True)
    sizes = np.bincount(member)
    return (1.0 / (1.0 + (sizes - 1) * correlation))[member], sizes


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value with half of the weight on either side; the mean of two where they tie."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    half = 0.5 * total[-1]
    # Rounding of the sums must not decide whether half is reached.
    at = int(np.searchsorted(total, half * (1 - 1e-12), side="left"))
    above = int(np.searchsorted(total, half * (1 + 1e-12), side="right"))
    last = len(values) - 1
    return 0.5 * float(values[order[min(at, last)]] + values[order[min(above, last)]])
