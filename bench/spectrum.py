"""spectral_profile against what a user would write instead, interleaved in one run.

Every candidate turns the same uint8 RGB batch into power profiles over integer radii (Durall's
method gives its own log profile). Agreement is checked before anything is timed. Peers run with a
warm allocator: the batch is small enough, and the loop long enough, that no page is fresh.

    python bench/spectrum.py --json bench/results/spectrum.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import gandetect
from gandetect import ops
from gandetect.ops import reference
from gandetect.ops.conventions import make_plan

SIZES = {"64": (64, 64), "256": (256, 256), "512": (512, 512), "1024": (1024, 1024)}
GREY = torch.tensor(reference.GREY_WEIGHTS)
# Images per call: enough to hide the call, small enough for the peers' temporaries to stay warm.
BATCH = {"64": 64, "256": 16, "512": 8, "1024": 4}
CHUNK_PIXELS = 4 * 256 * 256


def ours(images: Tensor) -> Tensor:
    return ops.spectral_profile(images)


def ours_durall(images: Tensor) -> Tensor:
    return ops.spectral_profile(images, "durall")


class TorchBins:
    """rfft2 and a weighted index_add over precomputed bins, in chunks that fit the cache."""

    def __init__(self, height: int, width: int) -> None:
        plan = make_plan(height, width, "centered", "corner")
        self.index = plan.maps[0].reshape(-1).long()
        weights = torch.ones(width // 2 + 1)
        weights[1 : (width + 1) // 2] = 2
        self.weights = weights.expand(height, -1).reshape(-1)
        self.inverse = plan.inverse_counts.float()
        self.chunk = max(1, CHUNK_PIXELS // (height * width))

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.profiles(part) for part in images.split(self.chunk)])

    def profiles(self, images: Tensor) -> Tensor:
        grey = (images.float() * GREY[:, None, None]).sum(1)
        spectrum = torch.view_as_real(torch.fft.rfft2(grey))
        power = spectrum.square().sum(-1).flatten(1) * self.weights
        sums = power.new_zeros(power.shape[0], self.inverse.numel())
        return sums.index_add_(1, self.index, power) * self.inverse


class NaiveTorch:
    """fft2, fftshift and index_add over the whole batch."""

    def __init__(self, height: int, width: int) -> None:
        y, x = torch.arange(height) - height // 2, torch.arange(width) - width // 2
        radius = torch.sqrt((y[:, None] ** 2 + x**2).double()).floor().long()
        self.index = radius.reshape(-1)
        self.counts = torch.bincount(self.index).float()

    def __call__(self, images: Tensor) -> Tensor:
        grey = (images.float() * GREY[:, None, None]).sum(1)
        spectrum = torch.fft.fftshift(torch.fft.fft2(grey), dim=(-2, -1))
        power = spectrum.abs().square().flatten(1)
        sums = power.new_zeros(power.shape[0], self.counts.numel())
        return sums.index_add_(1, self.index, power) / self.counts


class DurallNumpy:
    """The published method: one grey image at a time, full transform, radii recomputed."""

    def __call__(self, images: Tensor) -> Tensor:
        grey = (images.double() * GREY.double()[:, None, None]).sum(1).round().numpy()
        return torch.from_numpy(np.stack([self.profile(plane) for plane in grey]))

    def profile(self, grey: np.ndarray) -> np.ndarray:
        spectrum = np.fft.fftshift(np.fft.fft2(grey)) + 1e-8
        magnitude = 20 * np.log(np.abs(spectrum))
        y, x = np.indices(magnitude.shape)
        center = np.array([(x.max() - x.min()) / 2.0, (y.max() - y.min()) / 2.0])
        radius = np.hypot(x - center[0], y - center[1])
        order = np.argsort(radius.flat)
        sorted_radius, values = radius.flat[order].astype(int), magnitude.flat[order]
        edges = np.where(np.diff(sorted_radius))[0]
        cumulated = np.cumsum(values, dtype=float)
        return np.diff(cumulated[edges]) / np.diff(edges)


class NumbaFft:
    """Grey and power + bins as compiled numba loops around torch's rfft2."""

    def __init__(self, height: int, width: int) -> None:
        import numba

        plan = make_plan(height, width, "centered", "corner")
        self.bins = plan.maps[0].numpy()
        self.inverse = plan.inverse_counts.numpy()
        self.chunk = max(1, CHUNK_PIXELS // (height * width))
        self.width = width
        self.grey = numba.njit(_grey_loop, fastmath=True)
        self.average = numba.njit(_average_loop, fastmath=True)

    def __call__(self, images: Tensor) -> Tensor:
        results = []
        for part in images.split(self.chunk):
            spectrum = torch.fft.rfft2(torch.from_numpy(self.grey(part.numpy())))
            plane = torch.view_as_real(spectrum).numpy()
            results.append(self.average(plane, self.bins, self.inverse, self.width))
        return torch.from_numpy(np.concatenate(results))


def _grey_loop(images):  # type: ignore[no-untyped-def]  # compiled by numba
    n, _, height, width = images.shape
    out = np.empty((n, height, width), np.float32)
    for i in range(n):
        for y in range(height):
            for x in range(width):
                out[i, y, x] = (
                    np.float32(0.299) * images[i, 0, y, x]
                    + np.float32(0.587) * images[i, 1, y, x]
                    + np.float32(0.114) * images[i, 2, y, x]
                )
    return out


def _average_loop(spectrum, bins, inverse, width):  # type: ignore[no-untyped-def]
    n, height, columns, _ = spectrum.shape
    out = np.zeros((n, inverse.size), np.float64)
    for i in range(n):
        for u in range(height):
            for v in range(columns):
                power = spectrum[i, u, v, 0] ** 2 + spectrum[i, u, v, 1] ** 2
                out[i, bins[u, v]] += power if v == 0 or 2 * v == width else 2 * power
        for k in range(inverse.size):
            out[i, k] *= inverse[k]
    return out.astype(np.float32)


def candidates(height: int, width: int) -> dict[str, Callable[[Tensor], Tensor]]:
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "gandetect": ours,
        "torch rfft2 + index_add, chunked": TorchBins(height, width),
        "torch fft2 + shift + index_add": NaiveTorch(height, width),
        "gandetect, durall": ours_durall,
        "Durall's method in numpy": DurallNumpy(),
    }
    try:
        table["numba + torch rfft2"] = NumbaFft(height, width)
    except ImportError:
        print("numba is not installed; its column is left out", file=sys.stderr)
    if os.environ.get("GANDETECT_BENCH_COMPILE", "1") != "0":
        eager = TorchBins(height, width)
        compiled = torch.compile(eager.profiles, dynamic=False)
        table["torch.compile of rfft2 + index_add"] = lambda images: torch.cat(
            [compiled(part) for part in images.split(eager.chunk)]
        )
    return table


def check_agreement(images: Tensor, table: dict[str, Callable[[Tensor], Tensor]]) -> dict:
    """Largest relative difference of each candidate from ours over complete rings."""
    differences = {}
    rings = min(images.shape[-2:]) // 2
    for name, run in table.items():
        durall = "durall" in name.lower()
        wanted = (ours_durall if durall else ours)(images).double()[:, 1 : rings - 1]
        actual = run(images).double()[:, 1 : rings - 1]
        differences[name] = float(((actual - wanted) / wanted).abs().max())
        if differences[name] > 2e-3:
            raise SystemExit(f"{name} disagrees by {differences[name]:.2e}; nothing was timed")
    return differences


def interleaved(
    images: Tensor, table: dict[str, Callable[[Tensor], Tensor]], seconds: float
) -> dict[str, list[float]]:
    """Wall seconds per image of each candidate; every round times each of them once."""
    times: dict[str, list[float]] = {name: [] for name in table}
    for run in table.values():
        run(images)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["gandetect"]) < 7:
        for name, run in table.items():
            start = time.perf_counter()
            run(images)
            times[name].append((time.perf_counter() - start) / images.shape[0])
    return times


def temporary_bytes(run: Callable[[Tensor], Tensor], images: Tensor) -> int:
    """Growth of the peak resident set while one call runs; nothing larger may have run before."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(images)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def memory_growth(height: int, width: int) -> dict[str, int]:
    """Bytes above the input for 8 and for 64 images, ours first so that it cannot hide."""
    small = torch.randint(0, 256, (8, 3, height, width), dtype=torch.uint8)
    large = torch.randint(0, 256, (64, 3, height, width), dtype=torch.uint8)
    ours(small[:1])
    return {"8": temporary_bytes(ours, small), "64": temporary_bytes(ours, large)}


def summary(samples: list[float]) -> dict[str, float]:
    quartiles = statistics.quantiles(samples, n=4)
    return {
        "median_us": 1e6 * statistics.median(samples),
        "iqr_us": 1e6 * (quartiles[2] - quartiles[0]),
        "best_us": 1e6 * min(samples),
        "rounds": len(samples),
    }


def machine() -> dict[str, object]:
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text().splitlines() if "model name" in line]
        if (info.is_file())
        else []
    )
    return {
        "cpu": names[0].split(":")[1].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        **gandetect.show_config(),
    }


def run_case(name: str, threads: int, seconds: float) -> dict[str, object]:
    height, width = SIZES[name]
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(5)
    shape = (BATCH[name], 3, height, width)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        table = candidates(height, width)
        agreement = check_agreement(images, table)
        times = interleaved(images, table, seconds)
    ratios = {
        other: statistics.median(t / o for t, o in zip(samples, times["gandetect"], strict=True))
        for other, samples in times.items()
    }
    ratios["Durall's method in numpy"] = statistics.median(
        t / o
        for t, o in zip(times["Durall's method in numpy"], times["gandetect, durall"], strict=True)
    )
    return {
        "size": name,
        "threads": threads,
        "batch": BATCH[name],
        "results": {other: summary(samples) for other, samples in times.items()},
        "ratio_to_gandetect": ratios,
        "largest_difference": agreement,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--seconds", type=float, default=20, help="per size and thread count")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    report = {
        "machine": machine(),
        "memory_above_input_bytes": {"256": memory_growth(256, 256)},
        "cases": [],
    }
    for threads in arguments.threads:
        for name in arguments.sizes:
            case = run_case(name, threads, arguments.seconds)
            report["cases"].append(case)
            print(f"{name}², {threads} thread(s)")
            for other, ratio in case["ratio_to_gandetect"].items():
                median = case["results"][other]["median_us"]
                print(f"  {other:38s} {median:10.1f} us/image  {ratio:6.2f}x")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
