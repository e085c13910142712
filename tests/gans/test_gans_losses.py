"""Every adversarial loss has the values and the slopes of its formula."""

import math

import pytest
import torch

from gandetect.gans.losses import LOSSES

REAL, GENERATED = torch.tensor([2.0, -0.5]), torch.tensor([-1.0, 3.0])


def softplus(x):
    return math.log1p(math.exp(x))


def mean(function, logits):
    return sum(function(x) for x in logits.tolist()) / len(logits)


TABLE = {
    "saturating": (lambda r: softplus(-r), softplus, lambda g: -softplus(g)),
    "nonsaturating": (lambda r: softplus(-r), softplus, lambda g: softplus(-g)),
    "least_squares": (
        lambda r: (r - 1) ** 2 / 2,
        lambda g: g**2 / 2,
        lambda g: (g - 1) ** 2 / 2,
    ),
    "wasserstein": (lambda r: -r, lambda g: g, lambda g: -g),
    "hinge": (lambda r: max(0, 1 - r), lambda g: max(0, 1 + g), lambda g: -g),
}


def test_every_loss_is_in_the_table():
    assert set(TABLE) == set(LOSSES)


@pytest.mark.parametrize("name", TABLE)
def test_values(name):
    on_real, on_generated, of_generator = TABLE[name]
    loss = LOSSES[name]
    wanted = mean(on_real, REAL) + mean(on_generated, GENERATED)
    assert loss.discriminator(REAL, GENERATED).item() == pytest.approx(wanted, rel=1e-6)
    assert loss.generator(GENERATED).item() == pytest.approx(mean(of_generator, GENERATED), 1e-6)


def slope_of_generator(name, logit):
    x = torch.tensor([logit], requires_grad=True)
    LOSSES[name].generator(x).backward()
    return x.grad.item()


def test_a_sure_discriminator_teaches_the_saturating_generator_nothing():
    assert -1e-6 < slope_of_generator("saturating", -20.0) < 0
    assert slope_of_generator("nonsaturating", -20.0) == pytest.approx(-1, abs=1e-6)


def test_both_generators_climb_the_logit():
    for name in LOSSES:
        assert slope_of_generator(name, 0.0) < 0


def test_at_equal_distributions_the_value_is_minus_ln_4():
    undecided = torch.zeros(5)
    assert LOSSES["saturating"].discriminator(undecided, undecided).item() == pytest.approx(
        math.log(4)
    )
    with_bce = 2 * torch.nn.functional.binary_cross_entropy_with_logits(undecided, torch.ones(5))
    assert with_bce.item() == pytest.approx(2 * math.log(2))


def test_large_logits_stay_finite():
    for loss in LOSSES.values():
        for sign in (-1, 1):
            logits = torch.full((3,), 1e4 * sign, requires_grad=True)
            total = loss.discriminator(logits, logits) + loss.generator(logits)
            total.backward()
            assert total.isfinite()
            assert logits.grad.isfinite().all()
