"""`gandetect explain`: why one picture got its verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._common import (
    check_number,
    check_place,
    confidence_of,
    conformal_option,
    printable,
    require,
)
from gandetect.cli._network_report import write_network_report

if TYPE_CHECKING:
    from rich.table import Table

    from gandetect.detect import Model, Thresholds
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
  gandetect explain --model cnn.safetensors --network-report PHOTOS/ FAKES/ --out inside.html

\b
Exit codes: 0 done, 1 done but some images could not be judged (--network-report), 2 bad usage, 3
nothing could be explained (the reason is on standard error).
"""


@click.command(
    "explain",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("path", metavar="FILE", type=click.Path(), required=False)
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
@conformal_option
@click.option(
    "--out",
    "outs",
    metavar="FILE",
    multiple=True,
    help="Write the explanation to FILE (.png, .html or .json); may be repeated.",
)
@click.option(
    "--network-report",
    "folders",
    metavar="REAL_DIR GENERATED_DIR",
    nargs=2,
    type=click.Path(exists=True, file_okay=False),
    help="Instead: the errors of a plain network (fit --classifier cnn) on labeled images, and "
    "what its layers answer to; with FILE, its feature maps of that image.",
)
@click.option("--json", "as_json", is_flag=True, help="The explanation as one JSON object.")
def command(
    path: str | None,
    model: str | None,
    frame: int | None,
    time_s: float | None,
    fpr: float,
    conformal: bool,
    outs: tuple[str, ...],
    folders: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Explain the verdict on one image or one frame of a video.

    Shows the picture with the score of each tile, its log spectrum, its profile against the band of
    real photographs, what each bin, frequency or pixel adds to the score and whether that is exact,
    what would have changed the verdict, and which up-sampler it looks like. Of a video, without
    --frame or --time, the frame with the highest score among 16 is explained.
    """
    _check_choice(path, folders, frame, time_s)
    _check_outs(outs)
    confidence = confidence_of(conformal)
    detector = _load_model(model, fpr, confidence, network=bool(folders))
    from gandetect.media.quiet import quiet_decoders

    quiet_decoders()
    if folders:
        write_network_report(detector, folders, path, fpr, confidence, outs, as_json)
    assert path is not None
    choice = {"frame": frame, "time_s": time_s}
    explanation = _explained(path, detector, as_json, fpr=fpr, confidence=confidence, **choice)
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


def _explained(path: str, model: Model, as_json: bool, **options: Any) -> Explanation:
    from gandetect.media import MediaError
    from gandetect.report.explain import explain

    try:
        return explain(path, model=model, **options)
    except MediaError as error:
        _fail(path, error.reason, str(error), as_json)


def _check_choice(
    path: str | None, folders: tuple[str, str] | None, frame: int | None, time_s: float | None
) -> None:
    if path is None and not folders:
        raise click.MissingParameter(param_type="argument", param_hint="'FILE'")
    if frame is not None and time_s is not None:
        raise click.UsageError("--frame and --time both choose a frame; give one")
    if folders and (frame is not None or time_s is not None):
        raise click.UsageError("--network-report is of images; leave --frame and --time out")
    if time_s is not None:
        check_number("--time", time_s)


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


def _load_model(path: str | None, fpr: float, confidence: float | None, network: bool) -> Model:
    """The detector, known to be one that can be explained at this false-alarm rate; `network`: to
    be a plain network."""
    from gandetect import detect
    from gandetect.report.explain import check_explainable
    from gandetect.report.networks import pixel_network
    from gandetect.screen.verdict import image_thresholds

    try:
        model = detect.load_shipped() if path is None else detect.Model.load(path)
        image_thresholds(model, fpr, confidence)
        (pixel_network if network else check_explainable)(model)
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


def _sure(limits: Thresholds) -> str:
    return " on average" if limits.confidence is None else ""


def _print(explanation: Explanation) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from gandetect.report.explain_words import changes_in_words

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=110, highlight=False)
    head = Text(_summary(explanation).rpartition(": ")[0] + ": ")
    head.append(explanation.verdict, style=_STYLES[explanation.verdict])
    limits = explanation.thresholds
    head.append(f", p(generated) {explanation.p_generated:.2f}")
    console.print(head)
    for line in (
        f"score {explanation.logit:+.2f}; {explanation.limits_in_words} "
        f"(false alarms at most {limits.fpr:.3g}{_sure(limits)})",
        f"{explanation.n_used} tiles of {explanation.side} pixels, by {explanation.model['name']}",
        *_outside(explanation),
    ):
        console.print(Text(printable(line)))
    console.print(Text(f"\nWhat the score is made of ({explanation.exactness})", style="bold"))
    console.print(_parts_table(explanation))
    if explanation.bands:
        console.print(Text("\nThe bins that moved it furthest", style="bold"))
        console.print(_bands_table(explanation))
    console.print(Text("\nWhat would have changed the verdict", style="bold"))
    for sentence in changes_in_words(explanation):
        console.print(Padding(Text(printable(sentence)), (0, 0, 0, 2)))
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


def _parts_table(explanation: Explanation) -> Any:
    """The parts that sum to the score; of a fusion, member by member."""
    from rich.table import Table

    from gandetect.detect.contributions import BANDS
    from gandetect.report.explain import member_sums
    from gandetect.report.explain_words import exactness

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    for justify in ("right", "left", "left", "left"):
        table.add_column(justify=justify)  # type: ignore[arg-type]
    members = explanation.breakdown.members
    if len(members) > 1:
        table.add_row(f"{explanation.breakdown.bias:+.2f}", "bias", "", "")
    for member in members:
        if len(members) > 1:
            label = f"{member.classifier} ({exactness(member)})"
            table.add_row(f"{member.total:+.2f}", label, "", "", style="bold")
        table.add_row(f"{member.bias:+.2f}", "bias", member.baseline, "")
        sums = explanation.sums() if member.kind == BANDS else member_sums(member)
        _add_sums(table, sums)
        if not sums:
            table.add_row(f"{float(member.values.sum()):+.2f}", "all pixels", "", "")
    table.add_row(f"{explanation.logit:+.2f}", "score", "", "", style="bold")
    return table


def _add_sums(table: Table, sums: list[dict[str, Any]]) -> None:
    from gandetect.report.explain_words import DIRECTIONS

    for row in sums:
        if abs(row["contribution"]) < 0.005:
            continue
        table.add_row(
            f"{row['contribution']:+.2f}",
            DIRECTIONS[row["projection"]] if "projection" in row else "",
            row.get("stretch") or row["group"],
            f"{row['low']:.2f} to {row['high']:.2f} cycles per pixel"
            if "low" in row
            else f"{row['features']} features",
        )


def _bands_table(explanation: Explanation) -> Any:
    from rich.table import Table

    from gandetect.report.explain_words import band_in_words

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
