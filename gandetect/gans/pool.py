"""A pool of past images: discriminators do not forget (Shrivastava et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Keeps `capacity` images (channels, size, size) and hands out old ones half of the time.

    The images are buffers, so that training that goes on has them. The running average of a model
    averages buffers too: its pool is a blur of images and its count is off, which nothing sees,
    for only training looks into pools, and not into those of the average.
    """

    kept: Tensor
    count: Tensor

    def __init__(self, capacity: int, channels: int, size: int) -> None:
        super().__init__()
        self.register_buffer("kept", torch.zeros(capacity, channels, size, size))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        """For each of `images` (N, C, S, S) itself, or one from the pool, whose place it takes.

        Until the pool is full, the images themselves, which fill it.
        """
        return torch.stack([self._exchanged(image) for image in images.detach().float()])

    def _exchanged(self, image: Tensor) -> Tensor:
        capacity, count = len(self.kept), int(self.count)
        if count < capacity:
            self.kept[count] = image
            self.count += 1
            return image
        if capacity == 0 or torch.rand(()) < 0.5:
            return image
        place = int(torch.randint(capacity, ()))
        old = self.kept[place].clone()
        self.kept[place] = image
        return old
