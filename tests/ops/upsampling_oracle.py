"""The public up-sampling functions once more, as anybody would write them with torch alone.

Shares no line with the package, so that it is an oracle of the functions, of their gradients and
of what they reject.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect import ops
from gandetect.ops import _ext

ACTIVATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "none": lambda y, slope: y,
    "relu": lambda y, slope: F.relu(y),
    "leaky_relu": F.leaky_relu,
    "tanh": lambda y, slope: torch.tanh(y),
    "sigmoid": lambda y, slope: torch.sigmoid(y),
}
# Largest error of the kernels over the largest value, as the documentation has it. Without them it
# is torch's own error: its interpolation finds places in float32, its sums run in longer chains.
PROMISED = 2e-6 if _ext.available() else 5e-6
# Relative to one plus the largest value: of two computations in this type.
TOLERANCE = {
    torch.float64: 1e-13,
    torch.float32: 5e-6,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}


def activated(y: Tensor, activation: str, slope: float) -> Tensor:
    return ACTIVATIONS[activation](y, slope)


def biased(y: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return y
    if bias.shape != (y.shape[1],):
        raise ValueError("bias")
    return y + bias[:, None, None]


def batched(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Takes (C, H, W) too, where torch's own functions differ in what they make of it."""

    @functools.wraps(function)
    def call(x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if x.dim() == 3:
            arguments = tuple(
                a[None] if isinstance(a, Tensor) and a.shape == x.shape else a for a in arguments
            )
            return function(x[None], *arguments, **options)[0]
        return function(x, *arguments, **options)

    return call


@batched
def bed_of_nails(
    x: Tensor,
    scale: Any = 2,
    *,
    bias: Tensor | None = None,
    activation: str = "none",
    negative_slope: float = 0.01,
) -> Tensor:
    down, right = scale if isinstance(scale, (tuple, list)) else (scale, scale)
    n, c, height, width = x.shape
    if min(down, right) < 1:
        raise ValueError("scale")
    y = x.new_zeros(n, c, down * height, right * width)
    y[:, :, ::down, ::right] = x
    return activated(biased(y, bias), activation, negative_slope)


@batched
def pixel_shuffle(
    x: Tensor,
    scale: int,
    *,
    bias: Tensor | None = None,
    activation: str = "none",
    negative_slope: float = 0.01,
) -> Tensor:
    return F.pixel_shuffle(activated(biased(x, bias), activation, negative_slope), scale)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: str = "none",
    negative_slope: float = 0.01,
    **geometry: Any,
) -> Tensor:
    return activated(F.conv_transpose2d(x, weight, bias, **geometry), activation, negative_slope)


@batched
def upsample_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    scale: Any = None,
    size: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    activation: str = "none",
    negative_slope: float = 0.01,
    **geometry: Any,
) -> Tensor:
    scale = 2 if scale is None and size is None else scale
    if mode == "bed_of_nails":
        high = bed_of_nails(x, whole_scales(x, scale, size))
        if align_corners is not None or (scale is not None and size is not None):
            raise ValueError("arguments of an interpolation")
    else:
        high = F.interpolate(x, size, scale, mode, align_corners)
    return activated(conv2d(high, weight, bias, **geometry), activation, negative_slope)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, **geometry: Any) -> Tensor:
    """torch's, whose bfloat16 ends the process on CPUs with AMX where no tap meets the image."""
    types = {one.dtype for one in (x, weight, bias) if one is not None}
    if types != {torch.bfloat16} or geometry.get("dilation", 1) == 1:
        return F.conv2d(x, weight, bias, **geometry)
    wide = None if bias is None else bias.float()
    return F.conv2d(x.float(), weight.float(), wide, **geometry).to(x.dtype)


def whole_scales(x: Tensor, scale: Any, size: Any) -> tuple[int, int]:
    pair = scale if size is None else size
    pair = pair if isinstance(pair, (tuple, list)) else (pair, pair)
    if size is not None:
        pair = [target / side for target, side in zip(pair, x.shape[2:], strict=True)]
    if any(s != int(s) for s in pair):
        raise ValueError("scales must be whole")
    return int(pair[0]), int(pair[1])


@batched
def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel_size: Any,
    *,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    bias: Tensor | None = None,
    activation: str = "none",
    negative_slope: float = 0.01,
) -> Tensor:
    # torch's own gradient takes no other layout of the indices.
    indices = indices.contiguous()
    y = F.max_unpool2d(x, indices, kernel_size, stride, padding, output_size)
    return activated(biased(y, bias), activation, negative_slope)


ORACLES = {
    f.__name__: f
    for f in (bed_of_nails, pixel_shuffle, conv_transpose2d, upsample_conv2d, max_unpool2d)
}


@dataclass(frozen=True)
class Call:
    """One of a public function, which can say what it is in one line."""

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def x(self) -> Tensor:
        return self.arguments[0]

    def __str__(self) -> str:
        given = [*map(shown, self.arguments), *(f"{k}={shown(v)}" for k, v in self.options.items())]
        return f"{self.name}({', '.join(given)})"

    def with_tensors(self, change: Callable[[Tensor], Tensor]) -> Call:
        """The same with every tensor changed."""

        def changed(a: Any) -> Any:
            return change(a) if isinstance(a, Tensor) else a

        options = {name: changed(value) for name, value in self.options.items()}
        return Call(self.name, tuple(map(changed, self.arguments)), options)

    def tensors(self) -> list[Tensor]:
        """The floating ones: x, the weight, the bias."""
        everything = (*self.arguments, *self.options.values())
        return [a for a in everything if isinstance(a, Tensor) and a.is_floating_point()]

    def ours(self) -> Tensor:
        return getattr(ops, self.name)(*self.arguments, **self.options)

    def torchs(self) -> Tensor:
        return ORACLES[self.name](*self.arguments, **self.options)


def shown(a: Any) -> str:
    if isinstance(a, Tensor):
        return f"{str(a.dtype)[6:]}{list(a.shape)} strides {list(a.stride())}"
    return repr(a)


def assert_agree(
    actual: Tensor, wanted: Tensor, tolerance: float, what: object, scale: float | None = None
) -> None:
    """|actual - wanted| <= tolerance * scale, by default one plus the largest value."""
    assert actual.shape == wanted.shape, f"{what}: {actual.shape}, wanted {wanted.shape}"
    if not wanted.numel():
        return
    a, w = actual.detach().double(), wanted.detach().double()
    if scale is None:
        scale = 1 + float(w.abs().max())
    error = (a - w).abs() / max(scale, 1e-300)
    worst = int(error.nan_to_num(torch.inf).argmax())
    place = [int(i) for i in torch.unravel_index(torch.tensor(worst), w.shape)]
    assert bool((error <= tolerance).all()), (
        f"{what}: at {place} is {a.flatten()[worst]:.9g}, wanted {w.flatten()[worst]:.9g}; "
        f"error {error.flatten()[worst]:.3g} > {tolerance}, "
        f"{float((~(error <= tolerance)).double().mean()):.1%} of the elements are off"
    )


def error_of(actual: Tensor, wanted: Tensor) -> float:
    """Largest |error| over largest |value|: what the documentation promises."""
    error = (actual.double() - wanted.double()).abs().max()
    return float(error / wanted.double().abs().max().clamp(min=1e-300))
