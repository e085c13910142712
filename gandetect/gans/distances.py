"""How far generated images are from real ones, without the weights of any network.

What is compared are features of each image that a seed decides: how strongly random filters
respond at several scales, and how filters of these responses do. On them: a Fréchet distance, the
unbiased polynomial MMD with its standard error, and the share of the real images that have a
generated one near. They have the formulas of FID and KID but not their features, are no FID and no
KID, and compare with nothing but themselves at the same number of images, seed and size.
`gandetect.gans.inception` has the real ones, for those who have the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BASELINES = ("noise", "blurred_mean")
FILTERS = 16
NEIGHBORS = 5
_SIDE = 3
_GRID = 4
_SMALLEST = 8
_TOGETHER = 256
# A response of less than a gray level is nobody's to see.
_LEVEL = 1 / 255
# About the mean of each feature over photographs; their deviation is about 1.
_USUAL = 2.0
_FEWEST = 8


@dataclass(frozen=True)
class Distances:
    """Of `images` generated images from as many real ones.

    `frechet`: 0 for equal sets, and larger for fewer images of the same kind. `mmd`: around 0 for
    images of one kind, however many; `mmd_error`: its standard error. `coverage`: share of the real
    images with a generated one among them closer than the `NEIGHBORS`-th nearest real one; near 1
    for images of one kind, low where modes are missing.
    """

    images: int
    frechet: float
    mmd: float
    mmd_error: float
    coverage: float

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Learned:
    """Whether a generator has learned something: its samples are nearer to the real images than
    what has learned nothing.

    `generated`: of the samples; `baselines`: see `baselines`.
    """

    generated: Distances
    baselines: Mapping[str, Distances]

    def __bool__(self) -> bool:
        return all(self.generated.frechet < self.baselines[name].frechet for name in BASELINES)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {
            "learned": bool(self),
            "generated": self.generated.to_dict(),
            "baselines": {name: one.to_dict() for name, one in self.baselines.items()},
        }


def distances(generated: Tensor, real: Tensor, *, seed: int = 0) -> Distances:
    """Distances of images from as many real ones, both (N, C, S, S) uint8.

    The first N of each are taken, N the smaller number, since the Fréchet distance depends on it.
    Raises ValueError for images of different channels or sizes, for fewer than 8, and for sides
    below 8; TypeError for another type than uint8.
    """
    check_pair(generated, real)
    count = min(len(generated), len(real))
    return _measured(features(generated[:count], seed=seed), features(real[:count], seed=seed))


def baselines(real: Tensor, *, seed: int = 0) -> dict[str, Distances]:
    """Distances, from one half of `real` (N, C, S, S) uint8, of what a generator has to beat.

    "noise": pixels by themselves, with the mean and the deviation of each channel. "blurred_mean":
    means of four real images each, blurred: their colors and their layout, but no detail. "real":
    the other half of the real images, which no generator beats but by chance.
    """
    half, others = _halves(real, seed)
    rng = torch.Generator().manual_seed(seed)
    sets = {
        "noise": _noise(others, rng),
        "blurred_mean": _blurred_means(others, rng),
        "real": others,
    }
    return {name: distances(images, half, seed=seed) for name, images in sets.items()}


def learned_something(generated: Tensor, real: Tensor, *, seed: int = 0) -> Learned:
    """Whether samples (M, C, S, S) uint8 are nearer to one half of `real` than `BASELINES` are.

    True where they are, by the Fréchet distance. M must be at least half of N, so that all are
    compared at the same number; raises ValueError where it is not, and as `distances` does.
    """
    check_pair(generated, real)
    half, _ = _halves(real, seed)
    if len(generated) < len(half):
        raise ValueError(
            f"{len(generated)} generated images given; want {len(half)}, half as many as real ones"
        )
    return Learned(distances(generated, half, seed=seed), baselines(real, seed=seed))


def check_pair(generated: Tensor, real: Tensor) -> None:
    """Raise ValueError, or TypeError, for image sets that cannot be compared."""
    for name, images in (("generated", generated), ("real", real)):
        if images.dtype != torch.uint8:
            raise TypeError(f"{name} images of {images.dtype} given; want uint8, 0..255")
        if images.dim() != 4 or images.shape[1] not in (1, 3) or min(images.shape[-2:]) < _SMALLEST:
            raise ValueError(
                f"{name} images of shape {tuple(images.shape)} given; want (N, 1 or 3, S, S) with "
                f"sides of at least {_SMALLEST}"
            )
        if len(images) < _FEWEST:
            raise ValueError(f"{len(images)} {name} images given; want at least {_FEWEST}")
    if generated.shape[1:] != real.shape[1:]:
        raise ValueError(
            f"generated images of {tuple(generated.shape[1:])} and real ones of "
            f"{tuple(real.shape[1:])} given; want the same channels and sides"
        )


def features(images: Tensor, *, seed: int = 0) -> Tensor:
    """Features (N, F) float64 of images (N, 1 or 3, H, W) uint8.

    At each scale (the image, halved by averaging until a side would fall below 8), with x in 0..1
    and filters w of 3x3 that sum to zero and have unit length, drawn from `seed`:

        h = relu(w * x)    f = ln(1 + 255 mean h) - 2     16 of them
        h' = relu(w' * h)  f = ln(1 + 255 mean h') - 2    16 of them, at every second place

    and 4 y - 2, y the image averaged to 4x4. Over photographs they are around 0 with a deviation
    around 1. The logs make a change of contrast count alike at all scales, and in flat images as in
    busy ones.
    """
    parts = [_features(part.float() / 255, seed) for part in images.split(_TOGETHER)]
    return torch.cat(parts).double()


def _features(images: Tensor, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    found = [4 * F.adaptive_avg_pool2d(images, _GRID).flatten(1) - _USUAL]
    while min(images.shape[-2:]) >= _SMALLEST:
        responses = images
        for stride in (1, 2):
            filters = _filters(responses.shape[1], rng)
            responses = F.relu(F.conv2d(responses, filters, stride=stride))
            found.append(torch.log1p(responses.mean(dim=(2, 3)) / _LEVEL) - _USUAL)
        images = F.avg_pool2d(images, 2)
    return torch.cat(found, dim=1)


def _filters(inputs: int, rng: torch.Generator) -> Tensor:
    """Random kernels (FILTERS, inputs, 3, 3) that sum to zero and have unit length."""
    kernels = torch.randn(FILTERS, inputs * _SIDE**2, generator=rng)
    kernels -= kernels.mean(dim=1, keepdim=True)
    kernels /= kernels.norm(dim=1, keepdim=True)
    return kernels.view(FILTERS, inputs, _SIDE, _SIDE)


def _measured(generated: Tensor, real: Tensor) -> Distances:
    """Distances of features (N, F)."""
    mmd, error = polynomial_mmd(generated, real)
    return Distances(
        len(real), frechet_distance(generated, real), mmd, error, coverage(generated, real)
    )


def _halves(real: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    half = len(real) // 2
    return real[order[:half]], real[order[half : 2 * half]]


def _noise(images: Tensor, rng: torch.Generator) -> Tensor:
    values = images.double()
    mean, deviation = values.mean(dim=(0, 2, 3)), values.std(dim=(0, 2, 3))
    drawn = torch.randn(images.shape, generator=rng)
    return _eight_bit(drawn * deviation[:, None, None] + mean[:, None, None])


def _blurred_means(images: Tensor, rng: torch.Generator) -> Tensor:
    chosen = torch.randint(len(images), (4, len(images)), generator=rng)
    means = images[chosen].float().mean(dim=0)
    small = F.adaptive_avg_pool2d(means, _SMALLEST)
    return _eight_bit(F.interpolate(small, images.shape[-2:], mode="bilinear"))


def _eight_bit(values: Tensor) -> Tensor:
    return values.clamp(0, 255).round().to(torch.uint8)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|m - n|² + tr(S + T - 2 (S T)^½) for features (N, F) of mean m, n and covariance S, T.

    The trace of the root is the sum of the singular values of S^½ T^½.
    """
    (m, s), (n, t) = _moments(a), _moments(b)
    shared = torch.linalg.svdvals(_root(s) @ _root(t)).sum()
    return float((m - n).square().sum() + s.trace() + t.trace() - 2 * shared)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(dim=0), torch.cov(x.T)


def _root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def polynomial_mmd(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The unbiased squared MMD of features (N, F) and (M, F), and its standard error.

    Kernel (x·y / F + 1)³. The error is that of the jackknife, which leaves out one image at a time:
    right where the sets differ, up to 1.4 times too large where they do not.
    """
    k_aa, k_bb, k_ab = _kernel(a, a), _kernel(b, b), _kernel(a, b)
    k_aa.fill_diagonal_(0)
    k_bb.fill_diagonal_(0)
    n, m = k_ab.shape

    def value(aa: Tensor, bb: Tensor, ab: Tensor, n: int, m: int) -> Tensor:
        return aa / (n * (n - 1)) + bb / (m * (m - 1)) - 2 * ab / (n * m)

    aa, bb, ab = k_aa.sum(), k_bb.sum(), k_ab.sum()
    without_a = value(aa - 2 * k_aa.sum(1), bb, ab - k_ab.sum(1), n - 1, m)
    without_b = value(aa, bb - 2 * k_bb.sum(1), ab - k_ab.sum(0), n, m - 1)
    variance = sum(
        (one - one.mean()).square().sum() * (1 - 1 / len(one)) for one in (without_a, without_b)
    )
    return float(value(aa, bb, ab, n, m)), float(variance) ** 0.5


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3


def coverage(generated: Tensor, real: Tensor) -> float:
    """Share of the real features (N, F) with a generated one (M, F) within their neighborhood.

    The neighborhood of a real image reaches to its `NEIGHBORS`-th nearest other real one (Naeem et
    al. 2020).
    """
    among = torch.cdist(real, real).fill_diagonal_(torch.inf)
    reach = among.kthvalue(min(NEIGHBORS, len(real) - 1), dim=1).values
    nearest = torch.cdist(real, generated).amin(dim=1)
    return float((nearest <= reach).double().mean())
