"""PixelCNNs of maps of codes: what VQ-VAE-2 draws its codes from."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.gans.masked import MaskedStack
from gandetect.gans.pixels import draw_values
from gandetect.gans.upsampling import up_sample

# Side of the first convolution: maps are small.
_KERNEL = 5


class Prior(nn.Module):
    """A PixelCNN of maps of codes (N, H, W), 0 to `codes` - 1, of `blocks` blocks.

    `classes`: 0, or the number of classes that it is given; `above`: whether it is given a map of
    codes half as large. What is given goes to every place of every block.
    """

    def __init__(self, codes: int, width: int, blocks: int, classes: int, *, above: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        self.classes = nn.Embedding(classes, width) if classes else None
        self.above = nn.Embedding(codes, width) if above else None
        self.context = nn.Conv2d(width, width, 3, padding=1) if above else None
        given = above or classes > 0
        self.stack = MaskedStack(
            width,
            codes,
            width=width,
            blocks=blocks,
            kernel=_KERNEL,
            condition=width if given else 0,
        )

    def forward(self, indices: Tensor, labels: Tensor | None, above: Tensor | None) -> Tensor:
        """Logits (N, codes, H, W)."""
        maps = self.embedding(indices).permute(0, 3, 1, 2)
        logits: Tensor = self.stack(maps, self._given(labels, above, indices.shape[-1]))
        return logits

    def drawn(self, uniform: Tensor, labels: Tensor | None, above: Tensor | None) -> Tensor:
        """Codes (N, H, W) at `uniform` (N, H, W) random numbers."""
        count, height, width = uniform.shape
        scan = self.stack.scan(count, height, width, self._given(labels, above, width))
        codes = self.embedding.num_embeddings
        return draw_values(scan, uniform[:, None], codes, lambda v: self.embedding(v[:, 0]))[:, 0]

    def _given(self, labels: Tensor | None, above: Tensor | None, side: int) -> Tensor | None:
        """(N, width, side, side) of what is given; None for nothing."""
        found = None
        if self.above is not None and self.context is not None:
            maps = up_sample(self.above(above).permute(0, 3, 1, 2), "nearest")
            found = F.relu(self.context(maps))
        if self.classes is not None:
            of_class = self.classes(labels)[:, :, None, None].expand(-1, -1, side, side)
            found = of_class if found is None else found + of_class
        return found

    def bits(self, indices: Tensor, labels: Tensor | None, above: Tensor | None) -> Tensor:
        """What a code of maps (N, H, W) costs in bits."""
        logits = self(indices, labels, above).float()
        return F.cross_entropy(logits, indices) / math.log(2)
