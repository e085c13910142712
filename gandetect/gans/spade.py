"""Spatially adaptive normalization (Park et al. 2019): a label map decides gain and bias of each
pixel, so that norms do not wash the map away."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.patch_discriminator import begin_
from gandetect.gans.spectral_norm import spectrally_normalized

_SLOPE = 0.2


class Spade(nn.Module):
    """(N, channels, H, W) and a layout (N, kinds, H, W) to (N, channels, H, W).

    Batch norm without gain and bias, then x̂ (1 + γ) + β, with γ and β of each pixel from two
    convolutions of the layout.
    """

    def __init__(self, channels: int, kinds: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.read = nn.Sequential(nn.Conv2d(kinds, hidden, 3, padding=1), nn.ReLU())
        self.modulate = nn.Conv2d(hidden, 2 * channels, 3, padding=1)
        self.apply(begin_)

    def modulation(self, layout: Tensor) -> tuple[Tensor, Tensor]:
        """γ and β, both (N, channels, H, W)."""
        gamma, beta = self.modulate(self.read(layout)).chunk(2, dim=1)
        return gamma, beta

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        gamma, beta = self.modulation(layout)
        y: Tensor = self.norm(x) * (1 + gamma) + beta
        return y


class SpadeBlock(nn.Module):
    """(N, inputs, H, W) and a layout (N, kinds, H, W) to (N, outputs, H, W), with a shortcut."""

    def __init__(self, inputs: int, outputs: int, kinds: int, hidden: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.norms = nn.ModuleList(Spade(width, kinds, hidden) for width in (inputs, middle))
        # The second norm would take a bias of the first convolution away again.
        first = nn.Conv2d(inputs, middle, 3, padding=1, bias=False)
        second = nn.Conv2d(middle, outputs, 3, padding=1)
        self.convolutions = nn.ModuleList(map(_normalized, (first, second)))
        self.widens = inputs != outputs
        if self.widens:
            self.shortcut_norm = Spade(inputs, kinds, hidden)
            self.shortcut = _normalized(nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor, layout: Tensor) -> Tensor:
        y = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            y = convolution(F.leaky_relu(norm(y, layout), _SLOPE))
        short = self.shortcut(self.shortcut_norm(x, layout)) if self.widens else x
        return short + y


def layout_of(maps: Tensor, kinds: int, side: int) -> Tensor:
    """Label maps (N, S, S) as (N, kinds, side, side) of zeros and ones, by the nearest pixel."""
    step = maps.shape[-1] // side
    return F.one_hot(maps[:, ::step, ::step].long(), kinds).movedim(3, 1).float()


def _normalized(layer: nn.Module) -> nn.Module:
    layer.apply(begin_)
    return spectrally_normalized(layer)
