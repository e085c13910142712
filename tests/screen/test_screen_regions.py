"""What is cut out of a picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from making_media import noise

from gandetect.detect import Model, cut_tiles
from gandetect.media import Luma
from gandetect.screen.faces import face_squares
from gandetect.screen.regions import Cut, CutOptions, covering_squares, cut, smooth_side


def luma(height: int, width: int, **options: object) -> Luma:
    pixels = torch.from_numpy(np.ascontiguousarray(noise(height, width)[:, :, 0]))
    return Luma(pixels, **options)  # type: ignore[arg-type]


def tiles_of(result: Cut) -> torch.Tensor:
    assert result.squares
    return torch.from_numpy(np.stack(result.squares))


def test_tiles_are_those_of_training() -> None:
    picture = luma(300, 420)
    result = cut(picture, CutOptions("tiles", 64, 32, 9))
    assert torch.equal(tiles_of(result), cut_tiles(picture.pixels, 64, max_tiles=9))
    assert tiles_of(result).dtype == torch.uint8


@pytest.mark.parametrize(
    ("region", "shape"),
    [("tiles", (16, 64, 64)), ("center", (1, 64, 64)), ("frame", (2, 300, 300))],
)
def test_regions(region: str, shape: tuple[int, ...]) -> None:
    assert tiles_of(cut(luma(301, 420), CutOptions(region, 64, 32))).shape == shape


def test_center_is_central() -> None:
    picture = luma(100, 140)
    center = tiles_of(cut(picture, CutOptions("center", 64, 32)))
    assert torch.equal(center[0], picture.pixels[18:82, 38:102])


@pytest.mark.parametrize(
    ("height", "width"), [(100, 140), (140, 100), (128, 128), (64, 1000), (1080, 1920), (90, 181)]
)
def test_a_frame_is_covered_by_squares_within_it(height: int, width: int) -> None:
    places = covering_squares(height, width, 32)
    side = places[0][2]
    seen = np.zeros((height, width), bool)
    for top, left, size in places:
        assert size == side
        assert 0 <= top <= height - side
        assert 0 <= left <= width - side
        seen[top : top + side, left : left + side] = True
    assert side == smooth_side(min(height, width))
    lost = min(height, width) - side
    assert (~seen).sum() <= (lost + side // 32) * max(height, width)
    assert len(places) == math.ceil((max(height, width) - side // 32) / side)


def test_a_strip_is_covered_by_as_many_squares_as_allowed() -> None:
    places = covering_squares(32, 10_000, 5)
    assert [left for _, left, _ in places] == [0, 2492, 4984, 7476, 9968]


@pytest.mark.parametrize(("side", "smooth"), [(1080, 1080), (1079, 1078), (1086, 1080), (2, 2)])
def test_sides_are_made_smooth(side: int, smooth: int) -> None:
    assert smooth_side(side) == smooth


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_small_pictures_are_one_square(region: str) -> None:
    assert tiles_of(cut(luma(51, 51), CutOptions(region, 64, 32))).shape == (1, 50, 50)
    assert cut(luma(31, 900), CutOptions(region, 64, 32)) == Cut([], "too_small")


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_flat_pictures_are_not_scored(region: str) -> None:
    flat = Luma(torch.full((128, 128), 90, dtype=torch.uint8))
    assert cut(flat, CutOptions(region, 64, 32)) == Cut([], "flat")


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_video_range_is_scaled(region: str) -> None:
    picture = luma(64, 64)
    limited = cut(Luma(picture.pixels, full_range=False), CutOptions(region, 64, 32))
    expected = (picture.pixels.float() - 16) * (255 / 219)
    torch.testing.assert_close(tiles_of(limited)[0], expected)


def test_television_range_is_left_to_models_that_ignore_brightness(model: Model) -> None:
    """The logit is the same but for rounding, without a copy in floating point."""
    assert model.spec.ignores_brightness
    picture = Luma(luma(128, 128).pixels // 2 + 20, full_range=False)
    scaled = tiles_of(cut(picture, CutOptions("tiles", 64, 32)))
    raw = tiles_of(cut(picture, CutOptions("tiles", 64, 32, as_decoded=True)))
    assert (scaled.dtype, raw.dtype) == (torch.float32, torch.uint8)
    torch.testing.assert_close(model.logits(raw), model.logits(scaled), atol=2e-4, rtol=0)


@pytest.mark.parametrize("as_decoded", [False, True])
def test_flatness_is_measured_on_the_full_scale(as_decoded: bool) -> None:
    """A standard deviation of .46 in television range is .54 on the scale to 255: not flat."""
    pixels = torch.full((64, 64), 90, dtype=torch.uint8)
    pixels[:, ::3] += 1  # .471, or .549 scaled
    options = CutOptions("tiles", 64, 32, as_decoded=as_decoded)
    assert cut(Luma(pixels, full_range=False), options).squares
    assert cut(Luma(pixels), options) == Cut([], "flat")


def test_a_face_is_found_where_it_is() -> None:
    pytest.importorskip("cv2")
    from skimage import data

    astronaut = torch.from_numpy(np.ascontiguousarray(data.astronaut()[:, :, 1]))
    wide = torch.zeros((600, 900), dtype=torch.uint8) + 128
    wide[50:562, 300:812] = astronaut
    (square,) = cut(Luma(wide), CutOptions("faces", 64, 32)).squares
    eyes = astronaut[95:125, 190:255].numpy()
    assert square.shape[0] == square.shape[1] >= 96
    views = np.lib.stride_tricks.sliding_window_view(square, eyes.shape)
    assert (views == eyes).all(axis=(2, 3)).any()


def test_a_deep_plane_has_the_same_faces() -> None:
    pytest.importorskip("cv2")
    from skimage import data

    plane = torch.from_numpy(np.ascontiguousarray(data.astronaut()[:, :, 1]))
    deep = Luma((plane.int() * 4).to(torch.uint16), bit_depth=10)
    places = [face_squares(picture, 32, 16) for picture in (Luma(plane), deep)]
    assert places[0] == places[1] != []


def test_without_a_face_nothing_is_scored() -> None:
    pytest.importorskip("cv2")
    assert cut(luma(128, 128), CutOptions("faces", 64, 32)) == Cut([], "no_face")


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="region 'half' given"):
        CutOptions("half", 64, 32)
    with pytest.raises(ValueError, match="max_tiles=0"):
        CutOptions("tiles", 64, 32, 0)
    with pytest.raises(ValueError, match="tile=63"):
        CutOptions("tiles", 63, 32)
