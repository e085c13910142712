"""Images of a few numbers, which small models learn in seconds."""

import torch

from gandetect.gans import Images


def plain_images(count=96, size=32):
    """(N, 3, size, size) of three classes: a ramp of random slope, bright in the class's channel.

    Three numbers and the class decide an image.
    """
    rng = torch.Generator().manual_seed(4)
    labels = torch.arange(count) % 3
    level, across, down = torch.rand(3, count, 1, 1, 1, generator=rng)
    at = torch.linspace(-1, 1, size)
    ramps = (across - 0.5) * at + (down - 0.5) * at[:, None] + 0.4 * level + 0.3
    colors = torch.full((count, 3), 0.3)
    colors[torch.arange(count), labels] = 1
    images = (ramps * colors[:, :, None, None]).clamp(0, 1)
    card = {"name": "ramps", "source": "random numbers", "classes": ["red", "green", "blue"]}
    return Images((255 * images).to(torch.uint8), card, labels)
