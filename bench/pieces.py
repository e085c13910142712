"""What an op of our own could gain at most, where the generative models compute with plain torch.

    python bench/pieces.py --json bench/results/pieces.json

Of an iteration of the `run` preset: every call of a piece is counted, with the shapes it has; then
a call of each shape is timed alone, forward and, where the iteration has one, backward, interleaved
with whole iterations. Their sum over the time of the iteration is the share of the piece: were it
free, the iteration would take 1 - share of its time. Second derivatives, which R1 and path lengths
take every few iterations, are left out of both.

Masked convolutions, which are most of a PixelCNN, are compared with what an op could spare besides:
the masked rows, left out of the kernel by hand.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from gans import BATCH, data_for
from measure import interleaved, parsed, ratio, ratio_interval, set_threads, summary, write
from torch import Tensor
from torch.nn import functional as F

from gandetect.gans import Trainer, modulation, preset
from gandetect.gans.masked import MaskedConv2d
from gandetect.gans.stylegan2 import StyleGAN2Config

# Shape and layout of the input, whether it has a gradient, and what is done to it.
Call = tuple[tuple[int, ...], torch.memory_format, bool, Callable[[Tensor], Tensor]]
# Largest difference of the two forms of a masked convolution.
LIMIT = 1e-4


class Calls:
    """The calls of a piece, counted by what their time depends on."""

    def __init__(self) -> None:
        self.number: Counter[Any] = Counter()
        self.example: dict[Any, Call] = {}

    def note(self, key: Any, x: Tensor, run: Callable[[Tensor], Tensor]) -> None:
        has_gradient = torch.is_grad_enabled() and x.requires_grad
        is_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if is_last else torch.contiguous_format
        key = (tuple(x.shape), layout, has_gradient, key)
        self.number[key] += 1
        self.example[key] = (tuple(x.shape), layout, has_gradient, run)

    def timed(self) -> Iterator[tuple[str, int, Callable[[], Any]]]:
        """(name, how often, a call) of each kind."""
        for number, (key, (shape, layout, has_gradient, run)) in enumerate(self.example.items()):
            x = torch.randn(shape).contiguous(memory_format=layout)
            x.requires_grad_(has_gradient)
            slope = torch.randn_like(run(x))

            def call(
                x: Tensor = x, slope: Tensor = slope, run: Callable[[Tensor], Tensor] = run
            ) -> None:
                y = run(x)
                if x.requires_grad:
                    torch.autograd.grad(y, x, slope)

            yield f"call {number}", self.number[key], call


@contextmanager
def filters(calls: Calls) -> Iterator[None]:
    """Count filters of each channel by itself: those of the FIR up-sampling and of the halving."""
    plain, skip = F.conv2d, modulation.fir_up

    def convolved(x: Tensor, weight: Tensor, *more: Any, **named: Any) -> Tensor:
        if named.get("groups", more[4] if len(more) > 4 else 1) > 1:
            fixed = weight.detach().clone()
            key = (tuple(weight.shape), str(more), str(named))
            calls.note(key, x, lambda one: plain(one, fixed, *more, **named))
        return plain(x, weight, *more, **named)

    def enlarged(x: Tensor) -> Tensor:
        calls.note("skip", x, skip)
        return skip(x)

    F.conv2d, modulation.fir_up = convolved, enlarged
    try:
        yield
    finally:
        F.conv2d, modulation.fir_up = plain, skip


def shares(name: str, seconds: float) -> dict[str, Any]:
    """What the filters of a model's training take."""
    config = replace(preset(name, "run"), batch=BATCH)
    if isinstance(config, StyleGAN2Config):
        config = replace(config, r1=0.0, path=0.0)
    trainer, calls = Trainer(name, config, data_for(name, config)), Calls()
    trainer.iterate()
    with filters(calls):
        trainer.iterate()
    timed = list(calls.timed())
    table = {"iteration": trainer.iterate, **{what: call for what, _, call in timed}}
    times = interleaved(table, seconds)
    pieces = [
        sum(times[what][i] * count for what, count, _ in timed)
        for i in range(len(times["iteration"]))
    ]
    return {
        "piece": "filters",
        "model": name,
        "calls": sum(count for _, count, _ in timed),
        "iteration": summary(times["iteration"], 1),
        "share": ratio(pieces, times["iteration"]),
        "interval": ratio_interval(pieces, times["iteration"]),
    }


def others(name: str, seconds: float) -> dict[str, Any]:
    """The largest filter of a model's training beside other ways to compute it with torch, forward
    and backward, in the layout that suits torch best."""
    channels = preset(name, "run").widths[-1]  # type: ignore[attr-defined]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    square = torch.outer(taps, taps).expand(channels, 1, 4, 4).contiguous()
    down, across = (taps.view(shape).expand(channels, 1, *shape) for shape in ((4, 1), (1, 4)))

    def depthwise(x: Tensor) -> Tensor:
        return F.conv2d(x, square, padding=1, groups=channels)

    def separable(x: Tensor) -> Tensor:
        y = F.conv2d(x, down.contiguous(), padding=(1, 0), groups=channels)
        return F.conv2d(y, across.contiguous(), padding=(0, 1), groups=channels)

    def sums(x: Tensor) -> Tensor:
        y = F.pad(x, (1, 1, 1, 1))
        for axis in (2, 3):
            a, b, c, d = (y.narrow(axis, i, y.shape[axis] - 3) for i in range(4))
            y = ((a + d) + 3 * (b + c)) / 8
        return y

    ways = {"depthwise": depthwise, "separable": separable, "sums": sums}
    side = preset(name, "run").size + 1
    x = torch.randn(BATCH, channels, side, side).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    slope = torch.randn_like(depthwise(x))
    error = max(
        float((found - wanted).detach().abs().max())
        for way in ways.values()
        for found, wanted in zip(both(way, x, slope), both(depthwise, x, slope), strict=True)
    )
    if error > LIMIT:
        raise SystemExit(f"filters differ by {error:.1e}, more than {LIMIT:.0e}")
    table = {
        who: lambda way=way: torch.autograd.grad(way(x), x, slope) for who, way in ways.items()
    }
    times = interleaved(table, seconds)
    rivals = [who for who in ways if who != "depthwise"]
    moved = 4 * x.numel() * x.element_size()
    return {
        "piece": "one filter",
        "model": name,
        "error": error,
        "depthwise": summary(times["depthwise"], 1),
        "over_depthwise": {who: ratio(times[who], times["depthwise"]) for who in rivals},
        "intervals": {who: ratio_interval(times[who], times["depthwise"]) for who in rivals},
        # Read and written once, forward and backward.
        "bytes": moved,
    }


def both(way: Callable[[Tensor], Tensor], x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """The result and its gradient."""
    y = way(x)
    return y, torch.autograd.grad(y, x, slope)[0]


def masked(name: str, seconds: float) -> dict[str, Any]:
    """Masked convolutions with their kernels whole, as they are, and without the masked rows."""
    config = replace(preset(name, "run"), batch=BATCH)
    trainer = Trainer(name, config, data_for(name, config))
    plain = MaskedConv2d.forward

    def cut(layer: MaskedConv2d, x: Tensor) -> Tensor:
        above, side = layer.padding
        weight = (layer.weight * layer.mask)[:, :, : above + 1]
        return F.conv2d(F.pad(x, (side, side, above, 0)), weight, layer.bias)

    def with_cut() -> None:
        MaskedConv2d.forward = cut  # type: ignore[method-assign,assignment]
        try:
            trainer.iterate()
        finally:
            MaskedConv2d.forward = plain  # type: ignore[method-assign]

    error = 0.0
    for layer in trainer.model.modules():
        if isinstance(layer, MaskedConv2d):
            x = torch.randn(2, layer.in_channels, config.size, config.size)
            error = max(error, float((cut(layer, x) - plain(layer, x)).detach().abs().max()))
    if error > LIMIT:
        raise SystemExit(f"{name}: the two forms differ by {error:.1e}, more than {LIMIT:.0e}")
    times = interleaved({"whole": trainer.iterate, "cut": with_cut}, seconds)
    return {
        "piece": "masked rows",
        "model": name,
        "error": error,
        "iteration": summary(times["whole"], 1),
        "whole_over_cut": ratio(times["whole"], times["cut"]),
        "interval": ratio_interval(times["whole"], times["cut"]),
    }


CASES = ((shares, "stylegan2"), (others, "stylegan2"), (masked, "pixelcnn"))


def main() -> int:
    arguments = parsed((__doc__ or "").splitlines()[0])
    set_threads(arguments.threads)
    found = []
    for measure_one, name in CASES:
        if arguments.only in name:
            found.append(measure_one(name, arguments.seconds))
            print(found[-1], file=sys.stderr, flush=True)
    write(found, arguments, LIMIT)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
