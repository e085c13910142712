"""Label maps for models that paint by them, made of the images' own colors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.gans.data import Images

MOST_KINDS = 256
# k-means learns from so many pixels at most.
_LEARNED_FROM = 50_000
_TOGETHER = 1024


def segmented(images: Images, kinds: int, seed: int = 0, *, coarse: int = 2) -> Images:
    """`images` with a label map each: `extras["maps"]` (N, S, S) uint8 from 0 to `kinds` - 1.

    The labels are clusters of color, by k-means over the whole set: pixels of one label have like
    colors in all images. Colors are means of `coarse` x `coarse` pixels, which all get one label,
    so that maps have areas and not grains. The same images, `kinds` and `seed` give the same maps.
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
    parts = [
        torch.from_numpy(clusters.predict(_colors(part, coarse)).astype(np.uint8))
        for part in images.images.split(_TOGETHER)
    ]
    side = size // coarse
    small = torch.cat(parts).view(-1, side, side)
    maps = small.repeat_interleave(coarse, dim=1).repeat_interleave(coarse, dim=2)
    return Images(
        images.images,
        {**images.card(), "maps": f"k-means of colors, {kinds} labels, seed {seed}"},
        images.labels,
        sources=images.sources,
        failed=images.failed,
        extras={**images.extras, "maps": maps},
    )


def _colors(images: Tensor, coarse: int) -> np.ndarray:
    """The mean color of each square, (number of squares, C) in 0..1, rows first."""
    means = F.avg_pool2d(images.float() / 255, coarse)
    return means.permute(0, 2, 3, 1).flatten(0, 2).numpy()
