"""Ops for torch tensors: documented functions over `torch.ops.gandetect.*`."""

from .conventions import CONVENTIONS, azimuthal_counts, profile_length
from .spectrum import azimuthal_average, azimuthal_spread, spectral_profile
from .styled import styled_conv2d, styled_filter
from .traces import jpeg_step_log_odds, phase_means, row_log_means
from .upsampling import (
    bed_of_nails,
    conv_transpose2d,
    max_unpool2d,
    pack_conv_transpose2d,
    pack_upsample_conv2d,
    pixel_shuffle,
    upsample_conv2d,
)

__all__ = [
    "CONVENTIONS",
    "azimuthal_average",
    "azimuthal_counts",
    "azimuthal_spread",
    "bed_of_nails",
    "conv_transpose2d",
    "jpeg_step_log_odds",
    "max_unpool2d",
    "pack_conv_transpose2d",
    "pack_upsample_conv2d",
    "phase_means",
    "pixel_shuffle",
    "profile_length",
    "row_log_means",
    "spectral_profile",
    "styled_conv2d",
    "styled_filter",
    "upsample_conv2d",
]
