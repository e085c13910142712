"""The best discriminator of two distributions is p / (p + q), and its value is a divergence."""

import math

import torch
from torch import nn
from torch.distributions import Normal

from gandetect.gans.losses import LOSSES

P, Q = Normal(0.0, 1.0), Normal(1.5, 0.7)


def quantiles(of, count=8000):
    """Points (count, 1) that stand for the whole distribution: means over them are integrals."""
    return of.icdf((torch.arange(count).double() + 0.5) / count)[:, None]


def trained(p=P, q=Q):
    network = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
    network.append(nn.Linear(32, 1)).double()
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=120, line_search_fn="strong_wolfe")
    real, generated = quantiles(p), quantiles(q)

    def loss():
        optimizer.zero_grad()
        value = LOSSES["nonsaturating"].discriminator(network(real), network(generated))
        value.backward()
        return value

    optimizer.step(loss)
    return network, loss().item()


def test_it_is_learned_within_two_percent():
    network, value = trained()
    x = torch.linspace(-2, 3, 101, dtype=torch.float64)[:, None]
    p, q = P.log_prob(x).exp(), Q.log_prob(x).exp()
    with torch.no_grad():
        error = network(x).sigmoid() - p / (p + q)
    assert error.abs().max() < 0.02
    # -ln 4 + 2 JS(p, q), by the trapezoidal rule.
    x = torch.linspace(-9, 9, 20001, dtype=torch.float64)
    p, q = P.log_prob(x).exp(), Q.log_prob(x).exp()
    wanted = torch.trapezoid(p * (p / (p + q)).log() + q * (q / (p + q)).log(), x)
    assert wanted > -math.log(4)
    assert abs(-value - wanted.item()) < 2e-3


def test_equal_distributions_leave_it_undecided_and_the_value_at_minus_ln_4():
    network, value = trained(P, P)
    with torch.no_grad():
        assert (network(quantiles(P)).sigmoid() - 0.5).abs().max() < 0.02
    assert abs(-value + math.log(4)) < 1e-6
