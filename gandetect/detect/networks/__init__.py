"""Networks that detect; one file each, all on `base`.

| name | looks at |
|---|---|
| `pixels` | the pixels: two convolutions and two dense layers, as in lecture slides |
| `spectrum` | the log spectrum of the tile |
| `residual` | what nearest down- and up-sampling leave of the pixels (NPR) |
| `fingerprint` | what a blur leaves of the pixels, to tell several sources apart |
| `discriminant` | spectral features, for the same; fitted in closed form |
| `mask` | how strong fine detail is, to mark what was forged |
| `warp` | the same, to find what was warped and how to undo it |
"""

from __future__ import annotations

from gandetect.detect.networks.base import Network, rebuild
from gandetect.detect.networks.discriminant import DiscriminantNetwork
from gandetect.detect.networks.fingerprint import FingerprintNetwork
from gandetect.detect.networks.mask import MaskNetwork
from gandetect.detect.networks.pixels import PixelNetwork
from gandetect.detect.networks.residual import ResidualNetwork
from gandetect.detect.networks.spectrum import SpectrumNetwork
from gandetect.detect.networks.warp import WarpNetwork

NETWORKS: dict[str, type[Network]] = {
    "pixels": PixelNetwork,
    "spectrum": SpectrumNetwork,
    "residual": ResidualNetwork,
    "fingerprint": FingerprintNetwork,
    "discriminant": DiscriminantNetwork,
    "mask": MaskNetwork,
    "warp": WarpNetwork,
}

__all__ = [
    "NETWORKS",
    "DiscriminantNetwork",
    "FingerprintNetwork",
    "MaskNetwork",
    "Network",
    "PixelNetwork",
    "ResidualNetwork",
    "SpectrumNetwork",
    "WarpNetwork",
    "rebuild",
]
