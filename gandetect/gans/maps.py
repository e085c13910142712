"""Label maps for models that paint by them, made of the images' own colors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gandetect.gans.data import Images

MOST_KINDS = 256
# k-means learns from so many pixels at most.
_LEARNED_FROM = 50_000
_TOGETHER = 1024
# Of the colors of a palette.
_DIGITS = 4
Array = NDArray[np.float64]


def segmented(images: Images, kinds: int, seed: int = 0, *, coarse: int = 2) -> Images:
    """`images` with a label map each: `extras["maps"]` (N, S, S) uint8 from 0 to `kinds` - 1.

    The labels are clusters of color, by k-means over the whole set: pixels of one label have like
    colors in all images. Colors are means of `coarse` x `coarse` pixels, which all get one label,
    so that maps have areas and not grains. The same images, `kinds` and `seed` give the same maps;
    the card's `palette` makes maps of other images whose labels mean the same, see `painted`.
    Needs scikit-learn (extra `train`). Raises ValueError for a number of labels that cannot be.
    """
    from sklearn.cluster import MiniBatchKMeans

    size = images.images.shape[-1]
    if not 1 <= kinds <= MOST_KINDS or coarse < 1 or size % coarse:
        raise ValueError(
            f"kinds={kinds}, coarse={coarse} given; want 1 to {MOST_KINDS} labels, and squares "
            f"that {size} pixels are a multiple of"
        )
    generator = np.random.default_rng(seed)
    some = generator.permutation(len(images))[: max(1, _LEARNED_FROM * coarse**2 // size**2)]
    colors = _colors(images.images[torch.from_numpy(np.sort(some))], coarse)
    clusters = MiniBatchKMeans(kinds, random_state=seed, n_init=3).fit(colors)
    # Rounded, so that a card's palette is the one that was used.
    palette = np.round(clusters.cluster_centers_.astype(np.float64), _DIGITS).tolist()
    return painted(images, palette, coarse=coarse)


def painted(images: Images, palette: Sequence[Sequence[float]], *, coarse: int = 2) -> Images:
    """`images` with label maps like those of `segmented`: of each square the nearest color.

    `palette`: a color (C values in 0..1) for each label. Raises ValueError for colors of other
    channels than the images'.
    """
    colors = np.asarray(palette, np.float64)
    channels, size = images.images.shape[1], images.images.shape[-1]
    if colors.ndim != 2 or colors.shape[1] != channels or not 1 <= len(colors) <= MOST_KINDS:
        raise ValueError(
            f"a palette of shape {colors.shape} given; want 1 to {MOST_KINDS} colors of {channels} "
            "values"
        )
    side = size // coarse
    parts = [_nearest(_colors(one, coarse), colors) for one in images.images.split(_TOGETHER)]
    small = torch.from_numpy(np.concatenate(parts)).view(-1, side, side)
    maps = small.repeat_interleave(coarse, dim=1).repeat_interleave(coarse, dim=2)
    told = f"{len(colors)} labels, of each {coarse} x {coarse} pixels the nearest color"
    return Images(
        images.images,
        {**images.card(), "maps": told, "palette": colors.tolist()},
        images.labels,
        sources=images.sources,
        failed=images.failed,
        extras={**images.extras, "maps": maps},
    )


def _nearest(colors: Array, palette: Array) -> NDArray[np.uint8]:
    """The number of the color of `palette` that each of `colors` (N, C) is nearest to."""
    # |a - b|^2 less |a|^2, which is the same for all.
    apart = np.square(palette).sum(axis=1) - 2 * colors @ palette.T
    nearest: NDArray[np.uint8] = apart.argmin(axis=1).astype(np.uint8)
    return nearest


def _colors(images: Tensor, coarse: int) -> Array:
    """The mean color of each square, (number of squares, C) in 0..1, rows first."""
    means = F.avg_pool2d(images.float() / 255, coarse)
    return means.permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
