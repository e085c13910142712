"""The kernels that look into pixels beside what a user would write instead.

    python bench/traces.py --json bench/results/traces.json

The calls are those of one look: four tiles of 128 pixels for the phases of up-sampling, a window of
256 for the lines of resampling along one axis, its 1,024 blocks in one grid to judge the steps of
JPEG, and 32 of its cells in all 64 grids to find where the blocks begin. Agreement is checked
first; coefficients at the edge of a bin may fall into either, so odds are compared by their median.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from measure import interleaved, parsed, ratio, ratio_interval, set_threads, summary, write
from scipy import fft, ndimage
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional as F

from gandetect import ops
from gandetect.ops import traces_reference

LIMIT = 1e-4
SIDE = 256
ROUNDING = 0.5
# Of the differences of neighbors, of one, two and three orders, both ways and mixed.
PHASE_FILTERS = torch.zeros(11, 4, 4)
for _place, _line in enumerate(([1, -1], [1, 0, -1], [1, -2, 1], [1, -3, 3, -1])):
    PHASE_FILTERS[_place, 0, : len(_line)] = torch.tensor(_line, dtype=torch.float32)
    PHASE_FILTERS[4 + _place] = PHASE_FILTERS[_place].T
PHASE_FILTERS[8, :2, :2] = torch.tensor([[1.0, -1], [-1, 1]])
PHASE_FILTERS[9, :3, :3] = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
PHASE_FILTERS[10, :3, :3] = torch.tensor([[-1.0, 2, -1], [2, -4, 2], [-1, 2, -1]])
# The rows and columns that a response needs besides its own.
REACHES = [taps.nonzero().amax(dim=0).tolist() for taps in PHASE_FILTERS]
ROW_FILTERS = torch.tensor([[1.0, -2, 1, 0], [-1, 3, -3, 1]])[:, :, None]
TABLES = {"fit": (513, 128, 4.0), "search": (49, 24, 2.0)}


def picture(side: int) -> Tensor:
    """Smooth with a little noise, as photographs are: (side, side) uint8."""
    rng = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(rng.normal(0, 900, (side, side)), 8)
    return torch.from_numpy((smooth + rng.normal(128, 4, (side, side))).clip(0, 255)).to(
        torch.uint8
    )


def by_convolution(images: Tensor) -> Tensor:
    """All filters as one convolution; each cut to whole periods of its own."""
    padded = F.pad(images.float()[:, None], (0, 3, 0, 3))
    responses = F.conv2d(padded, PHASE_FILTERS[:, None])
    parts = []
    for number, (y, x) in enumerate(REACHES):
        height, width = ((images.shape[1] - reach) // 4 * 4 for reach in (y, x))
        r = responses[:, number, :height, :width]
        size = r.abs() + ROUNDING
        means = [
            v.reshape(len(r), height // 4, 4, width // 4, 4).mean(dim=(1, 3))
            for v in (r, size.log())
        ]
        means[0] /= size.mean(dim=(1, 2))[:, None, None]
        parts.append(torch.stack(means, dim=1))
    return torch.stack(parts, dim=1)


def row_means_in_numpy(plane: Tensor) -> Tensor:
    """Differences in whole numbers, and one logarithm for the product of 8 columns."""
    values = plane.numpy().astype(np.int16)
    second = np.diff(values, 2, axis=0)
    orders = (second[: len(second) - 1], second[1:] - second[:-1])
    means = []
    for order in orders:
        sizes = (np.abs(order) + 1).astype(np.float32)
        for _ in range(3):
            half = sizes.shape[1] // 2
            sizes = sizes[:, :half] * sizes[:, half:]
        means.append(np.log(sizes).sum(axis=1) / plane.shape[1])
    return torch.from_numpy(np.stack(means))[None]


def grids(name: str) -> Tensor:
    corners = torch.arange(0, SIDE, 8, dtype=torch.int32)
    if name == "fit":
        return torch.cartesian_prod(corners, corners)[None]
    cells = 16 * torch.randint(0, 15, (32, 2), generator=torch.Generator().manual_seed(1))
    offsets = torch.cartesian_prod(torch.arange(8), torch.arange(8))
    return (cells[None] + offsets[:, None]).int()


def odds_in_numpy(
    plane: Tensor, origins: Tensor, evidence: Tensor, per_unit: float, by_scipy: bool
) -> Tensor:
    """Blocks gathered, transformed together, and counted by `bincount`."""
    windows = np.lib.stride_tricks.sliding_window_view(plane.numpy(), (8, 8))
    places = origins.numpy()
    blocks = windows[places[..., 0], places[..., 1]].astype(np.float32)
    if by_scipy:
        coefficients = fft.dctn(blocks, axes=(2, 3), norm="ortho").reshape(*places.shape[:2], 64)
    else:
        coefficients = blocks.reshape(*places.shape[:2], 64) @ whole_transform()
    bins = len(evidence)
    sizes = np.abs(coefficients)
    sizes *= per_unit
    sizes += traces_reference.HALF
    np.minimum(sizes, bins, out=sizes)
    counted = sizes.astype(np.intp)
    counted += (np.arange(len(places) * 64) * (bins + 1)).reshape(len(places), 1, 64)
    counts = np.bincount(counted.ravel(), minlength=len(places) * 64 * (bins + 1))
    counts = counts.reshape(-1, bins + 1)[:, :-1].astype(np.float32)
    odds = evidence.numpy().T @ counts.T
    return torch.from_numpy(odds.reshape(-1, len(places), 64).transpose(1, 0, 2))


@cache
def whole_transform() -> np.ndarray:
    line = traces_reference.dct(torch.device("cpu")).numpy()
    return np.ascontiguousarray(np.kron(line, line).T)


def cases() -> dict[str, tuple[str, dict[str, Callable[[], Tensor]]]]:
    """What each is of, and who does it; ours comes first."""
    tiles = picture(2 * 128).unfold(0, 128, 128).unfold(1, 128, 128).reshape(4, 128, 128)
    plane = picture(SIDE)
    found = {
        "phase_means": (
            "four tiles of 128",
            {
                "gandetect": lambda: ops.phase_means(tiles, PHASE_FILTERS, rounding=ROUNDING),
                "torch: shifted sums": lambda: traces_reference.phase_means(
                    tiles, PHASE_FILTERS, ROUNDING
                ),
                "torch: conv2d": lambda: by_convolution(tiles),
            },
        ),
        "row_log_means": (
            "a window of 256",
            {
                "gandetect": lambda: ops.row_log_means(plane[None], ROW_FILTERS, rounding=1.0),
                "numpy: logarithms of products": lambda: row_means_in_numpy(plane),
                "torch: shifted sums": lambda: traces_reference.row_log_means(
                    plane[None], ROW_FILTERS, 1.0
                ),
            },
        ),
    }
    for name, (bins, steps, per_unit) in TABLES.items():
        origins = grids(name)
        evidence = torch.randn(bins, steps, generator=torch.Generator().manual_seed(2))
        evidence[: int(1.25 * per_unit)] = 0
        given = (plane, origins, evidence, per_unit)
        found[f"jpeg_step_log_odds, {name}"] = (
            "1,024 blocks, 128 steps" if name == "fit" else "64 grids of 32 blocks, 24 steps",
            {
                "gandetect": lambda given=given: ops.jpeg_step_log_odds(
                    *given[:3], per_unit=given[3]
                ),
                "numpy: matmul, bincount": lambda given=given: odds_in_numpy(*given, False),
                "scipy: dctn, bincount": lambda given=given: odds_in_numpy(*given, True),
                "torch: matmul, bincount": lambda given=given: traces_reference.jpeg_step_log_odds(
                    *given
                ),
            },
        )
    return found


def difference(name: str, actual: Tensor, wanted: Tensor) -> float:
    apart = (actual - wanted).abs() / (1 + wanted.abs())
    return float(apart.median() if name.startswith("jpeg") else apart.max())


def measured(
    name: str, told: str, table: dict[str, Callable[[], Tensor]], seconds: float
) -> dict[str, Any]:
    ours = table["gandetect"]()
    differences = {who: difference(name, way(), ours) for who, way in table.items()}
    worst = max(differences.values())
    if not worst <= LIMIT:
        raise SystemExit(f"{name}: {differences}, more than {LIMIT:.0e}")
    times = interleaved(table, seconds)
    own = times["gandetect"]
    others = {who: samples for who, samples in times.items() if who != "gandetect"}
    return {
        "op": name,
        "of": told,
        "difference": worst,
        "results": {who: summary(samples, 1) for who, samples in times.items()},
        "ratio_to_gandetect": {who: ratio(samples, own) for who, samples in others.items()},
        "intervals": {who: ratio_interval(samples, own) for who, samples in others.items()},
    }


def main() -> int:
    arguments = parsed((__doc__ or "").splitlines()[0])
    set_threads(arguments.threads)
    threadpool_limits(arguments.threads)
    found = []
    for name, (told, table) in cases().items():
        if arguments.only in name:
            found.append(measured(name, told, table, arguments.seconds))
            print(found[-1], file=sys.stderr, flush=True)
    write(found, arguments, LIMIT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
