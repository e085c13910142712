"""The page of an evaluation shows every figure, escapes every name and loads nothing."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gandetect.detect.calibration import Thresholds
from gandetect.detect.evaluation import Item, Scored, drawn_curves, pooled, tabulate
from gandetect.detect.metrics import FIGURES, VERDICT_FIGURES
from gandetect.detect.perturbations import GRID
from gandetect.report.evaluation import evaluation_page, write_evaluation
from gandetect.screen.store import StoreError

HOSTILE = "<script>alert(1)</script>\"'$\\frac{$" + "W" * 60
THRESHOLDS = Thresholds(1.5, -0.5, 0.05, False, 40)


def scored(label: int, count: int, shift: float, seed: int) -> list[Scored]:
    rng = np.random.default_rng(seed)
    found = []
    for number, noise in enumerate(rng.normal(0, 1, count)):
        cells: dict[Any, Any] = {}
        for step, one in enumerate(GRID):
            logit = float(noise + shift * label * (1 - step / len(GRID)))
            cells[64, one.name] = (logit, 1 / (1 + np.exp(-logit)))
        name = f"{label}-{number}"
        found.append(Scored(Item(Path(name), label, name), cells, {}))
    return found


def result_for(name: str) -> dict[str, Any]:
    """What `gandetect evaluate --json` gives for two generators, one of them called `name`."""
    real = scored(0, 40, 0, 0)
    made = {name: scored(1, 30, 3, 1), "other": scored(1, 30, 1, 2)}
    transfer = {
        "generators": [name, "other"],
        "cells": [
            {"trained_on": a, "tested_on": b, "auc": [0.9 if a == b else 0.61, 0.5, 1.0]}
            for a in made
            for b in made
        ],
        "left_out": {name: [0.7, 0.6, 0.8], "other": [0.65, 0.6, 0.7]},
        "diagonal": 0.9,
        "off_diagonal": 0.61,
        "worst": [name, "other"],
    }
    curve = {
        "points": {"16": [0.7, 0.6, 0.8], "20": [0.75, 0.7, 0.8]},
        "left_out": {"100": "there are too few"},
        "draws": 20,
    }
    audit = {"auc": [0.5, 0.45, 0.55], "brightness": [0.5, 0.4, 0.6], "leaks": False,
             "columns": {"width": 0.5, f"info_{name}": 0.52}, "reason": ""}  # fmt: skip
    return {
        "model": f"model {name}", "sha256": "ab" * 32, "fpr": 0.05, "threshold": 1.5,
        "threshold_real": -0.5, "certified": False, "prevalence": 0.5,
        "versions": {"gandetect": "1", "torch": "2"},
        "audit": {name: audit, "other": {**audit, "leaks": True, "reason": f"metadata {name}"}},
        "region": 64,
        "rows": tabulate(real, made, THRESHOLDS, replicates=20),
        "pooled": tabulate(real, pooled(made), THRESHOLDS, replicates=20),
        "curves": drawn_curves(real, made, 64),
        "failed": {f"/media/{name}.png": f"cut {name}"},
        "trained_anew": "logistic", "transfer": transfer,
        "learning_curve": {name: curve, "other": curve},
    }  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return result_for("dcgan")


@pytest.fixture(scope="module")
def page(plain: dict[str, Any]) -> str:
    return evaluation_page(plain)


def test_every_figure_of_every_generator_is_shown(plain: dict[str, Any], page: str) -> None:
    for title in [*FIGURES.values(), *VERDICT_FIGURES.values()]:
        assert f"<td>{title}</td>" in page
    for row in plain["rows"]:
        assert "{:.3f} [{:.2f}, {:.2f}]".format(*row["auc"]) in page
    for name in ("dcgan", "other", "all generators"):
        assert f"<bdi>{name}</bdi></th>" in page


def test_pictures_of_curves_grid_transfer_and_learning_are_drawn(page: str) -> None:
    assert page.count("<svg") == 4
    for text in (
        "ROC, false alarms on a logarithmic scale", "Risk by coverage",
        "Reliability at a prevalence of 0.5", "crf-40", "trained on", "all the others",
        "training images, half of them real",
    ):  # fmt: skip
        assert f">{text}</text>" in page


def test_the_heat_map_has_the_number_of_every_cell(plain: dict[str, Any], page: str) -> None:
    grid = page[page.index('<section id="grid">') :]
    grid = grid[: grid.index("</section>")]
    numbers = re.findall(r">(\d\.\d\d)</text>", grid)
    wanted = [f"{row['auc'][0]:.2f}" for row in plain["rows"]]
    for number in set(wanted):
        assert numbers.count(number) >= wanted.count(number)


def test_a_leak_stands_above_every_figure(page: str) -> None:
    assert page.index("LEAK in") < page.index("AUC</td>")
    assert page.count("LEAK in") == 1
    assert (
        page.index("LEAK in") < page.index("Both classes re-encoded alike") < page.index("AUC</td>")
    )


def test_what_was_not_measured_is_not_drawn(plain: dict[str, Any]) -> None:
    less = {key: value for key, value in plain.items() if key not in ("transfer", "learning_curve")}
    less |= {
        "rows": [row for row in plain["rows"] if row["perturbation"] == "none"],
        "pooled": [],
        "audit": None,
        "not_trained": "1 source of one class",
    }
    page = evaluation_page(less)
    assert page.count("<svg") == 1
    assert "Not audited" in page
    assert "Not trained anew: 1 source" in page
    for section in ("grid", "transfer", "learning"):
        assert f'id="{section}"' not in page
        assert f'href="#{section}"' not in page


def test_without_a_common_region_the_tables_remain(plain: dict[str, Any]) -> None:
    page = evaluation_page({**plain, "region": None, "curves": {}})
    assert "No region is common" in page
    assert '<section id="regions">' in page


@pytest.mark.filterwarnings("error")
def test_every_name_is_text_and_nothing_else() -> None:
    hostile, harmless = (evaluation_page(result_for(name)) for name in (HOSTILE, "x" * 90))
    assert "<script" not in hostile
    assert "alert(1)" in hostile
    # Pictures may get other ticks where names are longer, but no other kind of element.
    tags = [re.findall(r"<(\w+)", page) for page in (hostile, harmless)]
    assert set(tags[0]) == set(tags[1])
    without = [re.sub(r"<svg.*?</svg>", "", page, flags=re.S) for page in (hostile, harmless)]
    tags = [re.findall(r"<(\w+)", page) for page in without]
    assert tags[0] == tags[1]


def test_the_page_loads_nothing(page: str) -> None:
    assert not re.search(r"https?://|<script|<link|<img|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_the_same_result_gives_the_same_page(plain: dict[str, Any], page: str) -> None:
    assert evaluation_page(copy.deepcopy(plain)) == page


def test_a_page_that_cannot_be_written_is_an_error(plain: dict[str, Any], tmp_path: Path) -> None:
    write_evaluation(plain, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    with pytest.raises(StoreError, match="missing"):
        write_evaluation(plain, tmp_path / "missing" / "page.html")
