"""A folder as `gandetect experiment upsampling` leaves it, small and made up, for tests of its
report. The figures follow no model; they only differ from each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DETECTORS = ("svm-rbf/radial", "svm-rbf/projections", "svm-rbf/both", "kmeans/both", "cnn/pixels")
BEST = {
    "spectral": "svm-rbf/both",
    "radial": "svm-rbf/radial",
    "projections": "svm-rbf/projections",
    "both": "svm-rbf/both",
    "network": "cnn/pixels",
}
PERTURBATIONS = ("jpeg-75", "resize-0.75")
SIDE, IMAGES, ITERATIONS = 16, 10, 200
Results = dict[str, Any]


def results_for(plain: Sequence[str], detectors: Sequence[str] = DETECTORS) -> Results:
    """Everything that results.json may hold, with the first of `plain` trained spectrally too."""
    generators = _generators(plain)
    names = [one["name"] for one in generators]
    others = [one for one in generators if one["role"] != "plain"]
    best = [one for one in detectors if one in BEST.values()]
    return {
        "format_version": 1,
        "experiment": "upsampling",
        "preset": "run",
        "options": {"seed": 0, "seeds": 2, "steps": ITERATIONS, "threads": 2, "modes": list(plain)},
        "machine": {"cpu": "a processor", "cores": 2, "threads": 2, "system": "Linux"},
        "versions": {"python": "3.11.9", "torch": "2.13.0", "compiled": True},
        "seconds": {
            "train": dict.fromkeys(names, 5000.0), "scores": dict.fromkeys(detectors, 31.0),
            "sets": 41.0,
        },
        "data": {
            "name": "photographs", "source": "packages", "license": "free", "number": 12000,
            "shape": [3, SIDE, SIDE], "sha256": "ab" * 32,
        },
        "failed": {},
        "generators": generators,
        "sets": {
            "size": SIDE, "counts": {"train": 2000, "validation": 500, "test": 1000},
            "photographs": {"train": 500, "validation": 110, "test": 220}, "format": "PNG",
            "folders": {name: f"sets/{_place(name)}" for name in ("real", *names)},
        },
        "audit": {name: _audit() for name in names},
        "learned": _learned(names),
        "spectra": _spectra(names),
        "choice": {"rule": "the highest mean AUC", "best": dict(BEST)},
        "detectors": [_detector(one, plain) for one in detectors],
        "detection": {
            one: {name: figures(one, name) for name in plain} for one in detectors
        },
        "transfer": {one: _transfer(one, plain) for one in detectors},
        "joint": {one: _joint(one, plain) for one in detectors},
        "attribution": _attribution(plain),
        "learning": {
            "sizes": [16, 100, 1000], "about": "AUC on all test images.",
            "curves": {one: _curve(one, plain) for one in best},
        },
        "robustness": _robustness(best, plain),
        "others": {
            one["name"]: {
                "base": one["base"],
                "detectors": {detector: _compared(detector, one["name"]) for detector in best},
            }
            for one in others
        },
        "answers": _answers(),
        "goals": [
            {"generator": plain[0], "goal": "AUC >= 0.999", "detector": "svm-rbf/both",
             "auc": [0.9996, 0.999, 1.0], "tpr_at_0.01": [0.99, 0.98, 1.0], "reached": True},
            {"generator": plain[-1], "goal": "AUC >= 0.999", "detector": "svm-rbf/both",
             "auc": [0.95, 0.94, 0.96], "tpr_at_0.01": [0.5, 0.4, 0.6], "reached": False},
        ],
    }  # fmt: skip


def write_folder(folder: Path, results: Results) -> Path:
    """The folder of `results`, with its images, logs and spectra."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder, results)
    names = [one["name"] for one in results["generators"]]
    for number, name in enumerate(("real", *names)):
        _write_images(folder / results["sets"]["folders"][name] / "test", number)
    for number, one in enumerate(results["generators"]):
        _write_log(folder / one["run"], number)
    np.savez(folder / "spectra.npz", **_maps(names))
    return folder


def save(folder: Path, results: Results) -> None:
    """Write results.json."""
    (folder / "results.json").write_text(json.dumps(results))


def figures(detector: str, name: str) -> Results:
    """What one detector reaches on one generator; the same for the same two names."""
    auc = _auc(detector, name)
    return {
        "auc": [auc, max(0.0, auc - 0.02), min(1.0, auc + 0.02)],
        "tpr_at_0.05": [auc - 0.05, auc - 0.1, auc],
        "tpr_at_0.01": [auc - 0.1, auc - 0.2, auc - 0.05],
        "accuracy": [auc - 0.03, auc - 0.06, auc],
        "real_accuracy": auc - 0.02,
        "generated_accuracy": auc - 0.04,
    }


def _auc(*names: str) -> float:
    """Between 0.6 and 1, by the names."""
    told = sum(ord(letter) * (place + 1) for place, letter in enumerate("".join(names)))
    return 0.6 + (told % 397) / 1000


def _place(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "+#_" else "-" for letter in name)[:40]


def _generators(plain: Sequence[str]) -> list[Results]:
    shared = {"steps": ITERATIONS, "parameters": 3_120_000, "config": {}, "failed": None}
    first = plain[0]
    found = [
        {"name": one, "role": "plain", "up": one, "spectral": "none", "seed": 0, "base": None}
        for one in plain
    ]
    found += [
        {"name": f"{first}+{kind}", "role": "spectral", "up": first, "spectral": kind, "seed": 0,
         "base": first}
        for kind in ("loss", "discriminator")
    ]  # fmt: skip
    found.append(
        {"name": f"{first}#1", "role": "repeat", "up": first, "spectral": "none", "seed": 1,
         "base": first}
    )  # fmt: skip
    return [{**one, "run": f"runs/{_place(str(one['name']))}", **shared} for one in found]


def _audit() -> Results:
    return {"auc": [0.5, 0.46, 0.54], "brightness": [0.55, 0.5, 0.6], "leaks": False,
            "columns": {"width": 0.5, "bytes": 0.61}, "reason": ""}  # fmt: skip


def _learned(names: Sequence[str]) -> Results:
    rows: Results = {
        "real": _learned_row(0.01),
        "noise": _learned_row(3.1),
        "blurred_mean": _learned_row(1.9),
    }
    for number, name in enumerate(names):
        rows[name] = {
            **_learned_row(0.3 + 0.05 * number),
            "cloaking": {"published": 0.1, "held_out": [0.12, 0.05, 0.2]},
            "learned": True,
        }
    about = {"distance": "between patches", "spectral_l1": "of profiles", "cloaking": "published"}
    return {"about": about, "rows": rows}


def _learned_row(distance: float) -> Results:
    return {
        "distance": distance, "mmd": [distance / 10, distance / 11, distance / 9], "coverage": 0.8,
        "spectral_l1": 2 * distance, "cloaking": None, "diversity": 0.95,
    }  # fmt: skip


def _spectra(names: Sequence[str]) -> Results:
    lengths = {"azimuthal": SIDE // 2 + 3, "rows": SIDE // 2, "columns": SIDE // 2}
    frequencies = {key: ((np.arange(n) + 1) / SIDE).tolist() for key, n in lengths.items()}
    profiles = {}
    for number, name in enumerate(("real", *names)):
        profiles[name] = {
            key: _profile(np.array(axis), number) for key, axis in frequencies.items()
        }
    keys = ("high_band", "nyquist_rows", "nyquist_columns", "quarter_rows", "quarter_columns",
            "corner")  # fmt: skip
    differences = {
        name: {**dict.fromkeys(keys, -3.25), "rms": 2.0 + number}
        for number, name in enumerate(names)
    }
    return {"file": "spectra.npz", "images": IMAGES, "frequencies": frequencies,
            "profiles": profiles, "differences": differences}  # fmt: skip


def _profile(frequency: Any, number: int) -> Results:
    mean = 20 - 25 * np.log10(frequency * SIDE) + number * np.sin(20 * frequency)
    return {"mean": mean.tolist(), "low": (mean - 6).tolist(), "high": (mean + 6).tolist()}


def _detector(detector: str, plain: Sequence[str]) -> Results:
    classifier, features = detector.split("/")
    grid = [
        {"settings": {"C": c}, "validation": dict.fromkeys(plain, 0.9), "mean": 0.9}
        for c in (1.0, 10.0)
    ]
    return {"id": detector, "classifier": classifier, "features": features,
            "network": classifier == "cnn", "grid": grid, "chosen": {"C": 10.0},
            "validation": 0.9}  # fmt: skip


def _transfer(detector: str, plain: Sequence[str]) -> Results:
    def auc(*names: str) -> list[float]:
        value = _auc(detector, *names)
        return [value, value - 0.03, value + 0.003]

    return {
        "generators": list(plain),
        "cells": [
            {"trained_on": one, "tested_on": other, "auc": auc(one, other)}
            for one in plain
            for other in plain
        ],
        "left_out": {name: auc(name, "left out") for name in plain},
        "diagonal": 0.9, "off_diagonal": 0.8, "worst": [plain[0], plain[1]],
    }  # fmt: skip


def _joint(detector: str, plain: Sequence[str]) -> Results:
    return {
        "training": {"real": 1998, "generated_each": 333},
        "pooled": figures(detector, "pooled"),
        "generators": {name: figures(detector, f"joint {name}") for name in plain},
    }


def _attribution(plain: Sequence[str]) -> Results:
    classes = ["real", *plain]
    confusion = {
        one: {other: 900 if one == other else 10 for other in [*classes, "unknown"]}
        for one in classes
    }
    return {
        "method": "Gaussian discriminant", "classes": classes, "confusion": confusion,
        "balanced_accuracy": [0.96, 0.95, 0.97],
        "unknown": {name: {"auc": [0.9, 0.88, 0.92], "called_unknown": [0.6, 0.57, 0.63]}
                    for name in plain},
    }  # fmt: skip


def _curve(detector: str, plain: Sequence[str]) -> Results:
    points = {
        size: {"mean": 0.7 + place / 10, "low": 0.6 + place / 10, "high": 0.75 + place / 10,
               "generators": dict.fromkeys(plain, 0.9)}
        for place, size in enumerate(("16", "100"))
    }  # fmt: skip
    if detector == "cnn/pixels":
        points["16"] |= {"low": None, "high": None}
    return {"draws": 5, "points": points, "left_out": {"1000": "500 of each class are needed"}}


def _robustness(detectors: Sequence[str], plain: Sequence[str]) -> Results:
    def rows(kind: str, names: Iterable[str]) -> Results:
        return {
            detector: {
                step: {name: figures(detector, f"{kind}{step}{name}") for name in plain}
                for step in PERTURBATIONS
            }
            for detector in names
        }

    return {
        "perturbations": ["none", *PERTURBATIONS],
        "clean_trained": rows("clean", detectors),
        "perturbed_trained": rows("perturbed", ["svm-rbf/both"]),
        "not_measured": {"cnn/pixels": {"resize-0.75": "images are too small"}},
    }


def _compared(detector: str, name: str) -> Results:
    keys = ("own", "of_base", "joint", "base_by_base", "base_by_joint")
    return {key: figures(detector, f"{key}{name}") for key in keys}


def _answers() -> list[Results]:
    comparison = {"measure": "in domain", "about": "mean AUC", "first": "svm-rbf/projections",
                  "second": "svm-rbf/radial", "values": [0.95, 0.9],
                  "difference": [0.05, 0.01, 0.09], "verdict": "first", "counts": True}  # fmt: skip
    besides = {**comparison, "first": "svm-rbf/both", "counts": False,
               "difference": [-0.05, -0.09, 0.01]}  # fmt: skip
    single = {"measure": "in domain", "about": "mean AUC", "value": [0.95, 0.94, 0.96]}
    return [
        {"id": "other_up_samplers", "question": "Does it work for other up-samplers?",
         "verdict": "partly", "sentence": "Partly: not from each to each.", "rule": "above 0.9",
         "evidence": [single]},
        {"id": "projections", "question": "Are projections better than radial?",
         "verdict": "yes", "sentence": "Yes. In domain.", "rule": "intervals",
         "evidence": [comparison, besides]},
        {"id": "neural_network", "question": "Is a neural network better?",
         "verdict": "not decided", "sentence": "Not decided: too wide.", "rule": "intervals",
         "evidence": []},
    ]  # fmt: skip


def _write_images(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(IMAGES):
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.png")


def _write_log(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(20, ITERATIONS + 1, 20):
        loss, other = rng.normal(1.2, 0.1, 2).tolist()
        lines.append({"step": step, "discriminator/loss": loss, "generator/loss": other})
        seen = {"samples/diversity": 1 - 5 / step, "samples/spectral_l1": 10 / step + seed / 10}
        lines.append({"step": step, **seen})
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def _maps(names: Sequence[str]) -> dict[str, Any]:
    axis = np.arange(SIDE) - SIDE // 2
    radius = np.hypot(*np.meshgrid(axis, axis)) + 1
    return {
        name: (30 - 20 * np.log10(radius) + number * (radius > 8)).astype(np.float32)
        for number, name in enumerate(("real", *names))
    }
