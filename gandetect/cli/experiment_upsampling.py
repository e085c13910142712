"""`gandetect experiment upsampling`: does detection survive other up-samplers?"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import printable
from gandetect.cli._experiments import (
    REPORT,
    add_row,
    check_installed,
    inputs,
    listed,
    measured,
    running,
    table_of,
    tell_failures,
    tell_place,
    wide_console,
)
from gandetect.experiments.upsampling.plan import EFFORTS, MODES, Options

if TYPE_CHECKING:
    from collections.abc import Mapping

NONE = "none"

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
@inputs
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
@running
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
    check_installed("upsampling", given["no_report"])
    options = _options(given)
    from gandetect.experiments.upsampling import run

    found = measured(run, _report, data, out, options, given)
    click.echo(json.dumps(found, indent=1)) if given["as_json"] else _print(found, out, given)
    sys.exit(1 if tell_failures(found["failed"], found["generators"]) else 0)


def _options(given: Mapping[str, Any]) -> Options:
    spectral = given["spectral_modes"]
    try:
        return Options(
            preset=given["preset"],
            seed=given["seed"],
            seeds=given["seeds"],
            steps=given["steps"],
            modes=listed(given["modes"]) if given["modes"] else MODES,
            spectral_modes=() if spectral == NONE else listed(spectral),
            threads=given["threads"],
            precision=given["precision"],
        )
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from error


def _report(out: str) -> None:
    from gandetect.report.upsampling import write_report

    write_report(out)


def _print(found: Mapping[str, Any], out: str, given: Mapping[str, Any]) -> None:
    console = wide_console()
    detector = found["choice"]["best"]["spectral"]
    table = table_of(f"{detector}, on the generator of its training", "generator")
    for name, row in found["detection"][detector].items():
        add_row(table, name, found, row)
    console.print(table)
    for answer in found["answers"]:
        console.print(f"\n{answer['question']}", style="bold")
        console.print(answer["sentence"], markup=False)
    tell_place(console, out, given["no_report"])
