"""Models without a file of tests of their learning: the smoke preset as it is comes closer to its
images. Perceptrons take longer than that, see `test_gans_ring`."""

import pytest
from tiny_runs import tiny_images

from gandetect.gans import preset, sample
from gandetect.gans.distances import distances
from gandetect.gans.training import Trainer


@pytest.mark.parametrize(
    ("name", "share"),
    [("dcgan", 0.7), ("lsgan", 0.5), ("wgan-gp", 0.5), ("dragan", 0.5), ("sngan", 0.5)],
)
def test_smoke_learns(name, share):
    config = preset(name, "smoke")
    data = tiny_images(64, config.size, config.channels)
    trainer = Trainer(name, config, data)
    begun = distances(sample(trainer.averaged(), 48), data.images).frechet
    for _ in range(config.steps):
        trainer.iterate()
    assert distances(sample(trainer.averaged(), 48), data.images).frechet < share * begun
