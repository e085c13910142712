"""`gandetect export`: the rows of a results file for other programs."""

from __future__ import annotations

import json
import sys

import click

from gandetect.cli._common import check_place, printable
from gandetect.cli.screen import check_export

EPILOG = """\b
Examples:
  gandetect export rows.parquet
  gandetect export - --kind file --verdict generated | jq -r .path
  gandetect export flagged.csv --db archive.sqlite --run 3 --verdict generated --verdict error

\b
Or ask the results file itself:
  sqlite3 screen.sqlite "SELECT path, p_generated FROM files WHERE verdict = 'generated'"
"""


@click.command(
    "export",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("out", metavar="OUT|-")
@click.option("--db", default="screen.sqlite", type=click.Path(), help="Results file.")
@click.option("--run", metavar="N", type=click.IntRange(min=1), help="Run.  [default: the latest]")
@click.option(
    "--kind", type=click.Choice(["file", "frame"]), help="Only rows of this kind.  [default: both]"
)
@click.option(
    "--verdict",
    "verdicts",
    multiple=True,
    type=click.Choice(["generated", "inconclusive", "real", "error"]),
    help="Only rows with this verdict; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Say how many rows in JSON, on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say how many rows there were.")
def command(
    out: str,
    db: str,
    run: int | None,
    kind: str | None,
    verdicts: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the rows of a run to OUT: .parquet, .jsonl or .csv, or JSON lines to stdout (-).

    A run covers all files that it found, those screened by earlier runs included. It may still be
    running.

    Exit codes: 0 done, 2 bad usage, 3 the results cannot be read or OUT cannot be written.
    """
    if out == "-" and as_json:
        raise click.UsageError("OUT - and --json both write to standard output; give one")
    if out != "-":
        check_export(out)
        check_place(out)
    from gandetect.screen.export import export
    from gandetect.screen.schema import StoreError

    try:
        count = export(db, out, run, kind=kind, verdicts=verdicts or None)
    except StoreError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)
    if as_json:
        click.echo(json.dumps({"out": out, "rows": count}))
    elif not quiet:
        click.echo(f"{count} rows", err=True)
