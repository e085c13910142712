"""`gandetect evaluate`: a model and labeled folders in, figures with intervals out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gandetect.cli._common import (
    check_place,
    confidence_of,
    conformal_option,
    printable,
    require,
    workers_of,
    workers_option,
)

if TYPE_CHECKING:
    from rich.table import Table

    from gandetect.detect.calibration import ClassThresholds, Thresholds
    from gandetect.detect.evaluation import Item, Scored
    from gandetect.detect.model import Model
    from gandetect.detect.training import Sample

    Progress = Callable[[str, int, int], None]

EPILOG = """\b
What do I want to know?
  How good is it on my files, with intervals?
    gandetect evaluate --real PHOTOS/ --generated dcgan=FAKES/
  Does it survive JPEG, resizing, blur, noise and video coding?
    gandetect evaluate --real PHOTOS/ --generated dcgan=FAKES/ --grid
  Would it catch a generator that it was never shown?
    gandetect evaluate --real PHOTOS/ --generated a=A/ --generated b=B/ --transfer
  How many images does it need to be trained on?
    gandetect evaluate --real PHOTOS/ --generated a=A/ --learning-curve
  How good is it on whole videos, and how often does it raise a false alarm?
    gandetect evaluate --videos --real RECORDINGS/ --generated dcgan=CLIPS/
  Everything, as a page to read and as numbers:
    gandetect evaluate --real PHOTOS/ --generated a=A/ --generated b=B/ --grid --transfer \\
        --learning-curve --report evaluation.html --out figures.json

\b
PHOTOS/ and FAKES/ must be alike in all but their making: same sizes, same format and quality,
written by the same program. The leak audit says whether they are; nothing below a failed audit
means what it seems to, and what is left of its AUC once both classes are re-encoded alike is told
beside it. Files of the same name in both folders count as one source, as do those
with the same `source` in a folder's manifest.json.

\b
Exit codes: 0 done, 1 done in part: some images could not be scored, or there were too few to train
from, 2 bad usage, 3 nothing was measured.
"""
_LEAST_REGION = 32
COLUMNS = ("auc", "tpr_at_0.05", "tpr_at_0.01", "real_accuracy", "generated_accuracy")


@click.command(
    "evaluate",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--real",
    required=True,
    type=click.Path(exists=True, file_okay=False),
    help="Real images, for all generators alike.",
)
@click.option(
    "--generated",
    "generated",
    required=True,
    multiple=True,
    metavar="NAME=DIR",
    help="A generator's name and its images; repeat for more.",
)
@click.option("--model", "model_path", type=click.Path(exists=True), help="Default: the shipped.")
@click.option(
    "--fpr",
    default=0.05,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Use the model's thresholds for this false-alarm rate.",
)
@conformal_option
@click.option(
    "--prevalence",
    default=0.5,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of generated images for which the calibration figures hold.",
)
@click.option("--grid", is_flag=True, help="Measure after each of 24 perturbations too.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="SIDE",
    help="Measure in tiles of so many pixels, an even number from 32 on, or of the `whole` image; "
    "repeat for more.  [default: 64, 128, whole]",
)
@click.option(
    "--transfer",
    is_flag=True,
    help="Train the model's kind of classifier anew on each generator, test on each.",
)
@click.option(
    "--learning-curve", is_flag=True, help="The same from 16, 20, 100 and 1000 training images."
)
@click.option(
    "--videos",
    is_flag=True,
    help="The folders hold videos: each is judged as a whole, as `gandetect screen` does.",
)
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=1.0,
    help="With --videos: score one frame each SECONDS (0: every frame).",
)
@workers_option
@click.option("--audit/--no-audit", default=True, help="Can the files be told apart unseen?")
@click.option("--report", type=click.Path(dir_okay=False), help="Write a page (.html) to read.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the figures as JSON to a file.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(**options: Any) -> None:
    """Measure a detector on labeled folders.

    For each generator, with 95 % intervals from resampling sources: AUC, average precision, equal
    error rate, detection at 5, 1 and 0.1 % false alarms, both accuracies apart, calibration, and
    what the model's thresholds do. In tiles of 64 and 128 pixels and whole (--region), as the files
    are and after JPEG at 90 and 75. Of videos (--videos) the same for each as a whole, and false
    alarms per hour of real footage.
    """
    folders = _named(options["generated"])
    _check(options, folders)
    from gandetect.detect.loading import WorkerError
    from gandetect.screen.store import StoreError

    options["workers"] = workers_of(options["workers"])
    try:
        result = _measured(options, folders)
    except (ValueError, WorkerError, StoreError) as error:
        click.echo(f"Nothing was measured: {printable(str(error))}", err=True)
        sys.exit(3)
    _present(result, options)
    sys.exit(1 if result["failed"] or "not_trained" in result else 0)


def _named(entries: Sequence[str]) -> dict[str, str]:
    folders: dict[str, str] = {}
    for entry in entries:
        name, _, folder = entry.partition("=")
        if not name or not Path(folder).is_dir() or not folder:
            raise click.UsageError(
                f"--generated {entry!r}: give NAME=DIR with a folder that exists"
            )
        if name in folders:
            raise click.UsageError(f"two generators named {name!r}; give each its own name")
        folders[name] = folder
    return folders


def _regions(given: Sequence[str]) -> tuple[int | None, ...] | None:
    """The sides of the regions, None for the whole image; nothing where none are given."""
    sides: dict[int | None, None] = {}
    for one in given:
        side = int(one) if one.isdecimal() else None
        if one != "whole" and (side is None or side < _LEAST_REGION or side % 2):
            raise click.UsageError(
                f"--region {one!r} given; want an even number from {_LEAST_REGION} on, or whole"
            )
        sides[side] = None
    return tuple(sides) or None


def _check(options: Mapping[str, Any], folders: Mapping[str, str]) -> None:
    """Refuse before a long run what could not be finished."""
    if options["transfer"] and len(folders) < 2:
        raise click.UsageError("--transfer needs two or more generators: repeat --generated")
    _regions(options["regions"])
    for name in ("grid", "transfer", "learning_curve", "regions"):
        if options["videos"] and options[name]:
            raise click.UsageError(
                f"--{name.rstrip('s').replace('_', '-')} is of images; leave it out with --videos"
            )
    require("gandetect evaluate", "train", "scipy", "sklearn")
    if options["report"]:
        require("--report", "report", "jinja2", "matplotlib")
    for place in filter(None, (options["report"], options["out"])):
        check_place(place)


def _load(path: str | None) -> Model:
    from gandetect.detect import Model, load_shipped

    return Model.load(path) if path else load_shipped()


def _measured(options: Mapping[str, Any], folders: Mapping[str, str]) -> dict[str, Any]:
    """All that was asked for, as plain JSON values."""
    from gandetect.cli._progress import progress_bar
    from gandetect.detect.evaluation import folder_items

    model = _load(options["model_path"])
    if options["videos"]:
        return _described(model, options) | _measured_videos(model, options, folders)
    with progress_bar() as progress:
        real = folder_items(options["real"], 0, [*folders.values()])
        others = {name: [options["real"]] for name in folders}
        generated = {name: folder_items(folders[name], 1, others[name]) for name in folders}
        digests = {name: _digest(items) for name, items in generated.items()}
        result = _described(model, options)
        result["data"] = {"real": _digest(real), "generated": digests}
        result |= _scored(real, generated, model, options, progress)
        if options["transfer"] or options["learning_curve"]:
            result |= _trained(real, generated, model, options, result["failed"], progress)
    return result


def _measured_videos(
    model: Model, options: Mapping[str, Any], folders: Mapping[str, str]
) -> dict[str, Any]:
    """The figures of whole videos, and what is drawn."""
    from gandetect.cli._screen_output import screening_bar
    from gandetect.media.quiet import quiet_decoders
    from gandetect.screen.measure import Screened, measured, screened
    from gandetect.screen.pipeline import ScreenOptions

    sampling = ScreenOptions(every=options["every"] or None)
    rate = {"fpr": options["fpr"], "confidence": confidence_of(options["conformal"])}
    quiet_decoders()

    def found(folder: str, label: int, beside: Sequence[str]) -> Screened:
        with screening_bar((folder,), quiet=False) as progress:
            return screened(
                folder, label, model, sampling, beside=beside, workers=options["workers"],
                progress=progress, **rate,
            )  # fmt: skip

    real = found(options["real"], 0, [*folders.values()])
    generated = {name: found(folders[name], 1, [options["real"]]) for name in folders}
    return measured(
        real, generated, model, sampling, prevalence=options["prevalence"],
        audited=options["audit"], **rate,
    )  # fmt: skip


def _digest(items: Sequence[Item]) -> dict[str, Any]:
    """How many files there are, and one hash over those of the contents of what can be read."""
    import hashlib
    from contextlib import suppress

    hashes = []
    for item in items:
        with suppress(OSError):
            hashes.append(hashlib.sha256(item.path.read_bytes()).hexdigest())
    told = hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
    return {"files": len(items), "sha256": told}


def _described(model: Model, options: Mapping[str, Any]) -> dict[str, Any]:
    import sklearn
    import torch

    from gandetect import __version__
    from gandetect.detect.calibration import described_classes
    from gandetect.detect.metrics import REPLICATES

    thresholds, classes = _thresholds(model, options)
    return {
        "model": model.name,
        "sha256": model.sha256,
        "fpr": options["fpr"],
        "confidence": thresholds.confidence,
        "threshold": thresholds.generated,
        "threshold_real": thresholds.real,
        "certified": thresholds.certified,
        "classes": described_classes(classes),
        "prevalence": options["prevalence"],
        # Of resampling, folds and training anew.
        "seed": 0,
        "replicates": REPLICATES,
        "versions": {
            "gandetect": __version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def _thresholds(
    model: Model, options: Mapping[str, Any]
) -> tuple[Thresholds, dict[str, ClassThresholds]]:
    """Those of all images, and of each class."""
    fpr, confidence = options["fpr"], confidence_of(options["conformal"])
    return (
        model.thresholds(fpr, confidence=confidence, certify=False),
        model.class_thresholds(fpr, confidence=confidence),
    )


def _scored(
    real: Sequence[Item],
    generated: Mapping[str, Sequence[Item]],
    model: Model,
    options: Mapping[str, Any],
    progress: Progress,
) -> dict[str, Any]:
    """The figures of `model` itself, the audit, and what is drawn."""
    from gandetect.detect.evaluation import (
        DELIVERIES,
        REGIONS,
        drawn_curves,
        main_region,
        pooled,
        score_items,
        tabulate,
    )
    from gandetect.detect.perturbations import GRID

    failed: dict[str, str] = {}

    def score(name: str, items: Sequence[Item]) -> list[Scored]:
        steps = GRID if options["grid"] else DELIVERIES
        scored, errors = score_items(
            items,
            partial(_always, model),
            regions=_regions(options["regions"]) or REGIONS,
            perturbations=steps,
            progress=progress,
            workers=options["workers"],
        )
        failed.update(errors)
        if not scored:
            raise ValueError(f"{name}: none of its images could be scored")
        return scored

    reals = score(options["real"], real)
    made = {name: score(name, items) for name, items in generated.items()}
    thresholds, classes = _thresholds(model, options)
    table = partial(
        tabulate,
        thresholds=thresholds,
        classes=classes,
        prevalence=options["prevalence"],
        progress=progress,
    )
    rows = table(reals, made)
    if not rows:
        raise ValueError("no image of both classes is as large as a region; give smaller --region")
    region = main_region(rows, model.tile)
    drawn = drawn_curves(reals, made, region, prevalence=options["prevalence"]) if region else {}
    return {
        "audit": _audited(reals, made, model) if options["audit"] else None,
        "region": region,
        "rows": rows,
        "pooled": table(reals, pooled(made)) if len(made) > 1 else [],
        "curves": drawn,
        "failed": failed,
    }


def _always(model: Model, item: Item) -> Model:
    return model


def _audited(
    real: Sequence[Scored], generated: Mapping[str, Sequence[Scored]], model: Model
) -> dict[str, dict[str, Any]]:
    """The audit of the reals against each generator, or why there is none."""
    from gandetect.detect.evaluation import audit_files

    found: dict[str, dict[str, Any]] = {}
    for name, scored in generated.items():
        try:
            audit = audit_files(real, scored, brightness_counts=not model.cancels_brightness)
        except ValueError as error:
            found[name] = {"leaks": None, "reason": str(error)}
        else:
            found[name] = audit.to_dict() | {"reason": audit.reason}
    return found


def _trained(
    real: Sequence[Item],
    generated: Mapping[str, Sequence[Item]],
    model: Model,
    options: Mapping[str, Any],
    failed: dict[str, str],
    progress: Progress,
) -> dict[str, Any]:
    """The transfer matrix and the learning curves of the model's kind of classifier.

    Files that could not be read are noted in `failed`.
    """
    from gandetect.detect.transfer import (
        classifier_fit,
        learning_curve,
        load_samples,
        transfer_matrix,
    )

    def samples(items: Sequence[Item]) -> list[Sample]:
        loaded, errors = load_samples(items, model, progress, workers=workers)
        failed.update(errors)
        return loaded

    workers = options["workers"]
    reals = samples(real)
    made = {name: samples(items) for name, items in generated.items()}
    fit = classifier_fit(model.classifier)
    result: dict[str, Any] = {"trained_anew": model.classifier}
    try:
        if options["transfer"]:
            found = transfer_matrix(reals, made, fit, progress=progress, workers=workers)
            result["transfer"] = found.to_dict()
        if options["learning_curve"]:
            result["learning_curve"] = {
                name: learning_curve(reals, one, fit, progress=progress, workers=workers).to_dict()
                for name, one in made.items()
            }
    except ValueError as error:
        # Too few sources, or a model that no classifier of ours is: the other figures stand.
        result["not_trained"] = str(error)
    return result


def _present(result: dict[str, Any], options: Mapping[str, Any]) -> None:
    text = json.dumps(result, indent=1)
    _say_audit(result)
    click.echo(text) if options["as_json"] else _print(result)
    for path, reason in result["failed"].items():
        click.echo(printable(f"not scored: {path}: {reason}"), err=True)
    if "not_trained" in result:
        click.echo(printable(f"not trained anew: {result['not_trained']}"), err=True)
    if options["out"]:
        Path(options["out"]).write_text(text + "\n")
    if options["report"]:
        _write_report(result, options["report"])


def _write_report(result: dict[str, Any], path: str) -> None:
    from gandetect.report.evaluation import write_evaluation
    from gandetect.screen.store import StoreError

    try:
        write_evaluation(result, path)
    except StoreError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        sys.exit(3)
    click.echo(f"report: {printable(path)}", err=True)


def _say_audit(result: dict[str, Any]) -> None:
    from gandetect.detect.evaluation import reencoding_control

    for name, audit in (result["audit"] or {}).items():
        if audit["leaks"] is None:
            click.echo(printable(f"leak audit: {name} not audited: {audit['reason']}"), err=True)
        elif audit["leaks"]:
            text = (
                f"LEAK in {name}: {audit['reason']}. The figures of {name} may measure the files "
                "and not their making: deliver both classes alike and measure again. "
                + reencoding_control(result["rows"], name, result["region"])
            )
            click.secho(printable(text.strip()), err=True, fg="red", bold=True)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    tables = [_deliveries(result), _figures(result)]
    if any(_is_grid_only(row) for row in result["rows"]):
        tables.append(_grid(result))
    if "transfer" in result:
        tables.append(_transfer(result))
    if "learning_curve" in result:
        tables.append(_learning(result))
    for table in tables:
        console.print(table)
    if "footage" in result:
        from gandetect.screen.measure import footage_in_words

        console.print(footage_in_words(result["footage"]))


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=_text(title), title_justify="left")
    for name in columns:
        table.add_column(_text(name))
    return table


def _text(value: object) -> Any:
    """As text without markup, whatever brackets a name holds."""
    from rich.text import Text

    return Text(printable(str(value)))


def _is_grid_only(row: Mapping[str, Any]) -> bool:
    from gandetect.detect.evaluation import DELIVERIES

    return row["perturbation"] not in {one.name for one in DELIVERIES}


def _deliveries(result: dict[str, Any]) -> Table:
    """Every region as it is in the files and after the common deliveries."""
    from gandetect.detect.metrics import FIGURES

    titles = [FIGURES[name] for name in COLUMNS]
    table = _table(
        f"{result['model']}: value [95 % interval]",
        *("generator", "region", "perturbation", "images", *titles),
    )
    for row in [*result["rows"], *result["pooled"]]:
        if not _is_grid_only(row):
            table.add_row(
                _text(row["generator"]),
                str(row["region"]),
                row["perturbation"],
                f"{row['n_real']}+{row['n_generated']}",
                *(_estimate(row[name]) for name in COLUMNS),
            )
    return table


def _figures(result: dict[str, Any]) -> Table:
    """Every figure of each generator, in one region of the files as they are."""
    from gandetect.detect.metrics import FIGURES, VERDICT_FIGURES

    rows = [
        row
        for row in [*result["rows"], *result["pooled"]]
        if row["region"] == result["region"] and row["perturbation"] == "none"
    ]
    title = (
        f"region {result['region']}, files as they are; calibration at a prevalence of "
        f"{result['prevalence']:g}; thresholds for {result['fpr']:.3g} false alarms"
        + (" on average" if result["confidence"] is None else "")
        + ("" if result["certified"] else ", which too few images certify")
    )
    table = _table(title, "figure", *(row["generator"] for row in rows))
    for key, name in FIGURES.items():
        table.add_row(name, *(_estimate(row[key]) for row in rows))
    table.add_section()
    for key, name in VERDICT_FIGURES.items():
        table.add_row(name, *(_estimate(row["at_threshold"][key]) for row in rows))
    if result["audit"]:
        table.add_section()
        audits = [result["audit"].get(row["generator"]) for row in rows]
        table.add_row("leak audit", *(_audit_word(audit) for audit in audits))
    return table


def _audit_word(audit: Mapping[str, Any] | None) -> str:
    if audit is None:
        return ""
    if audit["leaks"] is None:
        return "not audited"
    return f"{'LEAK' if audit['leaks'] else 'passed'}: AUC {_estimate(audit['auc'])}"


def _grid(result: dict[str, Any]) -> Table:
    """AUC by perturbation and generator, in the region that the figures are of."""
    names = list(dict.fromkeys(row["generator"] for row in result["rows"]))
    cells = {
        (row["perturbation"], row["generator"]): row["auc"]
        for row in result["rows"]
        if row["region"] == result["region"]
    }
    table = _table(f"robustness: AUC in region {result['region']}", "perturbation", *names)
    for perturbation in dict.fromkeys(row["perturbation"] for row in result["rows"]):
        values = [cells.get((perturbation, name)) for name in names]
        table.add_row(perturbation, *("" if auc is None else _estimate(auc) for auc in values))
    return table


def _transfer(result: dict[str, Any]) -> Table:
    """AUC by the generator of the training (down) and of the test (across)."""
    transfer = result["transfer"]
    names = transfer["generators"]
    others = transfer["off_diagonal"]
    told = "no others" if others is None else f"{others:.3f} on others"
    title = (
        f"transfer of {result['trained_anew']}: AUC, trained on (down), tested on (across); mean "
        f"{transfer['diagonal']:.3f} on the same, {told}, worst {' -> '.join(transfer['worst'])}"
    )
    table = _table(title, "trained on", *names)
    cells = {(cell["trained_on"], cell["tested_on"]): cell["auc"] for cell in transfer["cells"]}
    for trained in names:
        table.add_row(_text(trained), *(_estimate(cells[trained, tested]) for tested in names))
    left_out = [_estimate(transfer["left_out"][name]) for name in names]
    table.add_row("all the others", *left_out)
    return table


def _learning(result: dict[str, Any]) -> Table:
    curves = result["learning_curve"]
    sizes = sorted({int(size) for one in curves.values() for size in one["points"]})
    title = f"learning curve of {result['trained_anew']}: AUC by training images [95 % of draws]"
    table = _table(title, "generator", *map(str, sizes), "left out")
    for name, one in curves.items():
        points = [one["points"].get(str(size)) for size in sizes]
        table.add_row(
            _text(name),
            *("" if auc is None else _estimate(auc) for auc in points),
            ", ".join(one["left_out"]),
        )
    return table


def _estimate(value: Any) -> str:
    if isinstance(value, list):
        return "{:.3f} [{:.2f}, {:.2f}]".format(*value)
    return f"{value:.3f}"
