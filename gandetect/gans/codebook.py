"""Vector quantization by a codebook that follows its vectors (van den Oord et al. 2017).

No gradient reaches the codebook. Each code moves to the running mean of the vectors that are
nearest to it: with n_i of them in a batch and m_i their sum,

    N_i <- γ N_i + (1 - γ) n_i      M_i <- γ M_i + (1 - γ) m_i      e_i = M_i / N̂_i

where N̂_i = (N_i + ε) / (n + K ε) n, n the sum of all N_i, keeps codes without vectors from dividing
by zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EPSILON = 1e-5


@dataclass(frozen=True)
class Quantized:
    """What became of vectors (N, D, H, W).

    `vectors`: the nearest codes, of the same shape, whose gradient is that of the given vectors.
    `indices`: their numbers (N, H, W). `commitment`: the mean squared distance to the codes, whose
    gradient pulls the given vectors towards them.
    """

    vectors: Tensor
    indices: Tensor
    commitment: Tensor


class Codebook(nn.Module):
    """`number` codes of `length` values; `decay`: γ above."""

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, number: int, length: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        codes = torch.randn(number, length)
        # The loop averages float buffers as it does weights. The average of the codes is taken of
        # themselves: where they stand still, as in the second stage, it comes to stand there too.
        self.register_buffer("codes", codes)
        self.register_buffer("counts", torch.ones(number))
        self.register_buffer("sums", codes.clone())

    def forward(self, x: Tensor) -> Quantized:
        """Vectors (N, D, H, W) to their nearest codes."""
        x = x.to(self.codes.dtype)
        indices = self.nearest(x)
        found = self.look_up(indices)
        commitment = F.mse_loss(x, found)
        # In this order the values are those of the codes, to the last bit.
        return Quantized(found + (x - x.detach()), indices, commitment)

    def look_up(self, indices: Tensor) -> Tensor:
        """Numbers (N, H, W) to codes (N, D, H, W)."""
        return F.embedding(indices, self.codes).permute(0, 3, 1, 2)

    @torch.no_grad()
    def nearest(self, x: Tensor) -> Tensor:
        """The numbers (N, H, W) of the codes nearest to vectors (N, D, H, W)."""
        # |x - e|² without |x|², which is the same for all codes; distances of half precision tie.
        with torch.autocast(x.device.type, enabled=False):
            near = torch.einsum("ndhw,kd->nkhw", x, self.codes)
            lengths = self.codes.square().sum(dim=1)[:, None, None]
            return (lengths - 2 * near).argmin(dim=1)

    @torch.no_grad()
    def update(self, x: Tensor, indices: Tensor) -> None:
        """Let the codes follow vectors (N, D, H, W) that were found nearest to `indices`."""
        with torch.autocast(x.device.type, enabled=False):
            vectors = x.to(self.codes.dtype).movedim(1, -1).flatten(0, -2)
            mine = F.one_hot(indices.flatten(), len(self.codes)).to(vectors.dtype)
            self.counts.lerp_(mine.sum(dim=0), 1 - self.decay)
            self.sums.lerp_(mine.T @ vectors, 1 - self.decay)
            total = self.counts.sum()
            smooth = (self.counts + _EPSILON) / (total + len(self.counts) * _EPSILON) * total
            self.codes.copy_(self.sums / smooth[:, None])

    @torch.no_grad()
    def begin_anew(self, x: Tensor, fewest: float) -> None:
        """Move the codes that have come to N_i < `fewest` to random ones of vectors (N, D, H, W).

        A code that no vector is near to would otherwise never be used again.
        """
        vectors = x.to(self.codes.dtype).movedim(1, -1).flatten(0, -2)
        at = torch.randint(len(vectors), (len(self.codes),), device=vectors.device)
        lost = (self.counts < fewest)[:, None]
        self.codes.copy_(torch.where(lost, vectors[at], self.codes))
        self.sums.copy_(torch.where(lost, vectors[at], self.sums))
        self.counts.copy_(torch.where(lost[:, 0], torch.ones_like(self.counts), self.counts))


def perplexity(indices: Tensor, number: int) -> Tensor:
    """How many of `number` codes are in use: the exponential of the entropy of `indices`."""
    odds = torch.bincount(indices.flatten(), minlength=number) / indices.numel()
    return torch.special.entr(odds).sum().exp()
