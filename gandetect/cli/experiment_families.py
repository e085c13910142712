"""`gandetect experiment families`: which architecture leaves which trace?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import printable, require
from gandetect.cli.experiment_upsampling import REPORT, estimated, named, refuse
from gandetect.cli.screen import INTERRUPTED
from gandetect.cli.train import PRECISIONS, training_bar
from gandetect.experiments.families.plan import EFFORTS, FAMILIES, Options

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
@click.option("--families", metavar="NAME,NAME", help="See below.  [default: all]")
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Of everything.")
@click.option(
    "--steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="Of each training.  [default: the family's]",
)
@click.option(
    "--threads", metavar="N", type=click.IntRange(min=1), help="Of torch.  [default: torch's]"
)
@click.option("--precision", default="float32", type=click.Choice(PRECISIONS), help="Of training.")
@click.option("--no-report", is_flag=True, help=f"Leave {REPORT} out, which needs matplotlib.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(data: tuple[str, ...], out: str, **given: Any) -> None:
    """Which family of generators leaves which trace?

    Trains one generator of each family from the same photographs, by the family's own preset;
    writes matched sets of real and generated images; and makes the atlas of them: mean spectra and
    profiles, distances to the photographs, detectors trained on each family and tried on all,
    attribution to families that are known and to one that is not, CloakingScore, and what an image
    costs. A family that learned nothing enters no table of detection.
    """
    require("gandetect experiment families", "train", "sklearn", "scipy")
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
    worlds = found["worlds"].values()
    ended = [one for world in worlds for one in world["generators"] if one["failed"] is not None]
    sys.exit(1 if ended or any(world["failed"] for world in worlds) else 0)


def _options(given: Mapping[str, Any]) -> Options:
    try:
        return Options(
            preset=given["preset"],
            families=named(given["families"]) if given["families"] else FAMILIES,
            seed=given["seed"],
            steps=given["steps"],
            threads=given["threads"],
            precision=given["precision"],
        )
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from error


def _run(
    data: tuple[str, ...], out: str, options: Options, given: Mapping[str, Any]
) -> dict[str, Any]:
    from gandetect.experiments.families import run

    with training_bar(given["quiet"]) as progress:
        found = run(data, out, options, progress=progress)
    if not given["no_report"]:
        from gandetect.report.families import write_report

        write_report(out)
    return found


def _print(found: Mapping[str, Any], out: str, given: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    for name, world in found["worlds"].items():
        for path, reason in world["failed"].items():
            click.echo(printable(f"not used: {path}: {reason}"), err=True)
        for one in world["generators"]:
            if one["failed"] is not None:
                click.echo(printable(f"left out: {one['name']}: {one['failed']}"), err=True)
        console.print(_table(name, world))
    path = Path(out) / ("results.json" if given["no_report"] else REPORT)
    console.print(f"\nIn full: {printable(str(path))}", markup=False, soft_wrap=True)


def _table(name: str, world: Mapping[str, Any]) -> Any:
    from rich.table import Table

    detector = world.get("choice", {}).get("best", {}).get("spectral")
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=f"{name}: {detector or 'no family learned anything'}",
        title_justify="left",
    )
    table.add_column("family", no_wrap=True)
    for head in ("AUC", "TPR at 1 % FPR", "distance", "learned", "metadata"):
        table.add_column(head, justify="right")
    for one in (one["name"] for one in world["generators"] if one["failed"] is None):
        learned = world["learned"]["rows"][one]
        found = world.get("detection", {}).get(detector, {}).get(one)
        table.add_row(
            one,
            *((estimated(found[key]) if found else "-") for key in ("auc", "tpr_at_0.01")),
            f"{learned['distance']:.3g}",
            "yes" if learned["learned"] else "NO",
            "LEAKS" if world["audit"][one]["leaks"] else "at chance",
        )
    return table
