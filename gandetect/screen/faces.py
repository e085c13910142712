"""Squares around faces, by a detector that ships with OpenCV: no model to fetch, luma is enough.

It is the boosted cascade of Viola and Jones (2001) with the frontal-face weights of Lienhart. It
finds upright faces from the front and misses many others; a picture in which it finds none is
inconclusive (`no_face`), never real.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gandetect.media import Luma
from gandetect.screen.regions import smooth_side

# Faces are looked for in a picture reduced to this many pixels on its longer side.
LOOK_SIDE = 480
SMALLEST_FACE = 32
# The box of the cascade goes from brow to chin; hair and outline belong to what a generator draws.
MARGIN = 1.4
_SIDE_STEP = 16


def face_squares(luma: Luma, min_side: int, most: int) -> list[tuple[int, int, int]]:
    """(top, left, side) of at most `most` faces of at least `min_side` pixels, all of one size:
    that of the smallest, so that they are scored together; the largest faces first.

    Nothing is resized: the squares are of the picture as it is, only the search is not.
    """
    height, width = luma.height, luma.width
    boxes = sorted(_faces(luma), key=lambda box: -box[2])[:most]
    sides = [min(int(MARGIN * size), height, width) for _, _, size in boxes]
    usable = [(box, side) for box, side in zip(boxes, sides, strict=True) if side >= min_side]
    if not usable:
        return []
    # Steps, so that the faces of a video share their batches.
    common = min(side for _, side in usable)
    common = smooth_side(max(min_side, common // _SIDE_STEP * _SIDE_STEP))
    places = []
    for (top, left, size), _ in usable:
        middle_y, middle_x = top + size / 2, left + size / 2
        y = min(max(0, round(middle_y - common / 2)), height - common)
        x = min(max(0, round(middle_x - common / 2)), width - common)
        places.append((y, x, common))
    return places


def require_detector() -> None:
    """Raises ImportError, with what to install, where there is no face detector."""
    _cascade()


def _faces(luma: Luma) -> list[tuple[int, int, int]]:
    """(top, left, size) of the faces found, in pixels of the picture."""
    import cv2

    plane = _eight_bits(luma)
    scale = min(1.0, LOOK_SIDE / max(plane.shape))
    if scale < 1:
        size = (max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale)))
        plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    found = _cascade().detectMultiScale(
        plane, scaleFactor=1.15, minNeighbors=5, minSize=(SMALLEST_FACE, SMALLEST_FACE)
    )
    return [(round(y / scale), round(x / scale), round(w / scale)) for x, y, w, _ in found]


def _eight_bits(luma: Luma) -> NDArray[Any]:
    if luma.bit_depth == 8:
        return np.ascontiguousarray(luma.pixels.numpy())
    return np.ascontiguousarray((luma.pixels.numpy() >> (luma.bit_depth - 8)).astype(np.uint8))


@functools.lru_cache(maxsize=1)
def _cascade() -> Any:
    try:
        import cv2

        folder: str = getattr(cv2, "data").haarcascades  # noqa: B009 (its type stubs lack it)
        cascade = cv2.CascadeClassifier(f"{folder}haarcascade_frontalface_default.xml")
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"region faces needs OpenCV 4 ({error}): pip install 'gandetect[faces]'"
        ) from error
    cv2.setNumThreads(1)
    return cascade
