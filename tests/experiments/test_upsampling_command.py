"""`gandetect experiment upsampling`: options, exit codes and what is printed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gandetect import experiments
from gandetect.cli import main
from gandetect.experiments import upsampling
from gandetect.experiments.upsampling.plan import MODES, Options

FOUND = {
    "failed": {},
    "generators": [{"name": "nearest", "failed": None}],
    "choice": {"best": {"spectral": "svm-rbf/both"}},
    "detection": {
        "svm-rbf/both": {"nearest": {"auc": [0.9991, 0.9, 1.0], "tpr_at_0.01": [0.97, 0.9, 1.0]}}
    },
    "learned": {"rows": {"nearest": {"distance": 1.25, "coverage": 0.625, "learned": False}}},
    "audit": {"nearest": {"leaks": False}},
    "answers": [{"question": "Is it?", "sentence": "Yes [so]."}],
}


@pytest.fixture
def called(monkeypatch):
    """What the command calls: a list of (data, folder, options); its result or what it raises."""
    calls: list = []

    def run(data, folder, options, *, progress):
        calls.append((data, folder, options))
        if isinstance(run.result, BaseException):
            raise run.result
        return run.result

    run.result = FOUND
    monkeypatch.setattr(upsampling, "run", run, raising=False)
    return calls, run


def invoke(tmp_path, *given):
    photographs = tmp_path / "photographs"
    photographs.mkdir(exist_ok=True)
    where = ["--data", str(photographs), "--out", str(tmp_path / "out"), "--no-report"]
    return CliRunner().invoke(main, ["experiment", "upsampling", *where, *given])


def test_the_defaults_are_everything(called, tmp_path):
    result = invoke(tmp_path)
    assert result.exit_code == 0, result.output
    ((data, folder, options),) = called[0]
    assert data == (str(tmp_path / "photographs"),)
    assert folder == str(tmp_path / "out")
    assert options == Options()
    assert options.modes == MODES


def test_options_arrive(called, tmp_path):
    result = invoke(
        tmp_path, "--preset", "smoke", "--seed", "3", "--seeds", "2", "--steps", "7", "--threads",
        "1", "--precision", "bfloat16", "--modes", "nearest,bicubic", "--spectral-modes", "none",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert called[0][0][2] == Options(
        "smoke", seed=3, seeds=2, steps=7, modes=("nearest", "bicubic"), spectral_modes=(),
        threads=1, precision="bfloat16",
    )  # fmt: skip


def test_what_is_printed_is_the_table_and_the_answers(called, tmp_path):
    told = invoke(tmp_path).stdout
    assert "0.999 [0.900, 1.000]" in told
    assert "0.970 [0.900, 1.000]" in told
    assert "NO" in told
    assert "at chance" in told
    assert "Yes [so]." in told
    assert "results.json" in told


def test_json_is_the_results(called, tmp_path):
    assert json.loads(invoke(tmp_path, "--json").stdout) == FOUND


@pytest.mark.parametrize(
    "changed",
    [
        {"failed": {"a.jpg": "truncated"}},
        {"generators": [{"name": "nearest", "failed": None}, {"name": "b", "failed": "nan"}]},
    ],
)
def test_a_failure_in_part_is_told_and_is_exit_code_1(called, tmp_path, changed):
    called[1].result = {**FOUND, **changed}
    result = invoke(tmp_path)
    assert result.exit_code == 1
    assert "truncated" in result.stderr or "b: nan" in result.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--modes", "nearest"), "two or more"),
        (("--modes", "nearest,lanczos"), "lanczos"),
        (("--modes", "nearest,bicubic"), "conv_transpose"),
        (("--seeds", "0"), "seeds"),
    ],
)
def test_options_that_cannot_be_are_bad_usage(called, tmp_path, given, said):
    result = invoke(tmp_path, *given)
    assert result.exit_code == 2
    assert said in result.output
    assert not called[0]


def test_nothing_measured_is_exit_code_3(called, tmp_path):
    called[1].result = ValueError("too few photographs")
    result = invoke(tmp_path, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"error": "too few photographs"}
    assert "too few photographs" in result.stderr


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(called, tmp_path):
    called[1].result = KeyboardInterrupt()
    result = invoke(tmp_path)
    assert result.exit_code == 130
    assert "run the same again" in result.stderr


def test_help_names_every_up_sampler_and_needs_no_photographs():
    result = CliRunner().invoke(main, ["experiment", "upsampling", "--help"])
    assert result.exit_code == 0
    assert all(mode in result.output for mode in MODES)
    assert "upsampling" in CliRunner().invoke(main, ["experiment", "--help"]).output
    assert experiments.__doc__
