"""Mean spectra: where a known trace shows, and how strong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from upsampling_sets import SIDE, sets

from gandetect.experiments.upsampling.plan import REAL
from gandetect.experiments.upsampling.spectra import (
    difference,
    mean_plane,
    mean_planes,
    profiles,
    profiles_of,
    windowed,
    write_planes,
)


def noise(deviation: float, count: int = 400) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return 128 + deviation * torch.randn(count, SIDE, SIDE, generator=rng)


def wave(rows: float, columns: float) -> torch.Tensor:
    """A pattern of these frequencies, in cycles per pixel."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return 20 * torch.cos(2 * torch.pi * (rows * y + columns * x))


def test_white_noise_has_its_variance_at_every_frequency():
    plane = mean_plane(windowed(noise(8.0)))
    # The mean of the log of an exponential variable lies 2.51 dB below the log of its mean.
    expected = 20 * np.log10(8.0) - 2.507
    y, x = np.indices(plane.shape) - SIDE // 2
    away_from_dc = torch.from_numpy(np.hypot(y, x))
    assert plane[away_from_dc > 3].mean() == pytest.approx(expected, abs=0.1)


def test_the_profiles_of_white_noise_are_flat():
    found = profiles_of(windowed(noise(8.0)))
    assert len(found["rows"]["mean"]) == len(found["columns"]["mean"]) == SIDE // 2
    for one in found.values():
        # The outermost radius holds a single coefficient.
        assert np.array(one["mean"][3:-1]) == pytest.approx(20 * np.log10(8.0), abs=1.5)
        assert (np.array(one["low"]) < one["mean"]).all()
        assert (np.array(one["mean"]) < one["high"]).all()


@pytest.mark.parametrize(
    ("rows", "columns", "key"),
    [
        (0.5, 0.0, "nyquist_rows"),
        (0.0, 0.5, "nyquist_columns"),
        (0.25, 0.0, "quarter_rows"),
        (0.0, 0.25, "quarter_columns"),
        (0.5, 0.5, "corner"),
    ],
)
def test_a_wave_shows_where_it_belongs(rows, columns, key):
    plain = noise(4.0)
    found = difference(
        mean_plane(windowed(plain + wave(rows, columns))), mean_plane(windowed(plain))
    )
    keys = {"nyquist_rows", "nyquist_columns", "quarter_rows", "quarter_columns", "corner"}
    assert max(keys, key=found.__getitem__) == key
    assert found[key] > 2


def test_brightness_shows_nowhere():
    dark, light = (mean_plane(windowed(noise(4.0) + shift)) for shift in (0, 50))
    assert torch.allclose(dark, light, atol=1e-3)


def test_equal_sets_differ_in_nothing():
    plane = mean_plane(windowed(noise(4.0)))
    assert set(difference(plane, plane).values()) == {0.0}


def test_the_file_has_every_plane_with_dc_in_the_middle(tmp_path):
    made = sets(tmp_path, ("blurred",))
    names = (REAL, "blurred")
    planes = mean_planes(made.pictures, names)
    write_planes(planes, tmp_path)
    with np.load(tmp_path / "spectra.npz", allow_pickle=False) as found:
        assert set(found) == set(names)
        assert found["blurred"].shape == (SIDE, SIDE)
        near = found[REAL][SIDE // 2 - 1 : SIDE // 2 + 2, SIDE // 2 - 1 : SIDE // 2 + 2]
        assert near.mean() > found[REAL].mean() + 10
    told = profiles(made.pictures, planes, names)
    assert told["frequencies"]["rows"][-1] == 0.5
    assert told["differences"]["blurred"]["high_band"] < -3
