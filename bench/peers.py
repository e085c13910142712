"""What a user would write instead of `spectral_profile`, each as good as it gets.

Every peer turns uint8 images (N, C, H, W) into power profiles over integer radii; Durall's method
gives its own log profile. Chunks hold what fits the cache, buffers are as torch and numpy reuse
them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gandetect import ops
from gandetect.ops import reference
from gandetect.ops.conventions import make_plan

try:
    from numba import prange
except ImportError:
    prange = range

# torch calls its sparse matrices a beta at every one that is made.
warnings.filterwarnings("ignore", message="Sparse")

Peer = Callable[[Tensor], Tensor]
GRAY = torch.tensor(reference.GRAY_WEIGHTS)
CHUNK_PIXELS = 4 * 256 * 256
DENSE_BYTES = 256 << 20


def gray_of(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images[:, 0].float()
    return (images.float() * GRAY[:, None, None]).sum(1)


class Bins:
    """Weighted bins of the half plane, as each peer wants them."""

    def __init__(self, height: int, width: int) -> None:
        plan = make_plan(height, width, "centered", "corner")
        self.height, self.width = height, width
        self.index = plan.maps[0].reshape(-1).long()
        weights = torch.ones(width // 2 + 1)
        weights[1 : (width + 1) // 2] = 2
        self.weights = weights.expand(height, -1).reshape(-1).contiguous()
        self.inverse = plan.inverse_counts.float()
        self.chunk = max(1, CHUNK_PIXELS // (height * width))

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.profiles(part) for part in images.split(self.chunk)])

    def profiles(self, images: Tensor) -> Tensor:
        raise NotImplementedError


def power_of(planes: Tensor) -> Tensor:
    return torch.view_as_real(torch.fft.rfft2(planes)).square().sum(-1).flatten(1)


class IndexAdd(Bins):
    def profiles(self, images: Tensor) -> Tensor:
        power = power_of(gray_of(images)) * self.weights
        sums = power.new_zeros(power.shape[0], self.inverse.numel())
        return sums.index_add_(1, self.index, power) * self.inverse


class ScatterAdd(Bins):
    def profiles(self, images: Tensor) -> Tensor:
        power = power_of(gray_of(images)) * self.weights
        sums = power.new_zeros(power.shape[0], self.inverse.numel())
        return sums.scatter_add_(1, self.index.expand_as(power), power) * self.inverse


class Sparse(Bins):
    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        order = torch.argsort(self.index, stable=True)
        counts = torch.bincount(self.index, minlength=self.inverse.numel())
        starts = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
        values = (self.weights * self.inverse[self.index])[order]
        size = (self.inverse.numel(), self.index.numel())
        self.matrix = torch.sparse_csr_tensor(starts, order, values, size)

    def profiles(self, images: Tensor) -> Tensor:
        return (self.matrix @ power_of(gray_of(images)).T).T


class DenseMask(Bins):
    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self.mask = torch.zeros(self.index.numel(), self.inverse.numel())
        rows = torch.arange(self.index.numel())
        self.mask[rows, self.index] = self.weights * self.inverse[self.index]

    def profiles(self, images: Tensor) -> Tensor:
        return power_of(gray_of(images)) @ self.mask


class GrayAndFft(Bins):
    """No bins: what nothing built on the library's transform can go below."""

    def profiles(self, images: Tensor) -> Tensor:
        return torch.fft.rfft2(gray_of(images))[:, 0, 0].abs()


class Naive:
    """fft2, fftshift and index_add over the whole batch."""

    def __init__(self, height: int, width: int) -> None:
        y, x = torch.arange(height) - height // 2, torch.arange(width) - width // 2
        self.index = (y[:, None] ** 2 + x**2).double().sqrt().floor().long().reshape(-1)
        self.counts = torch.bincount(self.index).float()

    def __call__(self, images: Tensor) -> Tensor:
        spectrum = torch.fft.fftshift(torch.fft.fft2(gray_of(images)), dim=(-2, -1))
        power = spectrum.abs().square().flatten(1)
        sums = power.new_zeros(power.shape[0], self.counts.numel())
        return sums.index_add_(1, self.index, power) / self.counts


class NumpyBincount(Naive):
    """numpy, in double, image by image."""

    def __call__(self, images: Tensor) -> Tensor:
        index, counts = self.index.numpy(), self.counts.numpy()
        profiles = []
        for plane in gray_of(images).numpy().astype(np.float64):
            power = np.abs(np.fft.fftshift(np.fft.fft2(plane))) ** 2
            profiles.append(np.bincount(index, power.ravel()) / counts)
        return torch.from_numpy(np.stack(profiles))


class ScipyBincount(Bins):
    """scipy's float32 real transform, image by image."""

    def profiles(self, images: Tensor) -> Tensor:
        import scipy.fft

        index, weights = self.index.numpy(), self.weights.numpy()
        spectra = scipy.fft.rfft2(gray_of(images).numpy(), workers=torch.get_num_threads())
        power = (spectra.real**2 + spectra.imag**2).reshape(images.shape[0], -1) * weights
        sums = [np.bincount(index, row) for row in power]
        return torch.from_numpy(np.stack(sums)) * self.inverse


class DurallNumpy:
    """The published method: one gray image at a time, full transform, radii computed each time."""

    def __call__(self, images: Tensor) -> Tensor:
        return torch.from_numpy(
            np.stack([self.profile(plane) for plane in gray_of(images).double().round().numpy()])
        )

    def profile(self, gray: np.ndarray) -> np.ndarray:
        spectrum = np.fft.fftshift(np.fft.fft2(gray)) + 1e-8
        magnitude = 20 * np.log(np.abs(spectrum))
        y, x = np.indices(magnitude.shape)
        center = np.array([(x.max() - x.min()) / 2.0, (y.max() - y.min()) / 2.0])
        radius = np.hypot(x - center[0], y - center[1])
        order = np.argsort(radius.flat)
        sorted_radius, values = radius.flat[order].astype(int), magnitude.flat[order]
        edges = np.where(np.diff(sorted_radius))[0]
        cumulated = np.cumsum(values, dtype=float)
        return np.diff(cumulated[edges]) / np.diff(edges)


class Numba(Bins):
    """Gray and power + bins as compiled loops over images, around a library's real transform."""

    def __init__(self, height: int, width: int, transform: Callable[[Any], Any]) -> None:
        import numba

        super().__init__(height, width)
        options = {"parallel": True, "fastmath": True}
        self.transform = transform
        self.bins = self.index.reshape(height, -1).numpy()
        self.inverse_counts = self.inverse.numpy()
        self.gray = numba.njit(**options)(gray_loop)
        self.average = numba.njit(**options)(average_loop)

    def profiles(self, images: Tensor) -> Tensor:
        spectrum = self.transform(self.gray(images.numpy()))
        return torch.from_numpy(self.average(spectrum, self.bins, self.inverse_counts, self.width))


def gray_loop(images):  # type: ignore[no-untyped-def]  # compiled by numba
    n, channels, height, width = images.shape
    out = np.empty((n, height, width), np.float32)
    for i in prange(n):
        for y in range(height):
            if channels == 1:
                for x in range(width):
                    out[i, y, x] = images[i, 0, y, x]
            else:
                for x in range(width):
                    out[i, y, x] = (
                        np.float32(0.299) * images[i, 0, y, x]
                        + np.float32(0.587) * images[i, 1, y, x]
                        + np.float32(0.114) * images[i, 2, y, x]
                    )
    return out


def average_loop(spectrum, bins, inverse, width):  # type: ignore[no-untyped-def]
    n, height, columns = spectrum.shape
    out = np.zeros((n, inverse.size), np.float64)
    for i in prange(n):
        for u in range(height):
            for v in range(columns):
                f = spectrum[i, u, v]
                power = f.real * f.real + f.imag * f.imag
                out[i, bins[u, v]] += power if v == 0 or 2 * v == width else 2 * power
        for k in range(inverse.size):
            out[i, k] *= inverse[k]
    return out.astype(np.float32)


def torch_transform(gray: np.ndarray) -> np.ndarray:
    return torch.fft.rfft2(torch.from_numpy(gray)).numpy()


def scipy_transform(gray: np.ndarray) -> np.ndarray:
    import scipy.fft

    return scipy.fft.rfft2(gray, workers=torch.get_num_threads())


def compiled(eager: Bins) -> Peer:
    torch._dynamo.reset()
    run = torch.compile(eager.profiles, dynamic=False)
    return lambda images: torch.cat([run(part) for part in images.split(eager.chunk)])


def ours(images: Tensor) -> Tensor:
    return ops.spectral_profile(images)


def ours_durall(images: Tensor) -> Tensor:
    return ops.spectral_profile(images, "durall")


def candidates(height: int, width: int, compile_too: bool) -> dict[str, Peer]:
    """Ours and its peers, by the names that tables and plots use."""
    table: dict[str, Peer] = {
        "gandetect": ours,
        "gandetect, durall": ours_durall,
        "torch rfft2 + index_add, chunked": IndexAdd(height, width),
        "torch rfft2 + CSR, chunked": Sparse(height, width),
        "torch fft2 + shift + index_add": Naive(height, width),
        "numpy fft2 + shift + bincount": NumpyBincount(height, width),
        "scipy rfft2 + bincount": ScipyBincount(height, width),
        "Durall's method in numpy": DurallNumpy(),
    }
    bins = make_plan(height, width, "centered", "corner").counts.numel()
    if bins * height * (width // 2 + 1) * 4 <= DENSE_BYTES:
        table["torch rfft2 + dense mask"] = DenseMask(height, width)
    try:
        table["numba + torch rfft2"] = Numba(height, width, torch_transform)
        table["numba + scipy rfft2"] = Numba(height, width, scipy_transform)
    except ImportError:
        print("numba is not installed: its columns are left out", file=sys.stderr)
    if compile_too:
        table["torch.compile of rfft2 + index_add"] = compiled(IndexAdd(height, width))
        table["torch.compile of rfft2 + scatter_add"] = compiled(ScatterAdd(height, width))
    return table


def largest_differences(images: Tensor, table: dict[str, Peer]) -> dict[str, float]:
    """Of each peer from ours, relative, over complete rings; SystemExit where one disagrees."""
    differences = {}
    rings = min(images.shape[-2:]) // 2
    for name, run in table.items():
        own = ours_durall if "durall" in name.lower() else ours
        wanted = own(images).double()[:, 1 : rings - 1]
        actual = run(images).double()[:, 1 : rings - 1]
        differences[name] = float(((actual - wanted) / wanted).abs().max())
        if not differences[name] <= 2e-3:
            raise SystemExit(f"{name} is off by {differences[name]:.2e}; nothing was timed")
    return differences
