"""Band features mean the same at every tile size: white noise is flat in each of them."""

import pytest
import torch

from gandetect.detect.features import FeatureSpec, band_matrix, extract


@pytest.mark.parametrize("side", [32, 64, 127, 128, 256])
@pytest.mark.parametrize("convention", ["centered", "durall", "jung"])
def test_white_noise_has_equal_bands_at_every_size(side, convention):
    generator = torch.Generator().manual_seed(side)
    noise = 128 + 30 * torch.randn(48, side, side, generator=generator)
    features = extract(noise, FeatureSpec(convention=convention, window=None)).mean(dim=0)
    # 20 ln|F| in jung is twice the scale of the others.
    assert features.abs().max() < (6.0 if side < 64 else 3.0)


@pytest.mark.parametrize("side", [32, 64, 65, 200])
@pytest.mark.parametrize("projection", ["azimuthal", "rows", "columns"])
def test_no_band_is_empty_and_weights_are_a_mean(side, projection):
    matrix = band_matrix(projection, side, FeatureSpec())
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(dim=0), torch.ones(40, dtype=torch.float64))


@pytest.mark.parametrize("cutoff", ["corner", "nyquist", None])
@pytest.mark.parametrize("convention", ["centered", "durall", "jung", "power"])
@pytest.mark.parametrize("side", [32, 64, 65, 300])
def test_every_convention_fills_its_bands(side, convention, cutoff):
    spec = FeatureSpec(convention=convention, cutoff=cutoff)
    assert bool(band_matrix("azimuthal", side, spec).isfinite().all())
    highest = spec.axes()[spec.bands - 1][2]
    assert highest == pytest.approx(0.5 if cutoff == "nyquist" else 0.5**0.5)


def test_a_checkerboard_is_seen_in_the_corner():
    """What zero insertion leaves of the mean lies at half a cycle both ways."""
    generator = torch.Generator().manual_seed(0)
    image = 128 + torch.randn(64, 64, generator=generator)
    y, x = torch.arange(64)[:, None], torch.arange(64)
    checkered = image + 5 * (-1.0) ** (x + y)
    spec = FeatureSpec(projections=("azimuthal",))
    change = (extract(checkered[None], spec) - extract(image[None], spec))[0]
    assert int(change.argmax()) == spec.bands - 1


@pytest.mark.parametrize("side", [64, 128])
def test_a_wave_raises_the_band_of_its_frequency(side):
    frequency = 0.25
    x = torch.arange(side, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    image = 128 + torch.randn(side, side, generator=generator)
    image = image + 50 * torch.cos(2 * torch.pi * frequency * x)[None, :]
    spec = FeatureSpec()
    features = extract(image[None], spec)[0]
    columns = [i for i, (name, *_) in enumerate(spec.axes()) if name == "columns"]
    peak = columns[int(features[columns].argmax())]
    _, low, high = spec.axes()[peak]
    assert low - 1 / side <= frequency <= high + 1 / side


def test_contrast_cancels():
    generator = torch.Generator().manual_seed(3)
    images = 100 + 10 * torch.randn(4, 64, 64, generator=generator)
    spec = FeatureSpec()
    torch.testing.assert_close(
        extract(images, spec), extract(images * 1.7, spec), atol=1e-2, rtol=0
    )


def test_rectangles_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="crop"):
        extract(torch.zeros(1, 64, 96), FeatureSpec())


def test_spec_survives_its_dictionary():
    spec = FeatureSpec(convention="durall", resample=80, bands=None, normalize="first")
    assert FeatureSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(ValueError, match="unknown feature settings"):
        FeatureSpec.from_dict({"conventon": "durall"})
