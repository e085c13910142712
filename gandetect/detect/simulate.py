"""Generated images without a generator: photographs passed through random up-sampling pipelines.

What a detector of up-sampling must find is not the content but the trace of the layers that
doubled the size. So each photograph is shrunk and enlarged again by one to three stages of random
up-sampling, and the photograph itself is its counterpart: same content, same crop, same
compression, same writer. Only the trace differs. Everything works on the luma plane, the plane
that is scored.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

MODES = (
    "nearest",
    "bilinear",
    "bicubic",
    "bed_of_nails",
    "pixel_shuffle",
    "transposed",
)
STAGES = (1, 2, 3)
# Crops are multiples of this, so that three halvings come out even and JPEG blocks whole.
GRID = 8
MIN_CROP = 64
_FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


# Gives a luma plane (H, W), uint8 or floating 0..255, when it is called and not before.
Photograph = Callable[[], Tensor]


@dataclass(frozen=True)
class Delivery:
    """How an image reaches its viewer; drawn once and used for both images of a pair.

    `scale`: of the photograph, 1 keeps its pixels. `side`: of the crop. `top`, `left`: of the crop,
    as shares of the room there is. `sharpness`: log gain at the highest frequency, growing to it
    linearly; 0 leaves the image alone. `quality`: of the JPEG, None for lossless.
    """

    scale: float
    side: int
    top: float
    left: float
    sharpness: float
    quality: int | None


@dataclass(frozen=True)
class Pair:
    """A real image (S, S) uint8 and what up-sampling by `modes`, in order, makes of it."""

    real: Tensor
    generated: Tensor
    source: int
    delivery: Delivery
    modes: tuple[str, ...]


def simulate(
    photographs: Sequence[Photograph], *, pairs: int, side: int = 384, seed: int = 0
) -> Iterator[Pair]:
    """`pairs` pairs from each photograph, one photograph in memory at a time.

    Deterministic: pair j of photograph i depends on `seed`, i and j alone. `side` is the largest
    crop; a smaller photograph gives smaller ones. Raises ValueError below `MIN_CROP` pixels.
    """
    for source, photograph in enumerate(photographs):
        plane = photograph().float()
        for number in range(pairs):
            yield make_pair(plane, side, np.random.default_rng([seed, source, number]), source)


def make_pair(plane: Tensor, side: int, rng: Generator, source: int = 0) -> Pair:
    """One pair from the luma `plane` (H, W) in 0..255."""
    delivery = draw_delivery(plane.shape[0], plane.shape[1], side, rng)
    original = _scaled_crop(plane, delivery, rng)
    modes = tuple(str(mode) for mode in rng.choice(MODES, size=rng.choice(STAGES)))
    generated = upsampled(original, modes, rng)
    return Pair(deliver(original, delivery), deliver(generated, delivery), source, delivery, modes)


def draw_delivery(height: int, width: int, side: int, rng: Generator) -> Delivery:
    """A random scale, crop and compression for a photograph of `height` x `width`."""
    shortest = min(height, width)
    if shortest < MIN_CROP:
        raise ValueError(f"photograph of {height}x{width}; at least {MIN_CROP} a side is needed")
    smallest = min(1.0, max(0.2, 1.2 * MIN_CROP / shortest))
    scale = 1.0 if rng.random() < 0.35 else float(np.exp(rng.uniform(np.log(smallest), 0.0)))
    # Half of the crops are as large as they may be, the others of any size down to the smallest.
    wanted = side if rng.random() < 0.5 else int(rng.integers(MIN_CROP, side + 1))
    crop = min(wanted, int(shortest * scale)) // GRID * GRID
    quality = int(rng.integers(50, 99)) if rng.random() < 0.5 else None
    # Photographs are soft or sharpened, and generators miss the high frequencies either way: the
    # slope of a spectrum must not decide.
    sharpness = 0.8 * rng.standard_normal() if rng.random() < 0.5 else 0.0
    return Delivery(scale, crop, rng.random(), rng.random(), sharpness, quality)


def deliver(image: Tensor, delivery: Delivery) -> Tensor:
    """`image` (S, S) float in 8 bits, as uint8, sharpened and compressed as `delivery` says."""
    if delivery.sharpness:
        image = _sharpened(image, delivery.sharpness)
    pixels = image.clamp(0, 255).round().to(torch.uint8)
    return pixels if delivery.quality is None else compress(pixels, delivery.quality)


def _sharpened(image: Tensor, sharpness: float) -> Tensor:
    """`image` (S, S), its spectrum tilted: the gain is exp(sharpness) at half a cycle a pixel."""
    side = image.shape[0]
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
    gain = torch.exp(sharpness * (2 * frequency).clamp(max=1))
    return torch.fft.irfft2(torch.fft.rfft2(image) * gain, image.shape)


def compress(pixels: Tensor, quality: int) -> Tensor:
    """The luma (H, W) uint8 of `pixels` (H, W) uint8 after JPEG at `quality`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer)))


def upsampled(original: Tensor, modes: tuple[str, ...], rng: Generator) -> Tensor:
    """`original` (S, S) shrunk by 2 per stage and enlarged again by the stages `modes`; (S, S)
    float.

    S must be a multiple of 2^stages.
    """
    small = _resize(original, original.shape[0] >> len(modes), rng)
    x = (small[None, None] - 127.5) / 127.5
    spread = x.std() + 1e-6
    for mode in modes:
        x = _texture(x, rng)
        x = _UPSAMPLERS[mode](x, rng)
        x = _refine(x, rng)
        # Random kernels change the contrast, which a trained network would not.
        x = (x - x.mean()) * (spread / (x.std() + 1e-6)) + small.mean() / 127.5 - 1
    if rng.random() < 0.5:
        gain = rng.uniform(0.5, 1.2)
        x = torch.tanh(gain * x) / float(np.tanh(gain))
    return x[0, 0] * 127.5 + 127.5


def _scaled_crop(plane: Tensor, delivery: Delivery, rng: Generator) -> Tensor:
    """The crop of `delivery` from `plane` at its scale, resized with a random filter."""
    extent = delivery.side / delivery.scale
    top = delivery.top * (plane.shape[0] - extent)
    left = delivery.left * (plane.shape[1] - extent)
    if delivery.scale == 1.0:
        y, x = int(top), int(left)
        return plane[y : y + delivery.side, x : x + delivery.side]
    return _resize(plane, delivery.side, rng, (left, top, left + extent, top + extent))


def _resize(
    plane: Tensor, side: int, rng: Generator, box: tuple[float, float, float, float] | None = None
) -> Tensor:
    """`plane` (or its `box` of left, top, right, bottom) at `side` x `side`, random filter."""
    picture = Image.fromarray(plane.numpy())
    resample = _FILTERS[rng.integers(len(_FILTERS))]
    return torch.from_numpy(np.array(picture.resize((side, side), resample, box)))


def _texture(x: Tensor, rng: Generator) -> Tensor:
    """Noise at this resolution, one time in ten: some generators add it at every scale."""
    if rng.random() > 0.1:
        return x
    noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    return x + float(np.exp(rng.uniform(np.log(0.003), np.log(0.05)))) * noise


def _refine(x: Tensor, rng: Generator) -> Tensor:
    """None to three convolutions near the identity, each with a rectified branch: new detail."""
    for _ in range(rng.integers(4)):
        size = int(rng.choice((3, 5)))
        identity = np.zeros((size, size))
        identity[size // 2, size // 2] = 1
        x = _convolve(x, _perturbed(identity, rng))
        branch = _convolve(x, rng.standard_normal((3, 3)) / 3)
        x = x + _strength(rng) * F.relu(branch)
    return x


def _nearest(x: Tensor, rng: Generator) -> Tensor:
    return _smoothed(F.interpolate(x, scale_factor=2, mode="nearest"), rng)


def _bilinear(x: Tensor, rng: Generator) -> Tensor:
    return _smoothed(F.interpolate(x, scale_factor=2, mode="bilinear"), rng)


def _bicubic(x: Tensor, rng: Generator) -> Tensor:
    return _smoothed(F.interpolate(x, scale_factor=2, mode="bicubic"), rng)


def _bed_of_nails(x: Tensor, rng: Generator) -> Tensor:
    """Zeros between the samples, then one convolution for all four phases."""
    nails = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    nails[..., ::2, ::2] = x
    return _convolve(nails, _perturbed(_interpolation_kernel(int(rng.choice((3, 5, 7)))), rng))


def _transposed(x: Tensor, rng: Generator) -> Tensor:
    """Transposed convolution of stride 2; an odd kernel covers the four phases unevenly."""
    size = int(rng.choice((2, 3, 4, 5, 6)))
    kernel = _as_kernel(_perturbed(_interpolation_kernel(size), rng))
    trim = (size - 2) // 2
    full = F.conv_transpose2d(x, kernel, stride=2)
    return full[..., trim : trim + 2 * x.shape[2], trim : trim + 2 * x.shape[3]]


def _pixel_shuffle(x: Tensor, rng: Generator) -> Tensor:
    """Four convolutions of their own, one for each phase of the output."""
    steps = np.array([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
    centers = [np.outer(steps[i], steps[j]) for i in (0, 1) for j in (0, 1)]
    size = _strength(rng)
    kernels = [center + size * rng.standard_normal((3, 3)) / 3 for center in centers]
    weight = torch.from_numpy(np.stack(kernels)).to(x)[:, None]
    return F.pixel_shuffle(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight), 2)


_UPSAMPLERS = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "bed_of_nails": _bed_of_nails,
    "pixel_shuffle": _pixel_shuffle,
    "transposed": _transposed,
}


def _smoothed(x: Tensor, rng: Generator) -> Tensor:
    """The convolution after an interpolation, near the identity or near a small blur."""
    size = int(rng.choice((3, 5)))
    return _convolve(x, _perturbed(_bump(size, rng.uniform(0.2, 1.2)), rng))


def _interpolation_kernel(size: int) -> np.ndarray:
    """(size, size), the triangle of bilinear doubling or what of it fits; sums to 4."""
    offsets = np.abs(np.arange(size) - (size - 1) / 2)
    line = np.clip(1 - offsets / 2, 0, None)
    line *= 2 / line.sum()
    return np.outer(line, line)


def _bump(size: int, sigma: float) -> np.ndarray:
    offsets = np.arange(size) - (size - 1) / 2
    line = np.exp(-0.5 * (offsets / sigma) ** 2)
    line /= line.sum()
    return np.outer(line, line)


def _perturbed(kernel: np.ndarray, rng: Generator) -> np.ndarray:
    """`kernel` with random taps added: a little, near the interpolation, or much, far from it."""
    noise = rng.standard_normal(kernel.shape) / kernel.shape[0]
    return kernel + _strength(rng) * kernel.max() * noise


def _strength(rng: Generator) -> float:
    """How far from interpolation a kernel is: from hardly at all to beyond recognition, evenly."""
    return float(np.exp(rng.uniform(np.log(0.003), np.log(0.6))))


def _convolve(x: Tensor, kernel: np.ndarray) -> Tensor:
    margin = kernel.shape[0] // 2
    return F.conv2d(F.pad(x, (margin,) * 4, mode="replicate"), _as_kernel(kernel))


def _as_kernel(kernel: np.ndarray) -> Tensor:
    return torch.from_numpy(kernel).float()[None, None]
