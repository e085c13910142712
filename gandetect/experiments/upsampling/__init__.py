"""Does detection survive other up-samplers? An experiment from photographs to answers.

    run(["PHOTOS/"], "experiments/upsampling", Options(preset="smoke"))

One SNGAN for each up-sampling, of the same data, seed and schedule; matched sets of real and
generated images; every detector on every generator; and three questions answered by rule from the
numbers. All of it goes into one folder, which a second run goes on with.
"""

from __future__ import annotations

from typing import Any

from gandetect.experiments.upsampling.plan import EFFORTS, MODES, Effort, Generator, Options

__all__ = ["EFFORTS", "MODES", "Effort", "Generator", "Options", "run"]


def __getattr__(name: str) -> Any:
    if name == "run":
        from gandetect.experiments.upsampling import runner

        return runner.run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
