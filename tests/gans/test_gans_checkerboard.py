"""What learns each phase by itself draws a checkerboard before it has learned anything."""

from dataclasses import replace

import pytest
import torch

from gandetect import ops
from gandetect.gans import model_class, preset
from gandetect.gans.upsampling import INTERPOLATIONS


def contrast(up, name="dcgan"):
    torch.manual_seed(1)
    return contrast_of(model_class(name)(replace(preset(name, "smoke"), up=up)))


def contrast_of(model):
    """Energy at f = 1/2 along each axis, in that of the three frequencies below."""
    with torch.no_grad():
        images = model.draw(model.latents(64))
    found = []
    for profile in ops.spectral_profile(images, value="power", projections=("rows", "columns")):
        mean = profile.mean(dim=0)
        found.append((mean[-1] / mean[-4:-1].mean()).item())
    return found


@pytest.mark.parametrize("up", ["conv_transpose", "pixel_shuffle", "bed_of_nails"])
def test_energy_at_half_stands_out(up):
    assert min(contrast(up)) > 4


@pytest.mark.parametrize("up", INTERPOLATIONS)
def test_interpolation_draws_none(up):
    assert max(contrast(up)) < 1.5


@pytest.mark.parametrize("name", ["lsgan", "wgan-gp", "dragan"])
@pytest.mark.parametrize("up", ["conv_transpose", "pixel_shuffle", "bed_of_nails"])
def test_later_models_start_without(up, name):
    assert max(contrast(up, name)) < 1.5


@pytest.mark.parametrize("name", ["pixelcnn", "pixelrnn"])
def test_what_draws_pixel_by_pixel_draws_none(name):
    """The control without up-sampling."""
    torch.manual_seed(1)
    assert max(contrast_of(model_class(name)(preset(name, "smoke")).eval())) < 1.5
