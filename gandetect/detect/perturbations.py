"""What happens to an image between its maker and its judge: the robustness grid.

A detector that works on the files of a benchmark and nowhere else is the rule, not the exception.
So it is measured again after every step of this grid, with the same pipeline for real and generated
images. Each step acts on the luma plane, the plane that is scored, and each has a test that it did
what its name says: published robustness tables exist in which every JPEG quality was the default.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import av
import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from gandetect.detect.delivery import LOSSY, pixel_delivery, quality_class
from gandetect.detect.simulate import compress

JPEG_QUALITIES = (95, 90, 85, 75, 50, 30)
BLUR_SIGMAS = (1.0, 2.0, 4.0)
SHARPEN_AMOUNTS = (0.5, 1.5)
RESIZE_FACTORS = (0.5, 0.75, 1.5)
NOISE_DEVIATION = 4.0
H264_CRFS = (18, 23, 28, 35, 40)
# Longest side and JPEG quality of what a website serves, and of a thumbnail passed around.
WEB, HARD = (768, 60), (512, 40)


@dataclass(frozen=True)
class Perturbation:
    """A named change of a luma plane (H, W) uint8 to another, whose size may differ.

    `delivery`: the class of compression it leaves an image in, as screening would know it by its
    file; None where that is a lossless one, and only the pixels tell.
    """

    name: str
    apply: Callable[[Tensor], Tensor]
    delivery: str | None = None

    def delivery_of(self, plane: Tensor) -> str:
        """How the changed `plane` (H, W) uint8 was compressed, one of `delivery.DELIVERIES`."""
        return self.delivery or pixel_delivery(plane.numpy())


def blur(plane: Tensor, sigma: float) -> Tensor:
    """`plane` under a Gaussian of `sigma` pixels, mirrored at the edges, rounded to 8 bits."""
    return _eight_bit(ndimage.gaussian_filter(plane.numpy().astype(np.float64), sigma))


def sharpen(plane: Tensor, amount: float) -> Tensor:
    """`plane` with `amount` times what a Gaussian of one pixel takes away added once more: an
    unsharp mask, clipped and rounded to 8 bits."""
    pixels = plane.numpy().astype(np.float64)
    return _eight_bit(pixels + amount * (pixels - ndimage.gaussian_filter(pixels, 1.0)))


def resize(plane: Tensor, factor: float) -> Tensor:
    """`plane` with both sides times `factor`, rounded, by a Lanczos filter fit for reducing."""
    return _resized(plane, *(max(1, round(side * factor)) for side in plane.shape))


def reduce_to(plane: Tensor, longest: int) -> Tensor:
    """`plane` with its longest side brought down to `longest`; a smaller one as it is."""
    factor = longest / max(plane.shape)
    return resize(plane, factor) if factor < 1 else plane


def crop_center(plane: Tensor) -> Tensor:
    """The middle of `plane`, about an eighth of its shorter side taken off at each edge.

    An odd number of pixels goes, so that neither the blocks of a JPEG nor the phases of an
    up-sampling stay where they were.
    """
    margin = min(plane.shape) // 8 | 1
    return plane[margin:-margin, margin:-margin]


def add_noise(plane: Tensor, deviation: float) -> Tensor:
    """`plane` with Gaussian noise of `deviation` gray levels, clipped and rounded to 8 bits.

    The noise is drawn by the content, so that it is the same every time and differs between images.
    """
    pixels = plane.numpy()
    rng = np.random.default_rng(zlib.crc32(pixels.tobytes()))
    return _eight_bit(pixels + deviation * rng.standard_normal(pixels.shape))


def encode_h264(plane: Tensor, crf: int) -> bytes:
    """`plane` as the first frame of an H.264 stream at constant rate factor `crf` (x264, medium).

    It is the Y plane as it is, without color; sides that are odd are continued by a pixel.
    """
    height, width = plane.shape
    luma = np.pad(plane.numpy(), ((0, height % 2), (0, width % 2)), mode="edge")
    gray = np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = luma.shape
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)
    # One thread: the bits must not depend on the machine.
    encoder.options = {"crf": str(crf), "preset": "medium", "threads": "1"}
    frame = av.VideoFrame.from_ndarray(np.concatenate([luma, gray]), format="yuv420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def through_h264(plane: Tensor, crf: int) -> Tensor:
    """`plane` (H, W) after `encode_h264`, decoded."""
    decoder = av.CodecContext.create("h264", "r")
    packet = av.Packet(encode_h264(plane, crf))
    (frame,) = [*decoder.decode(packet), *decoder.decode(None)]
    height, width = plane.shape
    return torch.from_numpy(frame.to_ndarray()[:height, :width].copy())


def _blurred_jpeg(plane: Tensor, sigma: float, quality: int) -> Tensor:
    return compress(blur(plane, sigma), quality)


def _reduced_jpeg(plane: Tensor, longest: int, quality: int) -> Tensor:
    return compress(reduce_to(plane, longest), quality)


def _resized(plane: Tensor, height: int, width: int) -> Tensor:
    picture = Image.fromarray(plane.numpy()).resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture))


def _eight_bit(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.round().clip(0, 255).astype(np.uint8))


def _unchanged(plane: Tensor) -> Tensor:
    return plane


ORIGINAL = Perturbation("none", _unchanged)
"""The image as it is in its file."""

GRID: tuple[Perturbation, ...] = (
    ORIGINAL,
    *(
        Perturbation(f"jpeg-{q}", partial(compress, quality=q), quality_class(q))
        for q in JPEG_QUALITIES
    ),
    *(Perturbation(f"blur-{s:g}", partial(blur, sigma=s)) for s in BLUR_SIGMAS),
    *(Perturbation(f"sharpen-{a:g}", partial(sharpen, amount=a)) for a in SHARPEN_AMOUNTS),
    *(Perturbation(f"resize-{f:g}", partial(resize, factor=f)) for f in RESIZE_FACTORS),
    Perturbation("crop", crop_center),
    Perturbation(f"noise-{NOISE_DEVIATION:g}", partial(add_noise, deviation=NOISE_DEVIATION)),
    # Blurred first: what is delivered ends with the compression.
    Perturbation("q50+blur2", partial(_blurred_jpeg, sigma=2.0, quality=50), quality_class(50)),
    Perturbation(
        "web", partial(_reduced_jpeg, longest=WEB[0], quality=WEB[1]), quality_class(WEB[1])
    ),
    Perturbation(
        "hard", partial(_reduced_jpeg, longest=HARD[0], quality=HARD[1]), quality_class(HARD[1])
    ),
    *(Perturbation(f"crf-{crf}", partial(through_h264, crf=crf), LOSSY) for crf in H264_CRFS),
)
"""Every step of the robustness grid, the untouched image first, in the order of the tables."""


def named(*names: str) -> tuple[Perturbation, ...]:
    """The steps of `GRID` with these names; raises ValueError for others."""
    known = {one.name: one for one in GRID}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"perturbations {unknown} given; choose from {', '.join(known)}")
    return tuple(known[name] for name in names)
