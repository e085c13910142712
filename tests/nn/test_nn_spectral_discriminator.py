"""SpectralDiscriminator: what it computes, what it learns to tell apart, and what it must not."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gandetect import ops
from gandetect.nn import SpectralDiscriminator

SIDE = 32


def fields(count, side, seed):
    """Noise (count, 1, side, side) with the falling spectrum of photographs, deviation 1."""
    rng = torch.Generator().manual_seed(seed)
    u, v = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
    spectrum = torch.fft.rfft2(torch.randn(count, 1, side, side, generator=rng))
    pictures = torch.fft.irfft2(spectrum / torch.hypot(u, v).clamp(min=1 / side))
    pictures -= pictures.mean(dim=(1, 2, 3), keepdim=True)
    return pictures / pictures.std(dim=(1, 2, 3), keepdim=True)


def nailed(count, seed):
    """Smaller fields on a bed of nails, smoothed a little; deviation 0.2."""
    kernel = torch.tensor([[1.0, 3, 1], [3, 9, 3], [1, 3, 1]])
    up = ops.bed_of_nails(fields(count, SIDE // 2, seed), 2)
    smooth = F.conv2d(F.pad(up, (1, 1, 1, 1), "circular"), kernel[None, None])
    return 0.2 * smooth / smooth.std()


def photographs(count, seed):
    """Fields with white noise, so that as much power is beyond half the band as in `nailed`."""

    def high(x):
        return torch.fft.fft2(x)[..., SIDE // 4 : -SIDE // 4, :].abs().square().mean()

    clean = 0.2 * fields(count, SIDE, seed)
    rng = torch.Generator().manual_seed(seed + 1)
    noise = torch.randn(clean.shape, generator=rng)
    lacking = (high(nailed(256, 99)) - high(clean)).clamp(min=0)
    return clean + noise * (lacking / high(noise)).sqrt()


def accuracy(real, generated, seed=0):
    """Train on half of both, return the share of the other half that is told right."""
    torch.manual_seed(seed)
    judge = SpectralDiscriminator(SIDE)
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3)
    half = len(real) // 2
    for _ in range(150):
        optimizer.zero_grad()
        on_real, on_generated = judge(real[:half]), judge(generated[:half])
        (F.softplus(-on_real).mean() + F.softplus(on_generated).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        right = torch.cat([judge(real[half:]) > 0, judge(generated[half:]) < 0])
    return float(right.double().mean())


def test_it_tells_beds_of_nails_from_photographs_with_as_much_noise():
    assert accuracy(photographs(256, 1), nailed(256, 2)) > 0.9


def test_it_cannot_tell_photographs_from_photographs():
    assert accuracy(photographs(256, 3), photographs(256, 4)) < 0.62


@pytest.mark.parametrize(("form", "layers"), [("linear", 1), ("nonlinear", 2)])
def test_it_reads_the_profile_of_images_in_0_to_1(form, layers):
    torch.manual_seed(0)
    judge = SpectralDiscriminator(64, form).double()
    weights = [w for w in judge.parameters() if w.dim() == 2]
    assert [tuple(w.shape) for w in weights] == [(46, 46), (1, 46)][2 - layers :]
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    pattern = (7 * x + 13 * y + x * y) % 256 / 255
    # Published values of this pattern.
    profile = ops.spectral_profile(pattern.double()[None], "jung")
    assert profile[0, 2].item() == pytest.approx(0.162991, abs=1e-5)
    logits = judge((2 * pattern - 1).double()[None, None])
    assert logits.shape == (1,)
    torch.testing.assert_close(logits, judge.layers(profile)[:, 0], atol=1e-9, rtol=0)


def test_contrast_does_not_count_but_for_the_mean():
    torch.manual_seed(0)
    judge = SpectralDiscriminator(16).double()
    x = torch.rand(3, 1, 16, 16, dtype=torch.float64)
    scaled = 0.5 * x
    torch.testing.assert_close(judge(2 * x - 1), judge(2 * scaled - 1), atol=1e-6, rtol=1e-6)
    assert (judge(2 * x - 1) - judge(x)).abs().min() > 1e-6
