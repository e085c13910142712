"""A U-Net that marks what was forged in a photograph (Ronneberger et al. 2015).

It learns from self-made edits (`gandetect.detect.edits`); `streaming.train_mask` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from gandetect.detect.networks.base import Network
from gandetect.detect.networks.detail import CHANNELS, detail_maps
from gandetect.nn.segmentation import mask_losses
from gandetect.nn.unet import UNet

# Share of the pixels, the most forged ones, that decide about the image.
TOP_SHARE = 0.01
# Weight of the image's logistic loss beside the losses of its mask.
IMAGE = 0.5


class MaskNetwork(UNet, Network):
    """Per-pixel logits of forged; the image's logit is the mean of its top 1 % of pixels.

    It works on the four phases of 2x2 pixels, so at half the size, and gives back all four.
    `widths`: channels at half size, a quarter and so on. Sides must be multiples of 2^len(widths).
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__(CHANNELS, 4, widths, lambda low, high: nn.ConvTranspose2d(low, high, 2, 2))
        self.settings = {"widths": list(widths)}

    def mask_logits(self, tiles: Tensor) -> Tensor:
        """Logits (N, S, S) of the pixels of `tiles` (N, S, S) in 0..255; above 0 is forged.

        Raises ValueError where the sides cannot be halved often enough.
        """
        multiple = 2 ** len(self.down)
        if any(side % multiple for side in tiles.shape[1:]):
            raise ValueError(
                f"images of shape {tuple(tiles.shape)} given; sides must be multiples of {multiple}"
            )
        return F.pixel_shuffle(super().forward(detail_maps(tiles)), 2)[:, 0]

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
