"""Gradient penalties have the values that a linear critic tells, and gradients of their own."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from gandetect.gans.losses import dragan_penalty, r1_penalty, wgan_gp_penalty

REAL, GENERATED = torch.randn(2, 6, 3, 4, 4, generator=torch.Generator().manual_seed(1)).unbind()


def linear_critic(norm):
    weight = torch.randn(3 * 4 * 4, generator=torch.Generator().manual_seed(2))
    weight = norm * weight / weight.norm()
    return lambda images: images.flatten(1) @ weight


PENALTIES = {
    "wgan-gp": lambda critic: wgan_gp_penalty(critic, REAL, GENERATED),
    "dragan": lambda critic: dragan_penalty(critic, REAL),
}


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize(("norm", "wanted"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25)])
def test_of_a_linear_critic(name, norm, wanted):
    assert PENALTIES[name](linear_critic(norm)).item() == pytest.approx(wanted, abs=1e-5)


def test_r1_of_a_linear_critic_is_half_the_square():
    assert r1_penalty(linear_critic(3.0), REAL).item() == pytest.approx(4.5, rel=1e-5)


class Recording:
    """A critic that remembers what it was shown."""

    def __init__(self):
        self.shown = []

    def __call__(self, images):
        self.shown.append(images.detach())
        return images.square().sum(dim=(1, 2, 3))


def test_wgan_gp_looks_between_real_and_generated():
    critic = Recording()
    wgan_gp_penalty(critic, REAL, GENERATED)
    (shown,) = critic.shown
    share = ((shown - GENERATED) / (REAL - GENERATED)).flatten(1)
    # One share for each image.
    torch.testing.assert_close(share, share[:, :1].expand_as(share), atol=1e-4, rtol=0)
    assert ((share >= 0) & (share <= 1)).all()
    assert len(share[:, 0].unique()) == len(REAL)


def test_dragan_looks_near_the_real_images():
    critic = Recording()
    dragan_penalty(critic, REAL)
    (shown,) = critic.shown
    away = (shown - REAL).flatten(1)
    assert (away >= 0).all()
    assert away.max() <= 0.5 * REAL.std()
    # Shares differ from pixel to pixel and from image to image.
    assert len(away[0].unique()) > 40
    assert away.mean(dim=1).std() > 0.1 * away.mean()


def test_r1_looks_at_the_real_images():
    critic = Recording()
    r1_penalty(critic, REAL)
    assert torch.equal(critic.shown[0], REAL)


def small_critic():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, 2, 1), nn.GroupNorm(1, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1)
    ).double()


@pytest.mark.parametrize("name", ["wgan-gp", "dragan", "r1"])
def test_gradients_of_the_penalties(name):
    critic, (real, generated) = small_critic(), torch.randn(2, 2, 2, 4, 4).double()
    names = [key for key, _ in critic.named_parameters()]

    def penalty(*values):
        torch.manual_seed(0)

        def judge(images):
            return functional_call(critic, dict(zip(names, values, strict=True)), (images,))[:, 0]

        if name == "wgan-gp":
            return wgan_gp_penalty(judge, real, generated)
        return (dragan_penalty if name == "dragan" else r1_penalty)(judge, real)

    values = tuple(one.detach().requires_grad_() for one in critic.parameters())
    assert gradcheck(penalty, values)


def test_the_critic_has_second_derivatives():
    critic = small_critic()
    images = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(critic, (images,))


def test_penalties_do_not_reach_the_images():
    real, generated = REAL.clone().requires_grad_(), GENERATED.clone().requires_grad_()
    critic = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    wgan_gp_penalty(critic, real, generated).backward()
    assert real.grad is None
    assert generated.grad is None
    assert critic[1].weight.grad.abs().sum() > 0
