"""Whether a soft or resized image can be judged, or is as photographs are after blur or enlarging.

Blur and interpolation take the highest frequencies from a photograph, which smooth generators do
not draw: by its spectrum alone such a photograph scores as they do. What tells them apart is how an
image differs from phase to phase of a grid of 4x4 pixels: learned up-sampling and repeated pixels
leave that, blur and interpolation by other factors do not, and interpolation by two leaves what
belongs to the family "interpolation". Compression buries it.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from gandetect.detect.delivery import (
    LOSSLESS,
    SOFT,
    eight_bit_window,
    is_soft,
    looks_enlarged,
    pixel_delivery,
)
from gandetect.detect.explanation import nearest_family
from gandetect.detect.model import Model
from gandetect.detect.tiles import cut_tiles

# The families of up-samplers that no enlarging of photographs leaves.
_LEARNED = ("nearest", "learned")


def judged_delivery(model: Model, plane: NDArray[Any], compression: str) -> str:
    """The class of delivery that an image is judged by: `compression`, as it was compressed, or
    SOFT where the luma `plane` (H, W), 0..255, is soft or resized and shows no learned
    up-sampling."""
    if not looks_enlarged(plane, compression):
        return compression
    return compression if compression == LOSSLESS and shows_up_sampling(model, plane) else SOFT


def lossless_delivery(model: Model, plane: NDArray[Any]) -> str:
    """`judged_delivery` of an image whose file loses nothing: by the steps of JPEG that its luma
    `plane` (H, W), 0..255, may show. The look for these takes longest, and is left out where the
    answer is SOFT whatever it finds.

    Raises ValueError for less than 32 pixels a side.
    """
    if not is_soft(plane):
        return judged_delivery(model, plane, pixel_delivery(plane))
    shows = shows_up_sampling(model, plane)
    return LOSSLESS if shows and pixel_delivery(plane) == LOSSLESS else SOFT


def shows_up_sampling(model: Model, plane: NDArray[Any]) -> bool:
    """Whether the middle of the lossless luma `plane` (H, W), 0..255, is named as of an up-sampler
    that enlarges no photographs; never by a model without references."""
    window = torch.from_numpy(eight_bit_window(plane))
    try:
        tiles = cut_tiles(window, model.tile, min_side=model.min_side)
    except ValueError:
        return False
    alike, _ = nearest_family(model, tiles)
    return alike is not None and alike.family in _LEARNED
