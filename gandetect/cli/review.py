"""`gandetect review`: what people decided of files, kept in the results."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

EPILOG = """\b
Examples:
  gandetect review photo.jpg --false-positive --note "original seen"
  gandetect review clip.mp4 --confirmed
  gandetect review photo.jpg --clear
  gandetect review                                    (lists the decisions)
  gandetect review --json > decisions.jsonl
  gandetect review --import decisions.jsonl --db other.sqlite
"""


@click.command(
    "review",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--db", default="screen.sqlite", type=click.Path(), help="Results file.")
@click.option("--false-positive", "decision", flag_value="false_positive", help="They are real.")
@click.option("--confirmed", "decision", flag_value="confirmed", help="They are generated.")
@click.option("--clear", "decision", flag_value="clear", help="Take the decision back.")
@click.option("--note", metavar="TEXT", help="Why; kept with the decision.")
@click.option(
    "--import", "source", metavar="FILE", type=click.File(), help="Decisions, as --json lists them."
)
@click.option("--json", "as_json", is_flag=True, help="List the decisions as JSON lines.")
def command(
    paths: tuple[str, ...],
    db: str,
    decision: str | None,
    note: str | None,
    source: IO[str] | None,
    as_json: bool,
) -> None:
    """Decide about files, or list what was decided.

    A decision belongs to the content of a file, whatever its name. It is shown in the place of the
    detector's verdict, with the reason `reviewed`, now and in all later runs into the same results
    file; the score stays as it was.

    Exit codes: 0 done, 2 bad usage, 3 a file is not known or the results cannot be read.
    """
    _check(paths, decision, note, source)
    from gandetect.screen import reviews
    from gandetect.screen.schema import StoreError

    try:
        if source is not None:
            click.echo(f"{reviews.import_reviews(db, _decisions(source))} decisions taken over")
        for path in paths:
            changed = reviews.review(db, path, None if decision == "clear" else decision, note)
            click.echo(f"{printable(path)}: {decision}, {changed} rows")
        if not paths and source is None:
            for row in reviews.iter_reviews(db):
                click.echo(json.dumps(row) if as_json else _line(row))
    except (StoreError, ValueError) as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)


def _check(
    paths: tuple[str, ...], decision: str | None, note: str | None, source: IO[str] | None
) -> None:
    if paths and decision is None:
        raise click.UsageError("say what was decided: --false-positive, --confirmed or --clear")
    if not paths and (decision is not None or note is not None):
        raise click.UsageError("name the files that were decided about")
    if paths and source is not None:
        raise click.UsageError("--import takes its files from FILE; leave PATHS out")


def _decisions(source: IO[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(source, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        yield row


def _line(row: dict[str, Any]) -> str:
    note = f"  ({printable(row['note'])})" if row["note"] else ""
    return (
        f"{row['decided']}  {row['decision']:<14}  {printable(row['path'] or row['sha256'])}{note}"
    )
