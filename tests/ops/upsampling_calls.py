"""Random calls of the public up-sampling functions, sensible and not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from upsampling_oracle import ACTIVATIONS, Call

Random = np.random.Generator
DTYPES = (torch.float32,) * 6 + (torch.float64,) * 2 + (torch.float16, torch.bfloat16)
MODES = ("nearest", "bilinear", "bicubic", "bed_of_nails")


def pick(random: Random, *choices: Any) -> Any:
    return choices[random.integers(len(choices))]


def maybe(random: Random, probability: float) -> bool:
    return bool(random.random() < probability)


def whole(random: Random, low: int, high: int) -> int:
    """low to high, both included."""
    return int(random.integers(low, high + 1))


def pair(random: Random, low: int, high: int) -> Any:
    """A number, or one for each axis, in any of the forms that torch takes."""
    a, b = whole(random, low, high), whole(random, low, high)
    return pick(random, a, a, (a, b), [a, b], (a,))


def two(random: Random, low: int, high: int) -> Any:
    """The same without the form of one number in a sequence."""
    a, b = whole(random, low, high), whole(random, low, high)
    return pick(random, a, (a, b), [a, b])


def normal(random: Random, *shape: int, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(random.standard_normal(shape)).to(dtype)


def relaid(t: Tensor, random: Random) -> Tensor:
    """The same shape (and mostly the same values) with strides that are anything torch can give."""
    layout = random.integers(9)
    if layout == 0:
        wide = torch.full([2 * side + 3 for side in t.shape], torch.nan).to(t.dtype)
        inner = wide[tuple(slice(2, 2 + 2 * side, 2) for side in t.shape)]
        return inner.copy_(t)
    if layout == 1:
        wide = torch.full([side + 2 for side in t.shape], torch.nan).to(t.dtype)
        inner = wide[tuple(slice(1, 1 + side) for side in t.shape)]
        return inner.copy_(t)
    if layout in (2, 3, 4):
        return t.contiguous(memory_format=torch.channels_last)
    if layout == 5:
        order = tuple(int(i) for i in random.permutation(4))
        return t.permute(order).contiguous().permute(tuple(int(i) for i in np.argsort(order)))
    if layout == 6 and t.numel():
        axis = int(random.integers(4))
        return t.narrow(axis, 0, 1).expand(t.shape)
    return t


def image(random: Random, channels: int, dtype: torch.dtype, largest: int = 9) -> Tensor:
    """(N, C, H, W), now and then (C, H, W)."""
    n = 0 if maybe(random, 0.04) else whole(random, 1, 3)
    sides = [whole(random, 1, largest) for _ in range(2)]
    x = relaid(normal(random, n, channels, *sides, dtype=dtype), random)
    return x[0] if n and maybe(random, 0.1) else x


def weight_of(random: Random, *shape: int, inputs: int, dtype: torch.dtype) -> Tensor:
    scale = (inputs * shape[2] * shape[3]) ** -0.5
    return relaid((normal(random, *shape, dtype=torch.float64) * scale).to(dtype), random)


def bias_of(random: Random, channels: int, dtype: torch.dtype) -> Tensor | None:
    if maybe(random, 0.03):
        channels += 1
    choice = random.integers(4)
    if choice == 0:
        return None
    if choice == 1:
        return normal(random, 2 * channels, dtype=dtype)[::2]
    if choice == 2:
        return normal(random, 1, dtype=dtype).expand(channels)
    return normal(random, channels, dtype=dtype)


def ending(random: Random) -> dict[str, Any]:
    activation = pick(random, *ACTIVATIONS)
    if activation == "leaky_relu":
        return {"activation": activation, "negative_slope": pick(random, 0.2, 0.01, 1.5, 0.0, -0.1)}
    return {"activation": activation} if maybe(random, 0.8) else {}


def bed_of_nails(random: Random, dtype: torch.dtype) -> Call:
    channels = whole(random, 1, 20)
    scale = two(random, 0 if maybe(random, 0.1) else 1, 4)
    bias = bias_of(random, channels, dtype)
    x = image(random, channels, dtype)
    return Call("bed_of_nails", (x, scale), {"bias": bias, **ending(random)})


def pixel_shuffle(random: Random, dtype: torch.dtype) -> Call:
    scale = whole(random, 0 if maybe(random, 0.1) else 1, 4)
    channels = whole(random, 1, 6) * scale**2 + int(maybe(random, 0.05))
    bias = bias_of(random, channels, dtype)
    x = image(random, max(channels, 1), dtype)
    return Call("pixel_shuffle", (x, scale), {"bias": bias, **ending(random)})


def conv_transpose2d(random: Random, dtype: torch.dtype) -> Call:
    groups = pick(random, 1, 1, 1, 1, 2, 3)
    fan = groups * whole(random, 1, 20 // groups)
    out = groups * whole(random, 1, 20 // groups)
    case = random.integers(8)
    if case <= 1:  # the layers of DCGAN
        kernel, options = (4, 4), {"stride": 2, "padding": 1}
        if maybe(random, 0.3):
            options["output_padding"] = two(random, 0, 1)
    elif case == 2:
        kernel, options = (4, 4), {}
    elif case == 3:
        k = pick(random, 3, 5)
        kernel, options = (k, k), {"stride": 2, "padding": k // 2, "output_padding": 1}
    else:
        k = whole(random, 1, 7)
        kernel = (k, whole(random, 1, 7)) if maybe(random, 0.5) else (k, k)
        options = {
            "stride": pair(random, 0 if maybe(random, 0.02) else 1, 4),
            "padding": pair(random, 0, min(kernel) // 2 + int(maybe(random, 0.1))),
        }
        if maybe(random, 0.3):
            options["output_padding"] = pair(random, 0, 2)
        if maybe(random, 0.3):
            options["dilation"] = pair(random, 1, 3)
    channels = fan + groups * int(maybe(random, 0.02))
    x = image(random, channels, dtype, 3 if case == 2 else 9)
    weight = weight_of(random, fan, out // groups, *kernel, inputs=fan // groups, dtype=dtype)
    arguments = (x, weight, bias_of(random, out, dtype))
    if groups != 1:
        options["groups"] = groups
    return Call("conv_transpose2d", arguments, {**options, **ending(random)})


def upsample_conv2d(random: Random, dtype: torch.dtype) -> Call:
    groups = pick(random, 1, 1, 1, 1, 2, 3)
    fan = groups * whole(random, 1, 20 // groups)
    out = groups * whole(random, 1, 20 // groups)
    mode = pick(random, *MODES)
    options: dict[str, Any] = {"mode": mode}
    channels = fan + groups * int(maybe(random, 0.02))
    x = image(random, channels, dtype)
    options |= targets(random, x, mode)
    if (mode in ("bilinear", "bicubic") and maybe(random, 0.6)) or maybe(random, 0.03):
        options["align_corners"] = pick(random, True, False, None)
    if maybe(random, 0.5):  # the layers of generators
        k = pick(random, 3, 3, 5)
        kernel = (k, k)
        options["padding"] = k // 2
    else:
        kernel = (whole(random, 1, 7), whole(random, 1, 7))
        options["padding"] = pick(random, pair(random, 0, 4), "same", "valid", 0)
        if maybe(random, 0.3):
            options["stride"] = pair(random, 0 if maybe(random, 0.05) else 1, 3)
        if maybe(random, 0.3):
            options["dilation"] = pair(random, 1, 3)
    weight = weight_of(random, out, fan // groups, *kernel, inputs=fan // groups, dtype=dtype)
    arguments = (x, weight, bias_of(random, out, dtype))
    if groups != 1:
        options["groups"] = groups
    return Call("upsample_conv2d", arguments, {**options, **ending(random)})


def targets(random: Random, x: Tensor, mode: str) -> dict[str, Any]:
    """A scale or a size, now and then one that is refused."""
    case = random.integers(10)
    a, b = (round(float(s), 2) for s in random.uniform(0.5, 3.6, 2))
    sizes = whole(random, 1, 17), whole(random, 1, 17)
    if case <= 2:
        return {"scale": 2} if case else {}
    if case == 3:
        return {"scale": whole(random, 1, 4)}
    if case == 4:
        return {"scale": (whole(random, 1, 3), float(whole(random, 1, 3)))}
    if mode == "bed_of_nails" and case in (5, 7, 8):
        down, right = whole(random, 1, 3), whole(random, 1, 3)
        return {"size": (down * x.shape[-2], right * x.shape[-1])}
    if case == 5:
        return {"scale": a}
    if case == 6:
        return {"scale": pick(random, (a, b), [a, b])}
    if case == 7:
        return {"size": sizes[0]}
    if case == 8 or maybe(random, 0.7):
        return {"size": pick(random, sizes, list(sizes))}
    return pick(
        random,
        {"size": sizes, "scale": a},
        {"scale": 0.01},
        {"scale": -1},
        {"size": 0},
        {"size": sizes[:1]},
        {"scale": (a, b, a)},
    )


def max_unpool2d(random: Random, dtype: torch.dtype) -> Call:
    channels = whole(random, 1, 20)
    kernel, stride = two(random, 1, 4), None
    options: dict[str, Any] = {}
    if maybe(random, 0.4):
        stride = two(random, 1, 4)
        options["stride"] = stride
    if maybe(random, 0.3):
        smallest = kernel if isinstance(kernel, int) else min(kernel)
        options["padding"] = whole(random, 0, smallest // 2)
    high = image(random, channels, dtype, 12)
    while min(high.shape[-2:]) < 4:
        high = image(random, channels, dtype, 12)
    padding = options.get("padding", 0)
    x, indices = F.max_pool2d(high.contiguous(), kernel, stride, padding, return_indices=True)
    if maybe(random, 0.5):
        options["output_size"] = pick(random, high.shape[-2:], list(high.shape[-2:]), high.shape)
    if x.dim() == 4:
        x, indices = relaid(x, random), relaid_alike(indices, random)
    options["bias"] = bias_of(random, channels, dtype)
    return Call("max_unpool2d", (x, indices, kernel), {**options, **ending(random)})


def relaid_alike(indices: Tensor, random: Random) -> Tensor:
    """Another layout, but the same values: others may lie outside."""
    return pick(
        random,
        indices,
        indices.contiguous(memory_format=torch.channels_last),
        indices.transpose(2, 3).contiguous().transpose(2, 3),
        indices.repeat(1, 1, 1, 2)[..., : indices.shape[3]],
    )


CALLS: dict[str, Callable[[Random, torch.dtype], Call]] = {
    "bed_of_nails": bed_of_nails,
    "pixel_shuffle": pixel_shuffle,
    "conv_transpose2d": conv_transpose2d,
    "upsample_conv2d": upsample_conv2d,
    "max_unpool2d": max_unpool2d,
}
