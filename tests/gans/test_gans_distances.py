"""Weight-free distances: 0 for images of one kind, growing with whatever is done to one side."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gandetect.gans.distances import (
    baselines,
    coverage,
    distances,
    features,
    frechet_distance,
    learned_something,
    polynomial_mmd,
)

COUNT, SIDE = 300, 32


def pictures(count, seed, *, channels=3, side=SIDE):
    """Falling-spectrum noise of random contrast and color, (count, channels, side, side) uint8."""
    rng = torch.Generator().manual_seed(seed)
    u, v = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
    spectrum = torch.fft.rfft2(torch.randn(count, channels, side, side, generator=rng))
    fields = torch.fft.irfft2(spectrum / torch.hypot(u, v).clamp(min=1 / side))
    contrast = 40 * torch.exp(0.5 * torch.randn(count, 1, 1, 1, generator=rng))
    brightness = 128 + 30 * torch.randn(count, channels, 1, 1, generator=rng)
    return eight_bit(fields / fields.std() * contrast + brightness)


def eight_bit(values):
    return values.clamp(0, 255).round().to(torch.uint8)


def blurred(images, times):
    """Averaged over 3x3, again and again, mirrored at the edges."""
    values = images.float()
    for _ in range(times):
        values = F.avg_pool2d(F.pad(values, (1, 1, 1, 1), "reflect"), 3, 1)
    return eight_bit(values)


def noisy(images, deviation):
    rng = torch.Generator().manual_seed(9)
    return eight_bit(images.float() + deviation * torch.randn(images.shape, generator=rng))


def few_modes(images, kept):
    return images[torch.arange(len(images)) % kept]


REAL, ALIKE = pictures(COUNT, seed=1), pictures(COUNT, seed=2)


def test_equal_sets():
    same = distances(REAL, REAL)
    assert same.frechet == pytest.approx(0, abs=1e-6)
    assert same.coverage == 1
    alike = distances(ALIKE, REAL)
    assert alike.images == COUNT
    assert alike.coverage > 0.9
    assert abs(alike.mmd) < 3 * alike.mmd_error
    assert alike.frechet < distances(noisy(ALIKE, 16), REAL).frechet


@pytest.mark.parametrize(
    ("damaged", "amounts"), [(blurred, (1, 2, 4)), (noisy, (16, 32, 64)), (few_modes, (60, 20, 5))]
)
def test_more_damage_is_farther(damaged, amounts):
    found = [distances(ALIKE, REAL)]
    found += [distances(damaged(ALIKE, amount), REAL) for amount in amounts]
    frechets = [one.frechet for one in found]
    coverages = [one.coverage for one in found]
    assert frechets == sorted(set(frechets))
    assert coverages == sorted(set(coverages), reverse=True)
    assert found[-1].mmd > 5 * found[-1].mmd_error
    assert [one.mmd for one in found[1:]] == sorted(one.mmd for one in found[1:])


def test_symmetric():
    other = noisy(ALIKE, 16)
    there, back = distances(other, REAL), distances(REAL, other)
    assert there.frechet == pytest.approx(back.frechet, rel=1e-9)
    assert there.mmd == pytest.approx(back.mmd, rel=1e-9)
    assert there.mmd_error == pytest.approx(back.mmd_error, rel=1e-9)


def test_seeds_decide():
    assert distances(ALIKE, REAL, seed=3) == distances(ALIKE, REAL, seed=3)
    assert distances(ALIKE, REAL, seed=3) != distances(ALIKE, REAL, seed=4)
    # Nothing of an image depends on the others, nor on torch's own random numbers.
    torch.manual_seed(5)
    alone = features(REAL[7:8])
    torch.testing.assert_close(features(REAL)[7:8], alone, rtol=1e-5, atol=1e-5)


def test_frechet_of_gaussians():
    """Of sets whose moments are known: |m - n|² + sum (s - t)² for diagonal covariances."""
    rng = torch.Generator().manual_seed(0)
    white = torch.randn(5000, 3, generator=rng, dtype=torch.float64)
    white = (white - white.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(white.T))).T
    mean, s, t = (torch.tensor(x) for x in ([1.0, -2, 0], [1.0, 2, 0.5], [3.0, 1, 0.5]))
    found = frechet_distance((white * s).double(), (white * t + mean).double())
    assert found == pytest.approx(1 + 4 + 4 + 1 + 0, rel=1e-6)


def test_mmd_is_the_mean_over_pairs():
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(6, 4, generator=rng, dtype=torch.float64)
    b = torch.randn(5, 4, generator=rng, dtype=torch.float64) + 0.5

    def kernel(x, y):
        return float((x @ y / 4 + 1) ** 3)

    def mean(pairs):
        values = [kernel(x, y) for x, y in pairs]
        return sum(values) / len(values)

    within_a = mean((a[i], a[j]) for i in range(6) for j in range(6) if i != j)
    within_b = mean((b[i], b[j]) for i in range(5) for j in range(5) if i != j)
    between = mean((x, y) for x in a for y in b)
    assert polynomial_mmd(a, b)[0] == pytest.approx(within_a + within_b - 2 * between)


def test_the_standard_error_leaves_out_one_image_at_a_time():
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(7, 4, generator=rng, dtype=torch.float64)
    b = torch.randn(5, 4, generator=rng, dtype=torch.float64) + 0.5
    variance = 0.0
    for part, values in (
        (a, [polynomial_mmd(torch.cat([a[:i], a[i + 1 :]]), b)[0] for i in range(7)]),
        (b, [polynomial_mmd(a, torch.cat([b[:i], b[i + 1 :]]))[0] for i in range(5)]),
    ):
        count = len(part)
        variance += (count - 1) * float(torch.tensor(values).double().var(correction=0))
    assert polynomial_mmd(a, b)[1] == pytest.approx(variance**0.5, rel=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_standard_error_of_the_mmd_is_its_spread(shift):
    rng = torch.Generator().manual_seed(1)
    drawn = torch.randn(200, 2, 60, 8, generator=rng, dtype=torch.float64)
    found = torch.tensor([polynomial_mmd(a, b + shift) for a, b in drawn])
    spread, error = found[:, 0].std(), found[:, 1].square().mean().sqrt()
    assert abs(found[:, 0].mean()) < 0.02 or shift
    # Twice the variance where the sets do not differ, as the docstring says.
    assert 0.85 * spread < error < 1.7 * spread


def test_coverage_counts_the_reals_with_a_sample_near():
    real = torch.arange(20.0, dtype=torch.float64)[:, None]
    # The fifth nearest other of the inner numbers is 3 away.
    assert coverage(torch.tensor([[10.4]], dtype=torch.float64), real) == 6 / 20
    assert coverage(real, real) == 1


def test_baselines_are_far_and_the_other_half_is_near():
    found = baselines(REAL)
    assert found["real"].frechet < 0.1 * min(found["noise"].frechet, found["blurred_mean"].frechet)
    assert found["real"].images == COUNT // 2
    assert found["real"].coverage > 0.85
    assert max(found["noise"].coverage, found["blurred_mean"].coverage) < 0.5


def test_learned_something():
    assert learned_something(noisy(ALIKE, 16), REAL)
    constant = torch.full_like(REAL, 128)
    rng = torch.Generator().manual_seed(0)
    white = torch.randint(0, 256, REAL.shape, generator=rng, dtype=torch.uint8)
    for nothing in (constant, white, blurred(pictures(COUNT, 5), 60)):
        found = learned_something(nothing, REAL)
        assert not found
        assert found.to_dict()["learned"] is False
    assert found.to_dict()["baselines"].keys() == {"noise", "blurred_mean", "real"}


def test_gray_images_of_an_odd_size():
    a, b = (pictures(40, seed, channels=1, side=28) for seed in (1, 2))
    assert distances(a, b).frechet > 0
    assert features(a).shape == (40, 2 * 32 + 16)


@pytest.mark.parametrize(
    ("generated", "error", "message"),
    [
        (REAL.float(), TypeError, "float32 given; want uint8"),
        (REAL[:, :, :, 0], ValueError, "want \\(N, 1 or 3, S, S\\)"),
        (REAL[:, :, :4, :4], ValueError, "sides of at least 8"),
        (REAL[:, :1], ValueError, "same channels"),
        (REAL[:7], ValueError, "7 generated images given; want at least 8"),
    ],
)
def test_sets_that_cannot_be_compared(generated, error, message):
    with pytest.raises(error, match=message):
        distances(generated, REAL)


def test_too_few_samples_to_say():
    with pytest.raises(ValueError, match="100 generated images given; want 150"):
        learned_something(ALIKE[:100], REAL)
