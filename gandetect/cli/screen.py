"""`gandetect screen`: files and folders in, verdicts out."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gandetect.cli._common import (
    check_number,
    check_place,
    confidence_of,
    conformal_option,
    printable,
    require,
)
from gandetect.cli._screen_output import present, screening_bar

if TYPE_CHECKING:
    from gandetect.detect import Model

INTERRUPTED = 130

EPILOG = """\b
Examples:
  gandetect screen photo.jpg clip.mp4
  gandetect screen ARCHIVE/ --report report.html
  gandetect screen ARCHIVE/ --report report.html        (again: goes on where it stopped)
  gandetect screen ARCHIVE/ --fpr 0.01 --out results.parquet
  gandetect screen ARCHIVE/ --keyframes                 (a first look at much video)
  gandetect screen clip.mp4 --fps 5 --region center
  gandetect screen ARCHIVE/ --engine ray --ray-address auto --parts /shared/parts
  gandetect screen ARCHIVE/ --out - -q | grep '"verdict": "generated"'

\b
Exit codes: 0 every file was screened, 1 some files could not be read in whole or in part,
2 bad usage, 3 nothing could be screened, 130 interrupted (finished files are kept).
"""


_SAMPLING = (
    click.option(
        "--every",
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        help="Score one frame of a video each SECONDS (0: every frame; closer in short clips).  "
        "[default: 1]",
    ),
    click.option(
        "--fps",
        metavar="N",
        type=click.FloatRange(min=0, min_open=True),
        help="The same as --every 1/N.",
    ),
    click.option(
        "--keyframes",
        is_flag=True,
        help="Decode key frames alone: many times faster. --every and --fps choose among them.",
    ),
    click.option(
        "--max-frames",
        metavar="N",
        type=click.IntRange(min=1),
        help="At most N frames per video, spread over it.",
    ),
    click.option(
        "--region",
        type=click.Choice(["tiles", "center", "frame", "faces"]),
        default="tiles",
        help="Score tiles spread over the picture, one in its center, squares that cover all of "
        "it, or its faces. The thresholds were certified on tiles.",
    ),
    click.option(
        "--max-tiles",
        metavar="N",
        type=click.IntRange(min=1),
        default=16,
        help="Squares per picture.",
    ),
)

Command = TypeVar("Command", bound=Callable[..., Any])


def sampling_options(command: Command) -> Command:
    """The options that decide, with the model, what a file scores."""
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


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
    help="Results file. Files that it holds, unchanged, screened with the same model and options, "
    "are not screened again.",
)
@click.option(
    "--out",
    metavar="FILE|-",
    help="Export the rows to FILE (.parquet, .jsonl or .csv), or as JSON lines to stdout (-).",
)
@click.option("--report", metavar="FILE.html", help="Write a report, one self-contained page.")
@sampling_options
@click.option(
    "--fpr",
    metavar="RATE",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.05,
    help="Largest share of real pictures, and of real videos, called generated.",
)
@conformal_option
@click.option(
    "--fdr",
    metavar="RATE",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    help="Besides, the largest expected share of real files among those called generated "
    "(Benjamini-Hochberg over all files of the run).",
)
@click.option(
    "--prevalence",
    metavar="SHARE",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.5,
    help="Share of generated files that is expected: moves p, and no verdict.",
)
@click.option(
    "--batch-size", metavar="N", type=click.IntRange(min=1), default=64, help="Squares per batch."
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=0),
    help="Processes that decode and score, one file each (0: none, without protection from files "
    "that crash their decoder).  [default: one per processor]",
)
@click.option("--device", metavar="NAME", default="cpu", help="Where to score: cpu, cuda, cuda:1.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    help="Give a file up that makes no progress for so long.",
)
@click.option(
    "--time-limit",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    default=14400.0,
    help="Give a file up after so long, whatever it does.",
)
@click.option(
    "--memory-limit",
    metavar="MB",
    type=click.IntRange(min=64),
    default=4096,
    help="Give a file up that needs more memory.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on in an existing results file; refused where there is none. (Without it, too, "
    "a run goes on where an earlier one stopped.)",
)
@click.option("--again", is_flag=True, help="Screen files anew that the results hold already.")
@click.option("--retry-errors", is_flag=True, help="Screen those of them anew that had no verdict.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="Run on this machine, or on Ray.",
)
@click.option("--ray-address", metavar="ADDRESS", help="A running cluster.  [default: a local one]")
@click.option("--parts", metavar="DIR|URI", help="Where Ray's workers leave their Parquet parts.")
@click.option(
    "--shard-files",
    metavar="N",
    type=click.IntRange(min=1),
    default=256,
    help="Files per unit of work on Ray.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, not a table.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, table or summary.")
def command(
    paths: tuple[str, ...],
    model: str | None,
    db: str,
    out: str | None,
    report: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Screen images and video for the traces of generative up-sampling.

    PATHS are files or folders (walked to the bottom; names with a leading dot are left out). What a
    file is decides its content, not its name. Each file gets a verdict: generated, real,
    inconclusive, or error with the reason. A video is judged by the median of its frames.

    All rows, one per frame and one per file, go to the results file (SQLite); see --out for others,
    and `gandetect export`, `gandetect review`.
    """
    _check_outputs(db, out, report, as_json)
    if options.pop("resume") and not os.path.isfile(db):
        raise click.UsageError(f"--resume: there is no results file {printable(db)}")
    run = _engine(options)
    options["confidence"] = confidence_of(options.pop("conformal"))
    detector = load_model(model, options["fpr"], options["confidence"])
    from gandetect.media.quiet import quiet_decoders
    from gandetect.screen import StoreError
    from gandetect.screen.pool import PoolError

    quiet_decoders()
    try:
        with screening_bar(paths, quiet) as progress:
            summary = run(paths, model=detector, db=db, progress=progress, **options)
        present(summary, detector, out, report, as_json, quiet)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        click.echo(
            f"interrupted; the finished files are in {printable(db)}: run the same again to go on",
            err=True,
        )
        sys.exit(INTERRUPTED)
    except (StoreError, PoolError) as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from error
    except BrokenPipeError:
        # Whoever read the output has seen enough; the results are complete.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        click.echo(f"Error: cannot write the output: {error.strerror}; see {db}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(3)
    sys.exit(summary.exit_code)


def _engine(options: dict[str, Any]) -> Any:
    """The function to call; `options` becomes its keywords."""
    engine = options.pop("engine")
    ray_only = {name: options.pop(name) for name in ("ray_address", "parts", "shard_files")}
    options["every"] = interval(options.pop("every"), options.pop("fps"), options["keyframes"])
    if options["region"] == "faces":
        require("--region faces", "faces", "cv2")
    limits = (options.pop("timeout"), options.pop("time_limit"), options.pop("memory_limit"))
    for option, value in zip(("--timeout", "--time-limit"), limits, strict=False):
        check_number(option, value)
    from gandetect.screen import Limits, screen

    options["limits"] = Limits(limits[0], limits[1], limits[2] << 20)
    if engine == "local":
        if ray_only["ray_address"] or ray_only["parts"]:
            raise click.UsageError("--ray-address and --parts need --engine ray")
        return screen
    require("--engine ray", "ray", "ray", "pyarrow")
    from gandetect.screen.on_ray import screen_on_ray

    options.update(address=ray_only.pop("ray_address"), **ray_only)
    return screen_on_ray


def interval(every: float | None, fps: float | None, keyframes: bool) -> float | None:
    """Seconds between frames, None for all of them."""
    if every is not None and fps is not None:
        raise click.UsageError("--every and --fps say the same; give one")
    if every is None and fps is None:
        return None if keyframes else 1.0
    option, value = ("--fps", fps) if every is None else ("--every", every)
    assert value is not None
    check_number(option, value)
    seconds = value if every is not None else 1 / value
    if math.isinf(seconds) or seconds == 0 != value:
        raise click.UsageError(f"{option} {value:g} given; give a number of ordinary size")
    return seconds or None


def load_model(path: str | None, fpr: float, confidence: float | None) -> Model:
    """The detector, known to be able to hold the false-alarm rate."""
    from gandetect import detect
    from gandetect.screen.verdict import image_thresholds

    try:
        model = detect.load_shipped() if path is None else detect.Model.load(path)
        image_thresholds(model, fpr, confidence)
    except (ValueError, OSError) as error:
        raise click.UsageError(printable(str(error))) from error
    return model


def _check_outputs(db: str, out: str | None, report: str | None, as_json: bool) -> None:
    """What would fail at the end of a long run fails before it."""
    if out == "-" and as_json:
        raise click.UsageError("--json and --out - both write to standard output; give one")
    if out not in (None, "-"):
        check_export(str(out))
    if report is not None:
        require("--report", "report", "jinja2", "matplotlib")
    files = [name for name in (db, out, report) if name not in (None, "-")]
    for name in files:
        check_place(name)
    if len({os.path.realpath(name) for name in files}) < len(files):
        raise click.UsageError("--db, --out and --report name the same file; give each its own")


def check_export(out: str) -> None:
    """Refuse a file to which rows cannot be exported."""
    from gandetect.screen.export import export_format

    try:
        extension = export_format(out)
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from error
    if extension == ".parquet":
        require("--out *.parquet", "parquet", "pyarrow")
