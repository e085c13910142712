"""Shots of synthetic videos, and what their frames are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from making_media import noise

from gandetect.screen.shots import (
    Shots,
    effective_frames,
    frame_weights,
    shot_correlation,
    weighted_median,
)

Picture = np.ndarray


def scene(level: int, seed: int = 0, contrast: float = 0.3) -> Picture:
    """A textured picture, (128, 160), around a gray level."""
    texture = noise(128, 160, seed)[:, :, 0].astype(float) - 128
    return np.clip(level + contrast * texture, 0, 255).astype(np.uint8)


def shots_of(pictures: list[Picture], bit_depth: int = 8) -> list[int]:
    shots = Shots(bit_depth)
    return [shots.of(torch.from_numpy(np.ascontiguousarray(picture))) for picture in pictures]


# --- where shots end ---


def test_cuts_are_found() -> None:
    pictures = [scene(level, i) for i, level in enumerate((40, 200, 110)) for _ in range(5)]
    assert shots_of(pictures) == [0] * 5 + [1] * 5 + [2] * 5


@pytest.mark.parametrize("bit_depth", [10, 12, 16])
def test_deeper_pictures_are_cut_like_those_of_eight_bits(bit_depth: int) -> None:
    pictures = [scene(level, contrast=0.1) for level in (100, 100, 200, 200, 30)]
    deep = [picture.astype(np.uint16) << (bit_depth - 8) for picture in pictures]
    assert shots_of(deep, bit_depth) == shots_of(pictures) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(("share", "expected"), [(0.25, [0, 0]), (0.5, [0, 1])])
def test_what_two_pictures_must_not_share_for_a_cut(share: float, expected: list[int]) -> None:
    first = np.zeros((128, 128), np.uint8)
    second = first.copy()
    second[: int(128 * share)] = 255
    assert shots_of([first, second]) == expected


def test_a_still_is_one_shot() -> None:
    assert set(shots_of([scene(120)] * 30)) == {0}


def test_grain_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    pictures = [np.clip(scene(120) + rng.normal(0, 12, (128, 160)), 0, 255) for _ in range(60)]
    assert set(shots_of([picture.astype(np.uint8) for picture in pictures])) == {0}


def test_noise_from_black_to_white_is_no_cut() -> None:
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (64, 64)).astype(np.uint8) for _ in range(60)]
    assert set(shots_of(pictures)) == {0}


def test_a_pan_is_one_shot() -> None:
    wide = np.linspace(60, 190, 1200)[None, :] + 0.2 * (noise(128, 1200)[:, :, 0] - 128.0)
    pictures = [wide[:, x : x + 160].astype(np.uint8) for x in range(0, 1040, 13)]
    assert len(set(shots_of(pictures))) <= 3


def test_a_slow_fade_to_black_is_not_cut_frame_by_frame() -> None:
    picture = scene(150, contrast=1.0).astype(float)
    pictures = [(picture * (1 - i / 50)).astype(np.uint8) for i in range(50)]
    assert len(set(shots_of(pictures))) <= 3


@pytest.mark.parametrize("level", [0, 255])
def test_after_a_flash_the_shot_goes_on(level: int) -> None:
    flash = np.full((128, 160), level, np.uint8)
    pictures = [scene(120)] * 6 + [flash] + [scene(120)] * 6 + [scene(30)] * 2
    assert shots_of(pictures) == [0] * 6 + [1] + [0] * 6 + [2] * 2


def test_two_cuts_in_a_row_are_two() -> None:
    assert shots_of([scene(40), scene(40), scene(120), scene(220), scene(220)]) == [0, 0, 1, 2, 2]


def test_an_object_that_passes_does_not_split_a_shot() -> None:
    pictures = []
    for i in range(20):
        picture = scene(120).copy()
        picture[:, 8 * i : 8 * i + 40] = 20
        pictures.append(picture)
    assert set(shots_of(pictures)) == {0}


@pytest.mark.parametrize("shape", [(2, 2), (8, 2000), (33, 35)])
def test_any_size_will_do(shape: tuple[int, int]) -> None:
    dark, light = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    assert shots_of([dark, dark, light, light]) == [0, 0, 1, 1]


def test_a_change_of_size_is_no_cut() -> None:
    picture = scene(120)
    assert shots_of([picture, np.kron(picture, np.ones((2, 2), np.uint8))]) == [0, 0]


# --- what frames are worth ---


def test_identical_frames_of_a_shot_count_once() -> None:
    assert effective_frames(np.array([50, 1, 9]), 1.0) == pytest.approx(3)


def test_unrelated_frames_count_each() -> None:
    assert effective_frames(np.array([50, 1, 9]), 0.0) == 60


def test_the_worth_of_a_shot_grows_with_its_frames_and_has_a_limit() -> None:
    worth = [effective_frames(np.array([n]), 0.5) for n in (1, 2, 10, 10**6)]
    assert worth == sorted(worth)
    assert worth[-1] < 1 / 0.5
    # 30 frames at .3, .5 and .8, as tables of effective sample sizes have it.
    thirty = [effective_frames(np.array([30]), rho) for rho in (0.3, 0.5, 0.8)]
    assert thirty == pytest.approx([3.1, 1.9, 1.2], abs=0.05)


def test_identical_frames_within_shots_correlate_fully() -> None:
    shots = np.repeat(np.arange(8), 5)
    assert shot_correlation(np.arange(8.0)[shots], shots, 2.0) == 1.0


def test_independent_frames_do_not_correlate() -> None:
    rng = np.random.default_rng(2)
    shots = np.repeat(np.arange(500), 4)
    found = [shot_correlation(rng.normal(0, 2, 2000), shots, 2.0) for _ in range(20)]
    assert np.mean(found) < 0.03
    assert min(found) == 0.0


@pytest.mark.parametrize("rho", [0.2, 0.5, 0.9])
def test_a_known_correlation_is_found(rho: float) -> None:
    rng = np.random.default_rng(3)
    shots = rng.permutation(np.repeat(np.arange(1000), 4))
    common, own = rng.normal(size=1000)[shots], rng.normal(size=4000)
    logits = 3 * (math.sqrt(rho) * common + math.sqrt(1 - rho) * own) - 7
    assert shot_correlation(logits, shots, 3.0) == pytest.approx(rho, abs=0.04)


@pytest.mark.parametrize(("shots", "spread"), [([0, 1, 2], 1.0), ([0, 0, 0], 0.0), ([4], 1.0)])
def test_where_nothing_is_known_frames_are_taken_as_alike(shots: list[int], spread: float) -> None:
    logits = np.arange(float(len(shots)))
    assert shot_correlation(logits, np.array(shots), spread) == 1.0


def test_frames_that_differ_more_than_pictures_do_not_correlate_negatively() -> None:
    assert shot_correlation(np.array([-9.0, 9.0]), np.array([0, 0]), 1.0) == 0.0


def test_numbers_of_shots_need_not_be_consecutive() -> None:
    weights, sizes = frame_weights(np.array([7, 3, 7, 7]), 1.0)
    assert weights == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3])
    assert sorted(sizes) == [1, 3]


def test_the_weighted_median_is_the_median_of_as_many_copies() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        n = int(rng.integers(1, 12))
        values = rng.integers(-4, 5, n).astype(float)
        weights = rng.integers(1, 6, n)
        expected = float(np.median(np.repeat(values, weights)))
        for scale in (1.0, 1 / 3, 0.1, 1e-9):
            assert weighted_median(values, weights * scale) == expected


def test_rounding_does_not_decide_a_tie() -> None:
    for n, m in ((3, 7), (10, 1), (49, 6), (1000, 3)):
        values = np.array([0.0] * n + [1.0] * m)
        weights = np.array([1 / n] * n + [1 / m] * m)
        assert weighted_median(values, weights) == 0.5
