"""What the screening benchmark compares with, in a module that worker processes can import."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import av
import peers
import simplejpeg
import torch
from torch import Tensor

from gandetect.detect import Model
from gandetect.detect.features import band_matrix
from gandetect.ops.conventions import VALUES
from gandetect.screen.pool import Beat, Chunk
from gandetect.screen.sources import Source


def prepare_bare(settings: Any) -> Callable[[Chunk[Source], Beat], int]:
    """Decoding and nothing else, by the same decoders with one thread: a count of pictures."""
    torch.set_num_threads(1)

    def handle(chunk: Chunk[Source], beat: Beat) -> int:
        beat(0, 0)
        return sum(map(bare, (source.path for source in chunk.items)))

    return handle


def bare(path: str) -> int:
    if path.endswith(".jpg"):
        with open(path, "rb") as file:
            simplejpeg.decode_jpeg(file.read(), colorspace="GRAY")
        return 1
    count = 0
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        for packet in container.demux(stream):
            for frame in packet.decode():
                memoryview(frame.planes[0])
                count += 1
    return count


class TorchFeatures(Model):
    """The same features by torch: Hann window, rfft2, log power, index_add over radii."""

    def logits(self, images: Tensor) -> Tensor:
        plan = _plan(images.shape[-1])
        parts = [plan(part) for part in images.split(plan.bins.chunk)]
        return self.score_features(torch.cat(parts))

    def __reduce__(self) -> Any:
        return TorchFeatures, (self.arrays, self.card, self.sha256)


class _Plan:
    def __init__(self, side: int) -> None:
        from gandetect.detect.features import FeatureSpec

        spec = FeatureSpec()
        self.bins = peers.IndexAdd(side, side)
        window = torch.hann_window(side, periodic=True)
        self.window = window[:, None] * window
        self.columns = self.bins.weights[: side // 2 + 1]
        self.bands = [band_matrix(name, side, spec).float() for name in spec.projections]

    def __call__(self, images: Tensor) -> Tensor:
        planes = images.float()
        planes = (planes - planes.mean(dim=(1, 2), keepdim=True)) * self.window
        power = torch.view_as_real(torch.fft.rfft2(planes)).square_().sum(-1)
        value = power.add_(VALUES["log"].eps).log_().mul_(VALUES["log"].gain)
        flat = value.flatten(1) * self.bins.weights
        sums = flat.new_zeros(len(flat), self.bins.inverse.numel())
        azimuthal = sums.index_add_(1, self.bins.index, flat) * self.bins.inverse
        rows = (value * self.columns).sum(2) / self.columns.sum()
        half = value.shape[1] // 2
        rows = torch.cat([rows[:, :1], (rows[:, 1:half] + rows[:, half + 1 :].flip(1)) / 2,
                          rows[:, half : half + 1]], 1)  # fmt: skip
        profiles = (azimuthal, rows, value.mean(1))
        parts = [profile @ band for profile, band in zip(profiles, self.bands, strict=True)]
        features = torch.cat(parts, dim=1)
        return features - features.mean(dim=1, keepdim=True)


@functools.lru_cache(maxsize=8)
def _plan(side: int) -> _Plan:
    return _Plan(side)


class DurallFeatures(Model):
    """The published method's profiles in numpy, image by image; the score is their mean, for what
    is compared is the time."""

    def logits(self, images: Tensor) -> Tensor:
        return peers.DurallNumpy()(images[:, None]).mean(dim=1).float()

    def __reduce__(self) -> Any:
        return DurallFeatures, (self.arrays, self.card, self.sha256)
