"""Generated images without anybody's generator: photographs passed through our own.

What a detector of up-sampling must find is not the content but the trace of the layers that
enlarged it. So each photograph is reduced and made anew, by stages of random layers or by one of
the small networks that `gandetect.detect.autoencoders` trains, and the photograph itself is its
counterpart: same content, same crop, same conversion to luma, same delivery. Only the trace
differs. Generators work on RGB, as generators do, and end in 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator
from PIL import Image
from torch import Tensor

from gandetect.detect.loading import in_order, threads
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
    "BLOCK",
    "GRID",
    "LARGEST_CROP",
    "MIN_CROP",
    "MODES",
    "Compression",
    "Delivery",
    "Pair",
    "Photograph",
    "Resize",
    "blocks_of",
    "compress",
    "deliver",
    "draw_delivery",
    "make_pair",
    "original_crop",
    "pairs_of",
    "simulate",
    "upsampled",
]

LARGEST_CROP = 384
# Pairs that a worker makes at once: reading the photograph, once for all of them, must not count.
BLOCK = 16
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
    workers: int = 0,
) -> Iterator[Pair]:
    """`pairs` pairs from each photograph, one photograph in memory at a time.

    Deterministic: pair j of photograph i depends on `seed`, i, j and `networks` alone. Half of the
    pairs are made by `networks`, where there are any. `side` is the largest crop; a smaller
    photograph gives smaller ones. `workers`: processes that share the work, each with a photograph
    of its own; 0 for none but this one. Raises ValueError below `MIN_CROP` pixels, and as
    `loading.in_order` does.
    """
    make = partial(pairs_of, side=side, seed=seed, networks=networks)
    if workers == 0:
        # One by one, and not in blocks: the first is there as soon as it is made.
        each = ((load, source, range(pairs)) for source, load in enumerate(photographs))
        return (pair for one in each for pair in make(*one))
    work = partial(_block, make, photographs)
    made = in_order(work, blocks_of(len(photographs), pairs), workers)
    return (pair for block in made for pair in block)


def pairs_of(
    photograph: Photograph,
    source: int,
    numbers: Sequence[int],
    *,
    side: int,
    seed: int,
    networks: Sequence[GeneratorNetwork],
) -> Iterator[Pair]:
    """The pairs of these `numbers` from the photograph number `source`; see `simulate`."""
    picture = as_picture(photograph())
    for number in numbers:
        rng = np.random.default_rng([seed, source, number])
        with threads(1):
            pair = _pair(picture, side, rng, source, networks)
        yield pair


def blocks_of(count: int, pairs: int) -> list[tuple[int, range]]:
    """(source, numbers): all `pairs` of `count` photographs in parts for one worker each."""
    starts = range(0, pairs, BLOCK)
    return [
        (source, range(start, min(start + BLOCK, pairs)))
        for source in range(count)
        for start in starts
    ]


def _block(
    make: Callable[..., Iterator[Pair]],
    photographs: Sequence[Photograph],
    block: tuple[int, range],
) -> list[Pair]:
    source, numbers = block
    return list(make(photographs[source], source, numbers))


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
