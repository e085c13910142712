"""Detection: features, estimators, calibration, the model file, simulation and evaluation.

Scoring needs torch alone. The estimators need scikit-learn (the extra `train`) and are imported
when first asked for.
"""

from __future__ import annotations

import importlib
import json
from importlib import resources
from typing import Any

from gandetect.detect.calibration import Thresholds
from gandetect.detect.features import FeatureSpec, extract
from gandetect.detect.model import Model
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.tiles import cut_tiles

SHIPPED = "upsampling-v2.safetensors"
EVALUATION = "upsampling-v2.evaluation.json"

__all__ = [
    "Attributor",
    "EditDetector",
    "FeatureSpec",
    "FusionDetector",
    "Model",
    "NetworkDetector",
    "PlaneSpec",
    "SpectralDetector",
    "SpectralPlane",
    "SpectralProfile",
    "Thresholds",
    "cut_tiles",
    "extract",
    "load_evaluation",
    "load_shipped",
]


# Where each is, which wants scikit-learn.
_ESTIMATORS = {
    "Attributor": "attributor",
    "EditDetector": "compound",
    "FusionDetector": "compound",
    "NetworkDetector": "estimators",
    "SpectralDetector": "estimators",
    "SpectralPlane": "estimators",
    "SpectralProfile": "estimators",
}


def load_shipped() -> Model:
    """The detector that comes with the package; its card is beside it, as `upsampling-v2.md`."""
    with resources.as_file(resources.files("gandetect.models") / SHIPPED) as path:
        return Model.load(path)


def load_evaluation() -> dict[str, Any]:
    """The figures of the shipped detector on generators of others; `sha256` is its file's."""
    found: dict[str, Any] = json.loads(
        (resources.files("gandetect.models") / EVALUATION).read_text(encoding="utf-8")
    )
    return found


def __getattr__(name: str) -> Any:
    if name in _ESTIMATORS:
        return getattr(importlib.import_module(f"gandetect.detect.{_ESTIMATORS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
