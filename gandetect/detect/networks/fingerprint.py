"""Which of several sources made an image: the network of Yu et al. (2019), sized for a CPU.

The classes are real photographs and each known generator. Every generator leaves a fingerprint of
its own, and more than one image of it is needed to see only what they share: so the network learns
from the classes what to look at. It looks at what a small blur leaves of the pixels, since the
content would drown the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.networks.base import Network

# Gray levels; the deviation of a residual below this is rounding.
_FLOOR = 0.25
GRID = 4


class SourceNetwork(Network):
    """A network that tells sources apart. Class 0 is real, the others are generators.

    `respond(prepare(tiles))` is (N, classes + 1): a logit of each class, and in the last column how
    unlike all of them the tile is, larger where it is more so.
    """

    def prepare(self, tiles: Tensor) -> Tensor:
        """What `respond` looks at, (N, ...), of tiles (N, S, S) in 0..255. Here: the tiles."""
        return tiles

    def respond(self, prepared: Tensor) -> Tensor:
        raise NotImplementedError

    def class_logits(self, tiles: Tensor) -> Tensor:
        """Logits (N, classes) of tiles (N, S, S) in 0..255."""
        return self.respond(self.prepare(tiles))[:, :-1]

    def forward(self, tiles: Tensor) -> Tensor:
        return generated_logit(self.class_logits(tiles))

    def losses(self, tiles: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy (N,) of the class numbers `targets` (N,)."""
        return F.cross_entropy(self.class_logits(tiles), targets.long(), reduction="none")


def generated_logit(class_logits: Tensor) -> Tensor:
    """The logit (N,) of "any generator" against real, of the logits (N, C) of the classes."""
    return class_logits[:, 1:].logsumexp(dim=1) - class_logits[:, 0]


class GaussianClasses(nn.Module):
    """Classes as Gaussians of one covariance, in coordinates in which that is the identity.

    `center` (features,), `projection` (components, features) and `means` (classes, components) are
    set by `gandetect.detect.attributor`, not by gradients; components is usually classes - 1.
    """

    center: Tensor
    projection: Tensor
    means: Tensor

    def __init__(self, classes: int, features: int, components: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("projection", torch.zeros(components, features))
        self.register_buffer("means", torch.zeros(classes, components))

    def typical(self, number: int) -> Tensor:
        """Features (F,) float64 that lie on the mean of class `number`: of all that do, those
        nearest to `center`."""
        offset = torch.linalg.pinv(self.projection.double()) @ self.means[number].double()
        return self.center.double() + offset

    def squares(self, features: Tensor) -> Tensor:
        """Squared distances (N, classes) float64 of `features` (N, F) from each mean."""
        offsets = features.double() - self.center.double()
        points = offsets @ self.projection.double().T
        return (points[:, None] - self.means.double()[None]).square().sum(dim=2)

    def respond(self, features: Tensor) -> Tensor:
        """Logits and novelty (N, classes + 1) float64 of `features` (N, F).

        The logits are minus half the squared distances, the novelty is the smallest of these.
        """
        squares = self.squares(features)
        return torch.cat((-squares / 2, squares.amin(dim=1, keepdim=True)), dim=1)


class FingerprintNetwork(SourceNetwork):
    """Blocks of two 3x3 convolutions and average pooling down to 4x4, a convolution, two dense.

    `classes`: real and the generators. `widths`: channels of the blocks. `hidden`: of the dense
    layer, in whose space the distance from the known classes is measured. Tiles of any size of at
    least 2^len(widths) pixels.
    """

    def __init__(
        self,
        classes: int = 2,
        widths: Sequence[int] = (8, 16, 32, 64),
        hidden: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.settings = {
            "classes": classes,
            "widths": list(widths),
            "hidden": hidden,
            "dropout": dropout,
        }
        inputs = (1, *widths[:-1])
        self.blocks = nn.ModuleList(map(_block, inputs, widths))
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.conv = _convolution(widths[-1], widths[-1])
        self.dense1 = nn.Linear(widths[-1] * GRID**2, hidden)
        self.dropout = nn.Dropout(dropout)
        self.dense2 = nn.Linear(hidden, classes)
        self.known = GaussianClasses(classes, hidden, classes - 1)

    def embedding(self, tiles: Tensor) -> Tensor:
        """Values (N, hidden) of the first dense layer."""
        x = residual_view(tiles)
        for block in self.blocks:
            x = F.avg_pool2d(block(x), 2)
        return F.relu(self.dense1(self.conv(self.pool(x)).flatten(1)))

    def respond(self, prepared: Tensor) -> Tensor:
        embedding = self.embedding(prepared)
        logits = self.dense2(self.dropout(embedding))
        novelty = self.known.respond(embedding.detach())[:, -1:].to(logits)
        return torch.cat((logits, novelty), dim=1)


def residual_view(tiles: Tensor) -> Tensor:
    """Tiles (N, S, S) in 0..255 without their 3x3 mean, as (N, 1, S, S) of unit deviation each."""
    x = tiles[:, None].float()
    around = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    residual = x - around
    return residual / residual.std(dim=(2, 3), keepdim=True).clamp(min=_FLOOR)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_convolution(inputs, outputs), _convolution(outputs, outputs))


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
