"""`gandetect experiment`: published experiments, run again on data that the user has; and ours."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli import experiment_families, experiment_upsampling
from gandetect.cli._common import check_place, printable, require
from gandetect.experiments.settings import SETTINGS

if TYPE_CHECKING:
    from gandetect.detect.training import Progress
    from gandetect.experiments.runner import Reproduction, Row
    from gandetect.experiments.samples import Samples
    from gandetect.experiments.settings import Setting

CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True}
LISTED = "\n".join(f"  {setting.name:<19} {setting.title}" for setting in SETTINGS.values())

GROUP_EPILOG = """\b
Start with:
  gandetect experiment reproduce --setting faces-hq --real PHOTOS/ --generated FAKES/
  gandetect experiment upsampling --data PHOTOS/ --out upsampling/ --preset smoke
  gandetect experiment families --data PHOTOS/ --out families/ --preset smoke
"""

EPILOG = f"""\b
Settings:
{LISTED}

\b
Examples:
  gandetect experiment reproduce --setting celeba --real CELEBA/ --generated FAKES/
  gandetect experiment reproduce --setting faces-hq --features profiles.npz --out faces.json
  gandetect experiment reproduce --setting deepfake-detection --real CROPS/real \\
      --generated CROPS/fake --test-real TEST/real --test-generated TEST/fake

\b
A table of features has a column label (1 generated, 0 real), the columns f0, f1, ... and
where it has videos a column video. Of folders, each subfolder is a video.

\b
Exit codes: 0 done, 1 done but some images could not be read, 2 bad usage, 3 nothing was
measured (a wrong size of image, a class missing, too few samples).
"""


@click.group("experiment", epilog=GROUP_EPILOG, context_settings=CONTEXT)
def command() -> None:
    """Run published experiments again on your own data, or the project's own from scratch.

    The data sets of the papers may not be passed on: bring your own copy, or any other images of
    the same kind.
    """


command.add_command(experiment_upsampling.command)
command.add_command(experiment_families.command)


@command.command("reproduce", epilog=EPILOG, context_settings=CONTEXT)
@click.option("--setting", required=True, type=click.Choice(list(SETTINGS)), help="See below.")
@click.option("--real", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option("--generated", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--features",
    metavar="TABLE",
    type=click.Path(exists=True, dir_okay=False),
    help="Features in .npz, .csv or .parquet, in the place of folders.",
)
@click.option("--test-real", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option("--test-generated", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--test-features",
    metavar="TABLE",
    type=click.Path(exists=True, dir_okay=False),
    help="The test set, for settings that have one.",
)
@click.option(
    "--video-of",
    metavar="REGEX",
    help="Finds the video of a frame in its path; its first group, or all it matches.",
)
@click.option(
    "--published-labels",
    is_flag=True,
    help="Labels of the tables are as the authors had them (in some settings 1 is real).",
)
@click.option("--seed", default=0, help="Of the splits.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--out", metavar="FILE", type=click.Path(), help="Write the result as JSON.")
def reproduce(**options: Any) -> None:
    """Set the accuracies of a paper beside those on your data.

    The features, classifiers, splits and sample counts are those published. Each row says how many
    samples it drew, what was published for as many, and what was measured: mean and standard
    deviation over the splits, and where every tested image counts once a 95 % interval. The notes
    beneath say what is known to differ. For folders the leak audit is printed as well: where files
    give the classes away, a reproduced accuracy shows nothing.
    """
    require("gandetect experiment", "train", "sklearn", "scipy")
    _check(options)
    try:
        result = _run(options)
    except (ValueError, OSError) as error:
        if options["as_json"]:
            click.echo(json.dumps({"error": str(error)}))
        click.echo(f"Nothing was measured: {printable(str(error))}", err=True)
        sys.exit(3)
    text = json.dumps(result.to_dict(), indent=1)
    if options["out"]:
        Path(options["out"]).write_text(text + "\n", encoding="utf-8")
    click.echo(text) if options["as_json"] else _print(result)
    sys.exit(1 if result.failed else 0)


def _check(options: dict[str, Any]) -> None:
    """Refuse what cannot be meant before anything is read."""
    for prefix in ("", "test_"):
        names = [f"{prefix}{name}" for name in ("real", "generated", "features")]
        real, generated, table = (options[name] for name in names)
        flags = ["--" + name.replace("_", "-") for name in names]
        if (real is None) != (generated is None) or (table and real):
            raise click.UsageError(f"give {flags[0]} and {flags[1]}, or {flags[2]}")
        if table and Path(table).suffix.lower() == ".parquet":
            require(flags[2], "parquet", "pyarrow")
    if not options["features"] and not options["real"]:
        raise click.UsageError("give --real and --generated, or --features")
    _check_pattern(options["video_of"])
    if options["video_of"] and options["features"]:
        raise click.UsageError("--video-of is for folders; give the table a column 'video'")
    if options["published_labels"] and not options["features"]:
        raise click.UsageError("--published-labels is for tables; folders are named by class")
    if options["out"]:
        check_place(options["out"])


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise click.UsageError(
            f"--video-of {pattern!r} is no regular expression: {error}"
        ) from error


def _run(options: dict[str, Any]) -> Reproduction:
    from gandetect.cli._progress import progress_bar
    from gandetect.experiments import reproduce as run

    setting = SETTINGS[options["setting"]]
    with progress_bar() as progress:
        samples = _read(options, "", setting, progress)
        assert samples is not None
        test = _read(options, "test_", setting, progress)
        return run(setting, samples, test, seed=options["seed"], progress=progress)


def _read(
    options: dict[str, Any], prefix: str, setting: Setting, progress: Progress
) -> Samples | None:
    from gandetect.experiments import read_folders, read_table

    if table := options[f"{prefix}features"]:
        return read_table(table, setting, published_labels=options["published_labels"])
    if options[f"{prefix}real"] is None:
        return None
    return read_folders(
        options[f"{prefix}real"],
        options[f"{prefix}generated"],
        setting,
        video_of=options["video_of"],
        progress=progress,
    )


def _print(result: Reproduction) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    notes = list(dict.fromkeys(note for row in result.rows for note in row.notes))
    counts = ", ".join(f"{count} {name}" for name, count in result.samples.items())
    console.print(f"{result.setting.title}: {result.setting.source}", style="bold")
    console.print(f"wants {result.setting.images}; given {counts}", style="dim", soft_wrap=True)
    console.print(_table(result, notes))
    console.print(_audit_line(result), style="bold" if result.audit else "dim", soft_wrap=True)
    for number, note in enumerate(notes, 1):
        console.print(f"  [{number}] {note}", markup=False, highlight=False, soft_wrap=True)
    for note in result.notes:
        console.print(f"  - {note}", markup=False, highlight=False, soft_wrap=True)
    for path, reason in result.failed.items():
        click.echo(printable(f"not read: {path}: {reason}"), err=True)


def _table(result: Reproduction, notes: list[str]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("classifier", no_wrap=True)
    both = len({row.features for row in result.rows}) > 1
    for name in ("of", "features", "splits") if both else ("of", "splits"):
        table.add_column(name)
    for name in ("samples", "published", "measured", "balanced", "tested"):
        table.add_column(name, justify="right")
    table.add_column("notes")
    for row in result.rows:
        numbers = " ".join(str(notes.index(note) + 1) for note in row.notes)
        table.add_row(
            row.classifier if row.score == "accuracy" else f"{row.classifier}, {row.score}",
            row.unit,
            *([row.features] if both else []),
            f"{len(row.values)} {row.splits}" if row.values else row.splits,
            str(row.samples),
            "-" if row.published is None else f"{100 * row.published:.4g}%",
            _measured(row),
            "-" if row.balanced is None else f"{row.balanced:.1%}",
            str(row.tested) if row.tested else "-",
            numbers,
        )
    return table


def _measured(row: Row) -> str:
    if row.mean is None:
        return row.reason
    text = f"{row.mean:.3f}" if row.score == "cloaking" else f"{row.mean:.1%}"
    if row.deviation is not None:
        text += f" ± {100 * row.deviation:.1f}"
    if row.interval is not None:
        text += f" [{row.interval.low:.3f}, {row.interval.high:.3f}]"
    return text


def _audit_line(result: Reproduction) -> str:
    if result.audit is None:
        return f"leak audit: not made ({result.audit_reason})"
    if result.audit.leaks:
        return f"leak audit: LEAKS: {result.audit.reason}"
    return f"leak audit: passed, AUC {result.audit.auc} of the metadata"
