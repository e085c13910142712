"""The VAE's bound: divergence, reparameterization, likelihoods, importance weights."""

import math
from dataclasses import replace

import pytest
import torch
from plain_images import plain_images
from torch.distributions import Bernoulli, Normal, kl_divergence

from gandetect.gans import Trainer, preset, sample
from gandetect.gans.distances import distances
from gandetect.gans.vae import VAE, Gaussian, VAEConfig

SMOKE = preset("vae", "smoke")


def gaussian(*shape, dtype=torch.float64):
    return Gaussian(torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype))


def standard(like):
    return Gaussian(torch.zeros_like(like.mean), torch.zeros_like(like.mean))


def test_the_divergence_is_what_sampling_says():
    q, p = gaussian(1, 3), gaussian(1, 3)
    samples = torch.cat([q.at(torch.randn(200_000, 3, dtype=torch.float64))])
    for other in (p, standard(q)):
        ratios = q.log_density(samples) - other.log_density(samples)
        error = ratios.std() / len(ratios) ** 0.5
        assert abs(float(ratios.mean() - q.divergence(other))) < 4 * error


def test_densities_and_divergences_are_those_of_torch():
    q, p = gaussian(5, 3), gaussian(5, 3)
    theirs = [Normal(one.mean, (one.log_variance / 2).exp()) for one in (q, p)]
    z = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(q.log_density(z), theirs[0].log_prob(z).sum(dim=1))
    torch.testing.assert_close(q.divergence(p), kl_divergence(*theirs).sum(dim=1))


def test_the_divergence_is_zero_for_the_prior_alone():
    prior = standard(gaussian(1, 4))
    mean, log_variance = (one.clone().requires_grad_() for one in (prior.mean, prior.log_variance))
    divergence = Gaussian(mean, log_variance).divergence(prior)
    assert divergence == 0
    assert all(not g.any() for g in torch.autograd.grad(divergence.sum(), (mean, log_variance)))
    for one in (
        Gaussian(prior.mean + 0.1, prior.log_variance),
        Gaussian(prior.mean, prior.mean - 0.1),
    ):
        assert one.divergence(prior) > 0


def test_gradients_go_through_the_samples():
    """d E[z²] / dμ = 2 μ and d E[z²] / d ln σ² = σ², by the samples' own gradients."""
    mean = torch.tensor([0.7, -1.2], dtype=torch.float64, requires_grad=True)
    log_variance = torch.tensor([0.3, -0.5], dtype=torch.float64, requires_grad=True)
    many = Gaussian(mean.expand(200_000, 2), log_variance.expand(200_000, 2))
    slopes = torch.autograd.grad(many.sample().square().mean(dim=0).sum(), (mean, log_variance))
    torch.testing.assert_close(slopes[0], 2 * mean.detach(), atol=0.02, rtol=0)
    torch.testing.assert_close(slopes[1], log_variance.detach().exp(), atol=0.02, rtol=0)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_likelihoods_are_summed_over_pixels(likelihood):
    model = VAE(replace(SMOKE, likelihood=likelihood, deviation=0.3))
    values = torch.randn(3, 3, 32, 32)
    images = torch.rand(3, 3, 32, 32).mul(2).sub(1).sign()
    if likelihood == "gaussian":
        wanted = Normal(values, 0.3).log_prob(images)
    else:
        wanted = Bernoulli(logits=values).log_prob((images + 1) / 2)
        torch.testing.assert_close(model.mean_image(values), 2 * Bernoulli(logits=values).mean - 1)
    wanted = wanted.flatten(1).sum(dim=1)
    torch.testing.assert_close(model.log_likelihood(images, values), wanted)


def test_the_loss_weighs_the_divergence():
    images = torch.rand(6, 3, 32, 32)
    for beta in (1.0, 4.0):
        torch.manual_seed(0)
        terms = VAE(replace(SMOKE, beta=beta)).terms({"images": images})
        torch.testing.assert_close(terms["loss"], beta * terms["divergence"] - terms["likelihood"])


@pytest.fixture(scope="module")
def trained():
    trainer = Trainer("vae", SMOKE, plain_images())
    for _ in range(120):
        trainer.iterate()
    return trainer


@torch.no_grad()
def test_more_samples_tighten_the_bound(trained):
    model, images = trained.averaged(), plain_images().images[:8] / 127.5 - 1
    means = [
        torch.stack([model.bound(images, samples) for _ in range(60 // samples)]).mean()
        for samples in (1, 5, 30)
    ]
    assert means[0] < means[1] < means[2]
    losses = torch.stack([model.terms({"images": images})["loss"] for _ in range(60)])
    assert abs(losses.mean() + means[0]) < 5 * losses.std() / 60**0.5


def test_smoke_learns(trained):
    """Samples come nearer to the data, and codes say something of the image."""
    data = plain_images()
    fresh = Trainer("vae", SMOKE, data).averaged()
    before, after = (
        distances(sample(one, 96), data.images).frechet for one in (fresh, trained.averaged())
    )
    assert after < 0.7 * before
    images = data.images / 127.5 - 1
    error = (trained.averaged().reconstruct(images) - images).square().mean()
    assert error < 0.6 * (images - images.mean(dim=0)).square().mean()


@pytest.mark.parametrize(
    "changes", [{"likelihood": "poisson"}, {"deviation": 0.0}, {"deviation": 1e9}, {"beta": -1.0}]
)
def test_refusals(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        VAEConfig(**changes)
    with pytest.raises(ValueError, match="deviation"):
        VAEConfig(deviation=math.nan)
