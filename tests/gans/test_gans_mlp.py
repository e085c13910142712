"""The perceptrons of 2014: any size of image, uniform latents, no up-sampling."""

import pytest
import torch
from torch import nn

from gandetect.gans import preset
from gandetect.gans.gan import GAN, GANConfig


@pytest.mark.parametrize(("size", "channels"), [(1, 2), (5, 1), (32, 3)])
def test_shapes(size, channels):
    model = GAN(GANConfig(size=size, channels=channels, latent=7, widths=(6, 9)))
    images = model.draw(model.latents(4))
    assert images.shape == (4, channels, size, size)
    assert images.abs().max() <= 1
    assert model.discriminator(images).shape == (4,)


def test_latents_are_uniform_in_the_whole_range():
    latents = GAN(preset("gan", "smoke")).latents(400, torch.Generator().manual_seed(1))
    assert latents.shape == (400, 32)
    assert -1 <= latents.min() < -0.99
    assert 0.99 < latents.max() <= 1
    assert latents.std().item() == pytest.approx(3**-0.5, rel=0.02)


def test_layers():
    model = GAN(GANConfig(size=2, channels=1, latent=7, widths=(6, 9), dropout=0.4))
    kinds = [type(layer) for layer in model.generator]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear, nn.Tanh, nn.Unflatten]
    widths = [one.out_features for one in model.discriminator if isinstance(one, nn.Linear)]
    assert widths == [9, 6, 1]
    drops = [one.p for one in model.discriminator if isinstance(one, nn.Dropout)]
    assert drops == [0.4, 0.4]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"up": "bicubic"}, "no up-sampling"),
        ({"up_last": "nearest"}, "no up-sampling"),
        ({"dropout": 1.0}, "dropout"),
        ({"widths": ()}, "widths"),
    ],
)
def test_refusals(changes, told):
    with pytest.raises(ValueError, match=told):
        GANConfig(**changes)
