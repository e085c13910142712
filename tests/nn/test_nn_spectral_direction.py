"""The loss moves a generator elsewhere than the adversarial loss alone does; the published form of
the regularizer, which computes its profiles outside of autograd, does not."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from gandetect import nn as gnn
from gandetect.nn import SpectralLoss


def players():
    torch.manual_seed(0)
    generator = nn.Sequential(
        nn.Linear(8, 8 * 16),
        nn.Unflatten(1, (8, 4, 4)),
        gnn.ConvTranspose2d(8, 8, 4, stride=2, padding=1, activation="relu"),
        gnn.ConvTranspose2d(8, 1, 4, stride=2, padding=1, activation="tanh"),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(512, 1)
    )
    return generator, discriminator, torch.randn(6, 8), torch.rand(6, 1, 16, 16) * 2 - 1


def direction(total):
    """The generator's gradient of `total(adversarial loss, generated, real)`."""
    generator, discriminator, latents, real = players()
    generated = generator(latents)
    adversarial = F.softplus(-discriminator(generated)).mean()
    slopes = torch.autograd.grad(total(adversarial, generated, real), list(generator.parameters()))
    return torch.cat([slope.flatten() for slope in slopes]).double()


def cosine(a, b):
    return float(F.cosine_similarity(a, b, dim=0))


def test_a_weight_changes_the_direction_and_none_does_not():
    alone = direction(lambda adversarial, generated, real: adversarial)
    for form in ("log", "durall"):
        loss = SpectralLoss(form)
        weighted = direction(lambda adv, generated, real, f=loss: adv + f(generated, real))
        without = direction(lambda adv, generated, real, f=loss: adv + 0 * f(generated, real))
        assert cosine(weighted, alone) < 0.99
        assert torch.equal(without, alone)


def test_the_gradient_reaches_the_images():
    _, _, _, real = players()
    for form in ("log", "durall"):
        images = (0.5 * torch.randn(6, 1, 16, 16)).requires_grad_()
        (slope,) = torch.autograd.grad(SpectralLoss(form)(images, real), images)
        assert torch.isfinite(slope).all()
        assert (slope.flatten(1).norm(dim=1) > 0).all()


def test_the_published_form_leaves_the_direction_as_it_is():
    loss = SpectralLoss("durall")
    alone = direction(lambda adversarial, generated, real: adversarial)

    def published(adversarial, generated, real):
        # NumPy in their code: a number that autograd knows nothing of, times the adversarial loss.
        return adversarial * (1 + 1e-5 * float(loss(generated.detach(), real)))

    found = direction(published)
    assert not torch.equal(found, alone)
    assert abs(cosine(found, alone) - 1) < 1e-9
