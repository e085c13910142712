"""Every adversarial model of the family moves all of its weights, and its samples stay images."""

from dataclasses import replace

import pytest
import torch

from gandetect.gans import Images, Settings, Trainer, preset, sample

MODELS = ("gan", "dcgan", "lsgan", "wgan-gp", "dragan", "sngan")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_weight_moves(name, precision, labeled_images):
    config = replace(preset(name, "smoke"), batch=8)
    trainer = Trainer(name, config, labeled_images, settings=Settings(precision=precision))
    before = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
    for _ in range(3):
        terms = trainer.iterate()
    assert all(torch.tensor(value).isfinite() for value in terms.values())
    still = [k for k, v in trainer.model.named_parameters() if torch.equal(v, before[k])]
    # What a Wasserstein critic adds to every logit cancels.
    assert still == (["discriminator.layers.8.bias"] if name == "wgan-gp" else [])
    images = sample(trainer.averaged(), 3)
    assert images.shape == (3, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert len(images.unique()) > 1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("size", "channels"), [(64, 3), (32, 1)])
def test_images_of_another_shape_are_refused(name, size, channels):
    grid = torch.zeros(8, channels, size, size, dtype=torch.uint8)
    trainer = Trainer(name, preset(name, "smoke"), Images(grid, {"name": "black"}))
    with pytest.raises(ValueError, match=rf"\({channels}, {size}, {size}\).*\(3, 32, 32\)"):
        trainer.iterate()
