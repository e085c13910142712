"""Still images to luma, and to RGB where images are made from photographs.

To luma, JPEG files give their own Y plane (simplejpeg); everything else goes through Pillow to gray
with Pillow's .299/.587/.114 weights. Orientation tags are left alone on purpose: turning a picture
by 90 degrees swaps its rows and columns and changes nothing else in a power spectrum, and the
pixels as decoded are the evidence. Alpha is dropped, not blended, for the same reason.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import simplejpeg
import torch

from gandetect.media.luma import MAX_PIXELS, Luma, MediaError
from gandetect.media.sniff import HEAD_BYTES, sniff_bytes

if TYPE_CHECKING:
    from PIL import Image

_T = TypeVar("_T")
_MAX_JPEG_BYTES = 1 << 28
_JPEG_MAGIC = b"\xff\xd8\xff"

# Complaints about files by careless writers, of which every pixel is there. simplejpeg gives
# nothing then; Pillow decodes them with the same library, and still refuses a file that is cut.
_HARMLESS = re.compile(r"\b[1-9] extraneous bytes before marker 0xd9|Invalid SOS parameters")

# Only formats that Pillow decodes by itself: EPS, for one, would start another program.
_PILLOW_FORMATS = (
    "PNG", "JPEG", "MPO", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "QOI",
)  # fmt: skip


def read_luma(source: str | bytes | os.PathLike[str]) -> Luma:
    """Decode one still image, from a path or from the bytes of a file, to its luma, (H, W).

    JPEG: the Y plane, uint8. 16-bit gray: uint16 with bit_depth 16. Everything else: gray, uint8,
    by (19595 R + 38470 G + 7471 B + 32768) >> 16, palettes resolved, CMYK converted, alpha dropped;
    of an animation the first picture, with `n_frames` saying how many there are. 16-bit color is
    read by its upper 8 bits. `container` is Pillow's name of the format in lower case; a JPEG file
    that holds further pictures (MPO) is `jpeg` like any other.

    Raises MediaError with a reason: `empty`, `truncated`, `corrupt`, `too_large` (more than
    MAX_PIXELS), `unsupported` (not an image, or of a kind without a stated range), `unreadable`.
    """
    return _read(source, _decode_luma)


def read_rgb(source: str | bytes | os.PathLike[str]) -> torch.Tensor:
    """Decode one still image, from a path or from the bytes of a file, to RGB, (3, H, W) uint8.

    Gray is repeated, and 16 bits are read by their upper 8; otherwise, and in what is raised, as
    `read_luma`. The luma of JPEG files is not the Y plane that `read_luma` gives, but near it.
    """
    return _read(source, _decode_rgb)


def _read(source: str | bytes | os.PathLike[str], decode: Callable[[Any, int], _T]) -> _T:
    """`decode` of the opened file and its size in bytes."""
    try:
        if isinstance(source, bytes):
            return _decode(io.BytesIO(source), len(source), decode)
        with open(Path(source), "rb") as file:
            return _decode(file, os.fstat(file.fileno()).st_size, decode)
    except MemoryError as error:
        raise MediaError("too_large", "the image does not fit into memory") from error
    except OSError as error:
        raise MediaError("unreadable", f"cannot read the file: {error.strerror}") from error


def _decode(file: Any, size: int, decode: Callable[[Any, int], _T]) -> _T:
    if size == 0:
        raise MediaError("empty", "the file is empty")
    return decode(file, size)


def _decode_luma(file: Any, size: int) -> Luma:
    pixels = _decode_jpeg(file, size, "GRAY")
    if pixels is not None:
        return Luma(torch.from_numpy(pixels[:, :, 0]), container="jpeg")
    return _decode_pillow(file, _pillow_luma)


def _decode_rgb(file: Any, size: int) -> torch.Tensor:
    pixels = _decode_jpeg(file, size, "RGB")
    if pixels is None:
        pixels = _decode_pillow(file, _pillow_rgb)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _decode_jpeg(file: Any, size: int, colorspace: str) -> np.ndarray | None:
    """(H, W, C) uint8 of a JPEG file; None for others and the few kinds that Pillow decodes."""
    if file.read(len(_JPEG_MAGIC)) != _JPEG_MAGIC:
        return None
    if size > _MAX_JPEG_BYTES:
        raise MediaError("too_large", f"the JPEG file has {size} bytes, limit {_MAX_JPEG_BYTES}")
    file.seek(0)
    data = file.read()
    try:
        height, width, coded, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_size(width, height)
    if coded in ("CMYK", "YCCK"):
        return None
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, colorspace=colorspace)
    except ValueError as error:
        if _HARMLESS.search(str(error)):
            return None
        raise _named(error) from error
    return pixels


def _decode_pillow(file: Any, convert: Callable[[Image.Image], _T]) -> _T:
    """`convert` of the image that Pillow opens; whatever it raises becomes a MediaError."""
    from PIL import Image, UnidentifiedImageError

    file.seek(0)
    Image.init()
    formats = [name for name in _PILLOW_FORMATS if name in Image.OPEN]
    try:
        with Image.open(file, formats=formats) as image:
            _check_size(*image.size)
            return convert(image)
    except MediaError:
        raise
    except UnidentifiedImageError as error:
        raise _unopened(file) from error
    except Image.DecompressionBombError as error:
        raise MediaError("too_large", str(error)) from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's plugins raise whatever a broken header makes them trip over: SyntaxError,
        # struct.error, KeyError, ZeroDivisionError were all seen.
        raise _named(error) from error


def _pillow_luma(image: Image.Image) -> Luma:
    kind = str(image.format).lower()
    n_frames = int(getattr(image, "n_frames", 1))
    image.draft("L", image.size)
    luma = _to_luma(image)
    return replace(luma, n_frames=n_frames, container="jpeg" if kind == "mpo" else kind)


def _pillow_rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 of an opened image; forces the decode, as `_to_luma` does."""
    if image.mode == "F" or image.mode.startswith("I"):
        gray = _to_luma(image).pixels.numpy() >> 8
        return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def _to_luma(image: Image.Image) -> Luma:
    """Gray of an opened image; forces the decode, so every error of the data surfaces here."""
    mode = image.mode
    if mode.startswith("I"):
        return _integer_luma(image)
    if mode == "F":
        raise MediaError("unsupported", "floating-point pixels have no stated range")
    if mode in ("PA", "P", "LAB", "HSV"):
        image = image.convert("RGB")
    gray = image if image.mode == "L" else image.convert("L")
    return Luma(torch.from_numpy(np.array(gray, dtype=np.uint8)))


def _integer_luma(image: Image.Image) -> Luma:
    """Pillow would clip 16-bit gray at 255 in convert("L"), so its values are taken as they are."""
    values = np.array(image)
    if values.size and (int(values.max()) > 65535 or int(values.min()) < 0):
        raise MediaError("unsupported", "32-bit integer pixels have no stated range")
    return Luma(torch.from_numpy(values.astype(np.uint16)), bit_depth=16)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError("too_large", f"{width} x {height} pixels, the limit is {MAX_PIXELS}")
    if width < 1 or height < 1:
        raise MediaError("corrupt", f"the header says {width} x {height} pixels")


def _unopened(file: Any) -> MediaError:
    """Why Pillow knows nothing of a file: its first bytes say whether that is the file's fault."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    undecodable = head[4:8] == b"ftyp" and head[8:12] not in (b"avif", b"avis")
    if sniff_bytes(head) != "image" or undecodable:
        return MediaError("unsupported", "not an image of a supported format")
    return MediaError("corrupt", "the header of the image is damaged or cut short")


def _named(error: Exception) -> MediaError:
    """A decoder's exception under our own short names."""
    text = str(error) or type(error).__name__
    short = isinstance(error, EOFError | struct.error)
    words = ("truncated", "premature end", "not enough", "unexpected end", "unpack requires")
    if short or any(word in text.lower() for word in words):
        return MediaError("truncated", f"the file ends too early: {text}")
    if "too large" in text.lower():
        return MediaError("too_large", f"more than a sane file holds: {text}")
    return MediaError("corrupt", f"the image data are damaged: {text}")
