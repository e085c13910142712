"""Spectral ops for torch tensors: documented functions over `torch.ops.gandetect.*`."""

from .conventions import CONVENTIONS, azimuthal_counts, profile_length
from .spectrum import azimuthal_average, azimuthal_spread, spectral_profile

__all__ = [
    "CONVENTIONS",
    "azimuthal_average",
    "azimuthal_counts",
    "azimuthal_spread",
    "profile_length",
    "spectral_profile",
]
