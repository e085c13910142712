"""`gandetect attribute`: which generator made an image, of those that a model was shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._common import check_place, printable, require

if TYPE_CHECKING:
    from gandetect.detect.attribution_training import SourceFit, Sources

EPILOG = """\b
First teach it the generators you care about, one folder each:
  gandetect attribute --fit --real PHOTOS/ --source dcgan=A/ --source stylegan=B/ -o sources.st
Then ask who made an image:
  gandetect attribute image.png FOLDER/ --model sources.st
The same file screens, for images of these generators:
  gandetect screen ARCHIVE/ --model sources.st

\b
All folders must be alike in all but their making: same sizes, same format and quality, written
by the same program; the leak audit says whether they are. Two or more images of each, and better
hundreds. Files of the same name in several folders count as made of one photograph.

\b
A name says "most like this one of those I was shown". "unknown" says "like none of them": the
bound is such that 5 in 100 images of known sources are called unknown. A generator that is new but
much like a known one may get its name.

\b
Exit codes: 0 done, 1 done but some images could not be used, 2 bad usage, 3 nothing was named or
fitted (no usable images, or files that differ in more than their making).
"""


@click.command(
    "attribute",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("files", nargs=-1, type=click.Path(exists=True))
@click.option("--model", type=click.Path(exists=True, dir_okay=False), help="Made by --fit.")
@click.option("--fit", is_flag=True, help="Make a model from folders.")
@click.option(
    "--real", type=click.Path(exists=True, file_okay=False), help="Photographs, to --fit."
)
@click.option(
    "--source", "sources", multiple=True, metavar="NAME=DIR", help="A generator, to --fit; repeat."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Where --fit writes.")
@click.option(
    "--method",
    default="discriminant",
    type=click.Choice(["discriminant", "fingerprint"]),
    help="To --fit: Gaussians on spectra, in seconds, or a convolutional network, in minutes.",
)
@click.option("--tile", default=128, type=click.IntRange(min=32), help="To --fit: side of tiles.")
@click.option("--seed", default=0, help="To --fit.")
@click.option("--allow-leak", is_flag=True, help="Fit although the files' format gives them away.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(**options: Any) -> None:
    """Say which generator made an image, of those that a model was shown, or that none of them did.

    With --fit the model is made, from one folder for each generator and one of photographs.
    """
    _check(options)
    if options["fit"]:
        report({**options, "sources": _named(options["sources"])}, fitted)
    report(options, _attributed)


def report(
    options: Mapping[str, Any], make: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> NoReturn:
    """Print what `make` finds, or why it found nothing, and end with the code that says which."""
    fits = make is fitted
    try:
        result = make(options)
    except ValueError as error:
        if options["as_json"]:
            click.echo(json.dumps({"error": str(error)}))
        done = "fitted" if fits else "named"
        click.echo(f"Nothing was {done}: {printable(str(error))}", err=True)
        sys.exit(3)
    if options["as_json"]:
        click.echo(json.dumps(result, indent=1))
    else:
        _print_fit(result) if fits else _print_names(result)
    sys.exit(1 if result["failed"] else 0)


def _check(options: Mapping[str, Any]) -> None:
    """Refuse what cannot be meant before anything is read."""
    fits = {"--real": "real", "--source": "sources", "--output": "output"}
    given = [flag for flag, name in fits.items() if options[name]]
    if not options["fit"]:
        if given:
            raise click.UsageError(f"{', '.join(given)} given without --fit")
        if not options["files"] or not options["model"]:
            raise click.UsageError("give files to name and --model, or --fit to make a model")
        return
    if options["files"] or options["model"]:
        raise click.UsageError("--fit takes --real and --source, no files and no --model")
    if missing := sorted(set(fits) - set(given)):
        raise click.UsageError(f"--fit needs {', '.join(missing)}")
    if options["tile"] % 2:
        raise click.UsageError(f"--tile {options['tile']} given; give an even number")
    _named(options["sources"])
    check_place(options["output"])
    require("gandetect attribute --fit", "train", "scipy", "sklearn")


def _named(entries: Sequence[str]) -> dict[str, str]:
    """The folder of each name."""
    folders: dict[str, str] = {}
    for entry in entries:
        name, _, folder = entry.partition("=")
        if not name or not folder or not Path(folder).is_dir():
            raise click.UsageError(f"--source {entry!r}: give NAME=DIR with a folder that exists")
        if name in (*folders, "real", "unknown"):
            raise click.UsageError(f"--source {entry!r}: the name {name!r} is taken")
        folders[name] = folder
    return folders


def _attributed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Names of all files, as plain JSON values."""
    from gandetect.cli._progress import progress_bar
    from gandetect.detect.attribution import attribute
    from gandetect.detect.model import Model
    from gandetect.media import MediaError, read_luma

    model = Model.load(options["model"])
    failed: dict[str, str] = {}
    rows = []
    with progress_bar() as progress:
        paths = list(_images(options["files"], failed))
        for number, path in enumerate(paths):
            progress("naming", number, len(paths))
            try:
                (one,) = attribute(model, [read_luma(path).as_uint8_range()])
            except (MediaError, ValueError, OSError) as error:
                failed[path] = str(error)
                continue
            rows.append({"path": path, **one.to_dict()})
    if not rows:
        reasons = "; ".join(sorted(set(failed.values()))) or "no images found"
        raise ValueError(reasons)
    return {"model": model.name, "sha256": model.sha256, "files": rows, "failed": failed}


def _images(paths: Sequence[str], failed: dict[str, str]) -> Iterator[str]:
    """The files named, and the still images below the folders named."""
    from gandetect.media import sniff
    from gandetect.screen.sources import Source, Unreadable, find_files

    for found in find_files(paths):
        if isinstance(found, Unreadable):
            failed[found.path] = found.detail
        elif isinstance(found, Source) and (found.path in paths or sniff(found.path) == "image"):
            yield found.path


def fitted(options: Mapping[str, Any]) -> dict[str, Any]:
    """Fit to the folders of `options`, `sources` by name, write the model, and say as plain JSON
    values what it shows."""
    from gandetect.cli._progress import progress_bar
    from gandetect.detect.attribution_training import Sources, fit_sources

    sources = Sources(options["tile"])
    with progress_bar() as progress:
        sources.add("real", options["real"], progress)
        for name, folder in options["sources"].items():
            sources.add(name, folder, progress)
        found = fit_sources(
            sources,
            name=Path(options["output"]).stem,
            method=options["method"],
            seed=options["seed"],
            allow_leak=options["allow_leak"],
            progress=progress,
        )
    found.fit.model.save(options["output"])
    return _result(sources, found, options)


def _result(sources: Sources, found: SourceFit, options: Mapping[str, Any]) -> dict[str, Any]:
    from collections import Counter

    model = found.fit.model
    return {
        "model": options["output"],
        "sha256": model.sha256,
        "method": options["method"],
        "images": dict(Counter(sources.names)),
        **found.figures,
        "auc": found.fit.auc.to_list(),
        "audits": model.card["audits"],
        "failed": sources.dataset.failed,
    }


def _print_names(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"sources by {result['model']}")
    for name in ("file", "made by", "share", "next", "novelty (unknown above 1)"):
        table.add_column(name)
    for row in result["files"]:
        (_, share), (other, next_share) = sorted(
            row["shares"].items(), key=lambda entry: -entry[1]
        )[:2]
        table.add_row(
            printable(row["path"]),
            row["name"],
            f"{share:.2f}",
            f"{other} {next_share:.2f}",
            f"{row['novelty']:.2f}",
        )
    Console().print(table)
    _print_failed(result["failed"])


def _print_fit(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    confusion = result["confusion"]
    table = Table(title=f"{result['model']}: what held-out images were named")
    for name in ("made by", *next(iter(confusion.values()))):
        table.add_column(printable(name))
    for name, counts in confusion.items():
        table.add_row(printable(name), *map(str, counts.values()))
    console = Console()
    console.print(table)
    console.print(
        f"balanced accuracy of the likeliest name: {_interval(result['balanced_accuracy'])}"
    )
    console.print(f"any generator against real, AUC: {_interval(result['auc'])}")
    for name, figures in result["unknown"].items():
        console.print(
            f"{printable(name)} not shown: unknown with AUC {_interval(figures['auc'])}, "
            f"{figures['tpr_at_0.05'][0]:.0%} called unknown where 5 % of the known are"
        )
    for name, audit in result["audits"].items():
        verdict = "LEAKS, overridden" if audit["leaks"] else "passed"
        console.print(f"leak audit of {printable(name)}: {verdict}, AUC {_interval(audit['auc'])}")
    _print_failed(result["failed"])


def _print_failed(failed: Mapping[str, str]) -> None:
    for path, reason in failed.items():
        click.echo(f"not used: {printable(path)}: {printable(reason)}", err=True)


def _interval(values: Sequence[float]) -> str:
    return "{:.3f} (95 %: {:.3f} to {:.3f})".format(*values)
