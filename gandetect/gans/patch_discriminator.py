"""PatchGAN (Isola et al. 2017): a discriminator of patches, each with a logit of its own."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gandetect.gans.spectral_norm import spectrally_normalized

_SLOPE = 0.2
_MOST_FACTOR = 8
MOST_DOWNS = 6


class PatchDiscriminator(nn.Module):
    """Images (N, inputs, S, S) to logits (N, S', S'), S' = S / 2^downs - 2.

    `downs` convolutions 4x4 of stride 2, one of stride 1 and the logits'. Widths double from
    `width` on, up to eight times it. Instance norms but at the first and the last. Three `downs`
    and 64 are the 70x70 patches of the paper. `spectral`: whether weights are divided by their
    spectral norm.
    """

    def __init__(self, inputs: int, width: int, downs: int, *, spectral: bool = False) -> None:
        super().__init__()
        widths = [width * min(2**number, _MOST_FACTOR) for number in range(downs + 1)]
        first = nn.Sequential(nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(_SLOPE))
        stages: list[nn.Sequential] = [first]
        for number, (narrow, wide) in enumerate(pairwise(widths), start=1):
            stride = 2 if number < downs else 1
            # An instance norm would take a bias away again.
            convolution = nn.Conv2d(narrow, wide, 4, stride, 1, bias=False)
            stages.append(nn.Sequential(convolution, nn.InstanceNorm2d(wide), nn.LeakyReLU(_SLOPE)))
        stages.append(nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, 1)))
        self.stages = nn.ModuleList(stages)
        self.apply(begin_)
        if spectral:
            for stage in stages:
                spectrally_normalized(stage[0])

    def features(self, images: Tensor) -> list[Tensor]:
        """What each layer gives; the last are the logits (N, 1, S', S')."""
        found, x = [], images
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images)[-1][:, 0]


def check_patches(size: int, width: int, downs: int) -> None:
    """Raise ValueError where a `PatchDiscriminator` cannot take images of `size`."""
    if not 1 <= width <= 256 or not 1 <= downs <= MOST_DOWNS or size >> downs < 4:
        raise ValueError(
            f"d_width={width}, d_downs={downs} given for {size} pixels; want 1 to 256 channels "
            f"and 1 to {MOST_DOWNS} halvings down to 4 pixels at least"
        )


def begin_(module: nn.Module) -> None:
    """N(0, .02) for the kernels of a convolution, 0 for its biases; for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
