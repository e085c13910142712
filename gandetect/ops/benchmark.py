"""Times the compiled ops against their pure-torch references on the machine at hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import _ext
from .table import TABLE, Entry

SIZES = ((64, 64), (256, 256), (1024, 1024))
# Pixels of a batch: enough to hide the call, few enough to stay near the processor.
BATCH_PIXELS = 1 << 20
AGREEMENT = 2e-3
MIN_ROUNDS = 5


class Unavailable(RuntimeError):
    """There is nothing to measure: no compiled kernels, or not the device asked for."""


@dataclass(frozen=True)
class Timing:
    """Medians and interquartile ranges in microseconds per image; `ratio` over rounds."""

    op: str
    height: int
    width: int
    images: int
    microseconds: float
    spread: float
    reference_microseconds: float
    ratio: float
    difference: float


def measure(
    ops: Iterable[str] | None = None,
    sizes: Iterable[tuple[int, int]] = SIZES,
    *,
    device: str = "cpu",
    seconds: float = 1.0,
) -> Iterator[Timing]:
    """One Timing for each op (None: all) and size, after their results were compared.

    Rounds time the op and its reference in turn, for `seconds` in all. Raises Unavailable where
    there is nothing to measure, ValueError for an unknown op, RuntimeError where results differ.
    """
    names = list(TABLE) if ops is None else list(ops)
    for name in names:
        if name not in TABLE:
            raise ValueError(f"op {name!r} is unknown; choose from {', '.join(TABLE)}")
    check_available(device)
    for name in names:
        for height, width in sizes:
            yield _timing(TABLE[name], height, width, torch.device(device), seconds)


def check_available(device: str) -> None:
    """Raises Unavailable with the reason why `device` has no kernels to time."""
    if not _ext.available():
        raise Unavailable(f"the compiled kernels are missing: {_ext.missing_reason}")
    if torch.device(device).type == "cuda":
        if not torch.cuda.is_available():
            raise Unavailable("torch finds no CUDA GPU here")
        if not torch._C._dispatch_has_kernel_for_dispatch_key("gandetect::spectral_means", "CUDA"):
            raise Unavailable("gandetect was built without CUDA; install with GANDETECT_CUDA=1")


def _timing(entry: Entry, height: int, width: int, device: torch.device, seconds: float) -> Timing:
    images = max(1, BATCH_PIXELS // (height * width))
    arguments = entry.call(height, width, images, device)
    with torch.inference_mode():
        difference = _difference(entry, arguments)
        own, other = _interleaved(
            lambda: entry.op(*arguments), lambda: entry.reference(*arguments), device, seconds
        )
    quartiles = statistics.quantiles(own, n=4)
    scale = 1e6 / images
    return Timing(
        entry.name,
        height,
        width,
        images,
        scale * statistics.median(own),
        scale * (quartiles[2] - quartiles[0]),
        scale * statistics.median(other),
        statistics.median(b / a for a, b in zip(own, other, strict=True)),
        difference,
    )


def _difference(entry: Entry, arguments: tuple[Any, ...]) -> float:
    """Largest difference from the reference, beside its largest value."""
    actual, wanted = (_first(f(*arguments)) for f in (entry.op, entry.reference))
    difference = float((actual - wanted).abs().max() / wanted.abs().max())
    if not difference <= AGREEMENT:
        raise RuntimeError(f"{entry.name} is off by {difference:.2e}; nothing was timed")
    return difference


def _first(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) else result[0]


def _interleaved(
    own: Callable[[], Any], other: Callable[[], Any], device: torch.device, seconds: float
) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while len(times[0]) < MIN_ROUNDS or time.perf_counter() < end:
        for run, samples in zip((own, other), times, strict=True):
            _wait(device)
            start = time.perf_counter()
            run()
            _wait(device)
            samples.append(time.perf_counter() - start)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
