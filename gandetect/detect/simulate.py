"""Generated images without anybody's generator: photographs passed through our own.

What a detector of up-sampling must find is not the content but the trace of the layers that
enlarged it. So each photograph is reduced and made anew, by stages of random layers or by one of
the small networks that `gandetect.detect.autoencoders` trains, and the photograph itself is its
counterpart: same content, same crop, same conversion to luma, same delivery. Only the trace
differs. Generators work on RGB, as generators do, and end in 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image
from torch import Tensor

from gandetect.detect.simulation.delivery import (
    GRID,
    MIN_CROP,
    Compression,
    Delivery,
    Resize,
    compress,
    deliver,
    draw_delivery,
    original_crop,
)
from gandetect.detect.simulation.network import GeneratorNetwork
from gandetect.detect.simulation.pictures import Photograph, as_picture, as_planes
from gandetect.detect.simulation.pipeline import draw_modes, upsampled
from gandetect.detect.simulation.upsamplers import MODES

__all__ = [
    "GRID",
    "LARGEST_CROP",
    "MIN_CROP",
    "MODES",
    "Compression",
    "Delivery",
    "Pair",
    "Photograph",
    "Resize",
    "compress",
    "deliver",
    "draw_delivery",
    "make_pair",
    "original_crop",
    "simulate",
    "upsampled",
]

LARGEST_CROP = 384
# Of the pairs, where there are trained networks to draw from.
NETWORK_SHARE = 0.5


@dataclass(frozen=True)
class Pair:
    """A real image (S, S) uint8 and what up-sampling by `modes`, in order, makes of it.

    `source`: the number of the photograph. `network`: the id of the trained network that made the
    generated image, "" for random layers.
    """

    real: Tensor
    generated: Tensor
    source: int
    delivery: Delivery
    modes: tuple[str, ...]
    network: str = ""


def simulate(
    photographs: Sequence[Photograph],
    *,
    pairs: int,
    side: int = LARGEST_CROP,
    seed: int = 0,
    networks: Sequence[GeneratorNetwork] = (),
) -> Iterator[Pair]:
    """`pairs` pairs from each photograph, one photograph in memory at a time.

    Deterministic: pair j of photograph i depends on `seed`, i, j and `networks` alone. Half of the
    pairs are made by `networks`, where there are any. `side` is the largest crop; a smaller
    photograph gives smaller ones. Raises ValueError below `MIN_CROP` pixels.
    """
    for source, photograph in enumerate(photographs):
        picture = as_picture(photograph())
        for number in range(pairs):
            rng = np.random.default_rng([seed, source, number])
            yield _pair(picture, side, rng, source, networks)


def make_pair(
    photograph: Tensor,
    side: int,
    rng: Generator,
    source: int = 0,
    networks: Sequence[GeneratorNetwork] = (),
) -> Pair:
    """One pair from `photograph`, luma (H, W) or RGB (3, H, W) in 0..255; see `simulate`."""
    return _pair(as_picture(photograph), side, rng, source, networks)


def _pair(
    picture: Image.Image,
    side: int,
    rng: Generator,
    source: int,
    networks: Sequence[GeneratorNetwork],
) -> Pair:
    delivery = draw_delivery(picture.height, picture.width, side, rng)
    original = original_crop(picture, delivery)
    generated, modes, network = _generated(original, rng, networks)
    return Pair(
        deliver(original, delivery), deliver(generated, delivery), source, delivery, modes, network
    )


def _generated(
    original: Image.Image, rng: Generator, networks: Sequence[GeneratorNetwork]
) -> tuple[Image.Image, tuple[str, ...], str]:
    """What a random generator makes of `original`, its up-samplers and the id of its network."""
    if networks and rng.random() < NETWORK_SHARE:
        network = networks[int(rng.integers(len(networks)))]
        return network.regenerated(original, rng), network.modes, network.id
    modes = draw_modes(rng)
    return as_picture(upsampled(as_planes(original), modes, rng)), modes, ""
