"""First and second derivatives of the spectral parts, in float64 against differences."""

from __future__ import annotations

import pytest
import torch

from gandetect.nn import SpectralDiscriminator, SpectralLoss

CHECK = {"atol": 1e-5, "rtol": 1e-3, "fast_mode": True}


def images(seed, count=2, channels=1, side=8):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, side, side, generator=rng, dtype=torch.float64) * 1.6 - 0.8


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"projections": ("azimuthal", "rows", "columns")},
        {"channels": "each"},
        {"floor": 1e-3},
        # Away from its kinks: at these images no radius is near to being the least or the greatest.
        {"form": "durall"},
        {"form": "durall", "convention": "jung"},
    ],
)
def test_loss(options):
    loss = SpectralLoss(**options)
    generated = images(1, channels=3).requires_grad_()
    real = images(2, channels=3).requires_grad_()
    assert torch.autograd.gradcheck(loss, (generated, real), **CHECK)
    assert torch.autograd.gradgradcheck(loss, (generated, real), **CHECK)


@pytest.mark.parametrize("form", ["linear", "nonlinear"])
def test_discriminator(form):
    torch.manual_seed(0)
    judge = SpectralDiscriminator(8, form).double()
    x = images(3).requires_grad_()
    assert torch.autograd.gradcheck(judge, x, **CHECK)
    assert torch.autograd.gradgradcheck(judge, x, **CHECK)


def test_a_gradient_penalty_can_train_the_discriminator():
    torch.manual_seed(0)
    judge = SpectralDiscriminator(8).double()
    x = images(4).requires_grad_()
    (slope,) = torch.autograd.grad(judge(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    # Biases move logits, not their slopes.
    assert all(p.grad.norm() > 0 for p in judge.parameters() if p.dim() == 2)
