"""Networks that detect; one file each, all on `base`.

| name | looks at |
|---|---|
| `pixels` | the pixels: two convolutions and two dense layers, as in lecture slides |
| `spectrum` | the log spectrum of the tile |
| `residual` | what nearest down- and up-sampling leave of the pixels (NPR) |
"""

from __future__ import annotations

from gandetect.detect.networks.base import Network, rebuild
from gandetect.detect.networks.pixels import PixelNetwork
from gandetect.detect.networks.residual import ResidualNetwork
from gandetect.detect.networks.spectrum import SpectrumNetwork

NETWORKS: dict[str, type[Network]] = {
    "pixels": PixelNetwork,
    "spectrum": SpectrumNetwork,
    "residual": ResidualNetwork,
}

__all__ = [
    "NETWORKS",
    "Network",
    "PixelNetwork",
    "ResidualNetwork",
    "SpectrumNetwork",
    "rebuild",
]
