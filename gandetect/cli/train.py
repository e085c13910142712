"""`gandetect train`: a generative model from folders of images."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._common import printable
from gandetect.cli._training import PRECISIONS, Progress, Reached, device_of, say, training_bar
from gandetect.cli.screen import INTERRUPTED

if TYPE_CHECKING:
    from gandetect.gans import Config, Data, Images

# Named here as well as in `gandetect.gans`, so that --help imports no torch.
UP = ("nearest", "bilinear", "bicubic", "bed_of_nails", "pixel_shuffle", "conv_transpose")
LOSSES = ("saturating", "nonsaturating", "least_squares", "wasserstein", "hinge")
SPECTRAL = ("none", "loss", "discriminator")
DIGITS = "data/digits"
# Options that are fields of the configuration under the same name.
_FIELDS = ("size", "up", "up_last", "batch", "steps", "loss", "spectral", "spectral_weight")

EPILOG = """\b
Examples:
  gandetect train dcgan --data PHOTOS/ --crops 64 --out runs/dcgan
  gandetect train sngan --data PHOTOS/ --crops 64 --up bicubic --out runs/bicubic
  gandetect train sngan --data FLOWERS/ --labels --out runs/flowers    (a folder for each class)
  gandetect train dcgan --data PHOTOS/ --spectral loss --spectral-weight 2 --out runs/spectral
  gandetect train cyclegan --data COLOR/ --sources PAINTINGS/ --out runs/photographs
  gandetect train dcgan --digits --preset smoke --out runs/digits      (recipes/digits.py)
  gandetect train dcgan --data PHOTOS/ --set rate=1e-4 --set widths=128,64,32,16 --out runs/small
  torchrun --nproc-per-node 2 -m gandetect train dcgan --data PHOTOS/ --out runs/two
  tensorboard --logdir runs                                            (to watch them)
  gandetect generate runs/dcgan --count 1000 --out samples/

\b
Running the same command again goes on where it stopped, bit for bit; a larger --steps goes on
from the end. A run is a folder: the checkpoint, log.jsonl, and a sheet of samples now and then.
--preset run trains 64 pixels on one processor in well under an hour, smoke 32 pixels in seconds.

\b
Exit codes: 0 done, 1 done but some images could not be used, 2 bad usage, 3 nothing was trained
(no usable images, another run in the folder, a loss that is no number any more), 130 stopped by
Ctrl-C with a checkpoint left.
"""


def _list(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print every model with what it is, and end the program."""
    if not wanted:
        return
    from rich.console import Console
    from rich.table import Table

    from gandetect.gans import MODELS, model_class

    table = Table("model", "presets", "source", box=None, pad_edge=False, header_style="bold")
    for name in MODELS:
        kind = model_class(name)
        presets = [f"{which} {one.size} px" for which, one in kind.presets.items()]
        table.add_row(name, "\n".join(presets), kind.source)
    Console().print(table)
    ctx.exit()


@click.command(
    "train",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("model")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list,
    help="Show every model and where it is from.",
)
@click.option(
    "--data",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Images to learn from; may be given several times.",
)
@click.option(
    "--out",
    metavar="RUN",
    required=True,
    type=click.Path(file_okay=False),
    help="Folder of the run; one that is there goes on.",
)
@click.option(
    "--crops",
    metavar="N",
    type=click.IntRange(min=1),
    help="Cut N random squares of each photograph.  [default: its middle square alone]",
)
@click.option("--labels", is_flag=True, help="Each folder in --data is a class to learn.")
@click.option(
    "--sources",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="What cyclegan and unet make images of.  [default: the images without colors]",
)
@click.option("--digits", is_flag=True, help=f"--data is of recipes/digits.py, or {DIGITS}.")
@click.option("--gray", is_flag=True, help="Learn from brightness alone.")
@click.option(
    "--source",
    default="",
    show_default=False,
    help="Where the images are from, for the run's card.",
)
@click.option("--license", default="", show_default=False, help="Of the images, for the card.")
@click.option(
    "--cache",
    metavar="FOLDER",
    type=click.Path(file_okay=False),
    help="Keep the cut images in a file there, instead of in memory.",
)
@click.option(
    "--preset", metavar="NAME", default="run", help="run, smoke, or what --list shows besides."
)
@click.option("--up", type=click.Choice(UP), help="How the generator up-samples.")
@click.option("--up-last", type=click.Choice(UP), help="Its last up-sampling, where it differs.")
@click.option("--size", metavar="PIXELS", type=click.IntRange(min=1), help="Side of the images.")
@click.option("--batch", metavar="N", type=click.IntRange(min=1), help="Images of a batch.")
@click.option("--steps", metavar="N", type=click.IntRange(min=1), help="Iterations in all.")
@click.option("--loss", type=click.Choice(LOSSES), help="Of both players.")
@click.option(
    "--spectral",
    type=click.Choice(SPECTRAL),
    help="A spectral term of the generator's loss, or a second, spectral adversary.",
)
@click.option("--spectral-weight", metavar="WEIGHT", type=click.FloatRange(min=0))
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Any other field of the model's configuration; may be repeated.",
)
@click.option("--seed", default=0, type=click.IntRange(min=0), help="Of weights, crops and draws.")
@click.option("--precision", default="float32", type=click.Choice(PRECISIONS))
@click.option(
    "--device", metavar="DEVICE", help="cpu, cuda or cuda:N.  [default: cuda where there is one]"
)
@click.option(
    "--save-every",
    metavar="N",
    default=500,
    type=click.IntRange(min=1),
    help="Iterations between checkpoints.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no text.")
def command(model: str, **options: Any) -> None:
    """Train the generative model MODEL on images, or go on with a run.

    Every generator takes each of the six up-samplings, and two runs with the same seed and data
    differ in nothing but what you change: they see the same images and latents in the same order.
    The run's card says on what it was trained. `gandetect train --list` shows the models.
    """
    is_first = os.environ.get("RANK", "0") == "0"
    # Under torchrun one process speaks for all.
    options["quiet"] = options["quiet"] or not is_first
    options["as_json"] = options["as_json"] and is_first
    config = _config(model, options)
    options["device"] = device_of(options["device"])
    import torch

    from gandetect.media.quiet import quiet_decoders

    quiet_decoders()
    reached, begun = Reached(), time.monotonic()
    try:
        with training_bar(options["quiet"]) as progress:
            images = _data(options, config, progress)
            config = _with_classes(config, images)
            data = _prepared(model, config, images, options, progress)
            _train(model, config, data, options, reached.before(progress))
    except KeyboardInterrupt:
        if is_first:
            say(_interrupted(reached.step, options["out"]))
        sys.exit(INTERRUPTED)
    except torch.OutOfMemoryError as error:
        _refuse(f"the device's memory is too small; take a smaller --batch ({error})", options)
    except (ValueError, OSError) as error:
        _refuse(str(error), options)
    if not is_first:
        return
    failed = images.failed
    result = _result(model, config, data, failed, options, time.monotonic() - begun)
    click.echo(json.dumps(result)) if options["as_json"] else _print(result, options["quiet"])
    sys.exit(1 if failed else 0)


def _config(model: str, options: dict[str, Any]) -> Config:
    """The preset with what the options change; a usage error where that cannot be."""
    from gandetect.gans import model_class, preset

    try:
        base = preset(model, options["preset"])
        changes = {key: options[key] for key in _FIELDS if options[key] is not None}
        if options["gray"] or options["digits"]:
            changes["channels"] = 1
        changes |= dict(_setting(text, base) for text in options["settings"])
        config = base.from_dict({**base.to_dict(), **changes})
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from error
    if config.channels not in (1, 3):
        raise click.UsageError(f"channels={config.channels} given; images have 1 (gray) or 3")
    if not options["data"] and not options["digits"]:
        raise click.UsageError("give --data FOLDER, or --digits")
    if options["digits"] and (options["crops"] or len(options["data"]) > 1):
        raise click.UsageError("--digits takes one --data and no --crops")
    if options["crops"] and options["sources"] and model_class(model).learns_from == "pairs":
        # Where a square is cut follows from a file's bytes, which are not those of its source.
        raise click.UsageError(f"--crops is for sources without pairs; {model} learns from pairs")
    if options["crops"] and _wants_classes(config, options):
        raise click.UsageError("--crops is for photographs without classes")
    return config


def _setting(text: str, base: Config) -> tuple[str, Any]:
    """NAME=VALUE as a field's name and a value of its kind."""
    name, equals, value = text.partition("=")
    names = [one.name for one in fields(base)]
    if not equals or name not in names:
        raise ValueError(f"--set {text}: want NAME=VALUE with one of {', '.join(names)}")
    try:
        return name, _of_kind(value, getattr(base, name))
    except ValueError as error:
        raise ValueError(f"--set {text}: want a value like {getattr(base, name)!r}") from error


def _of_kind(value: str, default: Any) -> Any:
    """`value` as what `default` is; tuples are written with commas."""
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(value.lower(), value)
    if isinstance(default, tuple):
        return tuple(_of_kind(one, default[0]) for one in value.split(","))
    if default is None:
        return None if value.lower() == "none" else value
    return type(default)(value)


def _wants_classes(config: Config, options: dict[str, Any]) -> bool:
    return options["labels"] or getattr(config, "classes", 0) > 0


def _data(options: dict[str, Any], config: Config, progress: Progress) -> Images:
    """The images that the options ask for; with labels where classes are learned."""
    from gandetect.gans.data import folder_images, patches
    from gandetect.gans.digits import digits

    classes = _wants_classes(config, options)
    if options["digits"]:
        found = digits((options["data"] or [DIGITS])[0], config.size)
        return found if classes else found.without_labels()
    common: dict[str, Any] = {
        "gray": config.channels == 1,
        "cache": options["cache"],
        "progress": progress,
        **{key: options[key] for key in ("source", "license")},
    }
    if options["crops"]:
        count, seed = options["crops"], options["seed"]
        return patches(options["data"], config.size, per_photograph=count, seed=seed, **common)
    return folder_images(options["data"], config.size, labels=classes, **common)


def _with_classes(config: Config, data: Images) -> Config:
    """`config` for as many classes as the data have; ValueError for a model without classes."""
    if data.labels is None:
        return config
    return config.from_dict({**config.to_dict(), "classes": len(data.card()["classes"])})


def _prepared(
    model: str, config: Config, images: Images, options: dict[str, Any], progress: Progress
) -> Data:
    """What `model` learns from; pairs are of files of the same name in both folders."""
    from gandetect.gans.preparing import prepared

    if not options["sources"]:
        return prepared(model, config, images, seed=options["seed"])
    sources = _data({**options, "data": options["sources"]}, config, progress)
    return prepared(model, config, images, sources=sources, seed=options["seed"])


def _train(
    model: str, config: Config, data: Data, options: dict[str, Any], progress: Progress
) -> None:
    from gandetect.gans import Settings, train

    keys = ("precision", "device", "save_every")
    settings = Settings(**{key: options[key] for key in keys})
    if not options["quiet"]:
        number = data.card()["number"]
        say(f"{model}: {number} images of {config.size} pixels, {config.steps} iterations")
    out, seed = options["out"], options["seed"]
    train(model, config, data, out, seed=seed, settings=settings, progress=progress)


def _interrupted(step: int, out: str) -> str:
    if step == 0:
        return "interrupted before an iteration was done"
    return f"interrupted after iteration {step}; {out} has it: run the same command again to go on"


def _refuse(reason: str, options: dict[str, Any]) -> NoReturn:
    if options["as_json"]:
        click.echo(json.dumps({"error": reason}))
    say(f"Error: {reason}")
    sys.exit(3)


def _result(
    model: str,
    config: Config,
    data: Data,
    failed: Mapping[str, str],
    options: dict[str, Any],
    seconds: float,
) -> dict[str, Any]:
    from gandetect.gans.checkpoints import NAME
    from gandetect.gans.logs import read_log

    path = Path(options["out"]) / NAME
    last: dict[str, Any] = {}
    for line in read_log(options["out"]):
        last |= line
    return {
        "model": model,
        "run": options["out"],
        "checkpoint": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "steps": config.steps,
        "seed": options["seed"],
        "config": config.to_dict(),
        "data": data.card(),
        "failed": dict(failed),
        "last": last,
        "seconds": round(seconds, 3),
    }


def _print(result: dict[str, Any], quiet: bool) -> None:
    for path, reason in result["failed"].items():
        say(f"not used: {path}: {reason}")
    if quiet:
        return
    for warning in result["last"].get("warnings", []):
        say(f"look at this: {warning}")
    say(f"trained: {result['checkpoint']}, {result['steps']} iterations")
    say(f"draw images:  gandetect generate {result['run']} --count 1000 --out samples/")
