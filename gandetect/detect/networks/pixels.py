"""The plain convolutional network on pixels: the simplest thing that can be tried."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.networks.base import Network, as_input


class PixelNetwork(Network):
    """Two 3x3 convolutions with max-pooling, two dense layers with dropout.

    `widths`: channels of the two convolutions. `hidden`: of the dense layer. `dropout`: between the
    dense layers, in training.
    """

    def __init__(
        self,
        widths: tuple[int, int] = (32, 64),
        hidden: int = 128,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.settings = {"widths": list(widths), "hidden": hidden, "dropout": dropout}
        first, second = widths
        self.conv1 = nn.Conv2d(1, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        # Pooled to a fixed grid, so that the dense layer does not grow with the tile.
        self.pool = nn.AdaptiveAvgPool2d(8)
        self.dense1 = nn.Linear(second * 8 * 8, hidden)
        self.dropout = nn.Dropout(dropout)
        self.dense2 = nn.Linear(hidden, 1)

    def feature_maps(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of both convolutions after ReLU: (N, W1, S, S) and (N, W2, S/2, S/2)."""
        first = F.relu(self.conv1(as_input(tiles)))
        second = F.relu(self.conv2(F.max_pool2d(first, 2)))
        return first, second

    def forward(self, tiles: Tensor) -> Tensor:
        _, second = self.feature_maps(tiles)
        pooled = self.pool(F.max_pool2d(second, 2)).flatten(1)
        logits: Tensor = self.dense2(self.dropout(F.relu(self.dense1(pooled))))
        return logits[:, 0]
