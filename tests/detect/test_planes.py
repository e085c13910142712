"""Features that keep two dimensions: against their definition in float64, and at the edges."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from gandetect.detect.features import FeatureSpec, extract, spec_from_dict
from gandetect.detect.planes import PlaneSpec, cut_to_side


@pytest.fixture
def tiles():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8))


def test_the_log_spectrum_is_that_of_numpy(tiles):
    line = np.hanning(33)[:32]
    window = np.outer(line, line)
    window /= np.sqrt((window**2).mean())
    image = tiles[0].numpy().astype(float)
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    ky, kx = 5, 9
    there = (power[ky, kx] + power[-ky, kx]) / 2
    here = (power[1, 2] + power[-1, 2]) / 2
    found = extract(tiles, PlaneSpec("spectrum", 32))[0].reshape(17, 17)
    assert found[ky, kx] - found[1, 2] == pytest.approx(np.log(there / here), abs=1e-5)


def test_the_cosine_transform_is_that_of_scipy(tiles):
    wanted = np.log(np.abs(dctn(tiles[1].numpy().astype(float), norm="ortho")) + 1e-2)
    found = extract(tiles, PlaneSpec("dct", 32))[1].reshape(32, 32)
    np.testing.assert_allclose(found, wanted - wanted.mean(), atol=1e-5)


@pytest.mark.parametrize("transform", ["spectrum", "dct"])
def test_contrast_and_company_change_nothing(tiles, transform):
    spec = PlaneSpec(transform, 32)
    together = extract(tiles, spec)
    assert torch.equal(extract(tiles[2:], spec)[0], together[2])
    # But for coefficients so small that their floor shows.
    change = (extract(tiles.float() * 1.5, spec) - together).abs()
    assert torch.quantile(change.flatten(), 0.99) < 1e-2


def test_pixels_stay_as_they_are(tiles):
    assert extract(tiles, PlaneSpec("pixels", 32)) is tiles


@pytest.mark.parametrize("transform", ["pixels", "spectrum", "dct"])
def test_another_size_is_refused(tiles, transform):
    with pytest.raises(ValueError, match=r"want \(N, 64, 64\)"):
        extract(tiles, PlaneSpec(transform, 64))


def test_a_large_image_is_cut_to_the_middle_squares():
    image = torch.arange(70 * 70).reshape(1, 70, 70)
    squares = cut_to_side(image, 32)
    assert squares.shape == (1, 4, 32, 32)
    assert torch.equal(squares[0, 3], image[0, 35:67, 35:67])
    with pytest.raises(ValueError, match="at least 128x128"):
        cut_to_side(image, 128)


def test_a_specification_survives_its_dictionary():
    spec = PlaneSpec("dct", 64)
    assert spec_from_dict(spec.to_dict()) == spec
    for wrong in ({"transform": "dct"}, {"transform": "wavelet", "side": 64},
                  {"transform": "dct", "side": 10**9}):  # fmt: skip
        with pytest.raises(ValueError):
            spec_from_dict(wrong)


@pytest.mark.parametrize(
    "spec", [PlaneSpec("spectrum", 52), PlaneSpec("dct", 52), FeatureSpec()], ids=str
)
def test_gradients_after_scoring(spec):
    """What scoring keeps, under inference mode, serves gradients too."""
    images = torch.rand(2, 52, 52, dtype=torch.float64, generator=torch.manual_seed(0)) * 255
    with torch.inference_mode():
        scored = extract(images, spec)
    wanted = images.clone().requires_grad_()
    found = extract(wanted, spec)
    torch.testing.assert_close(found.detach(), scored.clone())
    (gradient,) = torch.autograd.grad(found.square().sum(), wanted)
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0
