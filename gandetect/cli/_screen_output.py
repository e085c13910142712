"""What `gandetect screen` shows: a table, a summary, JSON, and a bar while it runs."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._classes import class_table
from gandetect.cli._common import on_terminal, printable

if TYPE_CHECKING:
    from gandetect.detect import Model
    from gandetect.screen import Progress, Summary

MAX_TABLE_ROWS = 50
_BAR_SECONDS = 0.1
_ORDER = {"generated": 0, "error": 1, "inconclusive": 2, "real": 3}
_STYLES = {"generated": "bold red", "error": "magenta", "inconclusive": "yellow", "real": "green"}


def present(
    summary: Summary,
    model: Model,
    out: str | None,
    report: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from gandetect.screen.export import export

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
    _print_classes(summary, to_stderr=out == "-")
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
        "n_known": summary.n_known,
        "n_partial": summary.n_partial,
        "n_frames": summary.n_frames,
        "verdicts": summary.verdicts,
        "skipped": summary.skipped,
        "classes": _classes(summary),
        "video_hours": round(summary.video_hours, 4),
        "critical_p": summary.critical_p,
        "seconds": round(summary.seconds, 3),
        "exit_code": summary.exit_code,
    }
    if sys.stdout is None:
        return
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
    if summary.n_known:
        line += f"; {summary.n_known} of them screened before"
    if summary.skipped:
        reasons = ", ".join(f"{count} {name}" for name, count in sorted(summary.skipped.items()))
        line += f"; skipped: {reasons}"
    return f"{line}; {summary.n_frames} frames in {summary.seconds:.1f} s"


def _threshold_line(summary: Summary, model: Model) -> str:
    """Where the verdicts begin, in the units of the table, and what that means for this run."""
    from gandetect.detect.calibration import at_prevalence
    from gandetect.screen.store import holds_on_average, run_info

    run = run_info(summary.db, summary.run)
    probabilities = (
        float(model.probability(run[name]))
        for name in ("threshold_generated", "threshold_real", "video_threshold_generated")
    )
    above, below, video = at_prevalence([*probabilities], run["prevalence"])
    sure = " on average" if holds_on_average(run) else ""
    line = (
        f"{printable(run['model'])}, false alarms at most {run['fpr']:.3g}{sure}: "
        f"generated above p {above:.2f}, real below p {below:.2f}"
    )
    if summary.video_hours:
        line += f"; of videos (at most {run['video_fpr']:.3g}) above p {video:.2f}"
    if run["fdr"] is not None:
        found = "none" if summary.critical_p is None else f"p-values up to {summary.critical_p:.3g}"
        line += f"; false discoveries at most {run['fdr']:.3g}: {found}"
    return line


def _classes(summary: Summary) -> dict[str, dict[str, Any]]:
    """The thresholds of the classes that images of this run are of, and how many are; empty for a
    model without classes."""
    from gandetect.screen.store import count_deliveries, run_info

    known = run_info(summary.db, summary.run)["class_thresholds"]
    counts = count_deliveries(summary.db, summary.run)
    return {name: {"files": counts[name], **known[name]} for name in counts if name in known}


def _print_classes(summary: Summary, to_stderr: bool) -> None:
    from rich.console import Console

    from gandetect.screen.store import holds_on_average, run_info

    classes = _classes(summary)
    if not classes:
        return
    run = run_info(summary.db, summary.run)
    fpr, on_average = run["fpr"], holds_on_average(run)
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        console = Console(stderr=to_stderr, width=200)
    files = {name: one["files"] for name, one in classes.items()}
    console.print(class_table(classes, fpr, files, on_average=on_average))
    silent = [name for name, found in classes.items() if found["basis"] == "none"]
    if silent:
        console.print(
            f"no image of {', '.join(silent)} can be called generated at {fpr:.3g} false alarms"
        )


@contextlib.contextmanager
def screening_bar(
    paths: tuple[str, ...], quiet: bool
) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on standard error where that is a terminal, else nothing."""
    if quiet or not on_terminal():
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

        drawn = 0.0

        def update(progress: Progress) -> None:
            nonlocal drawn
            # Drawing costs more than a small file.
            if time.monotonic() - drawn < _BAR_SECONDS:
                return
            drawn = time.monotonic()
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
