"""Still images: the luma is the one defined, and bad files raise one kind of error."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from making_media import flip_bits, image_bytes, noise
from PIL import Image

from gandetect.media import Luma, MediaError, read_luma

# Pillow warns of damaged headers as it reads on.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

REASONS = {"truncated", "corrupt", "too_large", "unsupported", "empty"}
CODED = {
    "jpeg": image_bytes(noise(61, 83), "JPEG", quality=90),
    "progressive": image_bytes(noise(61, 83), "JPEG", quality=90, progressive=True),
    "png": image_bytes(noise(61, 83), "PNG"),
    "gif": image_bytes(noise(61, 83), "GIF"),
    "webp": image_bytes(noise(61, 83), "WEBP"),
    "tiff": image_bytes(noise(61, 83), "TIFF"),
    "bmp": image_bytes(noise(61, 83), "BMP"),
    "jpeg2000": image_bytes(noise(61, 83), "JPEG2000"),
}


def decoded(data: bytes) -> torch.Tensor | str:
    """The pixels, or the reason for there being none."""
    try:
        return read_luma(data).pixels
    except MediaError as error:
        return error.reason


def rounded_gray(rgb: np.ndarray) -> np.ndarray:
    weights = np.array([19595, 38470, 7471])
    return ((rgb.astype(np.int64) @ weights + 32768) >> 16).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (61, 83), (1, 1), (8, 300)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_luma_is_the_y_plane_of_libjpeg(
    size: tuple[int, int], options: dict[str, object]
) -> None:
    data = image_bytes(noise(*size), "JPEG", quality=85, **options)
    image = Image.open(io.BytesIO(data))
    image.draft("L", image.size)
    luma = read_luma(data)
    assert luma.full_range
    assert luma.bit_depth == 8
    np.testing.assert_array_equal(luma.pixels.numpy(), np.asarray(image))


def test_gray_jpeg_is_taken_as_it_is() -> None:
    data = image_bytes(noise(40, 50)[:, :, 0], "JPEG")
    np.testing.assert_array_equal(
        read_luma(data).pixels.numpy(), np.asarray(Image.open(io.BytesIO(data)))
    )


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_color_images_become_gray_by_the_stated_formula(kind: str) -> None:
    rgb = noise(37, 53)
    luma = read_luma(image_bytes(rgb, kind))
    np.testing.assert_array_equal(luma.pixels.numpy(), rounded_gray(rgb))
    assert luma.as_uint8_range() is luma.pixels


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    values = np.linspace(0, 65535, 40 * 50).astype(np.uint16).reshape(40, 50)
    luma = read_luma(image_bytes(values, "PNG"))
    assert luma.bit_depth == 16
    np.testing.assert_array_equal(luma.pixels.numpy(), values)
    expected = values.astype(np.float64) * 255 / 65535
    torch.testing.assert_close(
        luma.as_uint8_range().double(), torch.from_numpy(expected), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("value", "depth", "full", "expected"),
    [
        (16, 8, False, 0.0),
        (235, 8, False, 255.0),
        (255, 8, False, 239 * 255 / 219),
        (0, 8, False, -16 * 255 / 219),
        (64, 10, False, 0.0),
        (940, 10, False, 255.0),
        (1023, 10, True, 255.0),
        (65535, 16, True, 255.0),
    ],
)
def test_ranges_are_scaled_to_0_255_without_clipping(
    value: int, depth: int, full: bool, expected: float
) -> None:
    dtype = torch.uint8 if depth == 8 else torch.uint16
    luma = Luma(torch.tensor([[value]], dtype=dtype), full, depth)
    assert float(luma.as_uint8_range()) == pytest.approx(expected, abs=1e-4)


def test_alpha_is_dropped_and_not_blended() -> None:
    rgb = noise(30, 40)
    alpha = np.random.default_rng(0).integers(0, 256, (30, 40, 1), dtype=np.uint8)
    with_alpha = read_luma(image_bytes(np.concatenate([rgb, alpha], axis=2), "PNG"))
    np.testing.assert_array_equal(with_alpha.pixels.numpy(), rounded_gray(rgb))
    gray = read_luma(image_bytes(rgb[:, :, :2], "PNG"))
    np.testing.assert_array_equal(gray.pixels.numpy(), rgb[:, :, 0])


def test_palettes_are_resolved() -> None:
    image = Image.fromarray(noise(30, 40)).quantize(16)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    expected = rounded_gray(np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(read_luma(buffer.getvalue()).pixels.numpy(), expected)


def test_cmyk_is_converted() -> None:
    data = image_bytes(noise(30, 40), "JPEG", mode="CMYK", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    np.testing.assert_array_equal(read_luma(data).pixels.numpy(), expected)


def test_black_and_white_spans_the_whole_range() -> None:
    luma = read_luma(image_bytes(noise(30, 40), "PNG", mode="1"))
    assert set(luma.pixels.unique().tolist()) == {0, 255}


def test_orientation_tag_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = read_luma(image_bytes(noise(30, 40), "JPEG"))
    turned = read_luma(image_bytes(noise(30, 40), "JPEG", exif=exif))
    assert torch.equal(plain.pixels, turned.pixels)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_read(kind: str) -> None:
    pictures = [Image.fromarray(noise(32, 48, seed)) for seed in range(3)]
    buffer = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], **options)
    luma = read_luma(buffer.getvalue())
    assert luma.n_frames == 3
    first = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    np.testing.assert_array_equal(luma.pixels.numpy(), rounded_gray(np.asarray(first)))


def test_a_path_and_its_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(CODED["jpeg"])
    assert torch.equal(read_luma(path).pixels, read_luma(CODED["jpeg"]).pixels)
    assert torch.equal(read_luma(str(path)).pixels, read_luma(CODED["jpeg"]).pixels)


@pytest.mark.parametrize(
    ("kind", "options", "container"),
    [
        ("JPEG", {}, "jpeg"),
        ("JPEG", {"mode": "CMYK"}, "jpeg"),
        ("PNG", {}, "png"),
        ("GIF", {}, "gif"),
        ("WEBP", {}, "webp"),
        ("TIFF", {}, "tiff"),
        ("BMP", {}, "bmp"),
        ("JPEG2000", {}, "jpeg2000"),
        ("PPM", {}, "ppm"),
    ],
)
def test_the_format_of_the_file_is_told(kind: str, options: dict[str, Any], container: str) -> None:
    luma = read_luma(image_bytes(noise(32, 48), kind, **options))
    assert luma.container == luma.crop(0, 0, 8, 8).container == container


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_file_with_a_second_picture_is_a_jpeg_file(mode: str) -> None:
    pictures = [Image.fromarray(noise(32, 48, seed)).convert(mode) for seed in range(2)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "MPO", save_all=True, append_images=pictures[1:])
    assert read_luma(buffer.getvalue()).container == "jpeg"


@pytest.mark.parametrize("kind", CODED)
def test_a_cut_file_is_an_error_or_still_whole(kind: str) -> None:
    data = CODED[kind]
    whole = read_luma(data).pixels
    assert whole.shape == (61, 83)
    for length in [0, 1, 4, 20, 60, 150, *range(200, len(data), max(1, len(data) // 25))]:
        outcome = decoded(data[:length])
        assert outcome in REASONS if isinstance(outcome, str) else torch.equal(outcome, whole)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_half_a_file_is_called_truncated(kind: str) -> None:
    data = CODED[kind]
    with pytest.raises(MediaError) as caught:
        read_luma(data[: len(data) // 2])
    assert caught.value.reason in ({"truncated"} if kind != "webp" else {"truncated", "corrupt"})


def careless_jpeg(fault: str) -> bytes:
    """A whole picture with padding before its last marker, or a scan header that makes no sense."""
    data = bytearray(CODED["jpeg"])
    if fault == "padding":
        return bytes(data[:-2] + bytes(8) + data[-2:])
    scan = data.find(b"\xff\xda")
    data[scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big") - 2] = 0
    return bytes(data)


@pytest.mark.parametrize("fault", ["padding", "scan header"])
def test_files_by_careless_writers_are_read(fault: str) -> None:
    data = careless_jpeg(fault)
    with pytest.raises(ValueError):
        simplejpeg.decode_jpeg(data, colorspace="GRAY")
    assert torch.equal(read_luma(data).pixels, read_luma(CODED["jpeg"]).pixels)


def test_a_cut_file_by_a_careless_writer_is_truncated() -> None:
    data = careless_jpeg("scan header")
    with pytest.raises(MediaError) as caught:
        read_luma(data[: len(data) // 2])
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("kind", CODED)
def test_flipped_bits_raise_nothing_else(kind: str) -> None:
    for seed in range(40):
        outcome = decoded(flip_bits(CODED[kind], 1 + seed, seed))
        assert not isinstance(outcome, str) or outcome in REASONS


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + head + b"\x00\x00\x10\x00IDAT" + bytes(4096)


def jpeg_with_size(width: int, height: int) -> bytes:
    data = bytearray(CODED["jpeg"])
    frame = data.find(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data", [png_header(60000, 60000), png_header(20000, 10000), jpeg_with_size(65000, 65000)]
)
def test_a_bomb_is_refused_by_its_header(data: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        read_luma(data)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, world" * 40, "unsupported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported"),
        (image_bytes(np.ones((9, 9), np.float32), "TIFF"), "unsupported"),
        (image_bytes(np.full((9, 9), 1 << 20, np.int32), "TIFF"), "unsupported"),
    ],
)
def test_what_is_no_image_says_so(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError) as caught:
        read_luma(data)
    assert caught.value.reason == reason


def png_with(kind: bytes, body: bytes) -> bytes:
    """A PNG file with another chunk after its header."""
    data = CODED["png"]
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return data[:33] + struct.pack(">I", len(body)) + kind + body + crc + data[33:]


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_text_that_unpacks_to_megabytes_is_refused(kind: bytes) -> None:
    bomb = png_with(kind, b"a\0\0" + zlib.compress(bytes(20_000_000)))
    with pytest.raises(MediaError) as caught:
        read_luma(bomb)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with_size(0, 0),
        CODED["jpeg"][:3],
        CODED["png"][:8] + bytes(100),
        CODED["gif"][:13],
        CODED["tiff"][:4] + b"\xff\xff\xff\x7f",
        image_bytes(noise(61, 83), "AVIF")[:200],
    ],
)
def test_an_image_with_a_broken_header_is_corrupt_and_not_unsupported(data: bytes) -> None:
    with pytest.raises(MediaError) as caught:
        read_luma(data)
    assert caught.value.reason == "corrupt"


def test_a_format_without_a_decoder_is_unsupported() -> None:
    with pytest.raises(MediaError) as caught:
        read_luma(b"\0\0\0\x18ftypheic" + bytes(500))
    assert caught.value.reason == "unsupported"


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file") as caught:
        read_luma(f"{tmp_path}/none.png")
    assert caught.value.reason == "unreadable"


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(MediaError("truncated", "the file ends too early")))
    assert (error.reason, str(error)) == ("truncated", "the file ends too early")
