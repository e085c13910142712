"""The convolutions on CUDA: channels are mixed by torch's libraries, the rest by our kernels.

A transposed convolution is cuDNN's, and `bias_activation_` ends it in place. Up-sampling and a
convolution become one matrix product at the low resolution, for every tap of the kernel, and
`tap_gather_`, which interpolates, sums the taps and ends. Nothing here asks for a GPU: on the CPU
the same functions run over the references of those two ops, and so they are tested.

Precision is torch's: a matrix product is float32 unless
``torch.backends.cuda.matmul.allow_tf32`` says otherwise, cuDNN rounds to TF32 unless
``torch.backends.cudnn.allow_tf32`` is off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import upsampling_reference as reference
from ._ext import config, library
from .upsampling_reference import Activation, Mode, in_layout_of, is_channels_last

ops = torch.ops.gandetect

# Tap planes of this size stay in the L2 cache of a data-center GPU between product and gather.
CHUNK_BYTES = 32 << 20
# Of one image beyond this, the up-sampled image itself is the lesser evil.
MAX_IMAGE_BYTES = 1 << 30
# A window of the gather fits into shared memory for any kernel up to this width.
MAX_KERNEL_WIDTH = 64
CUBIC = -0.75  # torch's coefficient
DTYPES = (torch.float32, torch.float64)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    activation: int,
    slope: float,
    packed: Tensor | None,
) -> Tensor:
    if x.dtype not in DTYPES:
        return reference.conv_transpose2d(
            x, weight, bias, stride, padding, output_padding, dilation, activation, slope, packed
        )
    geometry = (stride, padding, dilation, True, output_padding, 1)
    y = in_layout_of(x, torch.ops.aten.convolution(x, weight, None, *geometry))
    if bias is not None or activation != Activation.NONE:
        ops.bias_activation_(y, bias, activation, slope)
    return y


def upsample_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    height: int,
    width: int,
    scale_height: float,
    scale_width: float,
    mode: int,
    align_corners: bool,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    activation: int,
    slope: float,
    packed: Tensor | None,
) -> Tensor:
    to = (height, width, scale_height, scale_width, mode, align_corners)
    geometry = (stride, padding, dilation)
    if pays(x, weight, height, width, *geometry):
        return tap_convolution(x, weight, bias, *to, *geometry, activation, slope)
    return reference.upsample_conv2d(x, weight, bias, *to, *geometry, activation, slope, packed)


def pays(
    x: Tensor,
    weight: Tensor,
    height: int,
    width: int,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> bool:
    """Whether the taps are fewer multiplications than the convolution of the up-sampled image."""
    if x.dtype not in DTYPES or weight.shape[3] > MAX_KERNEL_WIDTH:
        return False
    sides = _sides((height, width), weight, stride, padding, dilation)
    if not x.numel() or not weight.numel() or min(sides) < 1:
        return False  # torch knows what to say
    low = x.shape[2] * x.shape[3]
    image_bytes = weight[:, 0].numel() * low * x.element_size()
    return 2 * low <= sides[0] * sides[1] and image_bytes <= MAX_IMAGE_BYTES


def tap_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    height: int,
    width: int,
    scale_height: float,
    scale_width: float,
    mode: int,
    align_corners: bool,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    activation: int,
    slope: float,
) -> Tensor:
    """By products at the low resolution, in chunks of the batch."""
    n, _, low_height, low_width = x.shape
    channels, _, *kernel = weight.shape
    sides = ((low_height, low_width), (height, width), (scale_height, scale_width))
    convolution = (tuple(kernel), tuple(stride), tuple(padding), tuple(dilation))
    tables = tap_tables(*sides, mode, align_corners, *convolution, x.dtype, x.device)

    interleaved = is_channels_last(x)
    layout = torch.channels_last if interleaved else torch.contiguous_format
    shape = (n, channels, *_sides((height, width), weight, stride, padding, dilation))
    out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
    taps = weight.permute(2, 3, 0, 1).reshape(-1, weight.shape[1])  # (kH kW O, C)
    image_bytes = taps.shape[0] * low_height * low_width * x.element_size()
    chunk = max(1, CHUNK_BYTES // image_bytes)
    for first in range(0, n, chunk):
        part = slice(first, first + chunk)
        # Nothing keeps the planes of one chunk while those of the next are made.
        ops.tap_gather_(
            out[part],
            _tap_planes(x[part], taps, kernel, channels, interleaved),
            *tables,
            bias,
            activation,
            slope,
        )
    return out


def _tap_planes(
    images: Tensor, taps: Tensor, kernel: list[int], channels: int, interleaved: bool
) -> Tensor:
    """Z (N, kH, kW, O, H, W) of w[o, c, ty, tx] x[n, c, h, w], summed over c."""
    n, _, height, width = images.shape
    if interleaved:
        pixels = images.permute(0, 2, 3, 1).flatten(0, 2)
        z = torch.mm(pixels, taps.mT).view(n, height, width, *kernel, channels)
        return z.permute(0, 3, 4, 5, 1, 2)
    z = torch.bmm(taps.expand(n, -1, -1), images.flatten(2))
    return z.view(n, *kernel, channels, height, width)


def _sides(
    sides: tuple[int, int],
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> list[int]:
    parts = zip(sides, weight.shape[2:], stride, padding, dilation, strict=True)
    return [(side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in parts]


@lru_cache(maxsize=64)
def tap_tables(
    low: tuple[int, int],
    high: tuple[int, int],
    scales: tuple[float, float],
    mode: int,
    align_corners: bool,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Tensor, ...]:
    """What `tap_gather_` wants to know of rows and columns, on the device.

    Kept, because a copy to the device waits for it: the first call of a geometry does, and so that
    one cannot be captured into a graph.
    """
    is_copy = low == high
    axes = [
        axis_taps(
            interpolation(low[d], high[d], scales[d], mode, align_corners, is_copy),
            kernel[d],
            stride[d],
            padding[d],
            dilation[d],
        )
        for d in range(2)
    ]
    with torch.inference_mode(False):
        tensors = []
        for axis in axes:
            places = torch.from_numpy(np.stack([axis.taps, axis.sources]))
            tensors += [places.to(device), torch.from_numpy(axis.weights).to(device, dtype)]
        return *tensors, torch.from_numpy(axes[1].span(low[1])).to(device)


@dataclass(frozen=True)
class AxisTaps:
    """Each output of an axis as a list down its column: (tap, source, weight), tap -1 at its end.

    (L, n) arrays, int32 but for the weights.
    """

    taps: np.ndarray
    sources: np.ndarray
    weights: np.ndarray

    def span(self, size: int) -> np.ndarray:
        """(2, n): the least source of this output and those after it, the largest of those up to
        it: what a run of neighboring outputs reads lies between its ends' entries."""
        there = self.taps >= 0
        least = np.where(there, self.sources, size).min(0)
        largest = np.where(there, self.sources, -1).max(0)
        ends = np.minimum.accumulate(least[::-1])[::-1], np.maximum.accumulate(largest)
        return np.stack(ends).astype(np.int32)


def axis_taps(
    high: tuple[np.ndarray, np.ndarray], kernel: int, stride: int, padding: int, dilation: int
) -> AxisTaps:
    """Where the taps of a convolution fall in an up-sampled axis, and what stands there.

    high: sources and weights (S, m) of each of its m places, as `interpolation` gives them.
    """
    high_sources, high_weights = high
    m = high_sources.shape[1]
    outputs = (m + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    taps = np.repeat(np.arange(kernel), len(high_sources))[:, None]
    places = np.arange(outputs) * stride + taps * dilation - padding  # (kernel S, n)
    which = np.tile(np.arange(len(high_sources)), kernel)[:, None]
    inside = (places >= 0) & (places < m)
    places = np.where(inside, places, 0)
    sources = np.where(inside, high_sources[which, places], -1)
    order = np.argsort(sources < 0, axis=0, kind="stable")  # what is there comes first
    length = max(1, int((sources >= 0).sum(0).max(initial=0)))

    def sorted_first(values: np.ndarray) -> np.ndarray:
        everywhere = np.broadcast_to(values, sources.shape)
        return np.ascontiguousarray(np.take_along_axis(everywhere, order, 0)[:length])

    missing = sorted_first(sources) < 0
    return AxisTaps(
        np.where(missing, -1, sorted_first(taps)).astype(np.int32),
        np.where(missing, 0, sorted_first(sources)).astype(np.int32),
        np.where(missing, 0.0, sorted_first(high_weights[which, places])),
    )


def interpolation(
    low: int, high: int, scale: float, mode: int, align_corners: bool, is_copy: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Sources and weights (S, high) of each place of an axis; a source of -1 is none.

    As torch's CUDA kernels choose them, which copy an image that keeps its size, but in float64
    where they round to float32; but for nearest, where one rounding makes another pixel.
    """
    place = np.arange(high)
    if mode == Mode.BED_OF_NAILS:
        step = high // low
        sources = np.where(place % step == 0, place // step, -1)
        return sources[None], np.ones((1, high))
    if is_copy or (mode == Mode.NEAREST and low == high):
        return place[None], np.ones((1, high))
    if mode == Mode.NEAREST:
        ratio = np.float32(1 / scale) if scale > 0 else np.float32(low) / np.float32(high)
        at = np.floor(place.astype(np.float32) * ratio).astype(np.int64)
        return np.minimum(at, low - 1)[None], np.ones((1, high))
    if align_corners:
        at = place * ((low - 1) / (high - 1) if high > 1 else 0.0)
    else:
        at = (place + 0.5) * (1 / scale if scale > 0 else low / high) - 0.5
    if mode == Mode.BILINEAR:
        at = np.maximum(at, 0)
        first = np.minimum(np.floor(at), low - 1)
        t = at - first
        sources, weights = np.stack([first, first + 1]), np.stack([1 - t, t])
    else:
        first = np.floor(at)
        t = at - first
        sources = np.stack([first - 1, first, first + 1, first + 2])
        weights = np.stack([_cubic(t + 1), _cubic(t), _cubic(1 - t), _cubic(2 - t)])
    return _merged(np.clip(sources, 0, low - 1).astype(np.int64), weights)


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' kernel."""
    d, a = distance, CUBIC
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)


def _merged(sources: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sources that coincide at a border become one."""
    for later in range(1, len(sources)):
        for earlier in range(later):
            same = (sources[later] == sources[earlier]) & (sources[later] >= 0)
            weights[earlier] += np.where(same, weights[later], 0)
            sources[later] = np.where(same, -1, sources[later])
    return sources, weights


def register(registrar: Any, key: str) -> None:
    for function in (conv_transpose2d, upsample_conv2d):
        registrar.impl(function.__name__, function, key)


if config().get("cuda"):
    register(library, "CUDA")
