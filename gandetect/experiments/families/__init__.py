"""Which architecture leaves which trace? Every family of generators, from the same photographs.

    run(["PHOTOS/"], "experiments/families", Options(preset="smoke"))

Each family's own preset, matched sets of real and generated images, mean spectra and profiles,
distances to the reals, detectors on every family and from each to every other, attribution to known
and unknown families, and what an image costs. All of it goes into one folder, which a second run
goes on with.
"""

from __future__ import annotations

from typing import Any

from gandetect.experiments.families.plan import EFFORTS, FAMILIES, Options

__all__ = ["EFFORTS", "FAMILIES", "Options", "run"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from gandetect.experiments.families import runner

        return runner.run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
