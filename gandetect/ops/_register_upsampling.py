"""What each up-sampling op needs beside its kernels: reference, fake kernel, gradient, vmap.

Gradients are composed of torch's differentiable operations, so every order follows. Of the
activation only its output is kept, and of an interpolation only its low-resolution input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from . import _upsampling_cuda  # noqa: F401  (registers the convolutions on CUDA)
from . import upsampling_reference as reference
from ._ext import available, library
from .upsampling_reference import Activation, Mode, activation_gradient, is_channels_last

ops = torch.ops.gandetect
aten = torch.ops.aten

# As csrc/upsample/ops_cpu.cpp has them.
_THIN_CHANNELS = 8
_WINOGRAD_TILES = 16

NAMES = (
    "bed_of_nails",
    "pixel_shuffle",
    "conv_transpose2d",
    "upsample_conv2d",
    "max_unpool2d",
    "bias_activation",
    "conv_transpose2d_adjoint",
    "pack_conv_transpose2d",
    "pack_upsample_conv2d",
    "bias_activation_",
    "tap_gather_",
)
for _name in NAMES:
    library.impl(_name, getattr(reference, _name), "CompositeExplicitAutograd")


# Shapes


def _empty(x: Tensor, shape: tuple[Any, ...]) -> Tensor:
    layout = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)


@torch.library.register_fake("gandetect::bed_of_nails", lib=library)
def _fake_nails(x: Tensor, scale_height: int, scale_width: int, *_: Any) -> Tensor:
    n, c, height, width = x.shape
    return _empty(x, (n, c, scale_height * height, scale_width * width))


@torch.library.register_fake("gandetect::pixel_shuffle", lib=library)
def _fake_shuffle(x: Tensor, scale: int, *_: Any) -> Tensor:
    n, c, height, width = x.shape
    return _empty(x, (n, c // scale**2, scale * height, scale * width))


@torch.library.register_fake("gandetect::conv_transpose2d", lib=library)
def _fake_conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    output_padding: list[int],
    dilation: list[int],
    *_: Any,
) -> Tensor:
    sides = [
        (side - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for side, s, p, d, k, extra in zip(
            x.shape[2:], stride, padding, dilation, weight.shape[2:], output_padding, strict=True
        )
    ]
    return _empty(x, (x.shape[0], weight.shape[1], *sides))


@torch.library.register_fake("gandetect::upsample_conv2d", lib=library)
def _fake_upsample_conv2d(
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
    *_: Any,
) -> Tensor:
    sides = [
        (side + 2 * p - d * (k - 1) - 1) // s + 1
        for side, s, p, d, k in zip(
            (height, width), stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    return _empty(x, (x.shape[0], weight.shape[0], *sides))


@torch.library.register_fake("gandetect::max_unpool2d", lib=library)
def _fake_unpool(x: Tensor, indices: Tensor, height: int, width: int, *_: Any) -> Tensor:
    return _empty(x, (*x.shape[:2], height, width))


@torch.library.register_fake("gandetect::bias_activation", lib=library)
def _fake_bias_activation(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


@torch.library.register_fake("gandetect::conv_transpose2d_adjoint", lib=library)
def _fake_adjoint(gradient: Tensor, weight: Tensor) -> Tensor:
    n, _, height, width = gradient.shape
    return _empty(gradient, (n, weight.shape[0], height // 2, width // 2))


def _fake_pack(weight: Tensor, *_: Any) -> Tensor:
    size = torch.library.get_ctx().new_dynamic_size()
    return torch.empty(size, dtype=torch.uint8, device=weight.device)


for _name in ("pack_conv_transpose2d", "pack_upsample_conv2d"):
    torch.library.register_fake(f"gandetect::{_name}", _fake_pack, lib=library)


def _fake_in_place(*_: Any) -> None:
    pass


for _name in ("bias_activation_", "tap_gather_"):
    torch.library.register_fake(f"gandetect::{_name}", _fake_in_place, lib=library)


# Gradients
#
# Every op keeps (tensors for its own gradient, and its output where an activation needs that).


def _keep(ctx: Any, tensors: tuple[Any, ...], output: Tensor, activation: int) -> None:
    ctx.activation = activation
    ctx.save_for_backward(*tensors, None if activation == Activation.NONE else output)


def _before_activation(ctx: Any, gradient: Tensor, output: Tensor | None) -> Tensor:
    if output is None:
        return gradient
    return activation_gradient(gradient, output, ctx.activation, ctx.slope)


def _of_bias(ctx: Any, position: int, gradient: Tensor) -> Tensor | None:
    return gradient.sum((0, 2, 3)) if ctx.needs_input_grad[position] else None


def _save_nails(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *ctx.scales, _, activation, ctx.slope = inputs
    _keep(ctx, (), output, activation)


def _nails_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    gradient = _before_activation(ctx, gradient, *ctx.saved_tensors)
    down, right = ctx.scales
    picked = gradient[:, :, ::down, ::right].contiguous()
    return picked, None, None, _of_bias(ctx, 3, gradient), None, None


def _save_shuffle(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, ctx.scale, _, activation, ctx.slope = inputs
    _keep(ctx, (), output, activation)


def _shuffle_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    gradient = _before_activation(ctx, gradient, *ctx.saved_tensors)
    gradient = F.pixel_unshuffle(gradient, ctx.scale)
    return gradient, None, _of_bias(ctx, 2, gradient), None, None


def _save_conv_transpose2d(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.geometry, activation, ctx.slope, _ = inputs
    _keep(ctx, (x, weight), output, activation)


def _of_convolution(
    needed: list[bool],
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    transposed: bool,
    geometry: list[Any],
) -> tuple[Any, ...]:
    """Those needed of x, weight and bias; geometry: stride, padding, output padding, dilation."""
    if not any(needed):
        return None, None, None
    stride, padding, output_padding, dilation = geometry
    channels = [weight.shape[1 if transposed else 0]]
    options = (stride, padding, dilation, transposed, output_padding, 1)
    return aten.convolution_backward(gradient, x, weight, channels, *options, needed)


def _conv_transpose2d_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    x, weight, output = ctx.saved_tensors
    gradient = _before_activation(ctx, gradient, output)
    if ctx.needs_input_grad[0] and _has_fast_adjoint(x, weight, ctx.geometry):
        of_x = ops.conv_transpose2d_adjoint(gradient, weight)
        needed = [False, *ctx.needs_input_grad[1:3]]
        _, *others = _of_convolution(needed, gradient, x, weight, True, ctx.geometry)
        return (of_x, *others, *(None,) * 7)
    needed = list(ctx.needs_input_grad[:3])
    return (*_of_convolution(needed, gradient, x, weight, True, ctx.geometry), *(None,) * 7)


def _has_fast_adjoint(x: Tensor, weight: Tensor, geometry: list[Any]) -> bool:
    """Where csrc/upsample/adjoint.inc applies and pays: as for the forward pass."""
    n, channels, height, width = x.shape
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and available()
        and [list(pair) for pair in geometry] == [[2, 2], [1, 1], [0, 0], [1, 1]]
        and weight.shape[2:] == (4, 4)
        and min(channels, weight.shape[1]) > _THIN_CHANNELS
        and n * ((height + 1) // 2) * ((width + 1) // 2) >= _WINOGRAD_TILES
    )


def _save_adjoint(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _adjoint_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """Of a convolution: in its first argument the transposed one."""
    of_output, weight = ctx.saved_tensors
    of_gradient = of_weight = None
    if ctx.needs_input_grad[0]:
        geometry = ([2, 2], [1, 1], [0, 0], [1, 1])
        none = (int(Activation.NONE), 0.0)
        # Packed for this call alone: the next step of a training has other weights.
        once = weight.new_empty(0, dtype=torch.uint8)
        of_gradient = ops.conv_transpose2d(gradient, weight, None, *geometry, *none, once)
    if ctx.needs_input_grad[1]:
        options = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False])
        _, of_weight, _ = aten.convolution_backward(gradient, of_output, weight, None, *options)
    return of_gradient, of_weight


def _save_upsample_conv2d(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.interpolation, stride, padding, dilation, activation, ctx.slope, _ = inputs
    ctx.geometry = [stride, padding, [0, 0], dilation]
    _keep(ctx, (x, weight), output, activation)


def _upsample_conv2d_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """Up-samples x again: four times less to keep between the passes for a scale of two."""
    x, weight, output = ctx.saved_tensors
    gradient = _before_activation(ctx, gradient, output)
    high = reference.interpolated(x, *ctx.interpolation)
    of_high, of_weight, of_bias = _of_convolution(
        list(ctx.needs_input_grad[:3]), gradient, high, weight, False, ctx.geometry
    )
    of_x = _interpolation_adjoint(of_high, x, *ctx.interpolation) if of_high is not None else None
    return of_x, of_weight, of_bias, *(None,) * 12


def _interpolation_adjoint(
    gradient: Tensor,
    x: Tensor,
    height: int,
    width: int,
    scale_height: float,
    scale_width: float,
    mode: int,
    align_corners: bool,
) -> Tensor:
    if mode == Mode.BED_OF_NAILS:
        return gradient[:, :, :: height // x.shape[2], :: width // x.shape[3]]
    size, shape = [height, width], list(x.shape)
    scales = (scale_height or None, scale_width or None)
    if mode == Mode.NEAREST:
        return aten.upsample_nearest2d_backward(gradient, size, shape, *scales)
    if any(isinstance(side, torch.SymInt) for side in (*size, *shape)):
        rows = _interpolation_of_basis(
            gradient, shape[2], height, scale_height, mode, align_corners
        )
        columns = _interpolation_of_basis(
            gradient, shape[3], width, scale_width, mode, align_corners
        )
        return rows @ gradient @ columns.T
    kind = "bilinear" if mode == Mode.BILINEAR else "bicubic"
    backward = getattr(aten, f"upsample_{kind}2d_backward")
    return backward(gradient, size, shape, align_corners, *scales)


def _interpolation_of_basis(
    like: Tensor, side: Any, size: Any, scale: float, mode: int, align_corners: bool
) -> Tensor:
    """(side, size): one axis as a matrix. torch's own adjoint takes no symbolic sizes."""
    basis = torch.eye(side, dtype=like.dtype, device=like.device)[None, :, :, None]
    return reference.interpolated(basis, size, 1, scale, 0.0, mode, align_corners)[0, :, :, 0]


def _save_unpool(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, indices, _, _, _, activation, ctx.slope = inputs
    _keep(ctx, (indices,), output, activation)


def _unpool_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    indices, output = ctx.saved_tensors
    gradient = _before_activation(ctx, gradient, output)
    picked = gradient.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape)
    return picked, None, None, None, _of_bias(ctx, 4, gradient), None, None


def _save_bias_activation(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, _, activation, ctx.slope = inputs
    _keep(ctx, (), output, activation)


def _bias_activation_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    gradient = _before_activation(ctx, gradient, *ctx.saved_tensors)
    return gradient, _of_bias(ctx, 1, gradient), None, None


for _name, _backward, _setup in (
    ("bed_of_nails", _nails_backward, _save_nails),
    ("pixel_shuffle", _shuffle_backward, _save_shuffle),
    ("conv_transpose2d", _conv_transpose2d_backward, _save_conv_transpose2d),
    ("upsample_conv2d", _upsample_conv2d_backward, _save_upsample_conv2d),
    ("max_unpool2d", _unpool_backward, _save_unpool),
    ("bias_activation", _bias_activation_backward, _save_bias_activation),
    ("conv_transpose2d_adjoint", _adjoint_backward, _save_adjoint),
):
    torch.library.register_autograd(
        f"gandetect::{_name}", _backward, setup_context=_setup, lib=library
    )


# vmap and autocast


def _vmap(op: Any, batched: int) -> Callable[..., tuple[Any, Any]]:
    """The mapped axis joins the batch of the first `batched` arguments; where others are mapped
    too, as the weights of an ensemble are, one call each."""

    def rule(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Tensor, int]:
        def member(i: int) -> list[Any]:
            return [
                a if dim is None or not isinstance(a, Tensor) else a.select(dim, i)
                for a, dim in zip(arguments, in_dims, strict=True)
            ]

        if any(dim is not None for dim in in_dims[batched:]):
            return torch.stack([op(*member(i)) for i in range(info.batch_size)]), 0

        def joined(argument: Tensor, dim: int | None) -> Tensor:
            if dim is None:
                argument = argument.expand(info.batch_size, *argument.shape)
            else:
                argument = argument.movedim(dim, 0)
            return argument.flatten(0, 1)

        first = [joined(a, d) for a, d in zip(arguments[:batched], in_dims[:batched], strict=True)]
        result = op(*first, *arguments[batched:])
        return result.unflatten(0, (info.batch_size, result.shape[0] // info.batch_size)), 0

    return rule


for _name in NAMES[:7]:
    _op = getattr(ops, _name)
    _rule = _vmap(_op, batched=2 if _name == "max_unpool2d" else 1)
    torch.library.register_vmap(f"gandetect::{_name}", _rule, lib=library)
    for _device in ("cpu", "cuda"):
        torch.library.register_autocast(f"gandetect::{_name}", _device, torch.float32, lib=library)
