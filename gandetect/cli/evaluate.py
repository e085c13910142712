"""`gandetect evaluate`: a model and labelled folders in, figures with intervals out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gandetect.detect.model import Model

EPILOG = """\b
Examples:
  gandetect evaluate --real PHOTOS/ --generated dcgan=FAKES/
  gandetect evaluate --real PHOTOS/ --generated a=A/ --generated b=B/ --out figures.json

\b
Exit codes: 0 done, 1 done but some images could not be scored, 2 bad usage, 3 nothing was measured.
"""
COLUMNS = ("auc", "tpr_at_0.05", "tpr_at_0.01", "real_accuracy", "generated_accuracy")


@click.command(
    "evaluate",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("--real", required=True, type=click.Path(exists=True, file_okay=False))
@click.option(
    "--generated",
    "generated",
    required=True,
    multiple=True,
    metavar="NAME=DIR",
    help="A generator's name and its images; repeat for more.",
)
@click.option("--model", "model_path", type=click.Path(exists=True), help="Default: the shipped.")
@click.option("--fpr", default=0.05, type=click.FloatRange(0, 1, min_open=True, max_open=True))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the figures as JSON to a file.")
def command(
    real: str,
    generated: tuple[str, ...],
    model_path: str | None,
    fpr: float,
    as_json: bool,
    out: str | None,
) -> None:
    """Measure a detector on labelled folders.

    For each generator: AUC, the rates of detection at 5 % and 1 % false alarms and more, with 95 %
    intervals, in tiles of 64 and 128 pixels and whole, as the files are and after JPEG at 90 and
    75. Images of the same name in both folders are taken to share their source.
    """
    folders = dict(_named(entry) for entry in generated)
    try:
        result = _measure(real, folders, _load(model_path), fpr)
    except ValueError as error:
        click.echo(f"Nothing was measured: {error}", err=True)
        sys.exit(3)
    text = json.dumps(result, indent=1)
    if out:
        Path(out).write_text(text + "\n")
    click.echo(text) if as_json else _print(result)
    sys.exit(1 if result["failed"] else 0)


def _named(entry: str) -> tuple[str, str]:
    name, separator, folder = entry.partition("=")
    if not separator or not Path(folder).is_dir():
        raise click.UsageError(f"--generated {entry!r}: give NAME=DIR with a folder that exists")
    return name, folder


def _load(path: str | None) -> Model:
    from gandetect.detect import Model, load_shipped

    return Model.load(path) if path else load_shipped()


def _measure(real: str, folders: dict[str, str], model: Model, fpr: float) -> dict[str, Any]:
    from gandetect.cli._progress import progress_bar
    from gandetect.detect.evaluation import folder_items, score_items, tabulate

    def score(folder: str, label: int) -> list[Any]:
        scored, errors = score_items(
            folder_items(folder, label), lambda item: model, progress=progress
        )
        failed.update(errors)
        if not scored:
            raise ValueError(f"{folder}: none of its images could be scored")
        return scored

    failed: dict[str, str] = {}
    with progress_bar() as progress:
        reals = score(real, 0)
        made = {name: score(folder, 1) for name, folder in folders.items()}
    threshold = model.thresholds(fpr, certify=False).generated
    return {
        "model": model.name,
        "sha256": model.sha256,
        "fpr": fpr,
        "threshold": threshold,
        "rows": tabulate(reals, made, threshold),
        "failed": failed,
    }


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['model']}: value [95 % interval]")
    for name in ("generator", "region", "JPEG", "images", *COLUMNS):
        table.add_column(name)
    for row in result["rows"]:
        figures = ["{:.3f} [{:.2f}, {:.2f}]".format(*row[name]) for name in COLUMNS]
        count = f"{row['n_real']}+{row['n_generated']}"
        table.add_row(row["generator"], str(row["region"]), str(row["quality"]), count, *figures)
    Console().print(table)
    for path, reason in result["failed"].items():
        click.echo(f"not scored: {path}: {reason}", err=True)
