"""The named conventions of radial power-spectrum features, and the binning each of them implies.

Radii are exact integers throughout: a floating frequency table puts exact radii into the wrong bin
for many sizes (224 among them).
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

T = TypeVar("T")

POWER, MAGNITUDE, LOG, LOG_AMPLITUDE = range(4)


@dataclass(frozen=True)
class Value:
    """The scalar f taken of every coefficient F before any averaging; P = |F|^2.

    mode POWER: gain P. MAGNITUDE: gain sqrt(P). LOG: gain ln(P + eps).
    LOG_AMPLITUDE: gain ln((Re F + eps)^2 + (Im F)^2).
    """

    mode: int
    gain: float = 1.0
    eps: float = 0.0


# The value modes a caller may ask for by name, whatever the convention.
VALUES = {
    "power": Value(POWER),
    "magnitude": Value(MAGNITUDE),
    "log": Value(LOG, gain=10.0, eps=1e-16),
}


@dataclass(frozen=True)
class Convention:
    """How one body of literature turns an image into a profile.

    half_pixel: radii are measured from ((H-1)/2, (W-1)/2) of the shifted spectrum instead of from
    DC, and the first and the last bin are dropped. half_plane: every coefficient of the columns
    0..W//2 counts once, and the other half is ignored. round_gray: three uint8 channels become
    8-bit gray first, as a decoder does. input_gain, input_offset: what maps uint8 onto the range
    the convention works in. ortho: P is divided by H W.
    """

    name: str
    value: Value
    half_pixel: bool = False
    half_plane: bool = False
    round_gray: bool = False
    input_gain: float = 1.0
    input_offset: float = 0.0
    ortho: bool = False
    cutoff: str = "corner"
    normalize: str = "none"


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("centered", VALUES["power"]),
        Convention(
            "durall",
            Value(LOG_AMPLITUDE, gain=10.0, eps=1e-8),
            half_pixel=True,
            round_gray=True,
        ),
        Convention(
            "jung",
            Value(LOG, gain=20.0, eps=1e-8),
            half_plane=True,
            input_gain=1 / 255,
            normalize="minmax",
        ),
        Convention(
            "power",
            VALUES["power"],
            half_pixel=True,
            round_gray=True,
            input_gain=1 / 127.5,
            input_offset=-1.0,
            ortho=True,
        ),
    )
}
CUTOFFS = ("corner", "nyquist")
NORMALIZATIONS = ("none", "dc", "first", "minmax")
PROJECTIONS = ("azimuthal", "rows", "columns")
# Plans of larger images are kept for the last few sizes only: one of 24 megapixels takes 50 to
# 100 MB, and a folder of photographs has many sizes.
_LARGE_PIXELS = 1 << 21


def member(argument: str, name: str, allowed: Sequence[str]) -> str:
    """The name, or a ValueError that lists what is allowed."""
    if name not in allowed:
        raise ValueError(f"{argument}={name!r} is unknown; choose one of {', '.join(allowed)}")
    return name


def choice(argument: str, name: str, table: Mapping[str, T]) -> T:
    """What the name stands for, or a ValueError that lists the names."""
    return table[member(argument, name, tuple(table))]


@contextlib.contextmanager
def plain_tensors() -> Iterator[None]:
    """For what is cached: tensors as outside of every mode, whoever happens to ask first.

    An inference tensor cannot be saved for a later backward, a fake one of torch.export holds no
    values, and a default device may have none either.
    """
    with _disable_current_modes(), torch.inference_mode(False), torch.device("cpu"):
        yield


@dataclass(frozen=True)
class Plan:
    """Which bin each coefficient belongs to, as the tensors the ops take.

    maps: (M, H, V) int32, V = W//2+1 (or W for a full plane). Entries outside 0..K-1 are dropped:
    -1 before the first kept bin, K after the last one, so that along v an entry never falls and
    never skips a bin. With M = 2 the second map is the bin of the mirror element (-u, -v), which
    differs from the first when the center is half a pixel off DC.
    inverse_counts: (K,) float64, 1/n_k. counts: (K,) int64.
    folded: with M = 1, whether the inner columns stand for their mirror image too (weight 2).
    """

    maps: Tensor
    inverse_counts: Tensor
    counts: Tensor
    folded: bool
    width: int

    def to(self, device: torch.device) -> Plan:
        return Plan(
            self.maps.to(device),
            self.inverse_counts.to(device),
            self.counts.to(device),
            self.folded,
            self.width,
        )


def integer_sqrt(x: Tensor) -> Tensor:
    """floor(sqrt(x)) of non-negative int64, exact below 2^52."""
    root = torch.sqrt(x.double()).long()
    root = torch.where(root * root > x, root - 1, root)
    return torch.where((root + 1) * (root + 1) <= x, root + 1, root)


def _signed(n: int, count: int) -> Tensor:
    return (torch.arange(count) + n // 2) % n - n // 2


def _radii_about_dc(height: int, width: int, columns: int) -> Tensor:
    u, v = _signed(height, height), _signed(width, columns)
    return integer_sqrt(u[:, None] ** 2 + v[None, :] ** 2)


def _radii_about_middle(height: int, width: int, columns: int, *, mirror: bool) -> Tensor:
    u, v = _signed(height, height), _signed(width, columns)
    if mirror:
        u, v = -u, -v
        # -(-N/2) is N/2, which the unshifted index wraps to -N/2 again.
        u = torch.where(2 * u == height, u - height, u)
        v = torch.where(2 * v == width, v - width, v)
    # Twice the distance to (N-1)/2 is an odd integer for even N, so the floor is exact.
    dy = 2 * (u + height // 2) - (height - 1)
    dx = 2 * (v + width // 2) - (width - 1)
    return integer_sqrt(torch.div(dy[:, None] ** 2 + dx[None, :] ** 2, 4, rounding_mode="floor"))


def _bin_range(height: int, width: int, half_pixel: bool, cutoff: str) -> tuple[int, int]:
    """First kept radius and one past the last."""
    if half_pixel:
        first, stop = 1, math.isqrt(((height - 1) ** 2 + (width - 1) ** 2) // 4)
    else:
        first, stop = 0, math.isqrt((height // 2) ** 2 + (width // 2) ** 2) + 1
    if cutoff == "nyquist":
        stop = min(stop, (min(height, width) + 1) // 2)
    return first, stop


def profile_length(height: int, width: int, convention: str = "centered", cutoff: str = "") -> int:
    """Number of azimuthal bins K of an (height, width) image; 0 where the image is too small."""
    chosen = choice("convention", convention, CONVENTIONS)
    _check_sides(height, width)
    kept = member("cutoff", cutoff or chosen.cutoff, CUTOFFS)
    first, stop = _bin_range(height, width, chosen.half_pixel, kept)
    return max(stop - first, 0)


def _check_sides(height: int, width: int) -> None:
    if min(height, width) < 1:
        raise ValueError(f"the image is {height}x{width}; both sides must be at least 1")


def make_plan(
    height: int, width: int, convention: str, cutoff: str, full_plane: bool = False
) -> Plan:
    """The plan of one geometry, on the CPU. Cached; callers must not write to its tensors."""
    cached = _small_plan if height * width <= _LARGE_PIXELS else _large_plan
    return cached(height, width, convention, cutoff, full_plane)


@plain_tensors()
def _build_plan(height: int, width: int, convention: str, cutoff: str, full_plane: bool) -> Plan:
    chosen = choice("convention", convention, CONVENTIONS)
    member("cutoff", cutoff, CUTOFFS)
    _check_sides(height, width)
    first, stop = _bin_range(height, width, chosen.half_pixel, cutoff)
    length = stop - first
    if length < 1:
        raise ValueError(
            f"an image of {height}x{width} has no azimuthal bin in convention {convention!r} with "
            f"cutoff {cutoff!r}; use a larger image or convention='centered'"
        )
    columns = width if full_plane else width // 2 + 1
    two_maps = chosen.half_pixel and not full_plane and (height % 2 == 0 or width % 2 == 0)
    if chosen.half_pixel:
        radii = [_radii_about_middle(height, width, columns, mirror=False)]
        if two_maps:
            radii.append(_radii_about_middle(height, width, columns, mirror=True))
    else:
        radii = [_radii_about_dc(height, width, columns)]
    maps = torch.stack([(r - first).clamp(-1, length) for r in radii]).to(torch.int32)
    if two_maps:
        maps[1, :, 0] = -1
        if width % 2 == 0:
            maps[1, :, width // 2] = length
    folded = not (two_maps or full_plane or chosen.half_plane)
    weights = column_weights(width, columns, folded).long().expand(maps.shape)
    counts = torch.zeros(length, dtype=torch.int64)
    kept = (maps >= 0) & (maps < length)
    counts.index_add_(0, maps[kept].long(), weights[kept])
    return Plan(maps, 1.0 / counts.double().clamp(min=1), counts, folded, width)


_small_plan = functools.lru_cache(maxsize=32)(_build_plan)
_large_plan = functools.lru_cache(maxsize=4)(_build_plan)


def column_weights(width: int, columns: int, folded: bool) -> Tensor:
    """2 for the inner columns of a folded half-plane, 1 elsewhere; float64."""
    weights = torch.ones(columns, dtype=torch.float64)
    if folded:
        v = torch.arange(columns)
        weights[(v > 0) & (2 * v < width)] = 2.0
    return weights


def azimuthal_counts(
    height: int, width: int, convention: str = "centered", cutoff: str | None = None
) -> Tensor:
    """Numbers n_k of spectrum coefficients averaged in each azimuthal bin: (K,) int64."""
    chosen = choice("convention", convention, CONVENTIONS)
    return make_plan(height, width, convention, cutoff or chosen.cutoff).counts.clone()


@functools.lru_cache(maxsize=64)
@plain_tensors()
def resampling_matrix(length: int, points: int) -> Tensor:
    """The (points, length) float64 matrix that reads a not-a-knot cubic spline through `length`
    equidistant values at `points` equidistant positions, ends included. Rows sum to one.

    With fewer than four values the spline is the polynomial through them.
    """
    positions = torch.arange(points, dtype=torch.float64) * ((length - 1) / max(points - 1, 1))
    knots = torch.arange(length, dtype=torch.float64)
    if length < 4:
        powers = torch.arange(length)
        return positions[:, None] ** powers @ torch.linalg.inv(knots[:, None] ** powers)
    second = _second_derivatives(length)
    left = positions.floor().long().clamp(max=length - 2)
    t = positions - left
    rows = torch.arange(points)
    matrix = torch.zeros(points, length, dtype=torch.float64)
    matrix[rows, left] += 1 - t
    matrix[rows, left + 1] += t
    a, b = ((1 - t) ** 3 - (1 - t)) / 6, (t**3 - t) / 6
    return matrix + a[:, None] * second[left] + b[:, None] * second[left + 1]


def _second_derivatives(length: int) -> Tensor:
    """(length, length) matrix from values to second derivatives of the not-a-knot spline."""
    system = torch.zeros(length, length, dtype=torch.float64)
    target = torch.zeros(length, length, dtype=torch.float64)
    inner = torch.arange(1, length - 1)
    for offset, left_hand, right_hand in ((-1, 1.0, 6.0), (0, 4.0, -12.0), (1, 1.0, 6.0)):
        system[inner, inner + offset] = left_hand
        target[inner, inner + offset] = right_hand
    # Not-a-knot: the third derivative is continuous across the second and the last but one knot.
    system[0, :3] = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    system[-1, -3:] = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    return torch.linalg.solve(system, target)
