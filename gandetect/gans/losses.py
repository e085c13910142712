"""Adversarial losses on logits, and the penalties that keep a discriminator smooth.

All are means over the batch. Discriminators return logits, never probabilities. Label 1 is
generated everywhere else in this package; inside a GAN the discriminator's logit is, as in the
literature, high for real images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Discriminator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """`discriminator(real logits, generated logits)` and `generator(generated logits)`."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _logistic_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def _saturating_generator(generated: Tensor) -> Tensor:
    return -F.softplus(generated).mean()


def _nonsaturating_generator(generated: Tensor) -> Tensor:
    return F.softplus(-generated).mean()


def _squares_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    """(a, b, c) = (0, 1, 1), with the halves of Mao et al. that public code often drops."""
    return 0.5 * (real - 1).square().mean() + 0.5 * generated.square().mean()


def _squares_generator(generated: Tensor) -> Tensor:
    return 0.5 * (generated - 1).square().mean()


def _wasserstein_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    return generated.mean() - real.mean()


def _negative_mean(generated: Tensor) -> Tensor:
    return -generated.mean()


def _hinge_discriminator(real: Tensor, generated: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + generated).mean()


LOSSES = {
    "saturating": AdversarialLoss(_logistic_discriminator, _saturating_generator),
    "nonsaturating": AdversarialLoss(_logistic_discriminator, _nonsaturating_generator),
    "least_squares": AdversarialLoss(_squares_discriminator, _squares_generator),
    "wasserstein": AdversarialLoss(_wasserstein_discriminator, _negative_mean),
    "hinge": AdversarialLoss(_hinge_discriminator, _negative_mean),
}


def gradient_norms(discriminator: Discriminator, at: Tensor) -> Tensor:
    """‖∇ₓD(x)‖₂ of each image (N,) of `at`, differentiable once more."""
    x = at.detach().requires_grad_()
    # float32: the squares of small gradients vanish in half precision.
    with torch.autocast(x.device.type, enabled=False):
        (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return slope.flatten(1).norm(dim=1)


def wgan_gp_penalty(discriminator: Discriminator, real: Tensor, generated: Tensor) -> Tensor:
    """E (‖∇D(x̂)‖₂ - 1)², x̂ between a real and a generated image (Gulrajani et al. 2017).

    x̂ = ε x + (1 - ε) G(z) with one ε ~ U(0, 1) for each image.
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
    between = share * real + (1 - share) * generated
    return (gradient_norms(discriminator, between) - 1).square().mean()


def dragan_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """E (‖∇D(x̂)‖₂ - 1)² around the real images alone (Kodali et al. 2017).

    x̂ = x + α ½ std(x) β with β ~ U(0, 1) for each pixel and α ~ U(0, 1) for each image, std over
    the batch, which is how public code has it; the paper perturbs with Gaussian noise.
    """
    share = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device, dtype=real.dtype)
    near = real + share * 0.5 * real.std() * torch.rand_like(real)
    return (gradient_norms(discriminator, near) - 1).square().mean()


def r1_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """½ E ‖∇D(x)‖² on real images (Mescheder et al. 2018)."""
    return 0.5 * gradient_norms(discriminator, real).square().mean()
