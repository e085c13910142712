"""What the experiments that train generators have in common on the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from gandetect.cli._common import printable, require
from gandetect.cli._training import PRECISIONS, training_bar
from gandetect.cli.screen import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

REPORT = "report.html"
# Where standard output is no terminal.
_WIDTH = 140
F = TypeVar("F", bound=Callable[..., Any])


def inputs(command: F) -> F:
    """--data and --out."""
    for option in (
        click.option(
            "--out",
            metavar="FOLDER",
            required=True,
            type=click.Path(file_okay=False),
            help="Where everything goes; one that is there goes on.",
        ),
        click.option(
            "--data",
            metavar="FOLDER",
            multiple=True,
            required=True,
            type=click.Path(exists=True, file_okay=False),
            help="Photographs; may be given several times.",
        ),
    ):
        command = option(command)
    return command


def running(command: F) -> F:
    """How it runs and what is told of it."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="No progress."),
        click.option("--json", "as_json", is_flag=True, help="Print results.json."),
        click.option(
            "--no-report", is_flag=True, help=f"Leave {REPORT} out, which needs matplotlib."
        ),
        click.option(
            "--precision", default="float32", type=click.Choice(PRECISIONS), help="Of training."
        ),
        click.option(
            "--threads",
            metavar="N",
            type=click.IntRange(min=1),
            help="Of torch.  [default: torch's]",
        ),
    ):
        command = option(command)
    return command


def check_installed(name: str, no_report: bool) -> None:
    """A usage error where the experiment `name` or its report would lack a package."""
    require(f"gandetect experiment {name}", "train", "sklearn", "scipy")
    if not no_report:
        require(f"{REPORT} (or give --no-report)", "report", "matplotlib", "jinja2")


def measured(
    run: Callable[..., dict[str, Any]],
    report: Callable[[str], Any],
    data: tuple[str, ...],
    out: str,
    options: Any,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """The results of `run`, with the page that `report` writes of them; or the program's end."""
    try:
        with training_bar(given["quiet"]) as progress:
            found = run(data, out, options, progress=progress)
        if not given["no_report"]:
            report(out)
    except KeyboardInterrupt:
        click.echo(
            printable(f"interrupted; {out} has what was done: run the same again to go on"),
            err=True,
        )
        sys.exit(INTERRUPTED)
    except (ValueError, OSError) as error:
        _refuse(str(error), given["as_json"])
    return found


def _refuse(reason: str, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": reason}))
    click.echo(f"Nothing was measured: {printable(reason)}", err=True)
    sys.exit(3)


def tell_failures(failed: Mapping[str, str], generators: Sequence[Mapping[str, Any]]) -> bool:
    """Say which photographs and generators are left out; whether there are any."""
    for path, reason in failed.items():
        click.echo(printable(f"not used: {path}: {reason}"), err=True)
    ended = [one for one in generators if one["failed"] is not None]
    for one in ended:
        click.echo(printable(f"left out: {one['name']}: {one['failed']}"), err=True)
    return bool(failed or ended)


def wide_console() -> Console:
    """A console for tables."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def tell_place(console: Console, out: str, no_report: bool) -> None:
    """Say where everything is."""
    path = Path(out) / ("results.json" if no_report else REPORT)
    console.print(f"\nIn full: {printable(str(path))}", markup=False, soft_wrap=True)


def table_of(title: str, first: str) -> Any:
    """A table of generators, whose first column is called `first`, still without rows."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for head in ("AUC", "TPR at 1 % FPR", "distance", "coverage", "learned", "metadata"):
        table.add_column(head, justify="right")
    return table


def add_row(
    table: Any, name: str, found: Mapping[str, Any], detection: Mapping[str, Any] | None
) -> None:
    """The row of generator `name` of the results, or of a part of them, `found`."""
    learned = found["learned"]["rows"][name]
    keys = ("auc", "tpr_at_0.01")
    table.add_row(
        name,
        *(estimated(detection[key]) if detection else "-" for key in keys),
        f"{learned['distance']:.3g}",
        f"{learned['coverage']:.2f}",
        "yes" if learned["learned"] else "NO",
        "LEAKS" if found["audit"][name]["leaks"] else "at chance",
    )


def estimated(one: Sequence[float]) -> str:
    """[value, low, high] for a table."""
    return "{:.3f} \\[{:.3f}, {:.3f}]".format(*one)


def listed(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(one.strip() for one in text.split(","))
