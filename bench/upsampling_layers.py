"""What is measured: layers of generators as a user writes them, and the same through our ops.

A layer has a `module` (batch normalization with fixed statistics), a `folded` one without the
normalization, and `ours`, which takes the folded weights. Folding happens here, outside any timing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gandetect import ops

SLOPE = 0.2
FLOAT = 4
Run = Callable[..., Tensor]


def activation_of(name: str) -> nn.Module:
    # In place, as the published generators have it and as eager torch is fastest.
    return {
        "relu": lambda: nn.ReLU(inplace=True),
        "leaky_relu": lambda: nn.LeakyReLU(SLOPE, inplace=True),
        "tanh": nn.Tanh,
    }[name]()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


class Layer:
    """`by_hand` names what else a user could write; a layer without weights has no `pack`."""

    name: str
    module: nn.Module
    folded: nn.Module
    has_layout = True
    has_weights = True

    def inputs(self, n: int) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def ours(self, *inputs: Tensor, packed: Any = None) -> Tensor:
        raise NotImplementedError

    def pack(self) -> Any:
        raise NotImplementedError

    def prepacked(self, n: int) -> Run | None:
        """The layer through oneDNN's prepacked weights and fused activation, channels_last."""
        return None

    def by_hand(self, n: int) -> dict[str, Run]:
        """More ways to write it, for NCHW input."""
        return {}

    def by_hand_channels_last(self, n: int) -> dict[str, Run]:
        return {}

    def gflop(self, n: int) -> float:
        """Of the plain method; 0 where nothing is multiplied."""
        return 0.0

    def traffic(self, n: int) -> int:
        """Bytes that any implementation reads and writes at least: inputs, weights, output."""
        inputs = self.inputs(n)
        with torch.inference_mode():
            output = self.folded(*inputs)
        read = [*inputs, *self.folded.parameters()]
        return sum(t.numel() * t.element_size() for t in (*read, output))

    def weight_bytes(self) -> int:
        return sum(FLOAT * p.numel() for p in self.folded.parameters())


# Through oneDNN as torch's own inductor calls it


def prepacked_transposed(conv: nn.ConvTranspose2d, activation: str, shape: tuple[int, ...]) -> Run:
    geometry = (conv.padding, conv.output_padding, conv.stride, conv.dilation, conv.groups)
    weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(
        conv.weight.detach(), *geometry, list(shape)
    )
    ending = (activation, [SLOPE] if activation == "leaky_relu" else [], "")
    bias, run = conv.bias, torch.ops.mkldnn._convolution_transpose_pointwise
    return lambda x: run(x, weight, bias, *geometry, *ending)


def prepacked_conv(conv: nn.Conv2d, activation: str, shape: tuple[int, ...]) -> Run:
    geometry = (conv.padding, conv.stride, conv.dilation, conv.groups)
    weight = torch.ops.mkldnn._reorder_convolution_weight(
        conv.weight.detach(), *geometry, list(shape)
    )
    ending = (activation, [SLOPE] if activation == "leaky_relu" else [], "")
    bias, run = conv.bias, torch.ops.mkldnn._convolution_pointwise
    return lambda x: run(x, weight, bias, *geometry, *ending)


# Transposed convolutions, one or a whole generator


@dataclass(frozen=True)
class Stage:
    """Transposed convolution, batch normalization or none, activation."""

    channels: int
    outputs: int
    side: int
    kernel: int = 4
    stride: int = 2
    padding: int = 1
    norm: bool = True
    activation: str = "relu"

    def conv(self) -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(
            self.channels, self.outputs, self.kernel, self.stride, self.padding, bias=False
        )

    @property
    def end(self) -> int:
        return (self.side - 1) * self.stride - 2 * self.padding + self.kernel

    def gflop(self) -> float:
        return 2e-9 * self.channels * self.outputs * (self.kernel * self.side) ** 2


def with_statistics(module: nn.Module, x: Tensor) -> nn.Module:
    """Normalized by what passes through it, so that no stage dies out or explodes."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
            nn.init.uniform_(norm.weight, 0.8, 1.2)
            nn.init.normal_(norm.bias, std=0.2)
    with torch.no_grad():
        module.train()(x)
    return module.eval()


def folded_of(module: nn.Sequential) -> nn.Sequential:
    """The same without batch normalization; folded in double."""
    parts: list[nn.Module] = []
    for part in copy.deepcopy(module).double():
        if isinstance(part, nn.BatchNorm2d):
            parts[-1] = fuse_conv_bn_eval(parts[-1], part, transpose=True)
        else:
            parts.append(part)
    return nn.Sequential(*parts).float().eval()


class Chain(Layer):
    """Stages in a row."""

    def __init__(self, name: str, *stages: Stage) -> None:
        torch.manual_seed(11)
        self.name, self.stages = name, stages
        parts: list[nn.Module] = []
        for stage in stages:
            parts.append(stage.conv())
            if stage.norm:
                parts.append(nn.BatchNorm2d(stage.outputs))
            parts.append(activation_of(stage.activation))
        self.module = with_statistics(nn.Sequential(*parts), self.inputs(16)[0])
        self.folded = folded_of(self.module)
        self.convs = [m for m in self.folded if isinstance(m, nn.ConvTranspose2d)]
        # An image of one pixel is in every layout at once, and a lone layer keeps to the plain one.
        self.has_layout = stages[0].side > 1 or len(stages) > 1

    def inputs(self, n: int) -> tuple[Tensor, ...]:
        first = self.stages[0]
        return (noise(n, first.channels, first.side, first.side),)

    def ours(self, *inputs: Tensor, packed: Any = None) -> Tensor:
        return self._chained(inputs[0], packed, as_is)

    def ours_channels_last(self, *inputs: Tensor, packed: Any = None) -> Tensor:
        # Only behind a first image of one pixel is there anything to do.
        return self._chained(inputs[0], packed, channels_last)

    def _chained(self, x: Tensor, packed: Any, arranged: Callable[[Tensor], Tensor]) -> Tensor:
        handles = packed or [None] * len(self.stages)
        for stage, conv, handle in zip(self.stages, self.convs, handles, strict=True):
            x = ops.conv_transpose2d(
                arranged(x),
                conv.weight,
                conv.bias,
                stride=stage.stride,
                padding=stage.padding,
                activation=stage.activation,
                packed=handle,
            )
        return x

    def pack(self) -> list[Tensor]:
        return [
            ops.pack_conv_transpose2d(conv.weight, stride=stage.stride, padding=stage.padding)
            for stage, conv in zip(self.stages, self.convs, strict=True)
        ]

    def prepacked(self, n: int) -> Run:
        return in_a_row([self._prepacked_stage(i, n) for i in range(len(self.stages))])

    def _prepacked_stage(self, i: int, n: int) -> Run:
        stage = self.stages[i]
        shape = (n, stage.channels, stage.side, stage.side)
        return prepacked_transposed(self.convs[i], stage.activation, shape)

    def by_hand(self, n: int) -> dict[str, Run]:
        first = self.stages[0]
        if first.side != 1 or first.padding:
            return {}
        table: dict[str, Run] = {"addmm": self._product()}
        if len(self.stages) > 1:
            rest = [self._prepacked_stage(i, n) for i in range(1, len(self.stages))]
            run = in_a_row([table.pop("addmm"), channels_last, *rest])
            table["addmm, then prepacked oneDNN"] = run
        return table

    def _product(self) -> Run:
        """Of one pixel per image every output is one product with the weight."""
        conv, outputs, kernel = self.convs[0], self.stages[0].outputs, self.stages[0].kernel
        matrix = conv.weight.detach().flatten(1)
        bias = conv.bias.detach().repeat_interleave(kernel**2)
        return lambda x: (
            torch.addmm(bias, x.flatten(1), matrix).relu_().view(-1, outputs, kernel, kernel)
        )

    def gflop(self, n: int) -> float:
        return n * sum(stage.gflop() for stage in self.stages)

    def traffic(self, n: int) -> int:
        """Of a chain also what passes between the stages, once written and once read."""
        between = sum(2 * stage.outputs * stage.end**2 for stage in self.stages[:-1])
        return super().traffic(n) + FLOAT * n * between


def as_is(x: Tensor) -> Tensor:
    return x


def in_a_row(runs: list[Run]) -> Run:
    def run(x: Tensor) -> Tensor:
        for each in runs:
            x = each(x)
        return x

    return run


# Up-sampling and convolution


class ZeroInsertion(nn.Module):
    """Bed of nails by a strided assignment."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        shape = (n, c, 2 * height, 2 * width)
        y = torch.empty(shape, dtype=x.dtype, memory_format=layout).zero_()
        y[:, :, ::2, ::2] = x
        return y


class Enlarged(Layer):
    """Up-sampling by 2, convolution, bias, activation."""

    def __init__(
        self, mode: str, channels: int, side: int, kernel: int = 3, activation: str = "leaky_relu"
    ) -> None:
        torch.manual_seed(13)
        self.mode, self.channels, self.side, self.kernel = mode, channels, side, kernel
        self.activation = activation
        label = mode.replace("_", " ")
        self.name = f"{label} x2 + conv{kernel}x{kernel}, {channels} at {side}x{side}"
        self.conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        nails = mode == "bed_of_nails"
        self.larger = ZeroInsertion() if nails else nn.Upsample(scale_factor=2, mode=mode)
        self.module = nn.Sequential(self.larger, self.conv, activation_of(activation)).eval()
        self.folded = self.module

    def inputs(self, n: int) -> tuple[Tensor, ...]:
        return (noise(n, self.channels, self.side, self.side),)

    def ours(self, *inputs: Tensor, packed: Any = None) -> Tensor:
        return ops.upsample_conv2d(
            inputs[0],
            self.conv.weight,
            self.conv.bias,
            mode=self.mode,
            padding=self.kernel // 2,
            activation=self.activation,
            negative_slope=SLOPE,
            packed=packed,
        )

    def pack(self) -> Tensor:
        return ops.pack_upsample_conv2d(self.conv.weight, mode=self.mode)

    def prepacked(self, n: int) -> Run:
        shape = (n, self.channels, 2 * self.side, 2 * self.side)
        return in_a_row([self.larger, prepacked_conv(self.conv, self.activation, shape)])

    def by_hand(self, n: int) -> dict[str, Run]:
        if self.mode != "bed_of_nails":
            return {}
        return {"conv_transpose2d by hand": self._rewritten()}

    def by_hand_channels_last(self, n: int) -> dict[str, Run]:
        if self.mode != "bed_of_nails":
            return {}
        rewritten = self._rewritten()
        shape = (n, self.channels, self.side, self.side)
        return {
            "conv_transpose2d by hand, channels_last": rewritten.to(
                memory_format=torch.channels_last
            ),
            "conv_transpose2d by hand, prepacked oneDNN": prepacked_transposed(
                rewritten[0], self.activation, shape
            ),
        }

    def _rewritten(self) -> nn.Sequential:
        """Zeros between and a convolution are a transposed convolution with the kernel turned."""
        turned = nn.ConvTranspose2d(
            self.channels,
            self.channels,
            self.kernel,
            stride=2,
            padding=self.kernel // 2,
            output_padding=1,
        )
        with torch.no_grad():
            turned.weight.copy_(self.conv.weight.flip(2, 3).transpose(0, 1))
            turned.bias.copy_(self.conv.bias)
        return nn.Sequential(turned, activation_of(self.activation)).eval()

    def gflop(self, n: int) -> float:
        return 2e-9 * n * (2 * self.side * self.channels * self.kernel) ** 2


# What moves memory and multiplies nothing


class Moving(Layer):
    """Yardsticks: a copy of as many bytes, and zeros of the output's size."""

    has_weights = False

    def yardsticks(self, n: int) -> dict[str, Callable[[], Any]]:
        source = torch.ones(self.traffic(n) // (2 * FLOAT))
        target = torch.ones_like(source)
        with torch.inference_mode():
            shape = self.module(*self.inputs(n)).shape
        return {
            "memcpy": lambda: target.copy_(source),
            "clone": source.clone,
            "torch.zeros": lambda: torch.zeros(shape),
        }


class Shuffled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.linspace(-1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.leaky_relu_(x + self.bias[:, None, None], SLOPE), 2)


class Shuffle(Moving):
    """Pixel shuffle by 2 of what a convolution without bias left, bias, leaky ReLU."""

    def __init__(self, channels: int = 64, side: int = 32) -> None:
        self.channels, self.side = channels, side
        self.name = f"pixel_shuffle r2 + bias + leaky ReLU, {channels} at {side}x{side}"
        self.module = self.folded = Shuffled(4 * channels).eval()

    def inputs(self, n: int) -> tuple[Tensor, ...]:
        return (noise(n, 4 * self.channels, self.side, self.side),)

    def ours(self, *inputs: Tensor, packed: Any = None) -> Tensor:
        return ops.pixel_shuffle(
            inputs[0], 2, bias=self.module.bias, activation="leaky_relu", negative_slope=SLOPE
        )


class Nails(Moving):
    """Bed of nails by 2 and nothing else."""

    def __init__(self, channels: int, side: int) -> None:
        self.channels, self.side = channels, side
        self.name = f"bed_of_nails x2, {channels} at {side}x{side}"
        self.module = self.folded = ZeroInsertion().eval()

    def inputs(self, n: int) -> tuple[Tensor, ...]:
        return (noise(n, self.channels, self.side, self.side),)

    def ours(self, *inputs: Tensor, packed: Any = None) -> Tensor:
        return ops.bed_of_nails(inputs[0], 2)


class Unpool(Moving):
    """The inverse of a 2x2 maximum, by the places that it gave."""

    def __init__(self, channels: int = 128, side: int = 16) -> None:
        self.channels, self.side = channels, side
        self.name = f"max_unpool2d k2, {channels} at {side}x{side}"
        self.module = self.folded = nn.MaxUnpool2d(2)
        self.module.eval()

    def inputs(self, n: int) -> tuple[Tensor, ...]:
        side = 2 * self.side
        return F.max_pool2d(noise(n, self.channels, side, side), 2, return_indices=True)

    def ours(self, *inputs: Tensor, packed: Any = None) -> Tensor:
        return ops.max_unpool2d(*inputs, 2)

    def by_hand(self, n: int) -> dict[str, Run]:
        shape = (n, self.channels, 4 * self.side**2)
        side = 2 * self.side

        def scattered(x: Tensor, places: Tensor) -> Tensor:
            y = torch.zeros(shape).scatter_(2, places.flatten(2), x.flatten(2))
            return y.view(*shape[:2], side, side)

        return {"zeros and scatter_": scattered}
