"""Times the compiled ops against their pure-torch references on the machine at hand."""

from __future__ import annotations

import contextlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import _ext
from .table import TABLE, Entry

SIZES = ((64, 64), (256, 256), (1024, 1024))
# The pure-torch references take some hundred bytes a pixel: 7 GB here.
MAX_SIDE = 8192
# Pixels of a batch: enough to hide the call and to fill a GPU, few enough to stay near a processor.
BATCH_PIXELS = {"cpu": 1 << 20, "cuda": 1 << 24}
# float32 against float32: what two transforms may differ by, and far less than a wrong bin would.
AGREEMENT = 1e-3
MIN_ROUNDS = 5


class Unavailable(RuntimeError):
    """There is nothing to measure: no compiled kernels, or not the device asked for."""


@dataclass(frozen=True)
class Timing:
    """Microseconds per image: medians over rounds, and `spread`, the op's interquartile range.

    ratio: median over the rounds of reference / op. difference: the largest one of any result,
    relative to it, or to the median result where it is smaller than that.
    """

    op: str
    height: int
    width: int
    images: int
    rounds: int
    microseconds: float
    spread: float
    reference_microseconds: float
    ratio: float
    difference: float


@dataclass(frozen=True)
class Failure:
    """An op that was not timed: it failed, or its results are not those of the reference."""

    op: str
    height: int
    width: int
    reason: str


def measure(
    ops: Iterable[str] | None = None,
    sizes: Iterable[tuple[int, int]] = SIZES,
    *,
    device: str = "cpu",
    seconds: float = 1.0,
) -> Iterator[Timing | Failure]:
    """One Timing for each op (None: all) and size, or the Failure of those that cannot have one.

    Results are compared first. Rounds then time the op and its reference in turn, for `seconds` in
    all. Raises ValueError for an unknown op, Unavailable where there is nothing to measure.
    """
    chosen = [_entry(name) for name in (TABLE if ops is None else dict.fromkeys(ops))]
    check_available(device)
    for entry in chosen:
        for height, width in sizes:
            try:
                yield _timing(entry, height, width, torch.device(device), seconds)
            except RuntimeError as error:
                yield Failure(entry.name, height, width, str(error))


def _entry(name: str) -> Entry:
    if name not in TABLE:
        raise ValueError(f"op {name!r} is unknown; choose from {', '.join(TABLE)}")
    return TABLE[name]


def check_available(device: str) -> None:
    """Raises Unavailable with the reason why `device` has no kernels to time."""
    if not _ext.available():
        raise Unavailable(f"the compiled kernels are missing: {_ext.missing_reason}")
    wanted = torch.device(device)
    if wanted.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise Unavailable(f"torch {torch.__version__} finds no CUDA GPU here")
    if (wanted.index or 0) >= torch.cuda.device_count():
        raise Unavailable(f"there is no {device}: torch finds {torch.cuda.device_count()} GPUs")
    if not torch._C._dispatch_has_kernel_for_dispatch_key("gandetect::spectral_means", "CUDA"):
        raise Unavailable("gandetect was built without CUDA; install it with GANDETECT_CUDA=1")


def device_name(device: str) -> str:
    """The processor or the GPU as its maker calls it."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names and names[0]) or platform.processor() or platform.machine()


def _timing(entry: Entry, height: int, width: int, device: torch.device, seconds: float) -> Timing:
    images = max(1, BATCH_PIXELS[device.type] // (height * width))
    arguments = entry.call(height, width, images, device)
    with torch.inference_mode(), _current(device):
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
        len(own),
        scale * statistics.median(own),
        scale * (quartiles[2] - quartiles[0]),
        scale * statistics.median(other),
        statistics.median(b / a for a, b in zip(own, other, strict=True)),
        difference,
    )


def _current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Events are recorded on the current device's stream."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _difference(entry: Entry, arguments: tuple[Any, ...]) -> float:
    results = (_outputs(f(*arguments)) for f in (entry.op, entry.reference))
    differences = [_distance(a, b) for a, b in zip(*results, strict=True) if b.numel()]
    for difference in differences:
        if not difference <= AGREEMENT:  # a NaN is none either
            raise RuntimeError(f"it differs from its reference by {difference:.1e} relative")
    return max(differences)


def _outputs(result: Any) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else tuple(result)


def _distance(actual: Tensor, wanted: Tensor) -> float:
    """See Timing.difference; a NaN on either side stays one."""
    a, b = actual.double(), wanted.double()
    scale = b.abs().maximum(b.abs().median()).clamp(min=1e-300)
    return float(((a - b).abs() / scale).max())


def _interleaved(
    own: Callable[[], Any], other: Callable[[], Any], device: torch.device, seconds: float
) -> tuple[list[float], list[float]]:
    timed = _seconds_on_gpu if device.type == "cuda" else _seconds
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while len(times[0]) < MIN_ROUNDS or time.perf_counter() < end:
        for run, samples in zip((own, other), times, strict=True):
            samples.append(timed(run))
    return times


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _seconds_on_gpu(run: Callable[[], Any]) -> float:
    """Between events on the stream itself, so that waking the host does not count."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3
