"""Spectral normalization for networks that are averaged: generators, whose running average draws.

torch's keeps two singular vectors and divides by their product with the weight. A running average
of unit vectors that turned is shorter than 1, so that the averaged generator would be divided by
too little. This one keeps a single vector and needs no length of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

# At the start, for a vector that is drawn at random.
_ITERATIONS = 15
Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding


class SpectralNorm(nn.Module):
    """A weight divided by its largest singular value, as W / ‖W v‖ with v from power iteration.

    v is iterated once for each forward in train mode and stays as it is in eval mode. It counts
    as a constant: then the gradient of ‖W v‖ is that of the singular value.
    """

    direction: Tensor

    def __init__(self, weight: Tensor, transposed: bool) -> None:
        super().__init__()
        self.transposed = transposed
        matrix = self._matrix(weight.detach())
        self.register_buffer("direction", torch.randn_like(matrix[0]))
        for _ in range(_ITERATIONS):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        # float32: the estimate would be off by a hundredth in half precision.
        with torch.autocast(weight.device.type, enabled=False):
            matrix = self._matrix(weight)
            if self.training:
                self._iterate(matrix.detach())
            # A new tensor: the next forward overwrites the buffer before this one's gradient.
            norm = (matrix @ F.normalize(self.direction, dim=0)).norm()
            return weight / norm.clamp_min(torch.finfo(norm.dtype).tiny)

    def _matrix(self, weight: Tensor) -> Tensor:
        """(outputs, everything else)."""
        return (weight.transpose(0, 1) if self.transposed else weight).flatten(1)

    def _iterate(self, matrix: Tensor) -> None:
        with torch.no_grad():
            self.direction.copy_(F.normalize(matrix.T @ (matrix @ self.direction), dim=0))


def spectrally_normalized(layer: nn.Module) -> nn.Module:
    """`layer`, normalized in place; its weight is as it was in `parametrizations.weight.original`.

    After the initialization: what is written to the weight later is normalized as well.
    """
    transposed = isinstance(layer, nn.ConvTranspose2d)
    parametrize.register_parametrization(
        layer, "weight", SpectralNorm(layer.get_parameter("weight"), transposed), unsafe=True
    )
    return layer


def original(layer: nn.Module) -> Tensor:
    """The weight before it is normalized."""
    return layer.get_parameter("parametrizations.weight.original")
