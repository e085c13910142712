"""Self-made warps: repeatable, the flow undoes them, and interpolation alone gives nothing away."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gandetect.detect.warps import (
    AMPLITUDE,
    AREA,
    STEEPEST,
    inverse,
    make_warp,
    make_warps,
    random_displacement,
    undo,
)

SIDE = 96


@pytest.fixture
def plane(photographs):
    return photographs[0]().float()


def psnr(a, b) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))


def lossless(plane, label, seeds):
    """Lossless warps of `plane` from those `seeds` that draw no JPEG."""
    drawn = [make_warp(plane, SIDE, np.random.default_rng(seed), label) for seed in seeds]
    return [warp for warp in drawn if warp.quality is None]


def same(a, b) -> bool:
    return torch.equal(a.image, b.image) and torch.equal(a.flow, b.flow) and a.label == b.label


def test_the_same_seed_gives_the_same_warps(photographs):
    first, again, other = (
        list(make_warps(photographs[:2], count=3, side=SIDE, seed=seed)) for seed in (1, 1, 2)
    )
    assert all(map(same, first, again))
    assert not any(map(same, first, other))


def test_a_warp_does_not_depend_on_the_warps_before_it(photographs):
    few = list(make_warps(photographs[:2], count=1, side=SIDE))
    many = list(make_warps(photographs[:2], count=3, side=SIDE))
    assert all(map(same, few, many[::3]))


def test_half_are_warped_and_half_are_lossless(photographs):
    warps = list(make_warps(photographs[:2], count=50, side=64))
    assert 0.35 < np.mean([warp.label for warp in warps]) < 0.65
    for label in (0, 1):
        assert 0.3 < np.mean([w.quality is None for w in warps if w.label == label]) < 0.7


def test_the_true_flow_undoes_the_warp(plane):
    gains = [
        psnr(undo(warp.image[None], warp.flow[None])[0], warp.original)
        - psnr(warp.image, warp.original)
        for warp in lossless(plane, 1, range(30))
    ]
    assert np.mean(gains) > 8
    assert min(gains) > 1


@pytest.mark.parametrize("wrong", ["negated", "swapped"])
def test_only_the_stated_convention_undoes_the_warp(plane, wrong):
    for warp in lossless(plane, 1, range(10)):
        flow = -warp.flow if wrong == "negated" else warp.flow.flip(0)
        right = psnr(undo(warp.image[None], warp.flow[None])[0], warp.original)
        assert psnr(undo(warp.image[None], flow[None])[0], warp.original) < right - 3


def test_original_is_found_at_p_plus_u(plane):
    # The definition, pixel by pixel, where the flow happens to point between no pixels.
    image = torch.zeros(1, 16, 16)
    image[0, 5, 9] = 200
    flow = torch.zeros(1, 2, 16, 16)
    flow[0, :, 4, 6] = torch.tensor([3.0, 1.0])
    undone = undo(image, flow)[0]
    assert undone[4, 6] == pytest.approx(200, abs=0.1)


def test_inverting_twice_gives_the_displacement_back():
    for seed in range(5):
        displacement = random_displacement(SIDE, np.random.default_rng(seed))
        again = inverse(inverse(displacement))
        inner = (slice(None), slice(12, -12), slice(12, -12))
        assert (again - displacement)[inner].abs().mean() < 0.02


def test_displacements_keep_within_their_bounds():
    for seed in range(40):
        size = torch.linalg.vector_norm(
            random_displacement(128, np.random.default_rng(seed)), dim=0
        )
        assert 0.8 <= size.max() <= AMPLITUDE[1] + 1e-3
        assert AREA[0] / 4 < (size > 0).float().mean() <= AREA[1] + 0.01


def test_no_warp_folds():
    for seed in range(40):
        field = random_displacement(64, np.random.default_rng(seed))
        for dim in (1, 2):
            assert field.diff(dim=dim).norm(dim=0).max() < 2 * STEEPEST


def test_an_image_without_a_warp_is_its_original_and_has_no_flow(plane):
    for warp in lossless(plane, 0, range(10)):
        assert torch.equal(warp.image, warp.original)
        assert warp.flow.count_nonzero() == 0


def test_away_from_the_warp_both_classes_are_the_same_pixels(plane):
    for seed in range(10):
        warped, plain = (
            make_warp(plane, SIDE, np.random.default_rng(seed), label) for label in (1, 0)
        )
        if warped.quality is None:
            still = warped.flow.norm(dim=0) < 1e-6
            assert still.float().mean() > 0.3
            assert torch.equal(warped.image[still], plain.image[still])


def test_images_without_a_warp_are_interpolated_too():
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (400, 400))).float()
    roughness = [
        float(warp.image.float().diff(dim=0).square().mean())
        for warp in lossless(noise, 0, range(40))
    ]
    # Independent uniform pixels have 2 * 255^2 / 12; interpolation and shrinking make them alike.
    assert max(roughness) < 0.95 * 255**2 / 6


def test_undo_is_differentiable_in_the_flow():
    image = torch.rand(1, 32, 32) * 255
    flow = (0.3 * torch.ones(1, 2, 32, 32)).requires_grad_()
    undo(image, flow).sum().backward()
    assert flow.grad is not None
    assert flow.grad.abs().max() > 0


def test_a_flow_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"want \(N, 2, S, S\)"):
        undo(torch.zeros(1, 32, 32), torch.zeros(1, 2, 16, 16))


def test_a_photograph_too_small_is_refused():
    with pytest.raises(ValueError, match="at least"):
        next(make_warps([lambda: torch.zeros(100, 100)], count=1, side=96))
