"""A merged layer in the making: what it starts with, what it takes in, what it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations as type_of

from .folding import constant, exact, fold_batch_norm
from .layers import (
    BedOfNails,
    ConvTranspose2d,
    Ending,
    PixelShuffle,
    PixelShuffleConv2d,
    UpsampleConv2d,
)
from .prepacked import Prepacked, PrepackedConvTranspose2d, PrepackedUpsampleConv2d

Named = tuple[str, nn.Module]

# What a merged layer can start with: what is built of it, and the options that it passes on.
KINDS: dict[type[nn.Module], tuple[Any, ...]] = {
    nn.ConvTranspose2d: (PrepackedConvTranspose2d, "output_padding"),
    ConvTranspose2d: (PrepackedConvTranspose2d, "output_padding"),
    UpsampleConv2d: (PrepackedUpsampleConv2d, "scale", "size", "mode", "align_corners"),
    nn.Conv2d: (PixelShuffleConv2d,),
    PixelShuffleConv2d: (PixelShuffleConv2d, "scale"),
    nn.PixelShuffle: (PixelShuffle, "upscale_factor"),
    PixelShuffle: (PixelShuffle, "upscale_factor"),
    BedOfNails: (BedOfNails, "scale"),
}
UPSAMPLINGS = (nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d)
ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
}


@dataclass
class Draft:
    """A merged layer in the making.

    parts: every layer in it. core: the one whose weight it has, if any has. kind: what is built.
    options: the arguments for it that are not those of a convolution, nor the activation.
    """

    parts: list[Named]
    core: Any
    kind: type[Ending]
    options: dict[str, Any]
    activation: str = "none"
    negative_slope: float = 0.01
    norms: list[nn.BatchNorm2d] = field(default_factory=list)

    @classmethod
    def begun(cls, layers: list[Named]) -> Draft | None:
        """The one that starts with the first of these layers, or the first two, if any does."""
        first: Any = layers[0][1]
        second: Any = layers[1][1] if len(layers) > 1 else None
        upsampling = upsampling_options(first)
        if upsampling and is_zero_padded_convolution(second):
            return cls(layers[:2], second, PrepackedUpsampleConv2d, upsampling)
        if type_of(first) not in KINDS:
            return None
        kind, *names = KINDS[type_of(first)]
        options = {name: getattr(first, name) for name in names}
        return cls(layers[:1], first, kind, options, **getattr(first, "ending", {}))

    @property
    def name(self) -> str:
        return next(name for name, layer in self.parts if layer is self.core)

    @property
    def awaits_shuffle(self) -> bool:
        return self.kind is PixelShuffleConv2d and "scale" not in self.options

    def takes(self, named: Named) -> bool:
        """Whether the layer after the last can be part of this one; it is then."""
        taken = self._takes(named[1])
        if taken:
            self.parts = [*self.parts, named]
        return taken

    def _takes(self, layer: Any) -> bool:
        kind = type_of(layer)
        if self.awaits_shuffle and kind in (nn.PixelShuffle, PixelShuffle):
            return self._takes_shuffle(layer)
        if self.activation != "none":
            return False
        if kind in ACTIVATIONS:
            self.activation = ACTIVATIONS[kind]
            self.negative_slope = getattr(layer, "negative_slope", self.negative_slope)
            return True
        if kind is nn.BatchNorm2d and self._can_fold(layer):
            self.norms.append(layer)
            return True
        return False

    def _takes_shuffle(self, layer: Any) -> bool:
        """An activation may stand before the shuffle or behind it: it acts on each value alone."""
        scale, activation = layer.upscale_factor, getattr(layer, "activation", "none")
        if self.core.out_channels % scale**2 or "none" not in (activation, self.activation):
            return False
        self.options = {"scale": scale}
        if activation != "none":
            self.activation, self.negative_slope = activation, layer.negative_slope
        return True

    def _can_fold(self, norm: nn.BatchNorm2d) -> bool:
        is_shuffled = self.kind is PixelShuffleConv2d and not self.awaits_shuffle
        channels = norm.num_features * (self.options["scale"] ** 2 if is_shuffled else 1)
        return norm.running_mean is not None and channels == getattr(self.core, "out_channels", 0)

    def built(self) -> nn.Module | None:
        """The merged layer, or None where its parts do not make one."""
        if self.awaits_shuffle:
            return None
        ending = {"activation": self.activation, "negative_slope": self.negative_slope}
        if hasattr(self.core, "weight"):
            layer = self._convolution(ending)
        else:
            layer = self.kind(**self.options, **ending)
        layer.fused_from = tuple(f"{type_of(part).__name__} {name}" for name, part in self.parts)
        return layer.eval()

    def _convolution(self, ending: dict[str, Any]) -> Ending:
        core = self.core
        given, offset = constant(core, "weight"), constant(core, "bias")
        weight, bias = exact(given), None if offset is None else exact(offset)
        for norm in self.norms:
            weight, bias = fold_batch_norm(weight, bias, norm, core.groups, core.transposed)
        layer: Any = self.kind(
            core.in_channels,
            core.out_channels,
            core.kernel_size,
            stride=core.stride,
            padding=core.padding,
            dilation=core.dilation,
            groups=core.groups,
            bias=bias is not None,
            padding_mode=core.padding_mode,
            device="meta",
            **self.options,
            **ending,
        )
        layer.weight = _frozen(weight, given)
        layer.bias = None if bias is None else _frozen(bias, given)
        if isinstance(layer, Prepacked):
            layer.repack()
        return layer


def upsampling_options(layer: Any) -> dict[str, Any]:
    """An up-sampling as `UpsampleConv2d` takes it; empty for what is none, or one it has not."""
    if type_of(layer) is BedOfNails and layer.activation == "none":
        return {"scale": layer.scale, "mode": "bed_of_nails"}
    if type_of(layer) not in UPSAMPLINGS or layer.mode not in ("nearest", "bilinear", "bicubic"):
        return {}
    scale, size = layer.scale_factor, layer.size
    if (scale is None) == (size is None) or layer.recompute_scale_factor:
        return {}
    return {"scale": scale, "size": size, "mode": layer.mode, "align_corners": layer.align_corners}


def is_zero_padded_convolution(layer: Any) -> bool:
    return type_of(layer) is nn.Conv2d and layer.padding_mode == "zeros"


def _frozen(exact_values: Tensor, like: Tensor) -> nn.Parameter:
    values = exact_values.to(like.device, like.dtype)
    return nn.Parameter(values, requires_grad=False)
