"""Transposed convolutions draw a checkerboard before they have learned anything."""

from dataclasses import replace

import pytest
import torch

from gandetect import ops
from gandetect.gans import preset
from gandetect.gans.dcgan import DCGAN


def contrast(up):
    """Energy at f = 1/2 along each axis, in that of the three frequencies below."""
    torch.manual_seed(1)
    model = DCGAN(replace(preset("dcgan", "smoke"), up=up))
    with torch.no_grad():
        images = model.draw(model.latents(64))
    found = []
    for profile in ops.spectral_profile(images, value="power", projections=("rows", "columns")):
        mean = profile.mean(dim=0)
        found.append((mean[-1] / mean[-4:-1].mean()).item())
    return found


def test_energy_at_half_stands_out():
    assert min(contrast("conv_transpose")) > 1.5


@pytest.mark.parametrize("up", ["nearest", "bilinear"])
def test_interpolation_draws_none(up):
    assert max(contrast(up)) < 1
