"""What several commands do alike: check before a long run, and keep the terminal in order."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import click


def printable(text: str) -> str:
    """`text` on one line and without control characters, which would act on the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def require(option: str, extra: str, *modules: str) -> None:
    """Refuse an option whose optional dependencies are missing."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise click.UsageError(
            f"{option} needs {' and '.join(missing)}: pip install 'gandetect[{extra}]'"
        )


def check_number(option: str, value: float) -> None:
    """Refuse the one value that passes every range."""
    if math.isnan(value):
        raise click.UsageError(f"{option} nan given; give a number")


def check_place(out: str) -> None:
    """Refuse the name of an output file that cannot become one."""
    path = Path(out)
    if path.is_dir():
        raise click.UsageError(f"{printable(out)} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise click.UsageError(f"there is no folder {printable(str(path.parent))}")


def on_terminal() -> bool:
    """Whether somebody looks at standard error, which may be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


conformal_option = click.option(
    "--conformal",
    is_flag=True,
    help="Let --fpr hold on average over calibrations, not with 95 % confidence: 19 photographs "
    "suffice for 5 %, not 59.",
)


workers_option = click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=0),
    help="Processes that share the work, with the same result (0: none but this one).  "
    "[default: one per processor]",
)


def workers_of(given: int | None) -> int:
    """What --workers stands for in Python."""
    from gandetect.processes import processors

    return processors() if given is None else given


def confidence_of(conformal: bool) -> float | None:
    """What --conformal stands for in Python."""
    from gandetect.detect.calibration import CONFIDENCE

    return None if conformal else CONFIDENCE
