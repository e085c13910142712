"""Losses of networks that give each pixel a label or a mark."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Share of the image below which the Dice loss does not mind what is marked: an empty mask would
# otherwise be all or nothing.
_DICE_FLOOR = 0.1


def mask_losses(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean cross entropy of the pixels plus Dice loss (N,), for `logits` and `masks` (N, S, S)."""
    wanted = masks.float()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    found = logits.sigmoid()
    overlap = (found * wanted).mean(dim=(1, 2))
    sizes = found.mean(dim=(1, 2)) + wanted.mean(dim=(1, 2))
    dice = 1 - (2 * overlap + _DICE_FLOOR) / (sizes + _DICE_FLOOR)
    return entropy.mean(dim=(1, 2)) + dice


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Mean of the pixels' cross entropies times `weights`.

    `logits` (N, K, H, W); `labels`, whole numbers below K, and `weights` (N, H, W).
    """
    return (weights * F.cross_entropy(logits, labels.long(), reduction="none")).mean()


def balancing_weights(labels: Tensor) -> Tensor:
    """Weights (N, H, W) of mean 1 with which every label that is there counts the same."""
    _, which, counts = labels.unique(return_inverse=True, return_counts=True)
    return (labels.numel() / (len(counts) * counts.float()))[which]


def border_weights(cells: Tensor, weight: float = 10.0, spread: float = 5.0) -> Tensor:
    """w exp(-(d1 + d2)² / 2σ²) for the background between cells, 0 within them: (N, H, W).

    What Ronneberger et al. add to `balancing_weights`, so that cells that touch are told apart.
    `cells` (N, H, W): 0 for background, another whole number for each cell. d1, d2: distances in
    pixels to the nearest and the second nearest cell; σ = `spread`. 0 where there are no two.
    """
    return torch.stack([_border_weights(one, weight, spread) for one in cells])


def _border_weights(cells: Tensor, weight: float, spread: float) -> Tensor:
    names = [one for one in cells.unique().tolist() if one]
    if len(names) < 2:
        return torch.zeros(cells.shape, device=cells.device)
    away = torch.stack([distances_to(cells == name) for name in names])
    both = away.topk(2, dim=0, largest=False).values.sum(dim=0)
    return weight * torch.exp(-both.square() / (2 * spread**2)) * (cells == 0)


def distances_to(there: Tensor) -> Tensor:
    """Euclidean distance in pixels of each pixel (H, W) to the nearest true one; inf for none."""
    squares = torch.where(there, 0.0, torch.inf)
    # Pythagoras: the nearest of the row, then the best of the rows.
    for _ in range(2):
        offsets = torch.arange(squares.shape[1], device=there.device, dtype=torch.float32)
        apart = (offsets[:, None] - offsets).square()
        squares = (squares[:, None] + apart).amin(dim=2).T
    return squares.sqrt()
