"""`gandetect explain`: why one picture got its verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._common import check_number, check_place, printable, require

if TYPE_CHECKING:
    from gandetect.detect import Model
    from gandetect.report.explain import Explanation

FORMATS = (".png", ".html", ".json")
_STYLES = {"generated": "bold red", "inconclusive": "yellow", "real": "green"}

EPILOG = """\b
Examples:
  gandetect explain photo.jpg
  gandetect explain photo.jpg --out why.html --out why.png
  gandetect explain clip.mp4 --time 12.5 --out frame.html
  gandetect explain clip.mp4 --frame 300 --json
  gandetect explain photo.jpg --json | jq '.contributions'

\b
Exit codes: 0 done, 2 bad usage, 3 nothing could be explained (the reason is on standard error).
"""


@click.command(
    "explain",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("path", metavar="FILE", type=click.Path())
@click.option("--model", type=click.Path(), help="Model file.  [default: the one that ships]")
@click.option(
    "--frame", metavar="N", type=click.IntRange(min=0), help="Of a video: frame N, from 0."
)
@click.option(
    "--time",
    "time_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Of a video: the first frame at or after SECONDS.",
)
@click.option(
    "--fpr",
    metavar="RATE",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.05,
    help="Largest share of real pictures called generated.",
)
@click.option(
    "--out",
    "outs",
    metavar="FILE",
    multiple=True,
    help="Write the explanation to FILE (.png, .html or .json); may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="The explanation as one JSON object.")
def command(
    path: str,
    model: str | None,
    frame: int | None,
    time_s: float | None,
    fpr: float,
    outs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Explain the verdict on one image or one frame of a video.

    Shows the picture with the score of each tile, its log spectrum, its profile against the band of
    real photographs, the exact contribution of each bin to the score, and which up-sampler it looks
    like. Of a video, without --frame or --time, the frame with the highest score among 16 is
    explained.
    """
    if frame is not None and time_s is not None:
        raise click.UsageError("--frame and --time both choose a frame; give one")
    if time_s is not None:
        check_number("--time", time_s)
    _check_outs(outs)
    detector = _load_model(model, fpr)
    from gandetect.media import MediaError
    from gandetect.media.quiet import quiet_decoders
    from gandetect.report.explain import explain

    quiet_decoders()
    try:
        explanation = explain(path, model=detector, fpr=fpr, frame=frame, time_s=time_s)
    except MediaError as error:
        _fail(path, error.reason, str(error), as_json)
    try:
        _write(explanation, outs)
    except OSError as error:
        _fail(path, "not_written", str(error), as_json)
    if as_json:
        click.echo(json.dumps(explanation.to_dict()))
    elif not outs:
        _print(explanation)
    else:
        click.echo(_summary(explanation))


def _check_outs(outs: tuple[str, ...]) -> None:
    for out in outs:
        if Path(out).suffix.lower() not in FORMATS:
            raise click.UsageError(
                f"cannot write {printable(out)}: give a name ending in {', '.join(FORMATS)}"
            )
        check_place(out)
        if not out.lower().endswith(".json"):
            require(f"--out {printable(out)}", "report", "jinja2", "matplotlib")
    if len({Path(out).resolve() for out in outs}) < len(outs):
        raise click.UsageError("two --out name the same file; give each its own")


def _load_model(path: str | None, fpr: float) -> Model:
    """The detector, known to be one that can be explained at this false-alarm rate."""
    from gandetect import detect

    try:
        model = detect.load_shipped() if path is None else detect.Model.load(path)
        model.thresholds(fpr)
        model.spec.axes()
    except (ValueError, OSError) as error:
        raise click.UsageError(printable(str(error))) from error
    return model


def _fail(path: str, reason: str, detail: str, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps({"path": path, "error": reason, "detail": detail}))
    click.echo(f"Error: {printable(path)}: {reason}: {printable(detail)}", err=True)
    sys.exit(3)


def _write(explanation: Explanation, outs: tuple[str, ...]) -> None:
    for out in outs:
        _write_whole(_content(explanation, Path(out).suffix.lower()), Path(out))
        click.echo(f"written: {printable(out)}", err=True)


def _content(explanation: Explanation, extension: str) -> bytes:
    if extension == ".json":
        return (json.dumps(explanation.to_dict(), indent=1) + "\n").encode()
    from gandetect.report.explain_show import explanation_page, explanation_png

    if extension == ".png":
        return explanation_png(explanation)
    # Names may hold lone surrogates, which have no UTF-8.
    return explanation_page(explanation).encode("utf-8", errors="backslashreplace")


def _write_whole(data: bytes, out: Path) -> None:
    """A file, whole or not at all."""
    partial = out.with_name(f".{out.name}.part")
    try:
        partial.write_bytes(data)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _summary(explanation: Explanation) -> str:
    where = ""
    if explanation.frame is not None:
        where = f", frame {explanation.frame}"
    if explanation.time_s is not None:
        where += f" at {explanation.time_s:.2f} s"
    return (
        f"{printable(explanation.path)}{where}: {explanation.verdict}, "
        f"p(generated) {explanation.p_generated:.2f}"
    )


def _print(explanation: Explanation) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=110, highlight=False)
    head = Text(_summary(explanation).rpartition(": ")[0] + ": ")
    head.append(explanation.verdict, style=_STYLES[explanation.verdict])
    limits = explanation.thresholds
    head.append(f", p(generated) {explanation.p_generated:.2f}")
    console.print(head)
    for line in (
        f"score {explanation.logit:+.2f}; generated above {limits.generated:.2f}, real below "
        f"{limits.real:.2f} (false alarms at most {limits.fpr:.3g})",
        f"{explanation.n_used} tiles of {explanation.side} pixels, by {explanation.model['name']}",
        *_outside(explanation),
    ):
        console.print(Text(printable(line)))
    if explanation.bias is not None:
        console.print(Text("\nWhat the score is made of", style="bold"))
        console.print(_sums_table(explanation))
        console.print(Text("\nThe bins that moved it furthest", style="bold"))
        console.print(_bands_table(explanation))
    if explanation.likeness is not None:
        console.print(Text("\nWhich up-sampler it looks like", style="bold"))
        console.print(Text(_likeness(explanation)))
    console.print(Text("\nBear in mind", style="bold"))
    for caveat in explanation.caveats:
        console.print(Padding(Text(printable(caveat)), (0, 0, 0, 2)))


def _outside(explanation: Explanation) -> list[str]:
    if not explanation.has_references:
        return []
    return [
        f"{explanation.n_outside} of {len(explanation.bands)} bins lie outside the band of nine "
        f"photographs in ten; of a photograph it is {round(len(explanation.bands) / 10)} on average"
    ]


def _sums_table(explanation: Explanation) -> Any:
    from rich.table import Table

    from gandetect.report.explain import DIRECTIONS

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    for justify in ("right", "left", "left", "left"):
        table.add_column(justify=justify)  # type: ignore[arg-type]
    table.add_row(f"{explanation.bias:+.2f}", "bias", "the mean photograph", "")
    for row in explanation.sums():
        if abs(row["contribution"]) < 0.005:
            continue
        table.add_row(
            f"{row['contribution']:+.2f}",
            DIRECTIONS[row["projection"]],
            row["stretch"],
            f"{row['low']:.2f} to {row['high']:.2f} cycles per pixel",
        )
    table.add_row(f"{explanation.logit:+.2f}", "score", "", "", style="bold")
    return table


def _bands_table(explanation: Explanation) -> Any:
    from rich.table import Table

    from gandetect.report.explain import band_in_words

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(justify="right")
    table.add_column()
    for band in explanation.strongest():
        table.add_row(f"{band.contribution:+.2f}", band_in_words(band))
    return table


def _likeness(explanation: Explanation) -> str:
    from gandetect.detect.reference import MEANINGS, REAL

    alike = explanation.likeness
    assert alike is not None
    what = alike.reason or MEANINGS.get(alike.family, "")
    shares = ", ".join(
        f"{'photographs' if name == REAL else name} {share:.2f}"
        for name, share in alike.shares.items()
    )
    return printable(f"  {alike.family}: {what}") + f"\n  shares: {shares}"
