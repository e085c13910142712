"""How a file is coded, read from its first bytes, against what Pillow says of the same file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from making_media import image_bytes, noise
from PIL import Image

from gandetect.media.codecs import jpeg_luma_steps, webp_is_lossless


def zigzag(table: list[int]) -> list[int]:
    """A table as files hold it, from one row by row: by walking the diagonals."""
    order, row, column = [], 0, 0
    for _ in range(64):
        order.append(table[8 * row + column])
        up = (row + column) % 2 == 0
        if up:
            row, column = (row + 1, column) if column == 7 else (max(row - 1, 0), column + 1)
        else:
            row, column = (row, column + 1) if row == 7 else (row + 1, max(column - 1, 0))
    return order


def pillow_steps(data: bytes) -> list[int]:
    return zigzag(list(Image.open(io.BytesIO(data)).quantization[0]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("quality", [1, 30, 75, 98])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"exif": b"Exif\0\0" + bytes(5000)},
        {"icc_profile": bytes(100_000)},
        {"comment": b"\xff\xdb\x00\x43"},
    ],
)
def test_the_steps_are_those_of_the_file(quality: int, options: dict[str, object]) -> None:
    data = image_bytes(noise(64, 64) // 4, "JPEG", quality=quality, **options)
    steps = jpeg_luma_steps(data)
    assert steps is not None
    assert list(steps) == pillow_steps(data)


def test_the_beginning_of_the_file_suffices() -> None:
    data = image_bytes(noise(64, 64), "JPEG")
    assert jpeg_luma_steps(data[:700]) == jpeg_luma_steps(data)


def test_the_table_is_the_one_that_the_first_component_names() -> None:
    data = bytearray(image_bytes(noise(64, 64), "JPEG"))
    frame = data.index(b"\xff\xc0")
    assert (data[frame + 12], data[frame + 15]) == (0, 1)
    chroma = list(Image.open(io.BytesIO(bytes(data))).quantization[1])  # type: ignore[attr-defined]
    data[frame + 12] = 1
    steps = jpeg_luma_steps(bytes(data))
    assert steps is not None
    assert list(steps) == zigzag(chroma)


def test_a_table_of_wide_steps_has_two_bytes_each() -> None:
    table = list(np.arange(300, 364))
    data = image_bytes(noise(64, 64)[:, :, 0], "JPEG", qtables=[table])
    steps = jpeg_luma_steps(data)
    if steps is not None and len(steps) == 64:
        pytest.skip("this libjpeg writes baseline tables only")
    assert steps is not None
    assert [a << 8 | b for a, b in zip(steps[::2], steps[1::2], strict=True)] == zigzag(table)


@pytest.mark.parametrize("length", range(0, 620, 7))
def test_a_file_that_is_cut_raises_nothing(length: int) -> None:
    data = image_bytes(noise(64, 64), "JPEG")[:length]
    assert jpeg_luma_steps(data) is None or len(data) > 100


def test_no_bytes_raise_anything() -> None:
    rng = np.random.default_rng(0)
    data = image_bytes(noise(64, 64), "JPEG")
    for _ in range(2000):
        damaged = bytearray(data[:700])
        damaged[int(rng.integers(2, 620))] = int(rng.integers(256))
        steps = jpeg_luma_steps(bytes(damaged))
        assert steps is None or len(steps) in (64, 128)
        jpeg_luma_steps(b"\xff\xd8" + rng.bytes(200))
        webp_is_lossless(b"RIFF\0\0\0\0WEBP" + rng.bytes(60))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("kind", ["plain", "extended", "animated"])
def test_a_webp_file_says_whether_it_is_lossless(lossless: bool, kind: str) -> None:
    options: dict[str, object] = {
        "plain": {},
        "extended": {"exif": b"Exif\0\0" + b"a" * 301},
        "animated": {"save_all": True, "append_images": [Image.fromarray(noise(64, 64, 1))]},
    }[kind]
    data = image_bytes(noise(64, 64), "WEBP", lossless=lossless, **options)
    assert (data[12:16] == b"VP8X") == (kind != "plain")
    assert webp_is_lossless(data) == lossless
