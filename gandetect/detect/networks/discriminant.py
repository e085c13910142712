"""Which of several sources made an image: a Gaussian discriminant of its spectral features.

Nothing is trained by gradients: `gandetect.detect.attributor` fits the arrays in closed form. It is
a network all the same, so that the model file holds it and `screen` scores it like the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gandetect.detect.features import FeatureSpec, extract
from gandetect.detect.networks.fingerprint import GaussianClasses, SourceNetwork
from gandetect.detect.phases import phase_count, phase_features
from gandetect.detect.planes import PlaneSpec, plane_shape

PROFILE = FeatureSpec()
# Frequencies of the two-dimensional spectrum that are averaged, along each axis.
POOLED = 4


def spectral_features(tiles: Tensor) -> Tensor:
    """Features (N, F) float32 of tiles (N, S, S) in 0..255: the profile, the coarse log spectrum,
    and how the tile differs by phase. Mean and contrast of a tile change them little."""
    parts = (extract(tiles, PROFILE), coarse_spectrum(tiles), phase_features(tiles))
    return torch.cat(parts, dim=1)


def feature_groups(side: int) -> dict[str, int]:
    """How many features of a tile of `side` pixels show what, in their order."""
    assert PROFILE.bands is not None
    coarse = -(-(side // 2) // POOLED) + 1
    return {
        "spectral profile": len(PROFILE.projections) * PROFILE.bands,
        "log spectrum": coarse**2,
        "phases of a grid": phase_count(),
    }


def coarse_spectrum(tiles: Tensor) -> Tensor:
    """Log spectra of tiles (N, S, S), averaged over squares of frequencies, (N, F) float32.

    The highest frequency of each axis stays by itself: replicas of the mean lie there.
    """
    spec = PlaneSpec("spectrum", tiles.shape[-1])
    plane = extract(tiles, spec).unflatten(1, plane_shape(spec))[:, None]
    parts = (plane[..., :-1, :-1], plane[..., -1:, :-1], plane[..., :-1, -1:], plane[..., -1:, -1:])
    windows = ((POOLED, POOLED), (1, POOLED), (POOLED, 1), (1, 1))
    pooled = [F.avg_pool2d(p, w, ceil_mode=True) for p, w in zip(parts, windows, strict=True)]
    return torch.cat([part.flatten(1) for part in pooled], dim=1)


class DiscriminantNetwork(SourceNetwork):
    """Logits are minus half the squared distance of the features from the mean of each class.

    `classes`: real and the generators. `side`: of the tiles.
    """

    def __init__(self, classes: int = 2, side: int = 128) -> None:
        super().__init__()
        self.settings = {"classes": classes, "side": side}
        self.known = GaussianClasses(classes, sum(feature_groups(side).values()), classes - 1)

    @classmethod
    def of(cls, known: GaussianClasses, side: int) -> DiscriminantNetwork:
        """The network of Gaussians fitted to `spectral_features` of tiles of `side` pixels."""
        network = cls(len(known.means), side)
        network.known.load_state_dict(known.state_dict())
        return network.eval()

    def prepare(self, tiles: Tensor) -> Tensor:
        return spectral_features(tiles)

    def respond(self, prepared: Tensor) -> Tensor:
        return self.known.respond(prepared)
