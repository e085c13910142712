"""What is cut out of a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from making_media import noise

from gandetect.detect import cut_tiles
from gandetect.media import Luma
from gandetect.screen.regions import Cut, CutOptions, cut


def luma(height: int, width: int, **options: object) -> Luma:
    pixels = torch.from_numpy(np.ascontiguousarray(noise(height, width)[:, :, 0]))
    return Luma(pixels, **options)  # type: ignore[arg-type]


def tiles_of(result: Cut) -> torch.Tensor:
    assert result.tiles is not None
    return result.tiles


def test_tiles_are_those_of_training() -> None:
    picture = luma(300, 420)
    result = cut(picture, CutOptions("tiles", 64, 32, 9))
    assert torch.equal(tiles_of(result), cut_tiles(picture.pixels, 64, max_tiles=9))
    assert tiles_of(result).dtype == torch.uint8


@pytest.mark.parametrize(
    ("region", "shape"),
    [("tiles", (16, 64, 64)), ("center", (1, 64, 64)), ("frame", (1, 300, 300))],
)
def test_regions(region: str, shape: tuple[int, ...]) -> None:
    assert tiles_of(cut(luma(301, 420), CutOptions(region, 64, 32))).shape == shape


def test_center_and_frame_are_central() -> None:
    picture = luma(100, 140)
    center = tiles_of(cut(picture, CutOptions("center", 64, 32)))
    assert torch.equal(center[0], picture.pixels[18:82, 38:102])
    frame = tiles_of(cut(picture, CutOptions("frame", 64, 32)))
    assert torch.equal(frame[0], picture.pixels[:, 20:120])


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_small_pictures_are_one_square(region: str) -> None:
    assert tiles_of(cut(luma(51, 60), CutOptions(region, 64, 32))).shape == (1, 50, 50)
    assert cut(luma(31, 900), CutOptions(region, 64, 32)) == Cut(None, "too_small")


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_flat_pictures_are_not_scored(region: str) -> None:
    flat = Luma(torch.full((128, 128), 90, dtype=torch.uint8))
    assert cut(flat, CutOptions(region, 64, 32)) == Cut(None, "flat")


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_video_range_is_scaled(region: str) -> None:
    picture = luma(64, 64)
    limited = cut(Luma(picture.pixels, full_range=False), CutOptions(region, 64, 32))
    expected = (picture.pixels.float() - 16) * (255 / 219)
    torch.testing.assert_close(tiles_of(limited)[0], expected)


@pytest.mark.parametrize("region", ["tiles", "center", "frame"])
def test_a_cut_shares_no_memory_with_the_decoder(region: str) -> None:
    picture = luma(64, 64)
    tiles = tiles_of(cut(picture, CutOptions(region, 64, 32)))
    before = tiles.clone()
    picture.pixels.zero_()
    assert torch.equal(tiles, before)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="region 'faces' given"):
        CutOptions("faces", 64, 32)
    with pytest.raises(ValueError, match="max_tiles=0"):
        CutOptions("tiles", 64, 32, 0)
