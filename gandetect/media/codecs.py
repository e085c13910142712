"""How a still image file is coded, from the bytes before its pixels and in a few microseconds."""

from __future__ import annotations

from collections.abc import Iterator

_TABLES, _SCAN = 0xDB, 0xDA
# Frame headers: all sixteen but the tables of Huffman (C4) and arithmetic (CC) coding, and C8.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a segment: restarts, the start of the image, TEM.
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_STEPS = 64
# Chunks of WebP that hold others after this many bytes of their own.
_WEBP_FRAME, _WEBP_FRAME_HEADER = b"ANMF", 16


def jpeg_luma_steps(data: bytes) -> bytes | None:
    """The quantization table of the first component of a JPEG file, as its file holds it.

    64 steps in zigzag order, one byte each, or two (the higher first) where the table has 128
    bytes. `data`: the file, or its beginning. None where the table does not come before the scan.
    """
    tables: dict[int, bytes] = {}
    number = None
    for marker, start, stop in _segments(data):
        if marker == _TABLES:
            tables.update(_tables(data, start, stop))
        elif marker in _FRAMES and stop >= start + 9:
            # Precision, height, width, count; of the first component: its id, sampling and table.
            number = data[start + 8]
        elif marker == _SCAN:
            break
        if number in tables:
            return tables[number]
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, stop of what it holds) of the segments of a JPEG file, as far as whole."""
    at, length = 2, len(data)
    while at + 4 <= length and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _BARE:
            at += 2
            continue
        stop = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if stop > length or stop < at + 4:
            return
        yield marker, at + 4, stop
        at = stop


def _tables(data: bytes, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """(number, steps) of the tables in one segment, as far as whole."""
    while start < stop:
        wide, number = divmod(data[start], 16)
        end = start + 1 + _STEPS * (2 if wide else 1)
        if end > stop:
            return
        yield number, data[start + 1 : end]
        start = end


def webp_is_lossless(data: bytes) -> bool:
    """Whether the first picture of a WebP file is coded without loss. `data`: the file, or its
    beginning."""
    at = 12
    while at + 8 <= len(data):
        kind = data[at : at + 4]
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L"
        if kind == _WEBP_FRAME:
            at += 8 + _WEBP_FRAME_HEADER
            continue
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return False
