"""What each op needs beside its kernels: reference, fake kernel, gradient, vmap and autocast.

`azimuthal_average` and `azimuthal_spread` are each other's backward. `spectral_means_backward`
recomputes the spectrum from the images, fused; derivatives beyond the first are its reference's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import reference
from ._ext import library

ops = torch.ops.gandetect
_MEANS, _MEANS_BACKWARD, _AVERAGE, _SPREAD = (
    "gandetect::spectral_means",
    "gandetect::spectral_means_backward",
    "gandetect::azimuthal_average",
    "gandetect::azimuthal_spread",
)

# Position of the first gradient among the arguments of spectral_means_backward.
_FIRST_GRADIENT = 11

for _name in (
    "spectral_means",
    "spectral_means_backward",
    "azimuthal_average",
    "azimuthal_spread",
):
    library.impl(_name, getattr(reference, _name), "CompositeExplicitAutograd")


# Shapes


@torch.library.register_fake(_MEANS)
def _fake_means(
    images: Tensor, maps: Tensor, inverse_counts: Tensor, *arguments: Any
) -> tuple[Tensor, ...]:
    azimuthal, rows, columns = arguments[-3:]
    n, _, height, width = images.shape
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    lengths = (
        inverse_counts.shape[0] if azimuthal else 0,
        height // 2 + 1 if rows else 0,
        width // 2 + 1 if columns else 0,
    )
    outputs = [images.new_empty((n, length), dtype=dtype) for length in lengths]
    return (*outputs, images.new_empty((n,), dtype=dtype))


@torch.library.register_fake(_MEANS_BACKWARD)
def _fake_means_backward(images: Tensor, *arguments: Any) -> Tensor:
    return images.new_empty(images.shape)


@torch.library.register_fake(_AVERAGE)
def _fake_average(
    spectrum: Tensor, maps: Tensor, inverse_counts: Tensor, width: int, folded: bool
) -> Tensor:
    return spectrum.new_empty((spectrum.shape[0], inverse_counts.shape[0]))


@torch.library.register_fake(_SPREAD)
def _fake_spread(
    profile: Tensor, maps: Tensor, inverse_counts: Tensor, width: int, folded: bool
) -> Tensor:
    return profile.new_empty((profile.shape[0], maps.shape[1], maps.shape[2]))


# Gradients


def _save_plan(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, maps, inverse_counts, ctx.width, ctx.folded = inputs
    ctx.save_for_backward(maps, inverse_counts)


def _adjoint(op: Any) -> Callable[..., tuple[Any, ...]]:
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        maps, inverse_counts = ctx.saved_tensors
        return op(gradient, maps, inverse_counts, ctx.width, ctx.folded), None, None, None, None

    return backward


torch.library.register_autograd(
    _AVERAGE, _adjoint(ops.azimuthal_spread), setup_context=_save_plan, lib=library
)
torch.library.register_autograd(
    _SPREAD, _adjoint(ops.azimuthal_average), setup_context=_save_plan, lib=library
)


def _save_means(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    images, maps, inverse_counts, *ctx.arguments = inputs
    ctx.save_for_backward(images, maps, inverse_counts)
    ctx.set_materialize_grads(False)


def _means_backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
    images, maps, inverse_counts = ctx.saved_tensors
    *arguments, azimuthal, rows, columns = ctx.arguments
    asked = (azimuthal, rows, columns, True)
    reaching = [g if wanted else None for g, wanted in zip(gradients, asked, strict=True)]
    of_images = ops.spectral_means_backward(images, maps, inverse_counts, *arguments, *reaching)
    return of_images, *(None,) * (2 + len(ctx.arguments))


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    images, maps, inverse_counts, *ctx.arguments = inputs[:_FIRST_GRADIENT]
    ctx.save_for_backward(images, maps, inverse_counts, *inputs[_FIRST_GRADIENT:])


def _backward_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    """The vector-Jacobian product of the reference, in torch's operations: any order follows."""
    images, maps, inverse_counts, *reaching = ctx.saved_tensors
    is_differentiated_again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, because what hangs on the inputs themselves (hooks) is not for this inner graph.
        views: list[Any] = [None if x is None else x.view_as(x) for x in (images, *reaching)]
        output = reference.spectral_means_backward(
            views[0], maps, inverse_counts, *ctx.arguments, *views[1:]
        )
    places = (0, *range(_FIRST_GRADIENT, _FIRST_GRADIENT + len(reaching)))
    needed = {p: x for p, x in zip(places, views, strict=True) if ctx.needs_input_grad[p]}
    found = torch.autograd.grad(
        output, list(needed.values()), gradient, create_graph=is_differentiated_again
    )
    of_needed = dict(zip(needed, found, strict=True))
    return tuple(of_needed.get(i) for i in range(len(ctx.needs_input_grad)))


torch.library.register_autograd(_MEANS, _means_backward, setup_context=_save_means, lib=library)
torch.library.register_autograd(
    _MEANS_BACKWARD, _backward_backward, setup_context=_save_backward, lib=library
)


# vmap: the mapped axis joins the batch


def _vmap_over_batch(op: Any, mappable: Callable[[int], bool]) -> Callable[..., tuple[Any, Any]]:
    def rule(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        if any(dim is not None and not mappable(i) for i, dim in enumerate(in_dims)):
            raise ValueError(f"{op} does not map over its plan")

        def joined(i: int, argument: Any) -> Any:
            if not mappable(i) or argument is None:
                return argument
            if in_dims[i] is None:
                argument = argument.expand(info.batch_size, *argument.shape)
            else:
                argument = argument.movedim(in_dims[i], 0)
            return argument.flatten(0, 1)

        result = op(*(joined(i, argument) for i, argument in enumerate(arguments)))

        def split(output: Tensor) -> Tensor:
            return output.unflatten(0, (info.batch_size, output.shape[0] // info.batch_size))

        if isinstance(result, Tensor):
            return split(result), 0
        return tuple(map(split, result)), (0,) * len(result)

    return rule


def _first(argument: int) -> bool:
    return argument == 0


def _first_or_gradient(argument: int) -> bool:
    return argument == 0 or argument >= _FIRST_GRADIENT


for _qualified, _op, _mappable in (
    (_MEANS, ops.spectral_means, _first),
    (_MEANS_BACKWARD, ops.spectral_means_backward, _first_or_gradient),
    (_AVERAGE, ops.azimuthal_average, _first),
    (_SPREAD, ops.azimuthal_spread, _first),
):
    torch.library.register_vmap(_qualified, _vmap_over_batch(_op, _mappable), lib=library)
    for _device in ("cpu", "cuda"):
        torch.library.register_autocast(_qualified, _device, torch.float32, lib=library)
