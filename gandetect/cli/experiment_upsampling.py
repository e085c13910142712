"""`gandetect experiment upsampling`: does detection survive other up-samplers?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._common import printable, require
from gandetect.cli.screen import INTERRUPTED
from gandetect.cli.train import PRECISIONS, training_bar
from gandetect.experiments.upsampling.plan import EFFORTS, MODES, Options

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "none"
REPORT = "report.html"

EPILOG = f"""\b
Up-samplers, in the order of their training:
  {", ".join(MODES)}

\b
Examples:
  gandetect experiment upsampling --data PHOTOS/ --out upsampling/ --preset smoke
  gandetect experiment upsampling --data PHOTOS/ --data MORE/ --out upsampling/
  gandetect experiment upsampling --data PHOTOS/ --out upsampling/ --steps 20000 --seeds 3
  gandetect experiment upsampling --data PHOTOS/ --out two/ --modes nearest,pixel_shuffle \\
      --spectral-modes none

\b
What is in the folder afterwards: {REPORT} (everything, to read), results.json (everything, to
compute with), sets/ (the images), runs/ (the generators, for gandetect generate), steps/ (what a
second run goes on from).

\b
The same command goes on where it stopped, after Ctrl-C, a crash or a reboot; other options want
another folder. --preset smoke takes minutes and shows that everything works, run takes hours of a
processor. Photographs: a hundred and more, none of them generated; squares of one photograph are
never on both sides of a test.

\b
Exit codes: 0 done, 1 done but a photograph could not be read or a generator's training diverged,
2 bad usage, 3 nothing was measured (too few photographs, a folder in use, a full disk), 130 stopped
by Ctrl-C.
"""


@click.command(
    "upsampling",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--data",
    metavar="FOLDER",
    multiple=True,
    required=True,
    type=click.Path(exists=True, file_okay=False),
    help="Photographs; may be given several times.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    required=True,
    type=click.Path(file_okay=False),
    help="Where everything goes; one that is there goes on.",
)
@click.option("--preset", default="run", type=click.Choice(list(EFFORTS)), help="How much.")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Of everything.")
@click.option(
    "--seeds",
    metavar="N",
    default=1,
    type=click.IntRange(min=1),
    help="Train each plain generator so many times, with seeds one after the other.",
)
@click.option(
    "--steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="Of each training.  [default: preset's]",
)
@click.option("--modes", metavar="NAME,NAME", help="Up-samplers, see below.  [default: all]")
@click.option(
    "--spectral-modes",
    metavar="NAME,NAME",
    default="conv_transpose",
    help=f"Those also trained with the spectral loss and discriminator; or {NONE}.",
)
@click.option(
    "--threads", metavar="N", type=click.IntRange(min=1), help="Of torch.  [default: torch's]"
)
@click.option("--precision", default="float32", type=click.Choice(PRECISIONS), help="Of training.")
@click.option("--no-report", is_flag=True, help=f"Leave {REPORT} out, which needs matplotlib.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(data: tuple[str, ...], out: str, **given: Any) -> None:
    """Does detecting generated images survive other up-samplers?

    Trains one generator for each way of up-sampling, from the same photographs, seed and schedule;
    writes matched sets of real and generated images; and tries detectors on them: support vectors,
    forests, logistic regression and k-means on radial profiles, on projections and on both, and
    networks on pixels and on spectra. Each is tested on the generator it was trained on and on all
    others, with few images, under compression, blur and resizing, and on generators trained to hide
    their spectrum. Three questions are then answered by rule: Does it work for other up-samplers?
    Are projections better than radial profiles? Is a neural network better?
    """
    require("gandetect experiment upsampling", "train", "sklearn", "scipy")
    if not given["no_report"]:
        require(f"{REPORT} (or give --no-report)", "report", "matplotlib", "jinja2")
    options = _options(given)
    try:
        found = _run(data, out, options, given)
    except KeyboardInterrupt:
        click.echo(
            printable(f"interrupted; {out} has what was done: run the same again to go on"),
            err=True,
        )
        sys.exit(INTERRUPTED)
    except (ValueError, OSError) as error:
        refuse(str(error), given["as_json"])
    click.echo(json.dumps(found, indent=1)) if given["as_json"] else _print(found, out, given)
    diverged = [one for one in found["generators"] if one["failed"] is not None]
    sys.exit(1 if found["failed"] or diverged else 0)


def _options(given: Mapping[str, Any]) -> Options:
    spectral = given["spectral_modes"]
    try:
        return Options(
            preset=given["preset"],
            seed=given["seed"],
            seeds=given["seeds"],
            steps=given["steps"],
            modes=named(given["modes"]) if given["modes"] else MODES,
            spectral_modes=() if spectral == NONE else named(spectral),
            threads=given["threads"],
            precision=given["precision"],
        )
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from error


def named(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(","))


def _run(
    data: tuple[str, ...], out: str, options: Options, given: Mapping[str, Any]
) -> dict[str, Any]:
    from gandetect.experiments.upsampling import run

    with training_bar(given["quiet"]) as progress:
        found = run(data, out, options, progress=progress)
    if not given["no_report"]:
        from gandetect.report.upsampling import write_report

        write_report(out)
    return found


def refuse(reason: str, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": reason}))
    click.echo(f"Nothing was measured: {printable(reason)}", err=True)
    sys.exit(3)


def _print(found: Mapping[str, Any], out: str, given: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    for path, reason in found["failed"].items():
        click.echo(printable(f"not used: {path}: {reason}"), err=True)
    for one in found["generators"]:
        if one["failed"] is not None:
            click.echo(printable(f"left out: {one['name']}: {one['failed']}"), err=True)
    console.print(_table(found))
    for answer in found["answers"]:
        console.print(f"\n{answer['question']}", style="bold")
        console.print(answer["sentence"], markup=False)
    name = "results.json" if given["no_report"] else REPORT
    console.print(f"\nIn full: {printable(str(Path(out) / name))}", markup=False, soft_wrap=True)


def _table(found: Mapping[str, Any]) -> Any:
    from rich.table import Table

    detector = found["choice"]["best"]["spectral"]
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=f"{detector}, on the generator of its training",
        title_justify="left",
    )
    table.add_column("generator", no_wrap=True)
    for head in ("AUC", "TPR at 1 % FPR", "distance", "learned", "metadata"):
        table.add_column(head, justify="right")
    for name, row in found["detection"][detector].items():
        learned = found["learned"]["rows"][name]
        table.add_row(
            name,
            estimated(row["auc"]),
            estimated(row["tpr_at_0.01"]),
            f"{learned['distance']:.3g}",
            "yes" if learned["learned"] else "NO",
            "LEAKS" if found["audit"][name]["leaks"] else "at chance",
        )
    return table


def estimated(one: list[float]) -> str:
    return "{:.3f} \\[{:.3f}, {:.3f}]".format(*one)
