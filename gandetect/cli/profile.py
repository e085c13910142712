"""`gandetect profile`: the mean spectra of folders, as a picture and as numbers."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import check_place, on_terminal, printable, require

if TYPE_CHECKING:
    from gandetect.report.spectra import ProfileOptions, Spectra

PICTURES = (".png", ".svg", ".html")
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5)

EPILOG = """\b
Examples:
  gandetect profile photographs/ generated/ --out spectra.png
  gandetect profile real=photographs/ "my GAN=samples/" --out spectra.html
  gandetect profile photographs/ --projection rows --projection columns --json
  gandetect profile real/ generated/ --convention durall --region frame --out figure1.svg

\b
Exit codes: 0 every file was profiled, 1 some could not be read, 2 bad usage, 3 none could be read.
"""


@click.command(
    "profile",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("classes", nargs=-1, required=True, metavar="[NAME=]PATH...")
@click.option(
    "--convention",
    type=click.Choice(["centered", "durall", "jung", "power"]),
    default="centered",
    help="Which definition of the profile.",
)
@click.option(
    "--projection",
    "projections",
    type=click.Choice(["azimuthal", "rows", "columns"]),
    multiple=True,
    default=("azimuthal",),
    help="Circles, rows or columns of the spectrum; may be repeated.",
)
@click.option(
    "--region",
    type=click.Choice(["tile", "frame"]),
    default="tile",
    help="Tiles under a Hann window, or the largest square of each picture without one.",
)
@click.option(
    "--tile", metavar="PIXELS", type=click.IntRange(min=32), default=128, help="Side of the tiles."
)
@click.option(
    "--band",
    type=click.Choice(["std", "percentile"]),
    default="std",
    help="One standard deviation either way, or the 5th to 95th percentile of files.",
)
@click.option("--out", metavar="FILE", help="Write the plot to FILE (.png, .svg or .html).")
@click.option("--json", "as_json", is_flag=True, help="The numbers as one JSON object on stdout.")
def command(
    classes: tuple[str, ...],
    convention: str,
    projections: tuple[str, ...],
    region: str,
    tile: int,
    band: str,
    out: str | None,
    as_json: bool,
) -> None:
    """Plot the mean spectral profiles of folders of images and video, with their spread.

    Each PATH is one class, named NAME or after its last part. Up to eight frames of a video count
    as one file. A generator shows where its line leaves that of the photographs, mostly towards
    0.5 cycles per pixel and beyond.
    """
    named = _named(classes)
    _check_out(out)
    require("gandetect profile", "report", "jinja2", "matplotlib")
    from gandetect.media.quiet import quiet_decoders

    quiet_decoders()
    from gandetect.report.spectra import ProfileOptions, measure
    from gandetect.screen import StoreError

    options = ProfileOptions(convention, tuple(dict.fromkeys(projections)), region, tile)
    with _progress() as progress:
        measured = [measure(name, path, options, progress) for name, path in named]
    _say_errors(measured)
    try:
        _present(measured, options, band, out, as_json)
    except StoreError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)
    sys.exit(_exit_code(measured))


def _named(classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """(name, path) of each argument; what is itself a path is never split."""
    named: list[tuple[str, str]] = []
    for text in classes:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = Path(text).resolve().name or text, text
        if not Path(path).exists():
            raise click.UsageError(f"there is no {path}; give a folder or a file, or NAME=PATH")
        if name in (other for other, _ in named):
            raise click.UsageError(f"two classes named {name}; tell them apart with NAME=PATH")
        named.append((name, path))
    return named


def _check_out(out: str | None) -> None:
    if out is None:
        return
    if Path(out).suffix.lower() not in PICTURES:
        raise click.UsageError(f"cannot draw {out}: give a name ending in {', '.join(PICTURES)}")
    check_place(out)


def _present(
    measured: list[Spectra], options: ProfileOptions, band: str, out: str | None, as_json: bool
) -> None:
    if as_json:
        click.echo(json.dumps(_numbers(measured, options, band)))
    if not any(one.files for one in measured):
        return
    if out is not None:
        _write_picture(measured, options, band, out)
        click.echo(f"plot: {printable(out)}", err=True)
    if not as_json:
        _print_table(measured, options)


def _write_picture(measured: list[Spectra], options: ProfileOptions, band: str, out: str) -> None:
    from markupsafe import Markup

    from gandetect.report import plots
    from gandetect.report.html import page, write_page, write_whole
    from gandetect.report.spectra import panels

    series = panels(measured, options.projections, band)
    extension = Path(out).suffix.lower()
    if extension != ".html":
        picture = plots.profile_bands(series, ylabel=options.label, image_format=extension[1:])
        write_whole(picture, out)
        return
    picture = plots.profile_bands(series, ylabel=options.label)
    text = page(
        "profile.html",
        options=options,
        band=band,
        picture=Markup(plots.inline_svg(picture)),
        classes=measured,
        errors=[error for one in measured for error in one.errors],
    )
    write_page(text, out)


def _numbers(measured: list[Spectra], options: ProfileOptions, band: str) -> dict[str, Any]:
    return {
        "convention": options.convention,
        "region": options.region,
        "tile": options.tile,
        "window": options.window,
        "value": options.label,
        "band": band,
        "classes": [one.summary(band) for one in measured],
    }


def _print_table(measured: list[Spectra], options: ProfileOptions) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("class", "files", "errors", "projection"):
        table.add_column(heading, justify="right" if heading in ("files", "errors") else "left")
    for level in LEVELS:
        table.add_column(f"{level:g}", justify="right")
    for one in measured:
        for projection in options.projections if one.files else ():
            series = one.series(projection)
            levels = np.interp(LEVELS, series.frequency, series.mean)
            table.add_row(
                Text(printable(one.name)),
                str(len(one.files)),
                str(len(one.errors)),
                projection,
                *(f"{value:.4g}" for value in levels),
            )
    console.print(f"{options.label}, at frequencies in cycles per pixel", style="dim")
    console.print(table)


def _say_errors(measured: list[Spectra]) -> None:
    for one in measured:
        for error in one.errors:
            line = f"{error['path']}: {error['reason']}: {error['detail']}"
            click.echo(printable(line), err=True)
        if not one.files:
            click.echo(f"{printable(one.name)}: no image or video could be profiled", err=True)


def _exit_code(measured: list[Spectra]) -> int:
    if not any(one.files for one in measured):
        return 3
    return 1 if any(one.errors or not one.files for one in measured) else 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None] | None]:
    """A count on standard error where that is a terminal, else nothing."""
    if not on_terminal():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} files"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda path: bar.advance(task)
