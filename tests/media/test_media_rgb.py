"""Still images to RGB: the decoders' own pixels, under the limits and errors of the luma."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from making_media import image_bytes, noise
from PIL import Image

from gandetect.media import MediaError, read_luma, read_rgb

# Pillow warns of damaged headers as it reads on.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)


def reason(data: bytes) -> str:
    with pytest.raises(MediaError) as caught:
        read_rgb(data)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_color_is_what_the_decoder_gives(kind: str, tmp_path: Path) -> None:
    data = image_bytes(noise(37, 53), kind)
    (tmp_path / "image").write_bytes(data)
    for source in (data, tmp_path / "image"):
        pixels = read_rgb(source)
        assert pixels.dtype == torch.uint8
        np.testing.assert_array_equal(pixels.numpy(), by_pillow(data))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_other_modes_become_color_without_blending(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    data = image_bytes(noise(20, 30), kind, mode)
    np.testing.assert_array_equal(read_rgb(data).numpy(), by_pillow(data))


def test_gray_jpeg_is_repeated() -> None:
    data = image_bytes(noise(20, 30)[:, :, 0], "JPEG")
    gray = read_luma(data).pixels
    assert torch.equal(read_rgb(data), gray.expand(3, -1, -1))


def test_sixteen_bits_are_read_by_their_upper_eight() -> None:
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    np.testing.assert_array_equal(read_rgb(buffer.getvalue())[1].numpy(), values >> 8)


def test_bad_files_have_the_reasons_of_the_luma() -> None:
    png, jpeg = (image_bytes(noise(60, 80), kind) for kind in ("PNG", "JPEG"))
    assert reason(b"") == "empty"
    assert reason(b"no image at all") == "unsupported"
    assert reason(png[: len(png) // 2]) == "truncated"
    assert reason(jpeg[: len(jpeg) // 2]) in ("truncated", "corrupt")
    assert reason(huge_png()) == "too_large"
    with pytest.raises(MediaError, match="cannot read"):
        read_rgb(Path("nowhere.png"))


def test_floating_point_has_no_stated_range() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(buffer, "TIFF")
    assert reason(buffer.getvalue()) == "unsupported"


def huge_png() -> bytes:
    """A header of 60000 x 60000 pixels and next to nothing behind it."""
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    checked = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + checked + b"\x00\x00\x10\x00IDAT" + bytes(4096)
