"""Gains by radius do to a wave what they say, in images of any side."""

import math

import pytest
import torch

from gandetect.detect.simulation.spectra import filtered

# Of large primes, of small ones, and one that is odd.
SIDES = (62, 64, 94, 75)


def wave(side, vertical, horizontal):
    """One plane (1, side, side), of so many cycles a pixel along both axes."""
    place = torch.arange(side, dtype=torch.float64)
    phase = 2 * math.pi * (vertical * place[:, None] + horizontal * place)
    return torch.cos(phase)[None].float()


@pytest.mark.parametrize("side", SIDES)
def test_a_gain_of_one_changes_nothing(side):
    x = torch.rand(3, side, side, generator=torch.Generator().manual_seed(side))
    torch.testing.assert_close(filtered(x, torch.ones_like), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("vertical", "horizontal"), [(0.125, 0.0), (0.0, 0.25), (0.15, 0.2)])
def test_a_wave_gets_the_gain_of_its_radius(side, vertical, horizontal):
    x = wave(side, vertical, horizontal)
    found = filtered(x, lambda radius: 1 + 2 * radius)
    inner = (slice(None), slice(20, -20), slice(20, -20))
    gain = 1 + 2 * math.hypot(vertical, horizontal)
    # What is left is of the borders, where the wave breaks off.
    torch.testing.assert_close(found[inner], gain * x[inner], rtol=0, atol=0.02)


def test_the_mean_has_the_gain_at_zero():
    x = torch.full((1, 66, 66), 3.0)
    torch.testing.assert_close(filtered(x, lambda radius: 2 - radius), 2 * x)
