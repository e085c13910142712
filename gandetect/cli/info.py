"""`gandetect info`: versions, how the kernels were built, and the model in use."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from gandetect.cli._common import confidence_of, conformal_option

_LIBRARIES = ("torch", "numpy", "av", "simplejpeg", "pillow", "safetensors", "scikit-learn")
_OPTIONAL = ("scipy", "matplotlib", "jinja2", "pyarrow")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _model(path: Path | None, fpr: float, conformal: bool) -> dict[str, Any]:
    from gandetect.detect import Model, load_shipped
    from gandetect.detect.calibration import described_classes

    model = load_shipped() if path is None else Model.load(path)
    confidence = confidence_of(conformal)
    classes = described_classes(model.class_thresholds(fpr, confidence=confidence))
    described = {"name": model.name, "sha256": model.sha256, "tile": model.tile}
    rate = {"fpr": fpr, "confidence": confidence}
    return {**described, "card": model.card, **rate, "classes": classes}


@click.command("info")
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Describe this model file instead of the one that ships.",
)
@click.option(
    "--fpr",
    metavar="RATE",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Show the thresholds of the model's classes of images at this false-alarm rate.",
)
@conformal_option
@click.option("--json", "as_json", is_flag=True, help="Print everything, the model card included.")
def command(model: Path | None, fpr: float, conformal: bool, as_json: bool) -> None:
    """Show versions, how the kernels were built, and the model.

    \b
    Examples:
      gandetect info
      gandetect info --json --model mine.safetensors | jq .model.card
    """
    import gandetect

    try:
        described = _model(model, fpr, conformal)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    report = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "kernels": gandetect.show_config(),
        "libraries": {name: _version(name) for name in (*_LIBRARIES, *_OPTIONAL)},
        "model": described,
    }
    if as_json:
        click.echo(json.dumps(report, indent=2, default=str))
        return
    _print(report)


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    kernels = report["kernels"]
    compiled = (
        f"compiled, {kernels['cpu_isa']}, CUDA {'in' if kernels['cuda'] else 'not in'} this build"
        if kernels["compiled"]
        else f"pure torch: {kernels['reason']}"
    )
    table.add_row("gandetect", kernels["gandetect"])
    table.add_row("kernels", compiled)
    table.add_row("python", f"{report['python']} on {report['system']}")
    for name, found in report["libraries"].items():
        table.add_row(name, found)
    table.add_row("model", f"{report['model']['name']}  sha256 {report['model']['sha256'][:16]}")
    console = Console()
    console.print(table)
    _print_classes(console, report["model"])


def _print_classes(console: Any, model: dict[str, Any]) -> None:
    """The classes of images that can be called generated; of the others there is nothing to say."""
    from gandetect.cli._classes import class_table

    classes = {
        name: found
        for name, found in model["classes"].items()
        if found["n_own"] or found["basis"] != "none"
    }
    if classes:
        console.print()
        console.print(class_table(classes, model["fpr"], on_average=model["confidence"] is None))
        console.print("images of other classes are inconclusive")
