"""What `gandetect explain --network-report` writes and prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._common import printable
from gandetect.cli._progress import progress_bar

if TYPE_CHECKING:
    from gandetect.detect import Model
    from gandetect.report.networks import NetworkReport

SHOWN = 20


def write_network_report(
    model: Model,
    folders: tuple[str, str],
    example: str | None,
    fpr: float,
    confidence: float | None,
    outs: tuple[str, ...],
    as_json: bool,
) -> NoReturn:
    """Judge the images of `folders` (real, generated), write the files `outs`, print the errors.

    Ends the program: 0, 1 where an image could not be judged, 3 where nothing could be done.
    """
    from gandetect.media import MediaError
    from gandetect.report.html import write_whole
    from gandetect.report.networks import network_report
    from gandetect.screen.store import StoreError

    try:
        with progress_bar() as progress:
            report = network_report(
                model,
                *folders,
                fpr=fpr,
                confidence=confidence,
                example=example,
                progress=progress,
            )
        for out in outs:
            write_whole(_content(report, Path(out).suffix.lower()), out)
            click.echo(f"written: {printable(out)}", err=True)
    except (ValueError, MediaError, StoreError) as error:
        if as_json:
            click.echo(json.dumps({"error": str(error)}))
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)
    click.echo(json.dumps(report.to_dict())) if as_json else _print(report)
    sys.exit(1 if report.errors else 0)


def _content(report: NetworkReport, extension: str) -> bytes:
    if extension == ".json":
        return (json.dumps(report.to_dict(), indent=1) + "\n").encode()
    from gandetect.report.networks_show import network_page, network_png

    if extension == ".png":
        return network_png(report)
    # Names may hold lone surrogates, which have no UTF-8.
    return network_page(report).encode("utf-8", errors="backslashreplace")


def _print(report: NetworkReport) -> None:
    from rich.console import Console

    from gandetect.report.networks import LABELS

    console = Console(highlight=False)
    for name, count in report.counts().items():
        right = count["images"] - count["wrong"]
        console.print(f"{right} of {count['images']} {name} images taken for {name}")
    wrong = report.misclassified
    if wrong:
        console.print("\nErrors, the surest first", style="bold")
        console.print(_table(wrong[:SHOWN], LABELS))
    if len(wrong) > SHOWN:
        console.print(f"and {len(wrong) - SHOWN} more: --json or --out lists them all")
    for row in report.errors:
        click.echo(f"not judged: {printable(row['path'])}: {row['reason']}", err=True)


def _table(wrong: Any, labels: tuple[str, ...]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("confidence", "taken for", "is", "file", box=None, pad_edge=False)
    for one in wrong:
        name = Text(printable(one.path), overflow="fold")
        table.add_row(f"{one.confidence:.3f}", labels[one.taken_for], labels[one.label], name)
    return table
