"""`gandetect screen`: files and folders in, verdicts out."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import check_number, check_place, printable, quiet_decoders, require

if TYPE_CHECKING:
    from gandetect.detect import Model
    from gandetect.screen import Progress, Summary

INTERRUPTED = 130
MAX_TABLE_ROWS = 50
_ORDER = {"generated": 0, "error": 1, "inconclusive": 2, "real": 3}
_STYLES = {"generated": "bold red", "error": "magenta", "inconclusive": "yellow", "real": "green"}

EPILOG = """\b
Examples:
  gandetect screen photo.jpg clip.mp4
  gandetect screen ARCHIVE/ --report report.html
  gandetect screen ARCHIVE/ --fpr 0.01 --out results.parquet
  gandetect screen clip.mp4 --every 0.2 --region center
  gandetect screen ARCHIVE/ --out - -q | grep '"verdict": "generated"'

\b
Exit codes: 0 every file was screened, 1 some files could not be read in whole or in part,
2 bad usage, 3 nothing could be screened, 130 interrupted (finished files are kept).
"""


@click.command(
    "screen",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("--model", type=click.Path(), help="Model file.  [default: the one that ships]")
@click.option(
    "--db",
    default="screen.sqlite",
    type=click.Path(),
    help="Results file; a run is added to it, earlier runs stay.",
)
@click.option(
    "--out",
    metavar="FILE|-",
    help="Export the rows to FILE (.parquet, .jsonl or .csv), or as JSON lines to stdout (-).",
)
@click.option("--report", metavar="FILE.html", help="Write a report, one self-contained page.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=1.0,
    help="Score one frame of a video each SECONDS (0: every frame; closer in short clips).",
)
@click.option(
    "--max-frames",
    metavar="N",
    type=click.IntRange(min=1),
    help="At most N frames per video, spread over it.",
)
@click.option(
    "--region",
    type=click.Choice(["tiles", "center", "frame"]),
    default="tiles",
    help="Score tiles spread over the picture, one in its center, or its largest square.",
)
@click.option(
    "--max-tiles", metavar="N", type=click.IntRange(min=1), default=16, help="Tiles per picture."
)
@click.option(
    "--fpr",
    metavar="RATE",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.05,
    help="Largest share of real pictures called generated.",
)
@click.option(
    "--batch-size", metavar="N", type=click.IntRange(min=1), default=64, help="Squares per batch."
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=1),
    help="Processors to use.  [default: all, at most 8]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, not a table.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, table or summary.")
def command(
    paths: tuple[str, ...],
    model: str | None,
    db: str,
    out: str | None,
    report: str | None,
    every: float,
    max_frames: int | None,
    region: str,
    max_tiles: int,
    fpr: float,
    batch_size: int,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Screen images and video for the traces of generative up-sampling.

    PATHS are files or folders (walked to the bottom; names with a leading dot are left out). What a
    file is decides its content, not its name. Each file gets a verdict: generated, real,
    inconclusive, or error with the reason. A video is judged by the median of its frames.

    All rows, one per frame and one per file, go to the results file (SQLite); see --out for others.
    """
    _check_outputs(db, out, report, as_json)
    detector = _load_model(model, fpr)
    check_number("--every", every)
    quiet_decoders()
    from gandetect.screen import StoreError, screen

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    try:
        with _progress_bar(paths, quiet) as progress:
            summary = screen(
                paths,
                model=detector,
                db=db,
                fpr=fpr,
                every=every or None,
                max_frames=max_frames,
                region=region,
                max_tiles=max_tiles,
                batch_size=batch_size,
                workers=threads,
                progress=progress,
            )
        _present(summary, detector, out, report, as_json, quiet)
    except KeyboardInterrupt:
        click.echo(f"interrupted; the finished files are in {printable(db)}", err=True)
        sys.exit(INTERRUPTED)
    except StoreError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)
    sys.exit(summary.exit_code)


def _load_model(path: str | None, fpr: float) -> Model:
    """The detector, known to be able to hold the false-alarm rate."""
    from gandetect import detect

    try:
        model = detect.load_shipped() if path is None else detect.Model.load(path)
        model.thresholds(fpr)
    except (ValueError, OSError) as error:
        raise click.UsageError(printable(str(error))) from error
    return model


def _check_outputs(db: str, out: str | None, report: str | None, as_json: bool) -> None:
    """What would fail at the end of a long run fails before it."""
    if out == "-" and as_json:
        raise click.UsageError("--json and --out - both write to standard output; give one")
    if out not in (None, "-"):
        from gandetect.screen.store import export_format

        try:
            extension = export_format(out)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        if extension == ".parquet":
            require("--out *.parquet", "parquet", "pyarrow")
    if report is not None:
        require("--report", "report", "jinja2", "matplotlib")
    files = [name for name in (db, out, report) if name not in (None, "-")]
    for name in files:
        check_place(name)
    if len({os.path.realpath(name) for name in files}) < len(files):
        raise click.UsageError("--db, --out and --report name the same file; give each its own")


def _present(
    summary: Summary,
    model: Model,
    out: str | None,
    report: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from gandetect.screen.store import export

    if out is not None:
        export(summary.db, out, summary.run)
    if report is not None:
        from gandetect.report.html import write_report

        write_report(summary.db, report, run=summary.run)
    if as_json:
        _print_json(summary)
        return
    if quiet:
        return
    if out != "-":
        _print_table(summary)
    click.echo(_summary_line(summary), err=out == "-")
    click.echo(_threshold_line(summary, model), err=out == "-")
    places = [f"results: {summary.db} (run {summary.run})"]
    places += [f"export: {out}"] if out not in (None, "-") else []
    places += [f"report: {report}"] if report is not None else []
    for place in places:
        click.echo(printable(place), err=True)


def _print_json(summary: Summary) -> None:
    """The summary and the file rows; written piece by piece, for there may be very many."""
    from gandetect.screen.store import iter_rows

    head = {
        "db": printable(summary.db),
        "run": summary.run,
        "model": summary.model,
        "n_files": summary.n_files,
        "n_partial": summary.n_partial,
        "n_frames": summary.n_frames,
        "verdicts": summary.verdicts,
        "skipped": summary.skipped,
        "seconds": round(summary.seconds, 3),
        "exit_code": summary.exit_code,
    }
    write = sys.stdout.write
    write(json.dumps(head)[:-1] + ', "files": [')
    for i, row in enumerate(iter_rows(summary.db, summary.run, "file")):
        write((",\n" if i else "\n") + json.dumps(row))
    write("\n]}\n")


def _print_table(summary: Summary) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("path", overflow="fold")
    table.add_column("kind")
    table.add_column("verdict")
    table.add_column("p", justify="right")
    table.add_column("reason", overflow="fold")
    rows = _worst_first(summary)
    for row in rows:
        p = row["p_generated"]
        reason = ": ".join(filter(None, (row["reason"], row["detail"])))
        table.add_row(
            Text(printable(row["path"])),
            row["media"] or "",
            Text(row["verdict"], style=_STYLES[row["verdict"]]),
            "" if p is None else f"{p:.2f}",
            Text(printable(reason)),
        )
    console.print(table)
    if len(rows) < summary.n_files:
        console.print(f"... and {summary.n_files - len(rows)} more files")


def _worst_first(summary: Summary) -> list[dict[str, Any]]:
    """The file rows to show: all in their order, or the most telling where there are too many."""
    import heapq

    from gandetect.screen.store import iter_rows

    rows = iter_rows(summary.db, summary.run, "file")
    if summary.n_files <= MAX_TABLE_ROWS:
        return list(rows)
    return heapq.nsmallest(
        MAX_TABLE_ROWS, rows, key=lambda row: (_ORDER[row["verdict"]], -(row["p_generated"] or 0))
    )


def _summary_line(summary: Summary) -> str:
    counts = [f"{summary.verdicts[name]} {name}" for name in _ORDER if summary.verdicts.get(name)]
    line = f"{summary.n_files} files: {', '.join(counts) or 'none'}"
    if summary.n_partial:
        line += f"; {summary.n_partial} only in part"
    if summary.skipped:
        reasons = ", ".join(f"{count} {name}" for name, count in sorted(summary.skipped.items()))
        line += f"; skipped: {reasons}"
    return f"{line}; {summary.n_frames} frames in {summary.seconds:.1f} s"


def _threshold_line(summary: Summary, model: Model) -> str:
    """Where the verdicts begin, in the units of the table."""
    from gandetect.screen.store import run_info

    run = run_info(summary.db, summary.run)
    above, below = (
        float(model.probability(run[name])) for name in ("threshold_generated", "threshold_real")
    )
    return (
        f"{printable(run['model'])}, false alarms at most {run['fpr']:.3g}: "
        f"generated above p {above:.2f}, real below p {below:.2f}"
    )


@contextlib.contextmanager
def _progress_bar(
    paths: tuple[str, ...], quiet: bool
) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on standard error where that is a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("screening"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} frames/s"),
        TextColumn("{task.fields[errors]} errors"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, rate=0.0, errors=0)
        counter = threading.Thread(target=_count, args=(paths, bar, task), daemon=True)
        counter.start()

        def update(progress: Progress) -> None:
            seconds = bar.tasks[0].elapsed or 1e-9
            rate = progress.n_frames / seconds
            done = progress.n_files + progress.n_skipped
            bar.update(task, completed=done, rate=rate, errors=progress.n_errors)

        yield update


def _count(paths: tuple[str, ...], bar: Any, task: Any) -> None:
    """Count beside the run what it will see, so that the bar knows its end."""
    from gandetect.screen.sources import find_files

    total = sum(1 for _ in find_files(paths))
    bar.update(task, total=total)
