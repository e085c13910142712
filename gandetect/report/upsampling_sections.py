"""Every stage of the up-sampling experiment, in the order in which a reader wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gandetect.report.upsampling_detection import (
    attribution,
    detection,
    goals,
    joint,
    learning,
    left_out,
    robustness,
    settings,
    transfer,
)
from gandetect.report.upsampling_generators import audit, learned, others, spectra, training
from gandetect.report.upsampling_tables import Fields, Results, Section, stage

Builder = Callable[[Any, Results], Fields]

# Key, title, where the results have it, and what makes the section's fields of that.
_SECTIONS: tuple[tuple[str, str, str, Builder], ...] = (
    ("goals", "Goals", "goals", goals),
    ("training", "Training", "generators", training),
    ("learned", "Did they learn anything?", "learned", learned),
    ("spectra", "Mean spectra", "spectra", spectra),
    ("detection", "Detection", "detection", detection),
    ("transfer", "Transfer", "transfer", transfer),
    ("left-out", "One generator left out", "transfer", left_out),
    ("joint", "One detector for all", "joint", joint),
    ("attribution", "Attribution", "attribution", attribution),
    ("learning", "Few training images", "learning", learning),
    ("robustness", "Robustness", "robustness", robustness),
    ("others", "Spectral training and other seeds", "others", others),
    ("audit", "Leak audit", "audit", audit),
    ("settings", "Settings", "detectors", settings),
)


def sections(results: Results) -> list[Section]:
    """Every section; one whose stage has not been run says so."""
    return [built(results, *one) for one in _SECTIONS]


def built(results: Results, key: str, title: str, stored: str, build: Builder) -> Section:
    """The section `key` that `build` makes of what the results have as `stored`."""
    found, missing = stage(results, stored)
    if missing:
        return Section(key, title, missing=missing)
    return Section(key, title, **build(found, results))
