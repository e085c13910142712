"""`gandetect experiment families`: which architecture leaves which trace?"""

from __future__ import annotations

import json
import os
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
from gandetect.experiments.families.plan import EFFORTS, FAMILIES, Options, families

if TYPE_CHECKING:
    from collections.abc import Mapping

EPILOG = f"""\b
Families, in the order of their training:
  {", ".join(FAMILIES[:8])},
  {", ".join(FAMILIES[8:])}

\b
Examples:
  gandetect experiment families --data PHOTOS/ --out families/ --preset smoke
  gandetect experiment families --data PHOTOS/ --data MORE/ --out families/
  gandetect experiment families --data PHOTOS/ --out three/ --families dcgan,vae,stylegan2
  gandetect experiment families --data PHOTOS/ --out all/ --load dcgan=runs/mine

\b
What is in the folder afterwards: {REPORT} (everything, to read), results.json (everything, to
compute with), and for each size of image a folder with sets/ (the images), runs/ (the generators,
for gandetect generate) and steps/ (what a second run goes on from).

\b
The same command goes on where it stopped, after Ctrl-C, a crash or a reboot; other options want
another folder, but for --families, to which more may be added. --preset smoke takes minutes and
shows that everything works, run takes hours of a processor.

\b
Exit codes: 0 done, 1 done but a photograph could not be read or a training diverged, 2 bad usage,
3 nothing was measured (too few photographs, a folder in use, a full disk), 130 stopped by Ctrl-C.
"""


@click.command(
    "families",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@inputs
@click.option("--preset", default="run", type=click.Choice(list(EFFORTS)), help="How much.")
@click.option("--families", metavar="NAME,NAME", help="See below.  [default: all]")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Of everything.")
@click.option(
    "--steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="Of each training.  [default: the family's]",
)
@click.option(
    "--load",
    "loaded",
    metavar="NAME=RUN",
    multiple=True,
    help="Take a family from this checkpoint or folder of a run, in place of training it; repeat.",
)
@running
def command(data: tuple[str, ...], out: str, **given: Any) -> None:
    """Which family of generators leaves which trace?

    Trains one generator of each family from the same photographs, by the family's own preset;
    writes matched sets of real and generated images; and makes the atlas of them: mean spectra and
    profiles, distances to the photographs, detectors trained on each family and tried on all,
    attribution to families that are known and to one that is not, CloakingScore, and what an image
    costs. A family that learned nothing enters no table of detection.
    """
    check_installed("families", given["no_report"])
    options = _options(given)
    from gandetect.experiments.families import run

    found = measured(run, _report, data, out, options, given)
    click.echo(json.dumps(found, indent=1)) if given["as_json"] else _print(found, out, given)
    worlds = found["worlds"].values()
    incomplete = [tell_failures(world["failed"], world["generators"]) for world in worlds]
    sys.exit(1 if any(incomplete) else 0)


def _options(given: Mapping[str, Any]) -> Options:
    try:
        return Options(
            preset=given["preset"],
            families=listed(given["families"]) if given["families"] else families(),
            seed=given["seed"],
            steps=given["steps"],
            threads=given["threads"],
            precision=given["precision"],
            loaded=dict(_named(one) for one in given["loaded"]),
        )
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from error


def _named(given: str) -> tuple[str, str]:
    name, equals, path = given.partition("=")
    if not equals or not os.path.exists(path):
        raise click.UsageError(
            f"--load {printable(given)}: give NAME=RUN, a family and a checkpoint that is there"
        )
    return name, path


def _report(out: str) -> None:
    from gandetect.report.families import write_report

    write_report(out)


def _print(found: Mapping[str, Any], out: str, given: Mapping[str, Any]) -> None:
    console = wide_console()
    for name, world in found["worlds"].items():
        console.print(_table(name, world))
    tell_place(console, out, given["no_report"])


def _table(name: str, world: Mapping[str, Any]) -> Any:
    detector = world.get("choice", {}).get("best", {}).get("spectral")
    table = table_of(f"{name}: {detector or 'no family learned anything'}", "family")
    for one in (one["name"] for one in world["generators"] if one["failed"] is None):
        add_row(table, one, world, world.get("detection", {}).get(detector, {}).get(one))
    return table
