"""SpectralLoss: its formulas, computed again with torch.fft, and that it can be minimized."""

from __future__ import annotations

import math

import pytest
import torch

from gandetect import nn as gnn
from gandetect.nn.spectral import rounding_power, spectral_l1

SIDE = 16


def fields(count, channels=1, side=SIDE, falloff=1.0, seed=0):
    """Noise (count, channels, side, side) in -1..1 whose amplitude falls as 1/f^falloff."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, channels, side, side, generator=rng, dtype=torch.float64)
    u, v = torch.fft.fftfreq(side)[:, None], torch.fft.fftfreq(side)[None]
    weight = torch.hypot(u, v).clamp(min=1 / side) ** -falloff
    pictures = torch.fft.ifft2(torch.fft.fft2(noise) * weight).real
    return (pictures / pictures.std() / 3).clamp(-1, 1)


def power(images):
    """|F|² of (x + 1) / 2 and the integer radius of each coefficient."""
    side = images.shape[-1]
    u = torch.fft.fftfreq(side, 1 / side).round()
    radius = torch.hypot(u[:, None], u[None]).floor().long()
    return torch.fft.fft2((images + 1) / 2).abs().square(), radius


def by_hand(images, floor):
    plane, radius = power(images)
    rings = [plane[..., radius == k].mean(-1) for k in range(int(radius.max()) + 1)]
    return torch.log(torch.stack(rings, -1).mean(0) + floor)


def test_log_is_the_squared_distance_of_log_mean_profiles():
    a, b = fields(5, seed=1), fields(7, seed=2, falloff=0.5)
    floor = SIDE**2 / (12 * 255**2)
    wanted = (by_hand(a[:, 0], floor) - by_hand(b[:, 0], floor)).square().mean()
    assert float(gnn.SpectralLoss()(a, b)) == pytest.approx(float(wanted), rel=1e-9)


def test_projections_are_averaged():
    a, b = fields(5, seed=1), fields(7, seed=2, falloff=0.5)
    alone = [
        float(gnn.SpectralLoss(projections=(name,))(a, b))
        for name in ("azimuthal", "rows", "columns")
    ]
    together = gnn.SpectralLoss(projections=("columns", "azimuthal", "rows"))(a, b)
    assert float(together) == pytest.approx(sum(alone) / 3)
    assert len(set(alone)) == 3


def test_channels_by_themselves_see_what_gray_does_not():
    plain = fields(6, seed=1).expand(-1, 3, -1, -1)
    # Opposite noise in two channels, which cancels in gray.
    noise = 0.1 * fields(6, seed=2, falloff=0)
    hidden = plain + torch.cat([noise / 0.299, -noise / 0.587, torch.zeros_like(noise)], dim=1)
    assert float(gnn.SpectralLoss()(hidden, plain)) < 1e-12
    assert gnn.SpectralLoss(channels="each")(hidden, plain) > 0.03


def test_swapped_channels_do_not_cancel():
    rough, smooth = fields(6, falloff=0, seed=1), fields(6, falloff=2, seed=1)
    one = torch.cat([rough, smooth, smooth], dim=1)
    other = torch.cat([smooth, rough, smooth], dim=1)
    assert gnn.SpectralLoss(channels="each")(one, other) > 0.1


def test_durall_is_the_cross_entropy_of_scaled_profiles():
    a, b = fields(5, seed=1), fields(7, seed=2, falloff=0.5)

    def profiles(images):
        side = images.shape[-1]
        at = torch.arange(side) - (side - 1) / 2
        radius = torch.hypot(at[:, None], at[None]).floor().long()
        logs = 20 * torch.log((torch.fft.fft2((images[:, 0] + 1) / 2) + 1e-8).abs())
        shifted = torch.fft.fftshift(logs, dim=(1, 2))
        bins = range(1, int(radius.max()))
        return torch.stack([shifted[:, radius == k].mean(-1) for k in bins], -1)

    def scaled(x):
        low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
        return (x - low) / (high - low)

    target = scaled(profiles(b).mean(0))
    share = scaled(profiles(a)).clamp(1e-4, 1 - 1e-4)
    wanted = torch.nn.functional.binary_cross_entropy(share, target.expand_as(share))
    found = gnn.SpectralLoss(form="durall")(a, b)
    assert float(found) == pytest.approx(float(wanted), rel=1e-9)


def test_durall_takes_a_convention():
    a, b = fields(5, seed=1), fields(7, seed=2, falloff=0.5)
    losses = {
        name: float(gnn.SpectralLoss(form="durall", convention=name)(a, b))
        for name in ("durall", "jung", "centered")
    }
    assert len(set(losses.values())) == 3
    assert all(math.isfinite(value) for value in losses.values())


def test_the_floor_is_the_power_of_rounding():
    images = fields(200, seed=3) / 2
    eight_bit = (images * 127.5).round() / 127.5
    error, _ = power(eight_bit - images - 1)
    assert float(error.mean()) == pytest.approx(rounding_power(SIDE, SIDE), rel=0.05)


@pytest.mark.parametrize("options", [{}, {"channels": "each"}, {"form": "durall"}])
def test_constant_images_give_finite_gradients(options):
    images = torch.zeros(2, 3, SIDE, SIDE, requires_grad=True)
    gnn.SpectralLoss(**options)(images, fields(2, 3).float()).backward()
    assert torch.isfinite(images.grad).all()


@pytest.mark.parametrize("projections", [("azimuthal",), ("azimuthal", "rows", "columns")])
def test_a_free_generator_comes_near_within_200_steps(projections):
    torch.manual_seed(0)
    real = fields(16, side=32, seed=4).float()
    free = torch.nn.Parameter(0.05 * torch.randn(16, 1, 32, 32))
    loss = gnn.SpectralLoss(projections=projections)
    optimizer = torch.optim.Adam([free], 0.02)
    found = []
    for _ in range(200):
        distance = loss(torch.tanh(free), real)
        found.append(distance.item())
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
    assert found[-1] < 0.01 * found[0]


def test_spectral_l1_is_the_sum_over_radii():
    a, b = fields(5, 3, seed=1), fields(7, 3, seed=2, falloff=0.5)

    def mean_profile(images):
        gray = images[:, 0] * 0.299 + images[:, 1] * 0.587 + images[:, 2] * 0.114
        plane, radius = power(gray)
        # jung counts the half plane of the non-negative columns, each coefficient once.
        logs, half = 20 * torch.log(plane + 1e-8), radius[:, : SIDE // 2 + 1]
        rings = [
            logs[..., : SIDE // 2 + 1][:, half == k].mean(-1) for k in range(int(half.max()) + 1)
        ]
        rings = torch.stack(rings, -1)
        low, high = rings.amin(-1, keepdim=True), rings.amax(-1, keepdim=True)
        return ((rings - low) / (high - low)).mean(0)

    wanted = (mean_profile(a) - mean_profile(b)).abs().sum()
    assert float(spectral_l1(a, b)) == pytest.approx(float(wanted), rel=1e-9)
    assert float(spectral_l1(a, a)) == 0
