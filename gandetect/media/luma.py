"""What brightness means here, and the error that every decoder turns its failures into."""

from __future__ import annotations

from dataclasses import dataclass

import torch

LUMA_DEFINITION = (
    "decoder Y plane, range-scaled to 0..255; "
    ".299R+.587G+.114B rounded where the decoder has no Y plane"
)

MAX_PIXELS = 178_956_970
"""Images and frames above this many pixels are refused (0.5 GB as RGB; Pillow's own limit)."""


class MediaError(ValueError):
    """A file that could not be decoded.

    `reason` is one short machine word (`truncated`, `corrupt`, `too_large`, `unsupported`, `empty`,
    `no_video`, `unreadable`, ...); the message says the same to a person.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str]]:
        return type(self), (self.reason, str(self))


@dataclass(frozen=True)
class Luma:
    """The brightness of one picture as its decoder gave it.

    `pixels` is (H, W), uint8 up to 8 bits and uint16 above; it may be a view into the decoder's
    buffer with a line size larger than W. `full_range` says whether 0..2^n - 1 is used (still
    images) or the television range 16..235 (nearly all video). `n_frames` counts the pictures an
    animated image file holds, of which this is the first. `container` is the format of an image
    file in lower case (jpeg, png, jpeg2000, ...), None for a frame of a video.
    """

    pixels: torch.Tensor
    full_range: bool = True
    bit_depth: int = 8
    n_frames: int = 1
    container: str | None = None

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    def crop(self, top: int, left: int, height: int, width: int) -> Luma:
        """The rectangle of `height` x `width` at (`top`, `left`), as a view."""
        pixels = self.pixels[top : top + height, left : left + width]
        return Luma(pixels, self.full_range, self.bit_depth, self.n_frames, self.container)

    def as_uint8_range(self) -> torch.Tensor:
        """The pixels on the scale 0..255, shape (H, W).

        Full-range 8-bit pixels come back as they are, uint8. Everything else is float32 and not
        clipped: (Y - 16) 255 / 219 for 8-bit television range, (Y - 16 s) 255 / (219 s) with
        s = 2^(n - 8) for n bits, Y 255 / (2^n - 1) for full range of n bits.
        """
        if self.full_range and self.bit_depth == 8:
            return self.pixels
        pixels = self.pixels.to(torch.float32)
        if self.full_range:
            return pixels * (255.0 / (2**self.bit_depth - 1))
        step = 2.0 ** (self.bit_depth - 8)
        return (pixels - 16.0 * step) * (255.0 / (219.0 * step))
