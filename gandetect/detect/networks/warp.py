"""A network that finds where a photograph was warped, and how to undo it.

A dilated residual trunk with two heads, as in Wang et al. 2019 ("FAL"): one gives the flow back to
the original, the other says whether the image was warped at all. Their network is large, sees color
and works at an eighth of the size. This one is sized for a CPU, sees luma and works at a quarter,
because its traces are those of interpolation, not the shape of a face. It learns from self-made
warps (`gandetect.detect.warps`); `streaming.train_warp` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.networks.base import Network
from gandetect.detect.networks.detail import CHANNELS, detail_maps
from gandetect.detect.warps import undo

# Distances in pixels at which differences of the flow are compared.
DISTANCES = (2, 4, 8, 16, 32)
# Weights of the terms of the loss beside the end-point error; the published ones were not at hand.
GRADIENT, UNDONE, GLOBAL = 1.0, 10.0, 1.0


class WarpNetwork(Network):
    """Logit of warped, and the flow that undoes it.

    `widths`: channels at half and at quarter size. `dilations`: of the residual blocks at quarter
    size. Sides must be even.
    """

    def __init__(
        self, widths: Sequence[int] = (24, 32), dilations: Sequence[int] = (1, 2, 4, 2)
    ) -> None:
        super().__init__()
        self.settings = {"widths": list(widths), "dilations": list(dilations)}
        half, quarter = widths
        self.stem = nn.Sequential(
            *_convolution(CHANNELS, half), *_convolution(half, quarter, stride=2)
        )
        self.trunk = nn.Sequential(*(DilatedBlock(quarter, dilation) for dilation in dilations))
        self.flow_head = nn.Conv2d(quarter, 2, 1)
        self.global_head = nn.Linear(2 * quarter, 1)

    def logits_and_flow(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,) and flow (N, 2, S, S) in pixels of `tiles` (N, S, S) in 0..255."""
        x = self.trunk(self.stem(detail_maps(tiles)))
        # A warp may take a small part of the image: its strongest trace counts beside the mean.
        pooled = torch.cat((x.mean(dim=(2, 3)), x.amax(dim=(2, 3))), dim=1)
        flow = F.interpolate(self.flow_head(x), tiles.shape[1:], mode="bilinear")
        return self.global_head(pooled)[:, 0], flow

    def forward(self, tiles: Tensor) -> Tensor:
        return self.logits_and_flow(tiles)[0]

    def losses(self, tiles: Tensor, targets: Tensor) -> Tensor:
        """Losses (N,) by `targets` (N, 3, S, S): the flow, and the original in 0..255.

        End-point error, gradient error, L1 of the undone image and cross entropy, weighted. An
        image is warped where its flow is not 0 all over.
        """
        wanted, originals = targets[:, :2].float(), targets[:, 2].float()
        logits, flow = self.logits_and_flow(tiles)
        warped = wanted.flatten(1).any(dim=1).float()
        return (
            end_point_errors(flow, wanted)
            + GRADIENT * gradient_errors(flow, wanted)
            + UNDONE * (undo(tiles, flow) - originals).abs().mean(dim=(1, 2)) / 255
            + GLOBAL * F.binary_cross_entropy_with_logits(logits, warped, reduction="none")
        )


class DilatedBlock(nn.Module):
    """Two 3x3 convolutions, `dilation` apart, and a way around them."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *_convolution(width, width, dilation=dilation),
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.inner(x))


def _convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def end_point_errors(flow: Tensor, wanted: Tensor) -> Tensor:
    """Mean distance in pixels (N,) between where two flows (N, 2, S, S) point."""
    # The root of 0 has no gradient.
    return ((flow - wanted).square().sum(dim=1) + 1e-6).sqrt().mean(dim=(1, 2))


def gradient_errors(flow: Tensor, wanted: Tensor) -> Tensor:
    """Mean error (N,) of the differences of `flow` (N, 2, S, S) over several `DISTANCES`."""
    error = flow - wanted
    side = error.shape[-1]
    terms = [
        (error.narrow(dim, d, side - d) - error.narrow(dim, 0, side - d)).abs().mean(dim=(1, 2, 3))
        for d in DISTANCES
        if d < side
        for dim in (2, 3)
    ]
    return torch.stack(terms).mean(dim=0)
