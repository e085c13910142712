"""What networks of few layers should look at: how strong fine detail is, band by band.

Interpolation, up-sampling and retouching change fine detail by a few gray levels, content changes
it by a hundred. A network that sees pixels alone must first learn to take logarithms of local
energies, and needs hours for that. In them, the strength of the content is a shift that all bands
share, and a trace is a difference between bands or between phases.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.detect.networks.base import as_input

# Planes of `detail_maps`: eight bands, four phases of three differences and of the pixels.
CHANNELS = 8 + 4 * (3 + 1)
# Energy of the rounding of pixels, in squared gray levels.
_FLOOR = 0.1
# Mean and deviation of the logarithms on photographs, roughly.
_CENTER, _SPREAD = 2.0, 2.0


def detail_maps(tiles: Tensor) -> Tensor:
    """Tiles (N, S, S) in 0..255, S even, as (N, `CHANNELS`, S/2, S/2).

    Logarithms of local energies, over about 6x6 pixels: of the eight 3x3 cosine bands that ignore
    the mean; of the differences across, down and both, between two pixels, for each of the four
    phases of 2x2 pixels, since doubling makes some of these pairs alike. Then the pixels in -1..1,
    in the same phases.
    """
    x = F.pad(tiles[:, None].float(), (1, 1, 1, 1), mode="replicate")
    bands = F.avg_pool2d(F.conv2d(x, _cosines(3).to(x)).square(), 2)
    differences = F.conv2d(x[..., 1:, 1:], _cosines(2).to(x)).square()
    energies = torch.cat((bands, F.pixel_unshuffle(differences, 2)), dim=1)
    local = F.avg_pool2d(energies, 3, stride=1, padding=1, count_include_pad=False)
    logarithms = (torch.log(local + _FLOOR) - _CENTER) / _SPREAD
    maps = torch.cat((logarithms, F.pixel_unshuffle(as_input(tiles), 2)), dim=1)
    # The convolutions that follow keep this layout, and on a CPU are faster in it.
    return maps.contiguous(memory_format=torch.channels_last)


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine filters but the mean, (size^2 - 1, 1, size, size)."""
    line = torch.arange(float(size))
    basis = torch.cos(torch.pi * (line + 0.5) * line[:, None] / size)
    basis = basis / torch.linalg.vector_norm(basis, dim=1, keepdim=True)
    filters = basis[:, None, :, None] * basis[None, :, None, :]
    return filters.reshape(size**2, 1, size, size)[1:]
