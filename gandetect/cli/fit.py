"""`gandetect fit`: folders in, a calibrated model file out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gandetect.cli._classes import class_table
from gandetect.cli._common import check_place, require, workers_of, workers_option

if TYPE_CHECKING:
    from gandetect.detect.features import Spec
    from gandetect.detect.networks.training import Progress
    from gandetect.detect.training import Dataset, Fit

# Named here as well as in `detect.classifiers`, so that --help imports no torch.
CLASSIFIERS = {
    "logistic": "spectral profiles, logistic regression",
    "additive": "spectral profiles, a piecewise linear function of each band",
    "svm": "spectral profiles, support vector machine",
    "forest": "spectral profiles, random forest",
    "boosted": "spectral profiles, gradient-boosted trees",
    "kmeans": "spectral profiles, clusters named by majority",
    "spectrum": "log spectrum in two dimensions, logistic regression",
    "dct": "log cosine transform, logistic regression (Frank et al. 2020)",
    "cnn": "plain convolutional network on pixels",
    "cnn-spectrum": "convolutional network on the log spectrum (Zhang et al. 2019)",
    "cnn-residual": "residual network on neighbor residuals (NPR, Tan et al. 2024)",
    "mask": "network that marks edits, taught by self-made ones (--simulate)",
    "warp": "network that finds warps and undoes them, taught by self-made ones (--simulate)",
    "fusion": "several of them (--member), their logits weighed by stacking",
    "attribution": "which of the generators, each a sub-folder of --generated, or unknown",
}
ATTRIBUTION = "attribution"
# Taught by edits of the photographs while they train; they have nothing to learn from labels.
MAPS = ("mask", "warp")
EPILOG = """\b
Examples:
  gandetect fit --real PHOTOS/ --simulate -o model.safetensors
  gandetect fit --real PHOTOS/ --generated FAKES/ -o model.safetensors --classifier svm
  gandetect fit --real PHOTOS/ --simulate -o mask.safetensors --classifier mask --steps 2000
  gandetect screen ARCHIVE/ --model model.safetensors

\b
Files of the same name in both folders count as one source, as do those with the same `source` in a
folder's manifest.json; no source is on both sides of a split.

\b
Exit codes: 0 done, 1 done but some images could not be used, 2 bad usage, 3 nothing was fitted
(no usable images, or the files of the two classes differ in more than how they were made).

\b
Classifiers:
""" + "\n".join(f"  {name:14}{about}" for name, about in CLASSIFIERS.items())


@click.command(
    "fit",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("--real", required=True, type=click.Path(exists=True, file_okay=False))
@click.option("--generated", type=click.Path(exists=True, file_okay=False))
@click.option("--simulate", is_flag=True, help="Make the generated images from the photographs.")
@click.option(
    "--networks",
    type=click.Path(exists=True, file_okay=False),
    help="Folder of small trained generators to simulate with as well (recipes/networks.py).",
)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False))
@click.option(
    "--classifier",
    default="logistic",
    type=click.Choice(list(CLASSIFIERS)),
    help="See below; logistic can explain its verdicts and is the quickest.",
)
@click.option(
    "--member",
    "members",
    multiple=True,
    type=click.Choice([n for n in CLASSIFIERS if n not in ("fusion", ATTRIBUTION, *MAPS)]),
    help="A classifier of a fusion; repeat. Default: logistic, spectrum and cnn-residual.",
)
@click.option("--tile", default=128, type=click.IntRange(min=32), help="Side of the tiles.")
@click.option("--pairs", default=8, type=click.IntRange(min=1), help="Per photograph (simulate).")
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Steps of training of mask and warp, of 16 new images each.  [default: 600]",
)
@workers_option
@click.option("--seed", default=0)
@click.option("--fpr", default=0.05, type=click.FloatRange(0, 1, min_open=True, max_open=True))
@click.option("--allow-leak", is_flag=True, help="Fit although the files' format gives them away.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(**options: Any) -> None:
    """Train a detector from folders, or from photographs alone.

    With --simulate no generated images are needed: photographs are passed through random
    up-sampling pipelines, and delivered like the photographs themselves. Scores are calibrated on
    folds that did not see the photograph, and what so few images cannot show is said.
    """
    from gandetect.detect.loading import WorkerError

    require("gandetect fit", "train", "scipy", "sklearn")
    if options["simulate"]:
        require("--simulate", "train", "cv2")
    _check_maps(options)
    if options["simulate"] == bool(options["generated"]):
        raise click.UsageError("give either --generated DIR or --simulate")
    if options["networks"] and not options["simulate"]:
        raise click.UsageError("--networks is for --simulate")
    if options["workers"] is not None and options["classifier"] in (*MAPS, ATTRIBUTION):
        raise click.UsageError(f"--workers is not for --classifier {options['classifier']}")
    if options["members"] and options["classifier"] != "fusion":
        raise click.UsageError("--member is for --classifier fusion")
    if options["classifier"] == ATTRIBUTION:
        _attribution(options)
    options["workers"] = workers_of(options["workers"])
    try:
        dataset, fit = _fit(options)
    except (ValueError, WorkerError) as error:
        if options["as_json"]:
            click.echo(json.dumps({"error": str(error)}))
        click.echo(f"Nothing was fitted: {error}", err=True)
        sys.exit(3)
    fit.model.save(options["output"])
    result = _result(dataset, fit, options)
    click.echo(json.dumps(result, indent=1)) if options["as_json"] else _print(result)
    sys.exit(1 if dataset.failed else 0)


def _attribution(options: dict[str, Any]) -> NoReturn:
    """Fit what names generators, as `gandetect attribute --fit` does, which has more options."""
    from gandetect.cli.attribute import fitted, report
    from gandetect.detect.attribution import REAL, UNKNOWN

    if options["simulate"]:
        raise click.UsageError("attribution learns from images of generators: give --generated DIR")
    if options["tile"] % 2:
        raise click.UsageError(f"--tile {options['tile']} given; give an even number")
    inside = sorted(path for path in Path(options["generated"]).iterdir() if path.is_dir())
    folders = {path.name: str(path) for path in inside if not path.name.startswith(".")}
    if not folders or {REAL, UNKNOWN} & set(folders):
        raise click.UsageError(
            f"--generated {options['generated']}: want a sub-folder for each generator, none of "
            f"them named {REAL} or {UNKNOWN}; there are {sorted(folders)}"
        )
    check_place(options["output"])
    report({**options, "sources": folders, "method": "discriminant"}, fitted)


def _check_maps(options: dict[str, Any]) -> None:
    """Refuse what networks that learn from edits have no use for, and --steps for the others."""
    classifier = options["classifier"]
    if classifier not in MAPS:
        if options["steps"] is not None:
            raise click.UsageError("--steps is for --classifier mask and warp")
        return
    if options["generated"] or not options["simulate"]:
        raise click.UsageError(
            f"{classifier} learns from edits made of the photographs, not from folders of fakes: "
            "give --real DIR --simulate without --generated"
        )
    if options["networks"]:
        raise click.UsageError(f"--networks is not for --classifier {classifier}")


def _fit(options: dict[str, Any]) -> tuple[Dataset, Fit]:
    from gandetect.cli._progress import progress_bar
    from gandetect.detect.fusion import MEMBERS, Family, fit_fusion
    from gandetect.detect.training import fit_model

    classifier = options["classifier"]
    common: dict[str, Any] = {
        "name": Path(options["output"]).stem,
        "tile": options["tile"],
        "seed": options["seed"],
        "allow_leak": options["allow_leak"],
        "details": {"simulated": options["simulate"]},
    }
    with progress_bar() as progress:
        if classifier in MAPS:
            return _fit_maps(options, progress)
        common["progress"] = progress
        if classifier != "fusion":
            dataset, spec = _load(classifier, options, progress)
            return dataset, fit_model(dataset, spec, classifier=classifier, **common)
        # Members see the same images, so those too small for one are left out for all.
        families = [
            Family(name, _load(name, options, progress, min_side=options["tile"])[0])
            for name in options["members"] or MEMBERS
        ]
        return families[0].dataset, fit_fusion(families, **common)


def _fit_maps(options: dict[str, Any], progress: Progress) -> tuple[Dataset, Fit]:
    from gandetect.detect.map_training import fit_maps, load_photographs
    from gandetect.detect.networks.streaming import Steps
    from gandetect.detect.training import Dataset

    kind, tile = options["classifier"], options["tile"]
    photographs, failed = load_photographs(kind, options["real"], tile, progress)
    fit = fit_maps(
        kind,
        photographs,
        name=Path(options["output"]).stem,
        tile=tile,
        seed=options["seed"],
        steps=Steps(count=options["steps"]) if options["steps"] else None,
        allow_leak=options["allow_leak"],
        progress=progress,
    )
    return Dataset(failed=failed), fit


def _load(
    classifier: str, options: dict[str, Any], progress: Progress, min_side: int = 0
) -> tuple[Dataset, Spec]:
    """The images as `classifier` sees them."""
    from gandetect.detect.classifiers import spec_for
    from gandetect.detect.simulation.network import load_bank
    from gandetect.detect.training import Dataset, load_folder, simulate_folder

    dataset, tile = Dataset(), options["tile"]
    spec = spec_for(classifier, tile)
    if options["simulate"]:
        simulate_folder(
            dataset,
            options["real"],
            spec,
            (tile,),
            pairs=options["pairs"],
            seed=options["seed"],
            progress=progress,
            min_side=min_side,
            networks=load_bank(options["networks"]) if options["networks"] else (),
            workers=options["workers"],
        )
        return dataset, spec
    folders = (options["real"], options["generated"])
    for label, folder in enumerate(folders):
        beside = [other for other in folders if other != folder]
        load_folder(
            dataset,
            folder,
            label,
            spec,
            tile,
            progress,
            min_side=min_side,
            beside=beside,
            workers=options["workers"],
        )
    return dataset, spec


def _result(dataset: Dataset, fit: Fit, options: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from gandetect.detect.calibration import described_classes

    certified = fit.smallest_rate <= options["fpr"]
    thresholds = fit.model.thresholds(options["fpr"], certify=False)
    return {
        "model": str(options["output"]),
        "sha256": fit.model.sha256,
        "classifier": fit.model.classifier,
        "images": {"real": fit.n_real, "generated": fit.n_generated},
        "auc": fit.auc.to_list(),
        "accuracy": {name: rate.to_list() for name, rate in fit.accuracy.items()},
        "thresholds": {**asdict(thresholds), "certified": certified},
        "classes": described_classes(fit.model.class_thresholds(options["fpr"])),
        "smallest_certifiable_fpr": fit.smallest_rate,
        "audit": fit.audit.to_dict() if fit.audit else None,
        "failed": dataset.failed,
        "judged": fit.model.card["judged"]["on"],
        "maps": fit.model.card.get("maps"),
    }


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{result['model']}  ({result['classifier']})", show_header=False)
    table.add_row("images", _images(result))
    table.add_row(f"AUC, {result['judged']}", _interval(result["auc"]))
    for name, rate in result["accuracy"].items():
        table.add_row(f"{name} recognized", _interval(rate))
    for kind, found in (result["maps"] or {"found": {}})["found"].items():
        table.add_row(f"held-out: {kind}", _finding(found))
    if result["audit"]:
        verdict = "LEAKS, overridden" if result["audit"]["leaks"] else "passed"
        table.add_row("leak audit", f"{verdict}: AUC {_interval(result['audit']['auc'])}")
        table.add_row("brightness alone", f"AUC {_interval(result['audit']['brightness'])}")
    thresholds = result["thresholds"]
    table.add_row(
        f"thresholds at {thresholds['fpr']:.1%} false alarms",
        f"real below {thresholds['real']:.3f}, generated above {thresholds['generated']:.3f}",
    )
    table.add_row("", _certificate(result))
    for path, reason in result["failed"].items():
        table.add_row("not used", f"{path}: {reason}")
    console = Console()
    console.print(table)
    if result["classes"]:
        console.print(class_table(result["classes"], thresholds["fpr"]))


def _images(result: dict[str, Any]) -> str:
    if result["maps"]:
        examples = result["maps"]["taught"]["examples"]
        return f"{result['images']['real']} photographs, {examples} images made of them"
    return "{real} real, {generated} generated".format(**result["images"])


def _finding(found: dict[str, Any]) -> str:
    """What a map showed of one kind of edit, in words."""
    parts = [f"{found['images']} images"]
    if "auc" in found:
        parts.append(f"AUC {_interval(found['auc'])}")
    if "iou" in found:
        parts.append(f"mean IoU {found['iou']:.3f}, F1 {found['f1']:.3f}")
    if "marked" in found:
        parts.append(f"{found['marked']:.1%} of the pixels marked")
    if "end_point_error" in found:
        parts.append(
            f"end-point error {found['end_point_error']:.2f} pixels; an answer of no flow: "
            f"{found['end_point_error_of_no_flow']:.2f}"
        )
    return ", ".join(parts)


def _certificate(result: dict[str, Any]) -> str:
    thresholds, smallest = result["thresholds"], result["smallest_certifiable_fpr"]
    if thresholds["certified"]:
        return (
            f"certified with {thresholds['confidence']:.0%} confidence by {thresholds['n_real']} "
            f"real images; the smallest these can certify is {smallest:.2%}"
        )
    return (
        f"NOT certified: {thresholds['n_real']} real and {thresholds['n_generated']} generated "
        f"images certify no less than {smallest:.1%}; add images"
    )


def _interval(values: list[float]) -> str:
    return "{:.3f}  (95 %: {:.3f} to {:.3f})".format(*values)
