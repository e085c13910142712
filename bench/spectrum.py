"""spectral_profile against what a user would write instead, interleaved in one run.

    python bench/spectrum.py --json bench/results/spectrum.json

Agreement is checked before anything is timed. Peers run with an allocator that keeps its pages
(the process starts itself again with that setting); what the naive one costs without is measured
apart. Memory is measured in fresh processes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import (
    WARM_ALLOCATOR,
    interleaved,
    machine,
    peak_growth,
    ratio,
    set_threads,
    summary,
)
from peers import (
    Bins,
    GrayAndFft,
    IndexAdd,
    Naive,
    Peer,
    candidates,
    compiled,
    gray_of,
    largest_differences,
    ours,
    power_of,
)
from torch import Tensor

from gandetect import ops

SIZES = {
    "64²": (64, 64),
    "224²": (224, 224),
    "256²": (256, 256),
    "512²": (512, 512),
    "1024²": (1024, 1024),
    "1080x1920": (1080, 1920),
}
# Images per call: enough to hide the call, small enough for the peers' temporaries to stay warm.
BATCH = {"64²": 64, "224²": 16, "256²": 16, "512²": 8, "1024²": 4, "1080x1920": 2}
MEMORY_IMAGES = (8, 64)


def images_of(size: str, channels: int, count: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    shape = (count or BATCH[size], channels, *SIZES[size])
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def bound(run: Peer, images: Tensor) -> Callable[[], Tensor]:
    return lambda: run(images)


def forward_case(size: str, channels: int, threads: int, seconds: float) -> dict[str, Any]:
    height, width = SIZES[size]
    set_threads(threads)
    images = images_of(size, channels)
    with torch.inference_mode():
        table = candidates(height, width, compile_too=True)
        agreement = largest_differences(images, table)
        table["torch gray + rfft2, no bins"] = GrayAndFft(height, width)
        table["gandetect, all projections"] = lambda x: ops.spectral_profile(
            x, projections=("azimuthal", "rows", "columns")
        )[0]
        runs = {name: bound(run, images) for name, run in table.items()}
        if channels == 3:
            interleaved_pixels = images.contiguous(memory_format=torch.channels_last)
            runs["gandetect, interleaved pixels"] = bound(ours, interleaved_pixels)
        times = interleaved(runs, seconds)
    of_ours = times["gandetect"]
    ratios = {name: ratio(samples, of_ours) for name, samples in times.items()}
    ratios["Durall's method in numpy"] = ratio(
        times["Durall's method in numpy"], times["gandetect, durall"]
    )
    pixels = height * width
    median = summary(of_ours, len(images))["median_us"]
    return {
        "size": size,
        "channels": channels,
        "threads": threads,
        "batch": len(images),
        "results": {name: summary(samples, len(images)) for name, samples in times.items()},
        "ratio_to_gandetect": ratios,
        "largest_difference": agreement,
        "ns_per_pixel": 1e3 * median / pixels,
        "gflops": 2.5 * pixels * math.log2(pixels) / median / 1e3,
        "gb_per_s_of_pixels": channels * pixels / median / 1e3,
    }


class LogLoss:
    """A loss on log profiles, as spectral regularizers use it."""

    def __init__(self, size: str, profile: Callable[[Tensor], Tensor], images: Tensor) -> None:
        self.profile, self.images = profile, images

    def __call__(self) -> Tensor:
        self.images.grad = None
        self.profile(self.images).square().mean().backward()
        assert self.images.grad is not None
        return self.images.grad


class LogBins(Bins):
    """The log profile of rfft2 + index_add, for autograd."""

    def profiles(self, images: Tensor) -> Tensor:
        values = 10 * torch.log(power_of(gray_of(images)) + 1e-16) * self.weights
        sums = values.new_zeros(values.shape[0], self.inverse.numel())
        return sums.index_add(1, self.index, values) * self.inverse


def losses(size: str, channels: int, compile_too: bool) -> dict[str, LogLoss]:
    images = images_of(size, channels).float().requires_grad_()
    eager = LogBins(*SIZES[size])
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "gandetect": lambda x: ops.spectral_profile(x, value="log"),
        "torch autograd of rfft2 + index_add": eager.profiles,
        "the same, chunked": eager,
    }
    if compile_too:
        table["torch.compile of it"] = compiled(eager)
    return {name: LogLoss(size, profile, images) for name, profile in table.items()}


def backward_case(size: str, channels: int, threads: int, seconds: float) -> dict[str, Any]:
    set_threads(threads)
    runs = losses(size, channels, compile_too=True)
    wanted = runs["gandetect"]().clone()
    differences = {
        name: float((run() - wanted).norm() / wanted.norm()) for name, run in runs.items()
    }
    # Coefficients that cancel have steep logarithms: rounding shows there, in every candidate.
    if max(differences.values()) > 2e-2:
        raise SystemExit(f"gradients differ: {differences}; nothing was timed")
    times = interleaved(runs, seconds)
    return {
        "size": size,
        "channels": channels,
        "threads": threads,
        "results": {name: summary(samples, BATCH[size]) for name, samples in times.items()},
        "ratio_to_gandetect": {
            name: ratio(samples, times["gandetect"]) for name, samples in times.items()
        },
        "largest_difference": differences,
    }


# Memory: each in a process of its own, that prints bytes.


def memory_forward(name: str, size: str, count: int) -> int:
    set_threads(1)
    run: Peer = {
        "gandetect": ours,
        "torch rfft2 + index_add, chunked": IndexAdd(*SIZES[size]),
        "torch fft2 + shift + index_add": Naive(*SIZES[size]),
    }[name]
    images = images_of(size, 3, count)
    with torch.inference_mode():
        run(images[:1])
        return peak_growth(lambda: run(images))


def memory_backward(name: str, size: str) -> int:
    set_threads(1)
    run = losses(size, 1, compile_too=False)[name]
    small = run.images
    run.images = small.detach()[:1].clone().requires_grad_()
    run()
    run.images = small
    return peak_growth(run)


def in_fresh_process(*arguments: str) -> int:
    command = [sys.executable, __file__, "--memory", *arguments]
    environment = {k: v for k, v in os.environ.items() if k not in WARM_ALLOCATOR}
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(said.stdout.split()[-1])


def memory() -> dict[str, Any]:
    forward = {
        name: {
            str(count): in_fresh_process("forward", name, "256²", str(count))
            for count in MEMORY_IMAGES
        }
        for name in (
            "gandetect",
            "torch rfft2 + index_add, chunked",
            "torch fft2 + shift + index_add",
        )
    }
    backward = {
        name: in_fresh_process("backward", name, "256²", "0")
        for name in ("gandetect", "torch autograd of rfft2 + index_add", "the same, chunked")
    }
    return {"size": "256²", "forward_bytes": forward, "backward_bytes": backward}


def default_allocator(seconds: float) -> dict[str, float]:
    """How many times slower the naive peer is where every batch pays for fresh pages."""
    environment = {k: v for k, v in os.environ.items() if k not in WARM_ALLOCATOR}
    command = [sys.executable, __file__, "--naive", "--seconds", str(seconds)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(said.stdout.splitlines()[-1])


def naive_ratios(seconds: float) -> dict[str, float]:
    set_threads(1)
    ratios = {}
    with torch.inference_mode():
        for size in SIZES:
            images = images_of(size, 3)
            runs = {"ours": bound(ours, images), "naive": bound(Naive(*SIZES[size]), images)}
            times = interleaved(runs, seconds / 4)
            ratios[size] = ratio(times["naive"], times["ours"])
    return ratios


def say(case: dict[str, Any]) -> None:
    print(f"{case['size']}, {case['channels']} channel(s), {case['threads']} thread(s)")
    for name, times in case["results"].items():
        median, how = times["median_us"], case["ratio_to_gandetect"][name]
        print(f"  {name:40s} {median:10.1f} us/image  {how:6.2f}x", flush=True)


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    set_threads(1)
    report: dict[str, Any] = {"machine": machine(), "cases": [], "backward": []}
    for threads in arguments.threads:
        for channels in arguments.channels:
            for size in arguments.sizes:
                report["cases"].append(forward_case(size, channels, threads, arguments.seconds))
                say(report["cases"][-1])
    for channels in arguments.channels:
        for size in arguments.sizes:
            report["backward"].append(backward_case(size, channels, 1, arguments.seconds))
            say(report["backward"][-1])
    report["default_allocator"] = default_allocator(arguments.seconds)
    report["memory"] = memory()
    return report


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--channels", nargs="+", type=int, default=[3, 1], choices=[1, 3])
    parser.add_argument("--seconds", type=float, default=4, help="of timing per case")
    parser.add_argument("--memory", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--naive", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    if arguments.memory:
        kind, name, size, count = arguments.memory
        grown = memory_backward(name, size) if kind == "backward" else None
        print(grown if grown is not None else memory_forward(name, size, int(count)))
        return
    if arguments.naive:
        print(json.dumps(naive_ratios(arguments.seconds)))
        return
    if any(name not in os.environ for name in WARM_ALLOCATOR):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WARM_ALLOCATOR})
    report = measure_all(arguments)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
