"""`gandetect calibrate`: thresholds for videos from real videos."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import check_place, confidence_of, printable, require
from gandetect.cli._screen_output import screening_bar
from gandetect.cli.screen import interval, sampling_options

if TYPE_CHECKING:
    from gandetect.screen.calibrate import VideoCalibration

EPILOG = """\b
Examples:
  gandetect calibrate REAL_VIDEOS/ -o mine.safetensors
  gandetect calibrate REAL_VIDEOS/ --keyframes -o mine-keyframes.safetensors
  gandetect screen ARCHIVE/ --model mine.safetensors --fpr 0.05

\b
59 videos certify a false-alarm rate of 5 %, 299 of 1 %, 2,995 of 0.1 %.
Exit codes: 0 done, 2 bad usage, 3 no video gave a score.
"""


@click.command(
    "calibrate",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o", "--out", required=True, type=click.Path(), help="The calibrated model, .safetensors."
)
@click.option("--model", type=click.Path(), help="Model file.  [default: the one that ships]")
@sampling_options
@click.option(
    "--fpr",
    "rates",
    metavar="RATE",
    multiple=True,
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=(0.05, 0.1),
    help="Report false alarms at this rate; may be given several times.",
)
@click.option("--workers", metavar="N", type=click.IntRange(min=0), help="As in screen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, not text.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no text.")
def command(
    paths: tuple[str, ...],
    out: str,
    model: str | None,
    rates: tuple[float, ...],
    workers: int | None,
    as_json: bool,
    quiet: bool,
    **sampling: Any,
) -> None:
    """Put the scores of real videos into a model, so that its thresholds hold for videos.

    PATHS are real videos, or folders of them, like those that will be screened: each a recording of
    its own. Screening uses the scores where it samples with the same options as here.
    """
    check_place(out)
    require("gandetect calibrate", "train", "scipy")
    from gandetect.cli.screen import load_model
    from gandetect.media.quiet import quiet_decoders
    from gandetect.screen.calibrate import calibrate_on_videos
    from gandetect.screen.pipeline import ScreenOptions

    sampling["every"] = interval(sampling.pop("every"), sampling.pop("fps"), sampling["keyframes"])
    detector = load_model(model, max(rates), confidence_of(conformal=False))
    quiet_decoders()
    try:
        with screening_bar(paths, quiet) as progress:
            calibrated, found = calibrate_on_videos(
                paths, detector, ScreenOptions(**sampling), rates=rates, workers=workers,
                progress=progress,
            )  # fmt: skip
    except ValueError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)
    calibrated.save(out)
    if as_json:
        click.echo(json.dumps({"model": out, "sha256": calibrated.sha256, **asdict(found)}))
    elif not quiet:
        _say(out, found)


def _say(out: str, found: VideoCalibration) -> None:
    click.echo(f"{found.n_videos} real videos, {found.hours:.2f} hours")
    if found.left_out:
        reasons = ", ".join(f"{count} {name}" for name, count in sorted(found.left_out.items()))
        click.echo(f"left out: {printable(reasons)}")
    click.echo("with the thresholds before this calibration:")
    for at in found.alarms:
        text = f"  --fpr {at.fpr:g}: {at.n_alarms} false alarms"
        if at.per_hour is not None:
            text += (
                f", {at.per_hour:.3g} per hour of real footage (at most "
                f"{at.per_hour_at_most:.3g} with 95 % confidence)"
            )
        click.echo(text)
    click.echo(f"certifies false-alarm rates of videos from {found.smallest_fpr:.3g} up")
    click.echo(f"model: {printable(out)}", err=True)
