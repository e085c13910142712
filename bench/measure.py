"""Timing, memory and the machine, for every benchmark."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch

import gandetect

HERE = Path(__file__).resolve().parent
# glibc gives large blocks back to the system at once, and every batch then pays for fresh pages.
WARM_ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "MALLOC_TOP_PAD_": str(1 << 26),
}


def interleaved(
    table: Mapping[str, Callable[[], Any]], seconds: float, rounds: int = 7
) -> dict[str, list[float]]:
    """Wall seconds of each candidate; every round times each of them once, in an order of its own:
    who comes after a peer that fills the caches pays for it."""
    times: dict[str, list[float]] = {name: [] for name in table}
    for run in table.values():
        run()
    order, shuffler = list(table), random.Random(3)
    end = time.perf_counter() + seconds
    done = 0
    while done < rounds or time.perf_counter() < end:
        shuffler.shuffle(order)
        for name in order:
            start = time.perf_counter()
            table[name]()
            times[name].append(time.perf_counter() - start)
        done += 1
    return times


def summary(samples: list[float], images: int) -> dict[str, float]:
    quartiles = statistics.quantiles(samples, n=4)
    return {
        "median_us": 1e6 * statistics.median(samples) / images,
        "iqr_us": 1e6 * (quartiles[2] - quartiles[0]) / images,
        "best_us": 1e6 * min(samples) / images,
        "rounds": len(samples),
    }


def ratio(samples: list[float], ours: list[float]) -> float:
    """Median over rounds, so that what disturbs a round disturbs both."""
    return statistics.median(a / b for a, b in zip(samples, ours, strict=True))


def ratio_interval(samples: list[float], ours: list[float]) -> list[float]:
    """The 95 % interval of `ratio`, from the order of the rounds' ratios: of n independent ones the
    median lies between the k-th smallest and the k-th largest, k from the binomial of n and 1/2."""
    ratios = sorted(a / b for a, b in zip(samples, ours, strict=True))
    n, below, k = len(ratios), 0.0, 0
    while k < n // 2 and below + math.comb(n, k) / 2**n <= 0.025:
        below += math.comb(n, k) / 2**n
        k += 1
    first = max(k - 1, 0)
    return [ratios[first], ratios[-1 - first]]


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    models = [
        ", family {}, model {}".format(*(line.split(":")[1].strip() for line in pair))
        for pair in [[x for x in lines if x.startswith(("cpu family", "model\t"))][:2]]
        if len(pair) == 2
    ]
    return {
        "cpu": (names[0] if names else platform.processor()) + "".join(models),
        "cores": os.cpu_count(),
        "date": date.today().isoformat(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **gandetect.show_config(),
        **peaks(),
    }


def peaks() -> dict[str, float]:
    """Multiply-add and read rates of one core, or nothing where there is no compiler."""
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "peaks")
        flags = ["-std=c++17", "-O3", "-march=native", "-mprefer-vector-width=512"]
        if platform.machine() != "x86_64":
            flags = flags[:-1]
        subprocess.run([compiler, *flags, HERE / "peaks.cpp", "-o", program], check=True)
        said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    gflops, bandwidth = map(float, said.split())
    return {"peak_gflops": gflops, "read_gb_per_s": bandwidth}


def peak_growth(run: Callable[[], Any]) -> int:
    """Bytes by which the resident set rises at most above where it stands, while `run` runs."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmHWM")
    kept = run()
    grown = _status("VmHWM") - before
    del kept
    return grown


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def set_threads(count: int) -> None:
    torch.set_num_threads(count)
    try:
        import numba
    except ImportError:
        return
    numba.set_num_threads(count)


def parsed(description: str) -> argparse.Namespace:
    """The options of a benchmark of cases that are timed one after the other."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each case")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="part of the names of the cases to time")
    return parser.parse_args()


def write(cases: list[dict[str, Any]], arguments: argparse.Namespace, limit: float) -> None:
    """The figures, as the options have it; `limit`: what results may differ by."""
    report = {"machine": machine(), "threads": arguments.threads, "limit": limit, "cases": cases}
    text = json.dumps(report, indent=1)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    else:
        print(text)
