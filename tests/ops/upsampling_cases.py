"""Calls of the up-sampling ops for the property tests, and the adjoints of those that are linear.

Every way a kernel may take is met: 4x4 kernels of stride 2 (Winograd), 1x1 images, few output
channels, all else; channels that fill vectors and that do not; every mode and activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.ops.upsampling_reference import Activation, Mode

NONE, RELU, LEAKY, TANH, SIGMOID = (int(a) for a in Activation)
SHAPES = ((8, 8), (16, 12), (15, 15), (13, 9), (1, 32), (32, 1), (1, 1), (2, 3), (5, 13), (6, 7))

Samples = Iterator[tuple[Any, ...]]
Shapes = tuple[tuple[int, int], ...]
Shape = tuple[int, ...]


class Draw:
    """Tensors of one dtype that a seed fixes, whatever the dtype."""

    def __init__(self, seed: int, dtype: torch.dtype) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype = dtype

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def weight(self, *shape: int, inputs: int) -> Tensor:
        """So that results are of the size of the inputs."""
        kernel = shape[2] * shape[3]
        return self(*shape) / (inputs * kernel) ** 0.5

    def bias(self, channels: int, wanted: bool) -> Tensor | None:
        return self(channels) if wanted else None


# (channels, scale down, scale right, bias, activation)
NAILS = (
    (3, 2, 2, False, NONE),
    (1, 1, 3, True, RELU),
    (8, 2, 2, True, LEAKY),
    (5, 4, 1, False, NONE),
    (2, 2, 2, True, NONE),
    (17, 2, 2, True, TANH),
    (3, 3, 2, True, SIGMOID),
    (4, 2, 2, False, RELU),
    (1, 2, 2, False, NONE),
)


def nails_samples(dtype: torch.dtype, shapes: Shapes = SHAPES, n: int = 2) -> Samples:
    draw = Draw(20, dtype)
    for height, width in shapes:
        for c, down, right, bias, activation in NAILS:
            yield draw(n, c, height, width), down, right, draw.bias(c, bias), activation, 0.2


# (channels of the result, scale, bias, activation)
SHUFFLES = (
    (2, 2, False, NONE),
    (1, 3, True, RELU),
    (4, 2, True, LEAKY),
    (3, 1, True, NONE),
    (5, 2, False, NONE),
    (8, 2, True, TANH),
    (2, 4, True, SIGMOID),
    (9, 2, False, LEAKY),
)


def shuffle_samples(dtype: torch.dtype, shapes: Shapes = SHAPES, n: int = 2) -> Samples:
    draw = Draw(21, dtype)
    for height, width in shapes:
        for c, scale, bias, activation in SHUFFLES:
            wide = c * scale**2
            yield draw(n, wide, height, width), scale, draw.bias(wide, bias), activation, 0.2


# (in, out, kernel, stride, padding, output padding, dilation, bias, activation)
TRANSPOSED = (
    (2, 3, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), False, NONE),
    (8, 16, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), True, LEAKY),
    (17, 3, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), True, TANH),
    (5, 16, (4, 4), (1, 1), (0, 0), (0, 0), (1, 1), True, RELU),
    (2, 3, (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), False, NONE),
    (4, 2, (2, 2), (2, 2), (0, 0), (0, 0), (1, 1), False, NONE),
    (1, 9, (5, 3), (3, 2), (2, 1), (1, 1), (1, 1), True, SIGMOID),
    (3, 2, (3, 3), (1, 1), (1, 1), (0, 0), (2, 2), False, NONE),
    (2, 4, (1, 1), (2, 2), (0, 0), (1, 1), (1, 1), False, RELU),
    (3, 7, (7, 6), (4, 3), (0, 2), (0, 0), (1, 1), True, LEAKY),
    (16, 33, (4, 4), (2, 2), (1, 1), (1, 1), (1, 1), True, NONE),
    (3, 1, (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), False, NONE),
)


def transposed_samples(dtype: torch.dtype, shapes: Shapes = SHAPES, n: int = 2) -> Samples:
    draw = Draw(22, dtype)
    for height, width in shapes:
        for fan, out, kernel, stride, padding, extra, dilation, bias, activation in TRANSPOSED:
            geometry = (list(stride), list(padding), list(extra), list(dilation))
            # About four taps of a kernel of stride 2 meet in a result.
            weight = 2 * draw.weight(fan, out, *kernel, inputs=fan)
            x = draw(n, fan, height, width)
            yield x, weight, draw.bias(out, bias), *geometry, activation, 0.2, None


# (in, out, kernel, mode, align corners, scale or size, stride, padding, dilation, bias, activation)
UPSAMPLED = (
    (2, 3, (3, 3), Mode.NEAREST, False, (2.0, 2.0), (1, 1), (1, 1), (1, 1), False, NONE),
    (8, 16, (3, 3), Mode.NEAREST, False, (2.0, 2.0), (1, 1), (1, 1), (1, 1), True, LEAKY),
    (3, 2, (3, 3), Mode.BILINEAR, False, (2.0, 2.0), (1, 1), (1, 1), (1, 1), False, NONE),
    (2, 3, (5, 5), Mode.BICUBIC, False, (2.0, 2.0), (1, 1), (2, 2), (1, 1), False, NONE),
    (17, 5, (3, 3), Mode.BED_OF_NAILS, False, (2.0, 2.0), (1, 1), (1, 1), (1, 1), True, RELU),
    (2, 2, (5, 5), Mode.BED_OF_NAILS, False, (2.0, 2.0), (1, 1), (2, 2), (1, 1), False, NONE),
    (3, 4, (3, 1), Mode.BILINEAR, True, (2.5, 3.3), (1, 1), (1, 0), (1, 1), True, TANH),
    (1, 2, (1, 1), Mode.BICUBIC, True, (1.5, 2.0), (1, 1), (0, 0), (1, 1), True, SIGMOID),
    (2, 2, (3, 3), Mode.NEAREST, False, (11, 7), (2, 1), (1, 2), (1, 1), False, NONE),
    (2, 3, (2, 3), Mode.BILINEAR, False, (9, 13), (1, 2), (1, 1), (2, 1), False, NONE),
    (4, 3, (3, 3), Mode.BED_OF_NAILS, False, (3.0, 1.0), (1, 1), (2, 2), (2, 2), False, NONE),
    (3, 16, (4, 4), Mode.BICUBIC, False, (2.0, 2.0), (1, 1), (2, 2), (1, 1), True, RELU),
    (2, 3, (7, 7), Mode.NEAREST, False, (1.7, 2.0), (1, 1), (3, 3), (1, 1), False, NONE),
    (16, 1, (3, 3), Mode.BILINEAR, False, (2.0, 2.0), (1, 1), (1, 1), (1, 1), True, NONE),
)


def upsampled_samples(dtype: torch.dtype, shapes: Shapes = SHAPES, n: int = 2) -> Samples:
    draw = Draw(23, dtype)
    for height, width in shapes:
        for fan, out, kernel, mode, align, target, *geometry, bias, activation in UPSAMPLED:
            scales = target if isinstance(target[0], float) else (0.0, 0.0)
            sides = [
                int(side * scale) if scale else size
                for side, scale, size in zip((height, width), scales, target, strict=True)
            ]
            x, weight = draw(n, fan, height, width), draw.weight(out, fan, *kernel, inputs=fan)
            lists = [list(pair) for pair in geometry]
            settings = (*sides, *scales, int(mode), align, *lists, activation, 0.2, None)
            yield x, weight, draw.bias(out, bias), *settings


# (channels, kernel, bias, activation); windows that do not overlap, so that no place counts twice.
UNPOOLED = (
    (3, (2, 2), False, NONE),
    (1, (2, 3), True, RELU),
    (8, (2, 2), True, LEAKY),
    (5, (3, 1), False, NONE),
    (2, (2, 2), True, NONE),
    (17, (2, 2), True, TANH),
    (3, (1, 2), True, SIGMOID),
    (4, (2, 2), False, LEAKY),
)


def unpooled_samples(dtype: torch.dtype, shapes: Shapes = SHAPES, n: int = 2) -> Samples:
    draw = Draw(24, dtype)
    for height, width in shapes:
        for c, (down, right), bias, activation in UNPOOLED:
            high = draw(n, c, height * down, width * right)
            x, indices = F.max_pool2d(high, (down, right), return_indices=True)
            yield x, indices, *high.shape[2:], draw.bias(c, bias), activation, 0.2


# (channels, bias, activation)
ENDINGS = (
    (3, True, NONE),
    (1, True, RELU),
    (8, True, LEAKY),
    (5, False, TANH),
    (2, False, NONE),
    (17, True, TANH),
    (3, True, SIGMOID),
    (4, False, RELU),
)


def ending_samples(dtype: torch.dtype, shapes: Shapes = SHAPES, n: int = 2) -> Samples:
    draw = Draw(25, dtype)
    for height, width in shapes:
        for c, bias, activation in ENDINGS:
            yield draw(n, c, height, width), draw.bias(c, bias), activation, 0.2


# (channels of the result, of the gradient)
ENLARGED = ((3, 2), (1, 5), (17, 4), (33, 18), (2, 1), (9, 31))


def enlarged_samples(dtype: torch.dtype, shapes: Shapes = SHAPES, n: int = 2) -> Samples:
    draw = Draw(26, dtype)
    for height, width in shapes:
        for channels, enlarged in ENLARGED:
            weight = draw.weight(channels, enlarged, 4, 4, inputs=16 * enlarged)
            yield draw(n, enlarged, 2 * height, 2 * width), weight


SAMPLES: dict[str, Callable[..., Samples]] = {
    "bed_of_nails": nails_samples,
    "pixel_shuffle": shuffle_samples,
    "conv_transpose2d": transposed_samples,
    "upsample_conv2d": upsampled_samples,
    "max_unpool2d": unpooled_samples,
    "bias_activation": ending_samples,
    "conv_transpose2d_adjoint": enlarged_samples,
}
# The indices run over the batch as x does.
BATCHED = {"max_unpool2d": (1,)}


def interpolation_matrix(
    mode: Mode, side: int, size: int, scale: float, align: bool, dtype: torch.dtype
) -> Tensor:
    """(size, side): one axis of an interpolation, column by column through torch's own."""
    ones = torch.eye(side, dtype=dtype)[:, None, :, None].expand(-1, -1, -1, 1)
    if mode == Mode.BED_OF_NAILS:
        high = ones.new_zeros(side, 1, size, 1)
        high[:, :, :: size // side] = ones
    else:
        options = {} if mode == Mode.NEAREST else {"align_corners": align}
        if scale:
            options["scale_factor"] = (scale, 1.0)
        else:
            options["size"] = (size, 1)
        high = F.interpolate(ones, mode=mode.name.lower(), **options)
    return high[:, 0, :, 0].T


def _adjoint_of_nails(shape: Shape, y: Tensor, down: int, right: int, *_: Any) -> Tensor:
    return y[:, :, ::down, ::right]


def _adjoint_of_shuffle(shape: Shape, y: Tensor, scale: int, *_: Any) -> Tensor:
    return F.pixel_unshuffle(y, scale)


def _adjoint_of_transposed(shape: Shape, y: Tensor, weight: Tensor, *settings: Any) -> Tensor:
    _, stride, padding, _, dilation, *_ = settings
    return F.conv2d(y, weight, None, stride, padding, dilation)


def _adjoint_of_upsampled(shape: Shape, y: Tensor, weight: Tensor, *settings: Any) -> Tensor:
    _, height, width, down, right, mode, align, stride, padding, dilation, *_ = settings
    left_over = [
        size - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
        for size, out, s, p, d, k in zip(
            (height, width), y.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    high = F.conv_transpose2d(y, weight, None, stride, padding, left_over, dilation=tuple(dilation))
    rows = interpolation_matrix(Mode(mode), shape[2], height, down, align, y.dtype)
    columns = interpolation_matrix(Mode(mode), shape[3], width, right, align, y.dtype)
    return torch.einsum("yh,ncyx,xw->nchw", rows, high, columns)


def _adjoint_of_unpooled(shape: Shape, y: Tensor, indices: Tensor, *_: Any) -> Tensor:
    return y.flatten(2).gather(2, indices.flatten(2)).reshape(shape)


def _adjoint_of_adjoint(shape: Shape, y: Tensor, weight: Tensor) -> Tensor:
    return F.conv_transpose2d(y, weight, None, 2, 1)


def _adjoint_of_ending(shape: Shape, y: Tensor, *_: Any) -> Tensor:
    return y


# Of the linear calls: from the shape of x and a tensor of the result's shape. Written out with
# torch's functions, so that they prove the ops and not the gradients that the ops bring along.
ADJOINTS: dict[str, Callable[..., Tensor]] = {
    "bed_of_nails": _adjoint_of_nails,
    "pixel_shuffle": _adjoint_of_shuffle,
    "conv_transpose2d": _adjoint_of_transposed,
    "upsample_conv2d": _adjoint_of_upsampled,
    "max_unpool2d": _adjoint_of_unpooled,
    "bias_activation": _adjoint_of_ending,
    "conv_transpose2d_adjoint": _adjoint_of_adjoint,
}
# Where a call has its bias and its activation.
ENDS = {
    "bed_of_nails": (3, 4),
    "pixel_shuffle": (2, 3),
    "conv_transpose2d": (2, 7),
    "upsample_conv2d": (2, 12),
    "max_unpool2d": (4, 5),
    "bias_activation": (1, 2),
}


def is_linear(name: str, arguments: tuple[Any, ...]) -> bool:
    if name not in ENDS:
        return True
    bias, activation = (arguments[i] for i in ENDS[name])
    return bias is None and activation == NONE
