"""`gandetect evaluate`: what each option adds, in JSON and for people, and what is refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from gandetect.cli.evaluate import command
from gandetect.detect import evaluation
from gandetect.detect.metrics import REPLICATES
from gandetect.detect.perturbations import GRID


@pytest.fixture(scope="module")
def folders(
    real_images: np.ndarray, generated_images: np.ndarray, tmp_path_factory: Any
) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("images")
    parts = {"real": real_images[:14], "easy": generated_images[:14], "none": real_images[14:28]}
    for name, images in parts.items():
        (root / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(root / name / f"{number}.png")
    return {name: root / name for name in parts}


@pytest.fixture(scope="module")
def model(folders: dict[str, Path]) -> Path:
    from gandetect.cli.fit import command as fit

    path = folders["real"].parent / "model.safetensors"
    arguments = ["--real", folders["real"], "--generated", folders["easy"], "-o", path]
    assert CliRunner().invoke(fit, [str(a) for a in [*arguments, "--tile=64"]]).exit_code == 0
    return path


@pytest.fixture(scope="module")
def everything(folders: dict[str, Path], model: Path) -> Result:
    return evaluate(
        folders, model, "--grid", "--transfer", "--learning-curve", "--prevalence=0.1", "--json"
    )


def evaluate(
    folders: dict[str, Path], model: Path, *flags: str, names: tuple[str, ...] = ("easy", "none")
) -> Result:
    generated = [f"--generated={name}={folders[name]}" for name in names]
    return CliRunner().invoke(
        command, [f"--real={folders['real']}", *generated, f"--model={model}", *flags]
    )


def test_every_figure_of_the_protocol_is_there(everything: Result) -> None:
    assert everything.exit_code == 0, everything.output
    result = json.loads(everything.stdout)
    row = next(r for r in result["rows"] if r["generator"] == "easy")
    assert {
        "auc", "average_precision", "equal_error_rate", "tpr_at_0.05", "tpr_at_0.01",
        "tpr_at_0.001", "balanced_accuracy", "real_accuracy", "generated_accuracy", "brier",
        "log_loss", "calibration_error", "cllr", "at_threshold",
    } <= set(row)  # fmt: skip
    assert all(len(row[name]) == 3 for name in ("auc", "brier", "cllr", "equal_error_rate"))
    assert result["prevalence"] == 0.1
    assert {one["generator"] for one in result["pooled"]} == {"all generators"}
    assert set(result["curves"]) == {"easy", "none"}


def test_the_grid_has_a_row_per_generator_perturbation_and_region(everything: Result) -> None:
    rows = json.loads(everything.stdout)["rows"]
    places = [(row["generator"], row["region"], row["perturbation"]) for row in rows]
    assert len(set(places)) == len(places)
    for name in ("easy", "none"):
        assert {p for g, _, p in places if g == name} == {step.name for step in GRID}
    auc = {(row["generator"], row["perturbation"]): row["auc"][0] for row in rows}
    assert auc["easy", "none"] > 0.95
    assert auc["easy", "blur-4"] < auc["easy", "none"]


def test_transfer_and_learning_curve_are_of_the_models_kind(everything: Result) -> None:
    result = json.loads(everything.stdout)
    assert result["trained_anew"] == "logistic"
    cells = {(c["trained_on"], c["tested_on"]): c["auc"] for c in result["transfer"]["cells"]}
    assert set(cells) == {(a, b) for a in ("easy", "none") for b in ("easy", "none")}
    assert cells["easy", "easy"][0] > 0.9 > cells["none", "none"][0]
    curve = result["learning_curve"]["easy"]
    assert set(curve["points"]) == {"16", "20"}
    assert set(curve["left_out"]) == {"100", "1000"}


def test_the_audit_is_on_and_passes_files_written_alike(everything: Result) -> None:
    audit = json.loads(everything.stdout)["audit"]
    assert {name: one["leaks"] for name, one in audit.items()} == {"easy": False, "none": False}


def test_a_leak_is_said_loudly_and_changes_no_exit_code(
    folders: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    for path in folders["easy"].iterdir():
        Image.open(path).save(tmp_path / f"{path.stem}.jpg", quality=95)
    leaking = evaluate({**folders, "easy": tmp_path}, model, names=("easy",))
    assert leaking.exit_code == 0
    assert "LEAK in easy: metadata alone tells the classes apart" in leaking.stderr
    assert "LEAK: AUC" in leaking.stdout
    assert "Both classes re-encoded alike (jpeg-90), its AUC is" in leaking.stderr
    quiet = evaluate({**folders, "easy": tmp_path}, model, "--no-audit", names=("easy",))
    assert "LEAK" not in quiet.output
    assert "leak audit" not in quiet.output


def test_tables_for_people_hold_what_was_asked_for(folders: dict[str, Path], model: Path) -> None:
    result = evaluate(folders, model, "--grid", "--transfer", "--learning-curve")
    assert result.exit_code == 0, result.output
    for text in (
        "calibration error (ECE)", "generated called real", "robustness: AUC in region 64",
        "q50+blur2", "crf-40", "all the others", "all generators", "learning curve of logistic",
        "leak audit", "passed: AUC",
    ):  # fmt: skip
        assert text in result.stdout


def test_figures_are_the_same_however_many_processes_find_them(
    folders: dict[str, Path], model: Path
) -> None:
    flags = ("--transfer", "--learning-curve", "--json")
    alone, shared = (evaluate(folders, model, *flags, f"--workers={n}") for n in (0, 2))
    assert alone.exit_code == shared.exit_code == 0, shared.output
    assert json.loads(alone.stdout) == json.loads(shared.stdout)


def test_a_file_that_kills_its_worker_ends_with_a_sentence(
    folders: dict[str, Path], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fatal(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(evaluation, "describe", fatal)
    found = evaluate(folders, model, "--workers=2", names=("easy",))
    assert found.exit_code == 3
    assert "Nothing was measured: DataLoader worker" in found.stderr
    assert "fewer workers" in found.stderr


def test_regions_are_those_asked_for(folders: dict[str, Path], model: Path) -> None:
    found = evaluate(folders, model, "--region=32", "--region=whole", "--json", names=("easy",))
    assert found.exit_code == 0, found.output
    assert {row["region"] for row in json.loads(found.stdout)["rows"]} == {32, "whole"}
    for wrong in ("31", "16", "-64", "big"):
        refused = evaluate(folders, model, f"--region={wrong}", names=("easy",))
        assert refused.exit_code == 2
        assert "even number from 32 on, or whole" in refused.stderr
    nothing = evaluate(folders, model, "--region=128", names=("easy",))
    assert nothing.exit_code == 3
    assert "Nothing was measured: no image of both classes is as large" in nothing.stderr


def test_figures_say_what_they_are_of(
    folders: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    def data(of: dict[str, Path]) -> dict[str, Any]:
        found = json.loads(evaluate(of, model, "--json", names=("easy",)).stdout)
        assert (found["seed"], found["replicates"]) == (0, REPLICATES)
        return {"real": found["data"]["real"], **found["data"]["generated"]}

    before = data(folders)
    assert {name: one["files"] for name, one in before.items()} == {"real": 14, "easy": 14}
    for number, path in enumerate(sorted(folders["easy"].iterdir())):
        (tmp_path / path.name).write_bytes(path.read_bytes())
        if number == 0:
            Image.new("L", (64, 64)).save(tmp_path / path.name)
    after = data({**folders, "easy": tmp_path})
    assert after["real"] == before["real"]
    assert after["easy"]["sha256"] != before["easy"]["sha256"]


def test_a_rate_that_is_not_certified_is_told(folders: dict[str, Path], model: Path) -> None:
    told = evaluate(folders, model, "--fpr=0.001", names=("easy",)).stdout
    assert "0.001 false alarms, which too few images certify" in told
    assert "too few images" not in evaluate(folders, model, "--fpr=0.5", names=("easy",)).stdout


def test_too_few_sources_leave_the_other_figures(
    folders: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "one.png").write_bytes(next(folders["easy"].iterdir()).read_bytes())
    few = {**folders, "one": tmp_path}
    result = evaluate(few, model, "--learning-curve", "--json", names=("one",))
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert "at least 2" in found["not_trained"]
    assert "at least 2" in found["audit"]["one"]["reason"]
    assert found["audit"]["one"]["leaks"] is None
    assert found["rows"]
    assert "not trained anew" in result.stderr


@pytest.mark.parametrize(
    ("flags", "names", "message"),
    [
        (["--transfer"], ("easy",), "two or more generators"),
        (["--report=missing/page.html"], ("easy",), "no folder missing"),
        (["--out=missing/figures.json"], ("easy",), "no folder missing"),
        (["--prevalence=1"], ("easy",), "prevalence"),
        ([], ("easy", "easy"), "two generators named 'easy'"),
    ],
)
def test_bad_usage_is_refused_before_the_work(
    folders: dict[str, Path], model: Path, flags: list[str], names: tuple[str, ...], message: str
) -> None:
    result = evaluate(folders, model, *flags, names=names)
    assert result.exit_code == 2
    assert message in result.output


def test_help_teaches_by_examples() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    for option in ("--grid", "--transfer", "--learning-curve", "--report", "--prevalence"):
        assert text.count(option) >= 1
    assert "Would it catch a generator that it was never shown?" in text
