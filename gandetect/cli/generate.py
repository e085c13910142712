"""`gandetect generate`: image files drawn from a trained model."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._common import check_place, printable
from gandetect.cli._training import device_of, training_bar
from gandetect.cli.screen import INTERRUPTED

if TYPE_CHECKING:
    from gandetect.gans.generation import Generated

# Named here as well as in `gandetect.gans.generation`, so that --help imports no torch.
FORMATS = ("png", "jpeg", "webp")

EPILOG = """\b
Examples:
  gandetect generate runs/dcgan --count 1000 --out samples/
  gandetect generate runs/dcgan --count 1000 --out jpegs/ --format jpeg --quality 90
  gandetect generate runs/dcgan --count 64 --out samples/ --grid sheet.png --between ways.png
  gandetect generate runs/flowers --count 100 --out roses/ --labels 2
  gandetect generate runs/cyclegan --count 100 --out translated/ --sources PAINTINGS/
  gandetect generate runs/counts --count 100 --out two/ --counts 2,0,1 --counts 0,3,0
  gandetect generate runs/dcgan --count 1000000 --out samples/ --shard 3/8
  gandetect screen samples/

\b
Image number n of a seed is always the same: running again makes the files that are missing, and
shards 1/8 to 8/8, wherever they run, give together what one run gives.

\b
Exit codes: 0 done, 2 bad usage, 3 nothing could be drawn (no checkpoint, a damaged one, a folder
with other images, a full disk), 130 stopped by Ctrl-C.
"""


@click.command(
    "generate",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("run", metavar="RUN_OR_CHECKPOINT", type=click.Path(exists=True))
@click.option("--count", metavar="N", required=True, type=click.IntRange(min=1), help="Of images.")
@click.option("--out", metavar="FOLDER", required=True, type=click.Path(file_okay=False))
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Other seeds, other images.")
@click.option("--format", "kind", default="png", type=click.Choice(FORMATS))
@click.option(
    "--quality", default=95, type=click.IntRange(1, 100), help="Of jpeg and webp, as Pillow has it."
)
@click.option("--plain", is_flag=True, help="Leave seed, number and model out of the files.")
@click.option("--labels", metavar="K,K", help="Classes to draw in turn.  [default: all]")
@click.option(
    "--sources",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Pictures that cyclegan and unet make images of, in turn.",
)
@click.option(
    "--maps",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Pictures whose areas of color gaugan paints anew, in turn.",
)
@click.option(
    "--counts",
    metavar="N,N",
    multiple=True,
    help="How many things of each kind mc2-stylegan2 draws; repeated, in turn.",
)
@click.option(
    "--truncation",
    metavar="X",
    type=float,
    help="Of stylegan, stylegan2 and mc2-stylegan2 (1 for none, 0 for the mean image) and biggan "
    "(a threshold).",
)
@click.option("--shard", metavar="I/N", default="1/1", help="Draw the I-th of N parts.")
@click.option("--grid", metavar="FILE", help="Also write a sheet of the first 64 images.")
@click.option(
    "--between", metavar="FILE", help="Also write a sheet of ways between latents, a row each."
)
@click.option("--device", metavar="DEVICE", help="As in train.  [default: cuda where there is one]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no text.")
def command(run: str, **options: Any) -> None:
    """Draw images from a run of `gandetect train`, or from a checkpoint.

    Files are named by seed and number. Each says in its metadata (text of PNG, EXIF of the others)
    which checkpoint, seed and number it is, and generated.json says it of the folder. To compare
    them with real images, --plain leaves that out: metadata would give them away.
    """
    shard, labels = _shard(options["shard"]), _numbers("--labels", options["labels"])
    counts = [_numbers("--counts", one) or [] for one in options["counts"]]
    for sheet in filter(None, (options["grid"], options["between"])):
        check_place(sheet)
    device = device_of(options["device"])
    try:
        with training_bar(options["quiet"]) as progress:
            made = _generate(run, shard, labels, counts, device, options, progress)
    except KeyboardInterrupt:
        click.echo("interrupted: run the same again to go on", err=True)
        sys.exit(INTERRUPTED)
    except (ValueError, OSError) as error:
        _refuse(str(error), options["as_json"])
    if options["as_json"]:
        click.echo(json.dumps({**asdict(made), "out": options["out"], "grid": options["grid"]}))
    elif not options["quiet"]:
        there = f", {made.kept} were there" if made.kept else ""
        click.echo(printable(f"{options['out']}: {made.made} images drawn{there}"), err=True)


def _generate(
    run: str,
    shard: tuple[int, int],
    labels: list[int] | None,
    counts: list[list[int]],
    device: str,
    options: dict[str, Any],
    progress: Any,
) -> Generated:
    from gandetect.gans.asking import asked
    from gandetect.gans.generation import Writing, generate, opened
    from gandetect.gans.sampling import check_latents

    model, _, training = opened(run)
    if options["between"]:
        try:
            check_latents(model)
        except ValueError as error:
            raise click.UsageError(f"--between: {printable(str(error))}") from error
    sources, maps = options["sources"], options["maps"]
    return generate(
        run,
        options["out"],
        options["count"],
        seed=options["seed"],
        shard=shard,
        writing=Writing(options["kind"], options["quality"], not options["plain"]),
        labels=labels,
        truncation=options["truncation"],
        conditions=asked(model, training["data"], sources=sources, maps=maps, counts=counts),
        grid=options["grid"],
        between=options["between"],
        device=device,
        progress=progress,
    )


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    number, parts = (int(one) for one in found.groups()) if found else (0, 0)
    if not 1 <= number <= parts:
        raise click.UsageError(f"--shard {text!r} given; want I/N with 1 <= I <= N, as in 2/8")
    return number, parts


def _numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text):
        raise click.UsageError(f"{option} {text!r} given; want numbers, as in 0,3,7")
    return [int(one) for one in text.split(",")]


def _refuse(reason: str, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"error": reason}))
    click.echo(f"Error: {printable(reason)}", err=True)
    sys.exit(3)
