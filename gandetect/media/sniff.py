"""What a file is, by its first bytes. Names and extensions are not believed."""

from __future__ import annotations

import os

HEAD_BYTES = 1024

_IMAGE_MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",  # TIFF
    b"MM\x00*",
    b"II+\x00",  # BigTIFF
    b"MM\x00+",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"qoif",
)
_VIDEO_MAGIC = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"OggS",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b".RMF",
    b"DKIF",  # IVF
    b"YUV4MPEG2",
    b"\x06\x0e\x2b\x34",  # MXF
    b"\x00\x00\x01\xba",  # MPEG programme stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x00\x00\x01\xb0",  # MPEG-4 video
    b"\x1f\x07\x00",  # DV
    b"\x12\x00\x0a",  # AV1 as it is, from its temporal delimiter on
)
_FIRST_UNITS = (
    *(b"\x27", b"\x47", b"\x67", b"\x09"),  # H.264: parameters of any priority, delimiter
    *(b"\x40\x01", b"\x46\x01"),  # H.265: parameters, delimiter
)
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")
_AUDIO_BRANDS = (b"M4A ", b"M4B ", b"F4A ")


def sniff(path: str | bytes | os.PathLike[str]) -> str | None:
    """Say what the file at `path` is: "image", "video", or None for anything else.

    Only the first kilobyte is read. A container that can carry video counts as video even where it
    carries only sound, which the decoder will then report. Raises OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        return sniff_bytes(file.read(HEAD_BYTES))


def sniff_bytes(head: bytes) -> str | None:
    """The same as `sniff`, for the first bytes of a file (a kilobyte is enough)."""
    if head.startswith(_IMAGE_MAGIC) or _is_bitmap(head) or _is_portable_map(head):
        return "image"
    if head.startswith(_VIDEO_MAGIC) or _is_transport_stream(head) or _is_unit_stream(head):
        return "video"
    if head[:4] == b"RIFF":
        return {b"WEBP": "image", b"AVI ": "video"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _AUDIO_BRANDS:
            return None
        return "image" if brand in _STILL_BRANDS else "video"
    return "video" if head[4:8] in _QUICKTIME_ATOMS else None


def _is_bitmap(head: bytes) -> bool:
    """BMP: the letters BM alone are too common, so the size of its second header must fit too."""
    return head[:2] == b"BM" and head[14:18] in (
        b"\x0c\x00\x00\x00",
        b"\x28\x00\x00\x00",
        b"\x6c\x00\x00\x00",
        b"\x7c\x00\x00\x00",
    )


def _is_portable_map(head: bytes) -> bool:
    return len(head) > 2 and head[:1] == b"P" and head[1:2] in b"56" and head[2:3] in b" \t\n\r#"


def _is_unit_stream(head: bytes) -> bool:
    """H.264 or H.265 without a container: a start code, then what a decoder must know first."""
    for code in (b"\x00\x00\x00\x01", b"\x00\x00\x01"):
        if head.startswith(code):
            return head[len(code) :].startswith(_FIRST_UNITS)
    return False


def _is_transport_stream(head: bytes) -> bool:
    """MPEG-TS: a sync byte every 188 bytes, or every 192 after a 4-byte time code (Blu-ray)."""
    for start, step in ((0, 188), (4, 192)):
        if len(head) > start + 3 * step and all(head[start + k * step] == 0x47 for k in range(4)):
            return True
    return False
