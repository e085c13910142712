"""The class of a file: by its table, by its format, and where that says nothing by its pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

from gandetect.detect.delivery import (
    compression_delivery,
    delivery_in_words,
    file_delivery,
    image_delivery,
    pixel_delivery,
    quality_class,
)
from gandetect.media import read_luma


def photograph() -> np.ndarray:
    return np.array(Image.fromarray(data.astronaut()).resize((256, 256), Image.Resampling.BOX))


def saved(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(file: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(file)))


@pytest.mark.parametrize(
    ("quality", "expected"),
    [(98, "JPEG high"), (85, "JPEG high"), (84, "JPEG mid"), (65, "JPEG mid"), (64, "JPEG low")],
)
def test_a_jpeg_file_is_of_the_class_of_its_table(quality: int, expected: str) -> None:
    file = saved(photograph(), "JPEG", quality=quality)
    assert file_delivery("jpeg", file) == expected == quality_class(quality)
    assert image_delivery(read_luma(file), file) == expected


def test_a_table_of_no_standard_counts_as_the_nearest() -> None:
    table = [
        int(step * 1.07 + 1)
        for step in Image.open(io.BytesIO(saved(photograph(), "JPEG", quality=50))).quantization[0]
    ]  # type: ignore[attr-defined]
    assert file_delivery("jpeg", saved(photograph(), "JPEG", qtables=[table])) == "JPEG low"


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("PNG", {}, "lossless"),
        ("BMP", {}, "lossless"),
        ("TIFF", {}, "lossless"),
        ("PPM", {}, "lossless"),
        ("WEBP", {"lossless": True}, "lossless"),
        ("WEBP", {"quality": 95}, "JPEG low"),
        ("GIF", {}, "JPEG low"),
        ("JPEG2000", {}, "JPEG low"),
    ],
)
def test_other_files_are_of_the_class_of_their_format(
    kind: str, options: dict[str, Any], expected: str
) -> None:
    file = saved(photograph(), kind, **options)
    assert file_delivery(read_luma(file).container, file) == expected


def test_a_jpeg_without_a_table_counts_as_the_hardest() -> None:
    assert file_delivery("jpeg", b"\xff\xd8\xff") == "JPEG low"
    assert file_delivery(None, b"") == "JPEG low"


@pytest.mark.parametrize("quality", [50, 70, 90])
def test_the_pixels_of_a_lossless_file_tell_an_earlier_jpeg(quality: int) -> None:
    file = saved(decoded(saved(photograph(), "JPEG", quality=quality)), "PNG")
    assert file_delivery("png", file) == "lossless"
    assert image_delivery(read_luma(file), file) == quality_class(quality)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_soft_image_is_of_a_class_of_its_own(kind: str) -> None:
    blurred = ndimage.gaussian_filter(photograph(), (1.5, 1.5, 0))
    file = saved(blurred, kind)
    luma = read_luma(file)
    assert image_delivery(luma, file) == "soft"
    assert compression_delivery(luma, file) != "soft"


def test_a_lossless_file_of_an_untouched_photograph_is_lossless() -> None:
    file = saved(photograph(), "PNG")
    assert image_delivery(read_luma(file), file) == "lossless"


def test_sixteen_bits_are_read_on_the_scale_of_eight() -> None:
    gray = decoded(saved(photograph()[:, :, 1], "JPEG", quality=60))
    deep = read_luma(saved(gray.astype(np.uint16) * 257, "PNG"))
    assert deep.bit_depth == 16
    assert pixel_delivery(deep.as_uint8_range().numpy()) == "JPEG low"


def told(file: bytes) -> dict[str, str]:
    luma = read_luma(file)
    plane = np.asarray(luma.as_uint8_range()).round().astype(np.uint8)
    return delivery_in_words(plane, luma.container, file)


def test_what_happened_to_a_file_is_said_in_words() -> None:
    jpeg = saved(photograph(), "JPEG", quality=80)
    assert told(jpeg)["jpeg_quality"] == "80, by its table"
    hidden = decoded(jpeg)
    assert told(saved(hidden, "PNG"))["jpeg_quality"] == "80, by its pixels"
    assert "block_grid" not in told(saved(hidden, "PNG"))
    cropped = told(saved(hidden[3:, 5:], "PNG"))
    assert cropped["block_grid"] == "cropped: begins 5 down and 3 to the right"
    untouched = told(saved(photograph(), "PNG"))
    assert set(untouched) == {"sharpness"}
    blurred = ndimage.gaussian_filter(photograph(), (1.5, 1.5, 0))
    assert told(saved(blurred, "PNG"))["sharpness"].endswith("softened")
    how = {"order": 1, "mode": "nearest", "grid_mode": True}
    large = ndimage.zoom(photograph().astype(float), (1.5, 1.5, 1), **how)
    enlarged = told(saved(large.clip(0, 255).round().astype(np.uint8), "PNG"))
    assert enlarged["resampling"] == "the line of an enlargement by 1.50"
