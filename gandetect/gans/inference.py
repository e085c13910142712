"""Models prepared for drawing many images: what depends on the weights alone is computed once."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from gandetect.gans.model import GenerativeModel
from gandetect.gans.modulation import ModulatedConv2d, StyledConv
from gandetect.nn import fuse

M = TypeVar("M", bound=GenerativeModel)


def for_inference(model: M) -> M:
    """A copy in eval mode that draws the same images, faster, and is not to be trained.

    Spectral norms, equalized weights and the sums of squares of demodulation are computed, layers
    are merged by `gandetect.nn.fuse`, and on a CPU convolutions are in the layout `channels_last`.
    The tests enforce 2e-5 of images in -1..1. Takes no checkpoints; the model stays as it is.
    """
    duplicate = copy.deepcopy(model).eval().requires_grad_(False)
    for name in duplicate.drawn_from:
        network: nn.Module = getattr(duplicate, name)
        for layer in network.modules():
            if is_parametrized(layer):
                _compute(layer)
            if isinstance(layer, ModulatedConv2d | StyledConv):
                layer.prepare()
        network = fuse(network)
        if next(model.parameters()).device.type == "cpu":
            _lay_out(network)
        setattr(duplicate, name, network)
    return duplicate


def _lay_out(network: nn.Module) -> None:
    """Weights of plain convolutions in torch's faster layout, which their outputs follow.

    Not where there are instance norms, which torch computes slowly in it.
    """
    layers = list(network.modules())
    if any(isinstance(layer, nn.InstanceNorm2d) for layer in layers):
        return
    for layer in layers:
        if type(layer) is nn.Conv2d:
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _compute(layer: nn.Module) -> None:
    """Parameters in the place of parametrizations.

    torch's own `remove_parametrizations` changes the class of the layer, which the original of a
    deep copy shares.
    """
    values = {name: getattr(layer, name).detach().clone() for name in layer.parametrizations}  # type: ignore[union-attr]
    plain = type_before_parametrizations(layer)
    del layer.parametrizations
    layer.__class__ = plain
    for name, value in values.items():
        layer.register_parameter(name, nn.Parameter(value, requires_grad=False))
