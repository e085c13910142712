"""Self-made edits: repeatable, masks that say what changed, and fills that do not peek."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from gandetect.detect.edits import AREA, KINDS, SHARES, forge, make_edits, random_region
from gandetect.detect.inpainting import diffuse, patch_fill
from gandetect.detect.views import random_view, saved, scaled_crop, turned

FORGED_PARTS = ("generated region", "splice", "copy-move", "in-painting")


def some_edits(photographs, count=5, side=64, seed=3):
    return list(make_edits(photographs, count=count, side=side, seed=seed))


@pytest.fixture(scope="module")
def edits(photographs):
    """Two hundred edits of 64 pixels."""
    return some_edits(photographs, count=50)


@pytest.fixture
def plane(photographs):
    return photographs[0]().float()


@pytest.fixture
def donor(photographs):
    return photographs[3]().float()


def circle(side: int, radius: float) -> torch.Tensor:
    line = torch.arange(side) - side / 2
    return torch.hypot(line[:, None], line[None]) < radius


def same(a, b) -> bool:
    return torch.equal(a.image, b.image) and torch.equal(a.mask, b.mask) and a.kind == b.kind


def test_the_same_seed_gives_the_same_edits(photographs):
    first, again = some_edits(photographs), some_edits(photographs)
    other = some_edits(photographs, seed=4)
    assert all(map(same, first, again))
    assert not any(map(same, first, other))


def test_an_edit_does_not_depend_on_the_edits_before_it(photographs):
    few, many = some_edits(photographs, count=1), some_edits(photographs, count=3)
    assert all(map(same, few, many[::3]))


def test_no_more_than_two_photographs_are_read_at_a_time(photographs):
    read = []

    def counted(number):
        def load():
            read.append(number)
            return photographs[number]()

        return load

    stream = make_edits([counted(i) for i in range(4)], count=2, side=64)
    edit = next(stream)
    assert read == [0, edit.donor]


def test_every_kind_has_its_share(edits):
    found = Counter(edit.kind for edit in edits)
    for kind in KINDS:
        expected = SHARES[kind] * len(edits)
        assert abs(found[kind] - expected) < 4 * np.sqrt(expected)


def test_half_of_the_edits_are_lossless_whatever_their_kind(edits):
    for label in (0, 1):
        lossless = [edit.quality is None for edit in edits if edit.label == label]
        assert 0.35 < np.mean(lossless) < 0.65


def test_photographs_have_empty_masks_and_generated_images_full_ones(edits):
    for edit in edits:
        share = edit.mask.float().mean()
        if edit.kind == "photograph":
            assert share == 0
        elif edit.kind == "generated":
            assert share == 1
        else:
            assert 0 < share < 0.5


def test_images_are_eight_bit_squares_of_the_side_asked_for(edits):
    assert {(e.image.dtype, e.image.shape) for e in edits} == {(torch.uint8, (64, 64))}
    assert {(e.mask.dtype, e.mask.shape) for e in edits} == {(torch.bool, (64, 64))}


def test_the_donor_is_another_photograph(edits):
    assert all(edit.donor != edit.source for edit in edits)


@pytest.mark.parametrize("kind", FORGED_PARTS)
def test_nothing_changes_where_the_share_is_zero(plane, donor, kind):
    for seed in range(8):
        forgery = forge(plane, donor, kind, 64, np.random.default_rng(seed))
        untouched = forgery.share == 0
        assert torch.equal(forgery.before[untouched], forgery.after[untouched])


@pytest.mark.parametrize("kind", FORGED_PARTS)
def test_with_hard_edges_the_mask_is_where_pixels_differ(plane, donor, kind):
    hard = 0
    for seed in range(8):
        forgery = forge(plane, donor, kind, 64, np.random.default_rng(seed))
        if not bool(((forgery.share == 0) | (forgery.share == 1)).all()):
            continue
        hard += 1
        differs = forgery.before != forgery.after
        mask = forgery.share > 0.5
        # Filled or moved content may equal what was there, by chance.
        assert not (differs & ~mask).any()
        assert differs[mask].float().mean() > 0.9
    assert hard


def test_soft_edges_are_drawn_too(plane, donor):
    shares = [forge(plane, donor, "splice", 64, np.random.default_rng(s)).share for s in range(12)]
    assert any(bool(((share > 0.1) & (share < 0.9)).any()) for share in shares)


def test_a_generated_region_keeps_the_content(plane, donor):
    for seed in range(8):
        forgery = forge(plane, donor, "generated region", 128, np.random.default_rng(seed))
        blocks = torch.nn.functional.avg_pool2d(
            torch.stack([forgery.before, forgery.after])[:, None], 16
        )
        assert torch.corrcoef(blocks.flatten(1))[0, 1] > 0.9


def test_a_splice_brings_content_of_the_donor(plane):
    bright = torch.full((256, 256), 250.0)
    found = []
    for seed in range(8):
        forgery = forge(plane.clamp(max=200), bright, "splice", 64, np.random.default_rng(seed))
        found.append(bool((forgery.after[forgery.share == 1] == 250).all()))
    # Half of the splices are matched in level.
    assert 1 <= sum(found) < 8


def test_a_plain_copy_is_found_again_elsewhere_in_the_image(plane):
    exact = 0
    for seed in range(12):
        forgery = forge(plane, plane, "copy-move", 64, np.random.default_rng(seed))
        moved = forgery.after[forgery.share == 1].round()
        exact += bool(torch.isin(moved, forgery.before.round()).all())
    assert exact >= 3


def test_regions_have_an_area_in_the_range(plane):
    rng = np.random.default_rng(0)
    areas = [float(random_region(64, rng).float().mean()) for _ in range(100)]
    assert min(areas) > AREA[0] - 0.01
    assert max(areas) < AREA[1] + 0.01
    assert np.std(areas) > 0.05


@pytest.mark.parametrize("fill", [diffuse, patch_fill])
def test_a_fill_does_not_look_at_what_it_removes(plane, fill):
    image, hole = plane[100:164, 100:164], circle(64, 12)
    other = torch.where(hole, 255 - image, image)
    assert torch.equal(fill(image, hole), fill(other, hole))


@pytest.mark.parametrize("fill", [diffuse, patch_fill])
def test_a_fill_leaves_the_rest_alone(plane, fill):
    image, hole = plane[100:164, 100:164], circle(64, 12)
    assert torch.equal(fill(image, hole)[~hole], image[~hole])


def test_diffusion_restores_a_plane_through_the_hole():
    ramp = torch.arange(64.0)[:, None] + 2 * torch.arange(64.0)
    assert (diffuse(ramp, circle(64, 12)) - ramp).abs().max() < 3


def test_patches_restore_a_periodic_texture_that_diffusion_cannot():
    texture = 100 + 50 * torch.sin(torch.arange(64.0) * torch.pi / 4).expand(64, 64)
    hole = circle(64, 12)
    errors = [(fill(texture, hole) - texture)[hole].abs().mean() for fill in (patch_fill, diffuse)]
    assert errors[0] < 0.2 * errors[1]


def test_a_hole_over_everything_is_refused():
    with pytest.raises(ValueError, match="whole image"):
        diffuse(torch.zeros(64, 64), torch.ones(64, 64, dtype=torch.bool))


def test_views_of_a_photograph_just_large_enough_hold_all_of_it(plane):
    small = plane[:64, :64]
    for seed in range(20):
        view = scaled_crop(small, 64, np.random.default_rng(seed))
        assert (view - small).abs().max() < 1e-3


def test_turned_views_stay_within_their_square():
    # A border of 255 would be seen if a turned view reached beyond the square it is read from.
    framed = torch.nn.functional.pad(torch.zeros(62, 62), (1, 1, 1, 1), value=255.0)
    for seed in range(30):
        view = random_view(framed, 64, np.random.default_rng(seed))
        assert view[1:-1, 1:-1].abs().max() < 64


def test_turning_by_nothing_changes_nothing(plane):
    square = plane[:64, :64]
    assert (turned(square, 0.0, 1.0) - square).abs().max() < 0.05


def test_saving_lossless_keeps_the_pixels_and_jpeg_does_not(plane):
    square = plane[:64, :64]
    assert torch.equal(saved(square, None).float(), square)
    assert not torch.equal(saved(square, 60).float(), square)


def test_a_photograph_too_small_is_refused(photographs):
    small = [lambda: torch.zeros(40, 400, dtype=torch.uint8), *photographs]
    with pytest.raises(ValueError, match=r"40, 400.*at least 64"):
        next(make_edits(small, count=1, side=64))


@pytest.mark.parametrize("side", [24, 100])
def test_a_side_that_cannot_be_halved_is_refused(photographs, side):
    with pytest.raises(ValueError, match="multiple of 8"):
        next(make_edits(photographs, count=1, side=side))


def test_a_single_photograph_is_refused(photographs):
    with pytest.raises(ValueError, match="at least two"):
        next(make_edits(photographs[:1], count=1))
