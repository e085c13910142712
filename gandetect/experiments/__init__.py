"""Published experiments, run again on data that you provide.

`reproduce` takes one of `SETTINGS` (the features, classifiers, splits and sample counts of a paper)
and samples read from folders or from a table of features, and sets the accuracies it measures
beside the published ones. Needs scikit-learn and scipy (the extra `train`), imported when used.
"""

from __future__ import annotations

from typing import Any

from gandetect.experiments.settings import SETTINGS, Reported, Setting

__all__ = [
    "SETTINGS",
    "Reported",
    "Reproduction",
    "Samples",
    "Setting",
    "read_folders",
    "read_table",
    "reproduce",
]

_ROOMS = {
    "Reproduction": "runner",
    "reproduce": "runner",
    "Samples": "samples",
    "read_folders": "samples",
    "read_table": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
