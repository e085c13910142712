"""gandetect: finds the traces that up-sampling leaves in images and video made by generators.

`gandetect.ops` holds the spectral and up-sampling ops, `gandetect.nn` the layers over them,
`gandetect.detect` the detectors, `gandetect.screen` the screening pipeline, `gandetect.experiments`
what was published, run again, and `gandetect.report` plots and reports. Each is imported on first
use, so that the command line answers before torch is loaded.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("gandetect")
except PackageNotFoundError:
    __version__ = "0+uninstalled"

_ROOMS = ("detect", "experiments", "media", "nn", "ops", "report", "screen")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"gandetect.{name}")
    raise AttributeError(f"module 'gandetect' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])


def show_config() -> dict[str, Any]:
    """Versions, how the compiled module was built, and whether this process uses it."""
    config: dict[str, Any] = importlib.import_module("gandetect.ops._ext").config()
    return {"gandetect": __version__, **config}
