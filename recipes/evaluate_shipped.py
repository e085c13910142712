#!/usr/bin/env python3
"""Measure the shipped detector on generators that it has never seen.

    python recipes/third_party.py ...            (see there; makes data/third_party)
    python recipes/evaluate_shipped.py

Writes gandetect/models/upsampling-v2.evaluation.json and renders the model card anew.

No photograph here was trained on: the generators enlarged held-out ones. These are also the
photographs that the thresholds rest on, so how often reals are flagged at the stored thresholds is
no test of the certificate. That is tested by itself: thresholds from the photographs of some
packages, false alarms on those of the others, many times over.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import report_progress
from scipy.special import expit
from shipped import (
    MODELS,
    NAME,
    SEED,
    held_out_pairs,
    listed,
    write_card,
)
from third_party import FACES, UPSCALERS

from gandetect.detect.calibration import (
    CONFIDENCE,
    allowed_exceedances,
    class_thresholds,
    described_classes,
    fit_platt,
    group_scores,
)
from gandetect.detect.delivery import LOSSLESS, calibration_harm, compression_delivery
from gandetect.detect.evaluation import audit_files, folder_items, score_items, tabulate
from gandetect.detect.explanation import nearest_family
from gandetect.detect.metrics import calibration_error
from gandetect.detect.model import Model
from gandetect.detect.perturbations import GRID, named
from gandetect.detect.reference import UNKNOWN
from gandetect.detect.simulation.network import load_bank
from gandetect.detect.tiles import cut_tiles
from gandetect.detect.training import Dataset, Sample, image_files
from gandetect.media import read_luma
from gandetect.processes import processors

# Generators and the family of their last up-sampler, as `third_party.py` describes them. The images
# of realesr_video_x2 were reduced after it.
FAMILY_OF = {
    "dcgan": "learned",
    "digiface": "learned",
    "esrgan_medium": "nearest",
    "esrgan_slim": "nearest",
    "esrgan_thick": "learned",
    "realcugan": "learned",
    "realcugan_x4": "learned",
    "realesr_video": "learned",
    "realesrgan": "nearest",
    "realesrgan_anime": "nearest",
    "srmd": "learned",
    "waifu2x": "learned",
    "waifu2x_cunet": "learned",
}
FPR = 0.05
REGIONS = (64, 128)
DELIVERIES = ("none", "jpeg-90", "jpeg-75")
# Of up-scalers' images of 512 pixels: 16 tiles as `screen` scores them, and fewer, larger ones.
LARGE_REGIONS = (128, 256, 512)
SPLITS = 2000
# What generated images are compared with, and what these reals are called in the summary.
REDUCED, NATIVE = "reduced first", "as photographs are"
KINDS_OF_REALS = {
    "photographs reduced to 64 pixels": REDUCED,
    "the same, reduced first": REDUCED,
    "crops of photographs": NATIVE,
    "the crops that were enlarged": NATIVE,
}
METHOD = [
    "By `python recipes/evaluate_shipped.py`, on sets of `recipes/third_party.py`: networks that "
    "others trained, none of them used in training. `validation` sets were looked at while the "
    "recipe was chosen, and so were realesrgan and waifu2x in an earlier form. The weights of the "
    "model were chosen without a look at the other `test` sets. The rules by which soft and "
    "resized images are judged came later, when all sets had been measured: what they leave of "
    "the shares called generated is no untouched test any more. Intervals are 95 %, from "
    "resampling photographs (images of one photograph, real and enlarged, are one cluster).",
    "The photographs are those that the thresholds and the probabilities rest on: no generator "
    "and no training saw them, but how often they are called generated tests the certificate "
    "only where it says so, on halves of them.",
    "The enlarged images are compared with the very crops that were reduced and enlarged: same "
    "content, size, PNG writer. Crops of a photograph keep what its JPEG left in it, which "
    "reducing has weakened in the enlarged ones: in the `reduced` rows the photograph was reduced "
    "2x before it was cropped, so that neither class has it. **The DCGANs make faces and their "
    "reals are crops of other photographs**: content differs, the size does not.",
    "What is flagged is so at the thresholds that `gandetect screen` uses: 5 % false alarms, of "
    "the class of each image, which is how it was compressed and how large it is. `TPR` is at the "
    "threshold that suits the very set, which nobody has in practice.",
]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--held-out", type=Path, default=Path("data/held_out"))
    parser.add_argument("--networks", type=Path, default=Path("data/networks"))
    parser.add_argument("--generated", type=Path, default=Path("data/third_party"))
    parser.add_argument("--large", type=Path, default=Path("data/third_party_512"))
    parser.add_argument("--out", type=Path, default=MODELS)
    parser.add_argument("--workers", type=int, default=processors(), help="that share the images")
    arguments = parser.parse_args()
    workers = arguments.workers
    torch.set_num_threads(1)
    model = Model.load(arguments.out / f"{NAME}.safetensors")
    found = [measured(model, *one, workers=workers) for one in sets(arguments.generated)]
    rows = [row for one in found for row in one["rows"]]
    grid = [row for one in found for row in one["grid"]]
    judged = held_out_pairs(arguments.held_out, load_bank(arguments.networks), workers=workers)
    evaluation: dict[str, Any] = {
        "model": NAME,
        "sha256": model.sha256,
        "fpr": FPR,
        "thresholds": described_classes(model.class_thresholds(FPR)),
        "method": METHOD,
        "versions": versions(),
        "data": [one["data"] for one in found],
        "rows": rows,
        "summary": summary(rows),
        "grid": grid,
        "robustness": robustness(grid),
        "large": large(model, arguments.large, workers),
        "names": names_given(model, arguments.generated),
        "certificate": certificate(model, judged, listed(arguments.held_out)),
        "calibration": calibration(model, judged),
    }
    (arguments.out / f"{NAME}.evaluation.json").write_text(json.dumps(evaluation, indent=1) + "\n")
    write_card(model, arguments.out)
    for line in evaluation["summary"]:
        print(line)
    print(evaluation["certificate"])
    print(evaluation["calibration"])
    return 0


def sets(folder: Path) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """Folders of generated and of real images, and what they are."""
    for name, faces in FACES.items():
        for real, reals in (
            (f"{name}_real", "photographs reduced to 64 pixels"),
            (f"{name}_real_native", "crops of photographs"),
        ):
            about = {"generator": name, "split": faces.split, "reals": reals}
            yield folder / name, folder / real, about
    yield from upscaled_sets(folder)


def upscaled_sets(folder: Path) -> Iterator[tuple[Path, Path, dict[str, str]]]:
    """The same of the up-scalers alone."""
    for name, network in UPSCALERS.items():
        for own, reals in (
            (name, "the crops that were enlarged"),
            (f"{name}_reduced", "the same, reduced first"),
        ):
            about = {"generator": name, "split": network.split, "reals": reals}
            yield folder / own, folder / f"{own}_real", about


def measured(
    model: Model, generated: Path, real: Path, about: dict[str, str], workers: int = 0
) -> dict[str, Any]:
    """Of one set: the rows of every region and delivery, and against reals that were reduced first
    those of the whole robustness grid, each perturbation in the largest region that it leaves; its
    files and their leak audit."""
    with_grid = KINDS_OF_REALS[about["reals"]] == REDUCED
    scored = []
    for folder, label in ((real, 0), (generated, 1)):
        found, failed = score_items(
            folder_items(folder, label),
            lambda item: model,
            regions=REGIONS,
            perturbations=GRID if with_grid else named(*DELIVERIES),
            progress=report_progress,
            workers=workers,
        )
        if failed:
            print(f"left out: {failed}")
        scored.append(found)
    rows = [
        row | about
        for row in tabulate(
            scored[0],
            {about["generator"]: scored[1]},
            model.thresholds(FPR),
            classes=model.class_thresholds(FPR),
        )
    ]
    largest = {row["perturbation"]: row["region"] for row in sorted(rows, key=by_region)}
    leaks = audit_files(*scored, brightness_counts=not model.ignores_brightness)
    return {
        "rows": [row for row in rows if row["perturbation"] in DELIVERIES],
        "grid": [
            brief(row)
            for row in rows
            if with_grid and row["region"] == largest[row["perturbation"]]
        ],
        "data": {
            **about,
            "images": [len(one) for one in scored],
            "sha256": [digest(folder) for folder in (real, generated)],
            "audit": leaks.to_dict(),
        },
    }


def by_region(row: dict[str, Any]) -> int:
    """The side of the region of a row."""
    return int(row["region"])


def large(model: Model, folder: Path, workers: int = 0) -> dict[str, Any]:
    """Of the sets of larger images in `folder`: means and the worst over all generators, and the
    sets' digests and leak audits. Intervals are left out: each set is small."""
    rows, data = [], []
    for generated, real, about in upscaled_sets(folder):
        if not generated.is_dir():
            continue
        scored = []
        for one, label in ((real, 0), (generated, 1)):
            found, failed = score_items(
                folder_items(one, label),
                lambda item: model,
                regions=LARGE_REGIONS,
                perturbations=named(*DELIVERIES),
                progress=report_progress,
                workers=workers,
            )
            if failed:
                print(f"left out: {failed}")
            scored.append(found)
        limits, classes = model.thresholds(FPR), model.class_thresholds(FPR)
        told = tabulate(scored[0], {about["generator"]: scored[1]}, limits, classes=classes)
        rows += [row | about for row in told]
        digests = [digest(one) for one in (real, generated)]
        leaks = audit_files(*scored, brightness_counts=not model.ignores_brightness).to_dict()
        images = [len(one) for one in scored]
        data.append({**about, "images": images, "sha256": digests, "audit": leaks})
    # Of both splits together.
    return {"all": summary([row | {"split": "all"} for row in rows]), "data": data}


def brief(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the robustness grid."""
    kept = ("generator", "split", "region", "perturbation", "n_real", "n_generated", "auc")
    flagged = {key: row["at_threshold"][key] for key in ("real_flagged", "generated_flagged")}
    return {key: row[key] for key in kept} | flagged


def digest(folder: Path) -> str:
    """Of the images of a folder, by name and content."""
    told = hashlib.sha256()
    for path in image_files(folder):
        told.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return told.hexdigest()


def versions() -> dict[str, str]:
    """Of what may change a figure in its last digits."""
    names = ("gandetect", "torch", "numpy", "scikit-learn", "pillow", "av")
    return {name: metadata.version(name) for name in names}


def names_given(model: Model, folder: Path) -> dict[str, dict[str, Any]]:
    """Of each set: the family of its last up-sampler, and how many images get which name."""
    given = {}
    for generator, family in FAMILY_OF.items():
        for found in (folder / generator, folder / f"{generator}_reduced"):
            if found.is_dir():
                names = Counter(name_given(model, path) for path in image_files(found))
                given[found.name] = {"family": family, "named": dict(sorted(names.items()))}
    return given


def name_given(model: Model, path: Path) -> str:
    """The family that an image gets; UNKNOWN also where compression forbids to compare it."""
    data = path.read_bytes()
    luma = read_luma(data)
    tiles = cut_tiles(luma.as_uint8_range(), model.tile)
    alike, _ = nearest_family(model, tiles, lossless=compression_delivery(luma, data) == LOSSLESS)
    return UNKNOWN if alike is None else alike.family


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and worst over the generators, for each kind of reals, split, region and delivery."""

    def key(row: dict[str, Any]) -> tuple[str, str, int, str]:
        kind = KINDS_OF_REALS[row["reals"]]
        return kind, row["split"], row["region"], row["perturbation"]

    lines = []
    for kind, split, region, delivery in sorted({key(row) for row in rows}):
        own = [row for row in rows if key(row) == (kind, split, region, delivery)]
        aucs = {row["generator"]: row["auc"][0] for row in own}
        worst = min(aucs, key=lambda name: aucs[name])
        flagged = {
            f"mean_{who}_flagged": mean(row["at_threshold"][f"{who}_flagged"][0] for row in own)
            for who in ("real", "generated")
        }
        lines.append(
            {
                "reals": kind,
                "split": split,
                "region": region,
                "delivery": delivery,
                "generators": len(own),
                "mean_auc": mean(aucs.values()),
                "worst_auc": aucs[worst],
                "worst": worst,
                "mean_tpr_at_0.01": mean(row["tpr_at_0.01"][0] for row in own),
                "mean_tpr_at_0.05": mean(row["tpr_at_0.05"][0] for row in own),
                "mean_calibration_error": mean(row["calibration_error"] for row in own),
                **flagged,
            }
        )
    return lines


def robustness(grid: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and worst over all generators after each perturbation."""
    lines = []
    for perturbation in (step.name for step in GRID):
        own = [row for row in grid if row["perturbation"] == perturbation]
        if not own:
            continue
        worst = min(own, key=lambda row: row["auc"][0])
        lines.append(
            {
                "perturbation": perturbation,
                "generators": len(own),
                "mean_auc": mean(row["auc"][0] for row in own),
                "worst_auc": worst["auc"][0],
                "worst": worst["generator"],
                "mean_real_flagged": mean(row["real_flagged"][0] for row in own),
                "mean_generated_flagged": mean(row["generated_flagged"][0] for row in own),
            }
        )
    return lines


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def certificate(
    model: Model, judged: Dataset, photographs: Sequence[dict[str, str]]
) -> dict[str, Any]:
    """Thresholds from some packages' photographs, tested on the others', `SPLITS` times: that of
    all images together, and those of the classes of images, as `gandetect screen` uses them.

    `share_above`: of the splits in which more than the stated rate of the other reals was flagged,
    which a certificate of 95 % confidence allows in one of twenty, were the packages alike.
    `on_average`: thresholds as of `--conformal`, whose rates hold in the mean over the splits.
    """
    package = {row["group"]: row["package"] for row in photographs}
    first: dict[str, float] = {}
    for sample, score in scored(model, judged):
        if sample.label == 0:
            first.setdefault(sample.group, score)
    scores = np.array(list(first.values()))
    packages = np.array([package[group] for group in first])
    return {
        "photographs": len(scores),
        "packages": len(set(packages)),
        "by_photograph": _split_halves(scores, np.arange(len(scores))),
        "by_package": _split_halves(scores, packages),
        "on_average": [
            _split_halves(scores, groups, fpr, confidence=None) | {"parts": parts}
            for parts, groups in (("photographs", np.arange(len(scores))), ("packages", packages))
            for fpr in (FPR, 0.01)
        ],
        "classes_by_photograph": _split_classes(model, judged, {name: name for name in package}),
        "classes_by_package": _split_classes(model, judged, package),
    }


def calibration(model: Model, judged: Dataset) -> dict[str, Any]:
    """Of the self-made pairs of held-out photographs: the expected calibration error of the
    probabilities, Platt's two numbers for each half of the photographs from the other half.

    `by_chance`: what probabilities that are exactly right would show on so many images, with the
    95 % of it nearest the middle.
    """
    samples, scores = zip(*scored(model, judged), strict=True)
    values = np.array(scores)
    labels = np.array([sample.label for sample in samples])
    groups = np.unique([sample.group for sample in samples], return_inverse=True)[1]
    rng = np.random.default_rng(SEED)
    half = (rng.permutation(groups.max() + 1) % 2)[groups]
    probabilities = np.empty(len(values))
    for side in (0, 1):
        slope, intercept = fit_platt(values[half != side], labels[half != side])
        probabilities[half == side] = expit(slope * values[half == side] + intercept)
    lucky = [
        calibration_error((rng.random(len(labels)) < probabilities).astype(int), probabilities)
        for _ in range(SPLITS)
    ]
    return {
        "images": len(labels),
        "prevalence": float(labels.mean()),
        "calibration_error": calibration_error(labels, probabilities),
        "by_chance": [float(v) for v in (np.mean(lucky), *np.quantile(lucky, (0.025, 0.975)))],
    }


def scored(model: Model, judged: Dataset) -> Iterator[tuple[Sample, float]]:
    """The images in tiles of the model's size, and their mean logits."""
    for sample in judged.samples:
        if sample.tile == model.tile:
            yield sample, score_of(model, sample)


def score_of(model: Model, sample: Sample) -> float:
    """The mean logit of an image's tiles."""
    return float(model.score_features(torch.from_numpy(sample.features)).mean())


def _split_halves(
    scores: np.ndarray,
    groups: np.ndarray,
    fpr: float = FPR,
    confidence: float | None = CONFIDENCE,
) -> dict[str, Any]:
    rates = []
    for chosen in _halves(groups):
        own, others = np.sort(scores[chosen]), scores[~chosen]
        allowed = allowed_exceedances(len(own), fpr, confidence)
        if allowed is not None and len(others):
            rates.append(float((others > own[-1 - allowed]).mean()))
    return _told(rates, fpr)


def _split_classes(model: Model, judged: Dataset, part_of: Mapping[str, str]) -> dict[str, Any]:
    """The same for thresholds of the classes of images; `part_of`: what a photograph goes with."""
    samples = [sample for sample in judged.samples if sample.calibration_class]
    scores = np.array([score_of(model, sample) for sample in samples])
    labels = np.array([sample.label for sample in samples])
    kinds = np.array([sample.calibration_class for sample in samples])
    sources = np.array([sample.group for sample in samples])
    rates = []
    for chosen in _halves(np.array([part_of[source] for source in sources])):
        own = group_scores(scores[chosen], labels[chosen], kinds[chosen], list(sources[chosen]))
        limits = {
            name: one.thresholds.generated
            for name, one in class_thresholds(own, calibration_harm(), FPR).items()
        }
        others = ~chosen & (labels == 0)
        above = scores[others] > np.array([limits[kind] for kind in kinds[others]])
        rates.append(float(above.mean()))
    return {"images": int((labels == 0).sum()), **_told(rates)}


def _halves(groups: np.ndarray) -> Iterator[np.ndarray]:
    """`SPLITS` times which samples (N,) are of the one half of the groups."""
    rng = np.random.default_rng(SEED)
    names = np.unique(groups)
    for _ in range(SPLITS):
        yield np.isin(groups, names[rng.permutation(len(names))[: len(names) // 2]])


def _told(rates: Sequence[float], fpr: float = FPR) -> dict[str, Any]:
    return {
        "fpr": fpr,
        "splits": len(rates),
        "mean_flagged": float(np.mean(rates)),
        "share_above": float(np.mean(np.array(rates) > fpr)),
    }


if __name__ == "__main__":
    raise SystemExit(main())
