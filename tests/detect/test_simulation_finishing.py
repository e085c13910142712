"""What generators do besides enlarging: each operation has the effect that it is there for."""

import numpy as np
import pytest
import torch
from skimage import data

from gandetect.detect.simulation.finishing import (
    _log_bands,
    bounded,
    crispened,
    denoised,
    matched,
    refined,
    sharpened,
    softened,
    textured,
)

SEEDS = range(12)


@pytest.fixture(scope="module")
def image():
    """(3, 96, 96) in -1..1."""
    crop = torch.from_numpy(data.astronaut()[60:156, 180:276].transpose(2, 0, 1).copy())
    return crop.float() / 127.5 - 1


def high_power(x):
    """Mean power above a quarter of a cycle per pixel."""
    window = torch.hann_window(x.shape[-1])
    power = torch.fft.rfft2(x * window * window[:, None]).abs().square()
    radius = torch.hypot(
        torch.fft.fftfreq(x.shape[-1])[:, None], torch.fft.rfftfreq(x.shape[-1])[None]
    )
    return float(power[:, radius > 0.25].mean())


@pytest.mark.parametrize(
    "operation",
    [textured, refined, denoised, sharpened, crispened, softened, bounded],
)
def test_the_picture_stays(operation, image):
    for seed in SEEDS:
        changed = operation(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        blocks = torch.nn.functional.avg_pool2d(torch.stack([image, changed]), 8).flatten(1)
        assert torch.corrcoef(blocks)[0, 1] > 0.9


def test_noise_goes_and_edges_stay():
    step = torch.zeros(1, 40, 40)
    step[:, :, 20:] = 1
    noise = 0.003 * torch.from_numpy(np.random.default_rng(0).standard_normal(step.shape)).float()
    for seed in SEEDS:
        clean = denoised(step + noise, np.random.default_rng(seed))
        assert clean[:, 5:-5, 4:12].std() < 0.5 * noise.std()
        assert clean[0, 20, 20] - clean[0, 20, 19] > 0.9


def test_sharpening_raises_and_blur_lowers_the_high_frequencies(image):
    for seed in SEEDS:
        sharp, soft = (f(image, np.random.default_rng(seed)) for f in (sharpened, softened))
        assert high_power(soft) < high_power(image) < high_power(sharp)


def test_crisp_edges_do_not_ring(image):
    for seed in SEEDS:
        crisp = crispened(image, np.random.default_rng(seed))
        assert image.min() <= crisp.min()
        assert crisp.max() <= image.max()
        assert high_power(crisp) > high_power(image)


def test_matching_brings_back_the_sharpness_of_the_photograph(image):
    blurred = torch.nn.functional.avg_pool2d(image, 3, 1, 1)
    before = abs(np.log(high_power(blurred) / high_power(image)))
    after = [
        abs(np.log(high_power(matched(blurred, image, np.random.default_rng(seed)))
                   / high_power(image)))
        for seed in SEEDS
    ]  # fmt: skip
    assert np.median(after) < 0.5 * before
    # A few are left as they are.
    assert max(after) <= before + 1e-5


def test_matching_what_matches_changes_nothing(image):
    for seed in SEEDS:
        same = matched(image, image, np.random.default_rng(seed))
        torch.testing.assert_close(same, image, atol=1e-4, rtol=0)


def test_bounds_are_kept_by_tanh_or_left_to_clipping(image):
    results = [bounded(3 * image, np.random.default_rng(seed)) for seed in SEEDS]
    clipped = [torch.equal(result, 3 * image) for result in results]
    assert 0 < sum(clipped) < len(clipped)
    for result, left in zip(results, clipped, strict=True):
        assert left or result.abs().max() < 2.2


@pytest.mark.parametrize("side", [64, 93])
def test_bands_have_the_power_of_noise_in_the_middle(side):
    noise = 0.1 * torch.randn(1, side, side, generator=torch.Generator().manual_seed(side))
    whole = side // 32 * 32
    # White: every band has the variance of the noise times the pixels, but for chance.
    found = np.exp(_log_bands(noise)) / (0.01 * whole**2)
    assert found[1:].mean() == pytest.approx(1, abs=0.1)
    assert np.abs(found[1:] - 1).max() < 0.5
