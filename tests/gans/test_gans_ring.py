"""Modes of the ring are counted where points are, and nowhere else."""

import pytest
import torch

from gandetect.gans.gan import GANConfig
from gandetect.gans.ring import (
    DEVIATION,
    MODES,
    RADIUS,
    Ring,
    centers,
    modes_reached,
    share_near_modes,
)
from gandetect.gans.training import Trainer


def at(points):
    return points[:, :, None, None]


def test_the_ring_itself_reaches_all():
    batch = Ring().batch(4000)
    images = batch["images"]
    assert images.shape == (4000, 2, 1, 1)
    assert images.abs().max() <= 1
    assert modes_reached(images) == MODES
    assert share_near_modes(images) == pytest.approx(0.989, abs=0.006)
    nearest = torch.cdist(images.flatten(1), centers()).argmin(dim=1)
    assert torch.equal(nearest, batch["labels"])


@pytest.mark.parametrize("count", [1, 3, 8])
def test_collapse_is_counted(count):
    points = centers()[torch.arange(800) % count]
    assert modes_reached(at(points)) == count
    assert share_near_modes(at(points)) == 1


def test_points_between_modes_are_near_none():
    halfway = (centers() + centers().roll(1, 0)) / 2
    assert modes_reached(at(halfway)) == 0
    assert share_near_modes(at(halfway)) == 0
    mixed = torch.cat([halfway, centers()[:2].repeat(4, 1)])
    assert share_near_modes(at(mixed)) == 0.5


@pytest.mark.parametrize(("deviations", "wanted"), [(2.9, 8), (3.1, 0)])
def test_near_is_three_deviations(deviations, wanted):
    farther = centers() * (1 + deviations * DEVIATION / RADIUS)
    assert modes_reached(at(farther)) == wanted


def test_a_stray_point_reaches_no_mode():
    points = centers()[torch.zeros(1000, dtype=torch.long)]
    points[:12] = centers()[1]
    points[12:25] = centers()[2]
    assert modes_reached(at(points)) == 2


def test_perceptrons_learn_where_the_ring_is():
    config = GANConfig(
        size=1,
        channels=2,
        latent=8,
        widths=(64, 64),
        dropout=0.0,
        loss="least_squares",
        rate=2e-3,
        batch=128,
        ema=0.9,
    )
    trainer = Trainer("gan", config, Ring(), seed=1)
    for _ in range(400):
        trainer.iterate()
    model = trainer.averaged()
    radii = model.draw(model.latents(500)).flatten(1).norm(dim=1)
    assert ((radii - RADIUS).abs() < 0.2).float().mean() > 0.8
