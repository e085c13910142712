"""Self-attention over the pixels of a feature map (Zhang et al. 2019), as BigGAN has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NARROW, _VALUES = 8, 2


class SelfAttention(nn.Module):
    """(N, channels, H, W) plus what each pixel gathers from all others, times a learned gain.

    Queries and keys have an eighth of the channels, values a half. Keys and values are the maxima
    of 2x2 pixels, which costs a quarter; so H and W are even. The gain starts at 0: the layer
    begins as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow, values = max(1, channels // _NARROW), max(1, channels // _VALUES)
        self.query = nn.Conv2d(channels, narrow, 1, bias=False)
        self.key = nn.Conv2d(channels, narrow, 1, bias=False)
        self.value = nn.Conv2d(channels, values, 1, bias=False)
        self.output = nn.Conv2d(values, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        queries = _as_rows(self.query(x))
        keys = _as_rows(F.max_pool2d(self.key(x), 2))
        values = _as_rows(F.max_pool2d(self.value(x), 2))
        # No division by the root of the width: the paper has none.
        gathered = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        y: Tensor = self.output(gathered.transpose(1, 2).unflatten(2, x.shape[2:]))
        return x + self.gain * y


def _as_rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) to (N, HW, C)."""
    return maps.flatten(2).transpose(1, 2)
