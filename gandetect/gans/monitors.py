"""What goes wrong with GANs, watched while they train: divergence, mode collapse, players out of
step, vanishing gradients, and how far the spectrum of the samples is from that of the images."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

from gandetect.gans.data import Data
from gandetect.nn.spectral import spectral_l1

# Samples that differ less than this from each other, in units of the images' differences.
COLLAPSED = 0.25
# A discriminator whose values of real and of generated images are as far apart as this for
# `_PATIENCE` iterations teaches the other player nothing. Squares pull them to 1 and 0, and beyond
# 1 and -1 the hinge pulls no more; a Wasserstein critic's have no scale.
_MARGINS = {
    "saturating": 8.0,
    "nonsaturating": 8.0,
    "least_squares": 0.95,
    "hinge": 2.0,
}
_VANISHED = 1e-6
_PATIENCE = 200
_LOOKED_AT = 64


class Diverged(ValueError):
    """A loss or a gradient is no finite number any more."""


class Watch:
    """Watches one run; `data` gives the images that samples are compared with.

    `loss`: the adversarial one, of `losses.LOSSES`, which decides when a discriminator is always
    sure; None and "wasserstein" for never.
    """

    def __init__(self, data: Data, *, loss: str | None = None) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._real = data.batch(_LOOKED_AT)["images"]
        self._gaps: deque[float] = deque(maxlen=_PATIENCE)
        self._slopes: deque[float] = deque(maxlen=_PATIENCE)
        self._margin = _MARGINS.get(loss or "", math.inf)
        self._diversity = math.inf

    def check(self, step: int, terms: Mapping[str, float]) -> None:
        """Raise `Diverged` where a term of iteration `step` is not finite."""
        bad = sorted(name for name, value in terms.items() if not math.isfinite(value))
        if bad:
            told = ", ".join(f"{name} is {terms[name]}" for name in bad)
            raise Diverged(
                f"training diverged at iteration {step}: {told}. Lower the rate or take another "
                "seed; the last checkpoint is kept"
            )
        if "discriminator/real" in terms:
            self._gaps.append(terms["discriminator/real"] - terms["discriminator/generated"])
        if "generator/gradient" in terms:
            self._slopes.append(terms["generator/gradient"])

    def warnings(self) -> list[str]:
        """What a person should look at now; empty where nothing is the matter."""
        found = []
        if len(self._gaps) == _PATIENCE and min(self._gaps) > self._margin:
            found.append("players out of step: the discriminator is always sure")
        if len(self._slopes) == _PATIENCE and max(self._slopes) < _VANISHED:
            found.append("vanishing gradient: the generator learns nothing")
        if self._diversity < COLLAPSED:
            found.append(f"mode collapse: samples differ {self._diversity:.2f} of the images")
        return found

    def look(self, images: Tensor) -> dict[str, float]:
        """Diversity and spectral L1 of samples (N, C, S, S) uint8."""
        self._diversity = diversity(images) / max(diversity(self._real), 1e-12)
        real, drawn = (one.float() / 127.5 - 1 for one in (self._real, images))
        return {
            "samples/diversity": self._diversity,
            "samples/spectral_l1": float(spectral_l1(drawn, real)),
        }


def diversity(images: Tensor) -> float:
    """Mean L2 distance of neighboring pairs of `images` (N, ...), in gray levels per value."""
    flat = images.flatten(1).float()
    return float((flat - flat.roll(1, 0)).square().mean(dim=1).sqrt().mean())
