"""A U-Net that marks what was forged in a photograph (Ronneberger et al. 2015).

It learns from self-made edits (`gandetect.detect.edits`); `streaming.train_mask` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.networks.base import Network
from gandetect.detect.networks.detail import CHANNELS, detail_maps

# Share of the pixels, the most forged ones, that decide about the image.
TOP_SHARE = 0.01
# Weight of the image's logistic loss beside the losses of its mask.
IMAGE = 0.5
# Share of the image below which the Dice loss does not mind what is marked: an empty mask would
# otherwise be all or nothing.
_DICE_FLOOR = 0.1


class MaskNetwork(Network):
    """Per-pixel logits of forged; the image's logit is the mean of its top 1 % of pixels.

    It works on the four phases of 2x2 pixels, so at half the size, and gives back all four.
    `widths`: channels at half size, a quarter and so on. Sides must be multiples of 2^len(widths).
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        self.settings = {"widths": list(widths)}
        inputs = (CHANNELS, *widths[:-1])
        self.down = nn.ModuleList(map(_two_convolutions, inputs, widths))
        pairs = list(pairwise(widths))[::-1]
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for high, low in pairs)
        self.up = nn.ModuleList(_two_convolutions(2 * high, high) for high, _ in pairs)
        self.classify = nn.Conv2d(widths[0], 4, 1)

    def mask_logits(self, tiles: Tensor) -> Tensor:
        """Logits (N, S, S) of the pixels of `tiles` (N, S, S) in 0..255; above 0 is forged.

        Raises ValueError where the sides cannot be halved often enough.
        """
        multiple = 2 ** len(self.down)
        if any(side % multiple for side in tiles.shape[1:]):
            raise ValueError(
                f"images of shape {tuple(tiles.shape)} given; sides must be multiples of {multiple}"
            )
        x, skips = detail_maps(tiles), []
        for level, convolutions in enumerate(self.down):
            x = convolutions(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for enlarge, convolutions, skip in zip(self.enlarge, self.up, skips[-2::-1], strict=True):
            x = convolutions(torch.cat((enlarge(x), skip), dim=1))
        return F.pixel_shuffle(self.classify(x), 2)[:, 0]

    def forward(self, tiles: Tensor) -> Tensor:
        return image_logits(self.mask_logits(tiles))

    def losses(self, tiles: Tensor, targets: Tensor) -> Tensor:
        """Losses (N,) by the masks `targets` (N, S, S), 1 where forged.

        Those of the mask, and the logistic loss of the image, forged where any pixel is.
        """
        logits = self.mask_logits(tiles)
        forged = targets.flatten(1).any(dim=1).float()
        image = F.binary_cross_entropy_with_logits(image_logits(logits), forged, reduction="none")
        return mask_losses(logits, targets) + IMAGE * image


def image_logits(mask_logits: Tensor) -> Tensor:
    """Logit (N,) of each image: the mean of the highest 1 % of its `mask_logits` (N, S, S)."""
    pixels = mask_logits.flatten(1)
    return pixels.topk(max(1, round(TOP_SHARE * pixels.shape[1])), dim=1).values.mean(dim=1)


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def mask_losses(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean cross entropy of the pixels plus Dice loss (N,), for `logits` and `masks` (N, S, S)."""
    wanted = masks.float()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    found = logits.sigmoid()
    overlap = (found * wanted).mean(dim=(1, 2))
    sizes = found.mean(dim=(1, 2)) + wanted.mean(dim=(1, 2))
    dice = 1 - (2 * overlap + _DICE_FLOOR) / (sizes + _DICE_FLOOR)
    return entropy.mean(dim=(1, 2)) + dice
