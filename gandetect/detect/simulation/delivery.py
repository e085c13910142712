"""How both images of a pair reach their viewer: the one thing that must not tell them apart.

A delivery is drawn once for a pair and applied to both of its images. Compression and luma go
through the very decoders that screening uses.

Photographs are JPEG files, whose block grid and quantization the real image of a pair would keep
and the generated one lose: a detector could learn that and nothing else. Hence most deliveries
reduce the photograph to half or less, where little of it is left, others resample it, which breaks
the grid, and those that keep its pixels end in a JPEG of their own, whose traces cover the old.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor

from gandetect.detect.simulation.pictures import (
    as_picture,
    as_planes,
    draw_filter,
    log_uniform,
    resized,
)
from gandetect.detect.simulation.spectra import filtered
from gandetect.media import read_luma

# Sides are multiples of this, so that JPEG blocks and chroma come out whole.
GRID = 8
MIN_CROP = 64
_NATIVE, _REDUCED = 0.12, 0.68
_CODECS, _SHARES = ("none", "jpeg", "webp", "h264"), (0.35, 0.4, 0.1, 0.15)
_SUBSAMPLINGS, _SUBSAMPLING_SHARES = ("4:4:4", "4:2:2", "4:2:0"), (0.3, 0.1, 0.6)
# Pairs that are resized after generation, and lossy ones that were compressed before, too.
_RESIZED, _COMPRESSED_TWICE = 0.15, 0.2


@dataclass(frozen=True)
class Compression:
    """One lossy writing, by `codec`: jpeg, webp or h264, a single intra frame of full range.

    `quality`: 1 to 100 for jpeg and webp; for h264 the constant rate factor, small for good.
    `subsampling` of the chroma.
    """

    codec: str
    quality: int
    subsampling: str = "4:2:0"


@dataclass(frozen=True)
class Resize:
    """To `side` x `side` pixels by `filter`, one of `pictures.FILTERS`."""

    side: int
    filter: str


@dataclass(frozen=True)
class Delivery:
    """How an image reaches its viewer; drawn once and used for both images of a pair.

    `scale`: of the photograph, by `filter`; 1 keeps its pixels. `side`: of the crop. `top`, `left`:
    of the crop, as shares of the room there is. Then, after generation: `sharpness`, the log gain
    at the highest frequency, growing to it linearly, 0 for none; `resize`; `compressions`, in
    order, none for lossless.
    """

    scale: float
    side: int
    top: float
    left: float
    filter: str
    sharpness: float = 0.0
    resize: Resize | None = None
    compressions: tuple[Compression, ...] = ()

    @property
    def quality(self) -> int | None:
        """Of the JPEG file that comes out; None where none does."""
        last = self.compressions[-1] if self.compressions else None
        return last.quality if last and last.codec == "jpeg" else None

    @property
    def name(self) -> str:
        """The class of the last compression, for error rates."""
        if not self.compressions:
            return "lossless"
        if self.quality is not None:
            return "JPEG 75 to 98" if self.quality >= 75 else "JPEG 50 to 74"
        return {"webp": "WebP", "h264": "H.264"}[self.compressions[-1].codec]

    @property
    def delivered_side(self) -> int:
        """Side of the delivered image in pixels."""
        return self.resize.side if self.resize else self.side


def draw_delivery(height: int, width: int, side: int, rng: Generator) -> Delivery:
    """A random delivery for a photograph of `height` x `width`, its crop at most `side` pixels.

    Raises ValueError where the photograph is smaller than `MIN_CROP` either way.
    """
    shortest = min(height, width)
    if shortest < MIN_CROP:
        raise ValueError(f"photograph of {height}x{width}; at least {MIN_CROP} a side is needed")
    scale = _draw_scale(shortest, rng)
    # Half of the crops are as large as they may be, the others of any size down to the smallest.
    wanted = side if rng.random() < 0.5 else int(rng.integers(MIN_CROP, side + 1))
    crop = min(wanted, int(shortest * scale)) // GRID * GRID
    # Photographs are soft or sharpened, and generators miss the high frequencies either way: the
    # slope of a spectrum must not decide.
    sharpness = 0.8 * rng.standard_normal() if rng.random() < 0.5 else 0.0
    return Delivery(
        scale=scale,
        side=crop,
        top=rng.random(),
        left=rng.random(),
        filter=draw_filter(rng),
        sharpness=sharpness,
        resize=_draw_resize(crop, rng) if rng.random() < _RESIZED else None,
        compressions=_draw_compressions(scale == 1.0, rng),
    )


def _draw_scale(shortest: int, rng: Generator) -> float:
    smallest = max(0.1, 1.2 * MIN_CROP / shortest)
    if smallest > 0.95 or rng.random() < _NATIVE:
        return 1.0
    if smallest < 0.5 and rng.random() < _REDUCED / (1 - _NATIVE):
        return log_uniform(rng, smallest, 0.5)
    return log_uniform(rng, max(smallest, 0.5), 0.95)


def _draw_resize(side: int, rng: Generator) -> Resize:
    """From two thirds to half as much again."""
    target = round(side * log_uniform(rng, 2 / 3, 3 / 2) / GRID) * GRID
    return Resize(max(MIN_CROP, target), draw_filter(rng))


def _draw_compressions(native: bool, rng: Generator) -> tuple[Compression, ...]:
    codec = "jpeg" if native else str(rng.choice(_CODECS, p=_SHARES))
    if codec == "none":
        return ()
    last = _draw_compression(codec, 90 if native else 98, rng)
    if rng.random() >= _COMPRESSED_TWICE:
        return (last,)
    return (_draw_compression(str(rng.choice(_CODECS[1:])), 98, rng), last)


def _draw_compression(codec: str, best: int, rng: Generator) -> Compression:
    if codec == "h264":
        return Compression(codec, int(rng.integers(16, 33)))
    quality = int(rng.integers(50, best + 1))
    if codec == "webp":
        return Compression(codec, quality)
    return Compression(codec, quality, str(rng.choice(_SUBSAMPLINGS, p=_SUBSAMPLING_SHARES)))


def original_crop(photograph: Image.Image, delivery: Delivery) -> Image.Image:
    """The crop of `delivery` from `photograph` at its scale, `side` x `side` pixels."""
    extent = delivery.side / delivery.scale
    top = delivery.top * (photograph.height - extent)
    left = delivery.left * (photograph.width - extent)
    if delivery.scale == 1.0:
        y, x = int(top), int(left)
        return photograph.crop((x, y, x + delivery.side, y + delivery.side))
    box = (left, top, left + extent, top + extent)
    return resized(photograph, delivery.side, delivery.filter, box)


def deliver(image: Image.Image, delivery: Delivery) -> Tensor:
    """The luma (S, S) uint8 that a viewer decodes of `image`, gray or RGB; S: `delivered_side`."""
    if delivery.sharpness:
        image = as_picture(_sharpened(as_planes(image).float(), delivery.sharpness))
    if delivery.resize:
        image = resized(image, delivery.resize.side, delivery.resize.filter)
    for compression in delivery.compressions[:-1]:
        image = recompressed(image, compression)
    if not delivery.compressions:
        return torch.from_numpy(np.array(image.convert("L")))
    return _compressed_luma(image, delivery.compressions[-1])


def compress(pixels: Tensor, quality: int) -> Tensor:
    """The luma (H, W) uint8 of `pixels` (H, W) uint8 after JPEG at `quality`."""
    return _compressed_luma(Image.fromarray(pixels.numpy()), Compression("jpeg", quality))


def _sharpened(planes: Tensor, sharpness: float) -> Tensor:
    """`planes` (C, S, S), their spectrum tilted: the gain is exp(sharpness) at half a cycle a
    pixel."""
    return filtered(planes, lambda radius: torch.exp(sharpness * (2 * radius).clamp(max=1)))


def _compressed_luma(image: Image.Image, compression: Compression) -> Tensor:
    if compression.codec == "h264":
        luma = _intra_frame(image, compression.quality)[0]
        return torch.from_numpy(luma)
    return read_luma(_encoded(image, compression)).pixels


def recompressed(image: Image.Image, compression: Compression) -> Image.Image:
    """`image` in its own mode after one lossy writing."""
    if compression.codec != "h264":
        return Image.open(io.BytesIO(_encoded(image, compression))).convert(image.mode)
    planes = [Image.fromarray(plane) for plane in _intra_frame(image, compression.quality)]
    chroma = [plane.resize(image.size, Image.Resampling.BILINEAR) for plane in planes[1:]]
    return Image.merge("YCbCr", (planes[0], *chroma)).convert(image.mode)


def _encoded(image: Image.Image, compression: Compression) -> bytes:
    buffer = io.BytesIO()
    if compression.codec == "jpeg":
        options = {"subsampling": compression.subsampling} if image.mode == "RGB" else {}
        image.save(buffer, "JPEG", quality=compression.quality, **options)
    else:
        image.save(buffer, "WEBP", quality=compression.quality, method=2)
    return buffer.getvalue()


def _intra_frame(image: Image.Image, rate_factor: int) -> list[np.ndarray]:
    """Y (H, W), Cb and Cr (H / 2, W / 2), uint8, of `image` after H.264 as one intra frame.

    Full range, as phones write it: the luma needs no scaling after which it would be rounded again.
    """
    width, height = image.size
    y, *chroma = image.convert("YCbCr").split()
    halves = [plane.resize((width // 2, height // 2), Image.Resampling.BOX) for plane in chroma]
    stacked = np.concatenate([np.asarray(plane).reshape(-1, width) for plane in (y, *halves)])
    frame = av.VideoFrame.from_ndarray(stacked, format="yuvj420p")
    decoded = next(_decoded(_intra_coded(frame, rate_factor))).to_ndarray()
    return [
        decoded[:height].copy(),
        *(part.reshape(height // 2, width // 2) for part in np.split(decoded[height:], 2)),
    ]


def _intra_coded(frame: av.VideoFrame, rate_factor: int) -> list[av.Packet]:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    # One thread and no look-ahead: a single picture needs neither, and setting them up costs more.
    encoder.options = {"crf": str(rate_factor), "threads": "1", "tune": "zerolatency"}
    return [*encoder.encode(frame), *encoder.encode(None)]


def _decoded(packets: list[av.Packet]) -> Iterator[av.VideoFrame]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    for packet in (*packets, None):
        yield from decoder.decode(packet)
