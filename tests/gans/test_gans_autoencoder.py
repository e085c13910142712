"""The auto-encoder: reconstructions, and the Gaussian that codes are drawn from."""

from dataclasses import replace

import pytest
import torch
from plain_images import plain_images

from gandetect.gans import Trainer, preset
from gandetect.gans.autoencoder import AutoEncoder, AutoEncoderConfig
from gandetect.gans.training import as_input

SMOKE = preset("autoencoder", "smoke")


def error_after(data, steps, **changes):
    """The mean squared error of a model that was trained for `steps` iterations."""
    trainer = Trainer("autoencoder", replace(SMOKE, **changes), data)
    for _ in range(steps):
        trainer.iterate()
    images = as_input(data.images)
    return float((trainer.averaged().reconstruct(images) - images).square().mean())


def test_longer_codes_reconstruct_better():
    data = plain_images()
    errors = [error_after(data, 100, latent=latent) for latent in (1, 3, 16)]
    assert errors[0] > 1.2 * errors[1] > 1.4 * errors[2]


def test_smoke_learns():
    data = plain_images()
    images = as_input(data.images)
    of_the_mean = float((images - images.mean(dim=0)).square().mean())
    assert error_after(data, SMOKE.steps) < 0.4 * of_the_mean


def model_with(codes, memory=0.5):
    """A model whose encoder gave each of `codes` (B, N, latent) in an iteration of its own."""
    model = AutoEncoder(replace(SMOKE, latent=codes.shape[-1], memory=memory))
    for step, some in enumerate(codes):
        model.at_step(step)
        model._remember(some)
    return model


def test_the_first_batch_decides_the_moments():
    codes = torch.randn(1, 50, 4)
    model = model_with(codes)
    torch.testing.assert_close(model.code_mean, codes[0].mean(dim=0))
    torch.testing.assert_close(model.code_covariance, torch.cov(codes[0].T, correction=0))


def test_later_batches_count_as_memory_says():
    codes = torch.randn(3, 50, 4)
    model = model_with(codes, memory=0.6)
    first, second, third = codes.mean(dim=1)
    wanted = (first + second) / 2 * 0.6 + third * 0.4
    torch.testing.assert_close(model.code_mean, wanted)


def test_codes_are_drawn_with_the_moments_of_codes():
    spread = torch.tensor([[2.0, 0.0, 0.0], [1.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    offset = torch.tensor([3.0, -1.0, 0.5])
    codes = torch.randn(100, 100, 3) @ spread.T + offset
    model = model_with(codes, memory=0.99)
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.draw(model.latents(20_000))
    torch.testing.assert_close(seen[0].mean(dim=0), offset, atol=0.1, rtol=0.05)
    torch.testing.assert_close(torch.cov(seen[0].T), spread @ spread.T, atol=0.1, rtol=0.1)
    # The last value of these codes is always the same.
    assert (seen[0][:, 2] - 0.5).abs().max() < 1e-2


def test_drawing_survives_a_covariance_that_is_none():
    """As an edited checkpoint may have it."""
    model = model_with(torch.randn(1, 9, 4))
    model.code_covariance.copy_(-torch.eye(4))
    assert model.draw(model.latents(2)).isfinite().all()


@pytest.mark.parametrize("memory", [1.0, -0.1])
def test_refusals(memory):
    with pytest.raises(ValueError, match="memory"):
        AutoEncoderConfig(memory=memory)
