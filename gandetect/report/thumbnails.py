"""Small pictures of screened files, decoded apart from the page that shows them.

The files are whatever somebody collected, and a decoder may crash on one. The decoding therefore
stands here as one function that another process can run: plain values in, JPEG bytes out.
"""

from __future__ import annotations

import io

from PIL import Image

from gandetect.media import Luma, VideoReader, read_luma

# Twice the width at which the page shows them, for screens with two pixels per pixel.
THUMBNAIL_SIDE = 600
# The most suspicious frame is worth decoding this far into a video, no further.
THUMBNAIL_FRAMES = 2000


def thumbnail_jpeg(path: str, media: str, frame: int) -> bytes | None:
    """The brightness of a picture as a small JPEG; None where there is none to be had.

    `media`: "video" for a video, of which `frame` counts from 0 (beyond THUMBNAIL_FRAMES the first
    one is taken). Raises nothing for what is wrong with the file.
    """
    try:
        luma = _frame_luma(path, frame) if media == "video" else read_luma(path)
        return None if luma is None else _jpeg(luma)
    except Exception:
        # A page without one picture is worth more than no page, whatever the decoder stumbled on.
        return None


def _frame_luma(path: str, frame: int) -> Luma | None:
    """That frame, or the last one of a file that has become shorter."""
    wanted = frame if frame < THUMBNAIL_FRAMES else 0
    found = None
    for found in VideoReader(path):
        if found.index >= wanted:
            break
    return found.luma if found else None


def _jpeg(luma: Luma) -> bytes:
    pixels = luma.as_uint8_range().float().clamp(0, 255).round().byte().contiguous().numpy()
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
