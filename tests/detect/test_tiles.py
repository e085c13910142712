"""Tiles: the squares that an image's score is the mean of."""

import pytest
import torch

from gandetect.detect.tiles import FLAT, cut_tiles, is_textured


def noise(height, width):
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(height, width, generator=generator) * 255).to(torch.uint8)


def test_tiles_lie_on_a_centered_grid():
    image = noise(150, 270)
    tiles = cut_tiles(image, 64)
    assert tiles.shape == (8, 64, 64)
    assert torch.equal(tiles[0], image[11:75, 7:71])
    assert torch.equal(tiles[-1], image[75:139, 199:263])


def test_a_small_image_gives_its_largest_even_square():
    assert cut_tiles(noise(51, 90), 128).shape == (1, 50, 50)


def test_no_more_than_the_limit_and_spread_from_end_to_end():
    image = noise(640, 640)
    tiles = cut_tiles(image, 64, max_tiles=16)
    assert len(tiles) == 16
    assert torch.equal(tiles[0], image[:64, :64])
    assert torch.equal(tiles[-1], image[-64:, -64:])


def test_flat_tiles_are_left_out():
    image = noise(64, 128)
    image[:, :64] = 200
    assert torch.equal(cut_tiles(image, 64), image[None, :, 64:])


def test_a_flat_image_is_refused():
    with pytest.raises(ValueError, match="flat"):
        cut_tiles(torch.full((64, 64), 7, dtype=torch.uint8), 64)


def test_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match="at least 32x32"):
        cut_tiles(noise(31, 400), 64)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_texture_is_the_standard_deviation_of_the_whole_block(dtype):
    """However it is spread: even, in a few rows, or just at the limit."""
    generator = torch.Generator().manual_seed(2)
    blocks = torch.full((400, 32, 32), 100.0)
    for i, block in enumerate(blocks):
        rows = 1 + i % 32
        amplitude = 0.01 * i
        block[:rows] += amplitude * torch.randn(rows, 32, generator=generator)
    blocks = blocks.round().to(torch.uint8) if dtype == torch.uint8 else blocks
    wanted = blocks.float().std(dim=(1, 2)) >= FLAT
    assert is_textured(blocks.numpy()).tolist() == wanted.tolist()
    assert 40 < int(wanted.sum()) < 360
