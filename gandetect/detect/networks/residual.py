"""A small residual network on what nearest-neighbor down- and up-sampling leave of the pixels.

Up-sampling ties neighboring pixels together. The residual x - up(down(x)) shows these ties and
little of the content (Tan et al. 2024, "NPR"); written from the formula.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.networks.base import Network, as_input

# The published residual is scaled by this.
GAIN = 2 / 3


def neighbor_residual(x: Tensor) -> Tensor:
    """`x - up(down(x))` times 2/3 for x (N, C, H, W), both by nearest neighbor and a factor of 2.

    One value in four, the one that is kept, is 0. An odd last row or column is cut off.
    """
    x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    kept = x[..., ::2, ::2]
    return (x - kept.repeat_interleave(2, -2).repeat_interleave(2, -1)) * GAIN


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalization, and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.around = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.around(x))


class ResidualNetwork(Network):
    """Stem, `len(widths)` residual blocks that halve the size, mean over the plane, one logit.

    `widths`: channels of the blocks. The published one is a ResNet-50 cut after its second stage;
    this is sized for a CPU. Any tile size can be scored.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        self.settings = {"widths": list(widths)}
        self.stem = nn.Conv2d(1, widths[0], 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        inputs = (widths[0], *widths[:-1])
        self.blocks = nn.Sequential(
            *(ResidualBlock(a, b, 2) for a, b in zip(inputs, widths, strict=True))
        )
        self.dense = nn.Linear(widths[-1], 1)

    def forward(self, tiles: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(neighbor_residual(as_input(tiles)))))
        logits: Tensor = self.dense(self.blocks(x).mean(dim=(2, 3)))
        return logits[:, 0]
