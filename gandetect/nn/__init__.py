"""Up-sampling layers over `gandetect.ops`, and what turns a trained generator into them.

The layers take the arguments and the checkpoints of torch's and end with an activation. `fuse`
copies a trained generator for inference: batch norms folded, activations fused, weights packed.
`SpectralLoss` and `SpectralDiscriminator` train generators for the spectrum of what they make.
"""

from .fusion import fuse, fusion_report
from .layers import (
    BedOfNails,
    ConvTranspose2d,
    MaxUnpool2d,
    PixelShuffle,
    PixelShuffleConv2d,
    UpsampleConv2d,
)
from .prepacked import PrepackedConvTranspose2d, PrepackedUpsampleConv2d
from .spectral import SpectralDiscriminator, SpectralLoss

__all__ = [
    "BedOfNails",
    "ConvTranspose2d",
    "MaxUnpool2d",
    "PixelShuffle",
    "PixelShuffleConv2d",
    "PrepackedConvTranspose2d",
    "PrepackedUpsampleConv2d",
    "SpectralDiscriminator",
    "SpectralLoss",
    "UpsampleConv2d",
    "fuse",
    "fusion_report",
]
