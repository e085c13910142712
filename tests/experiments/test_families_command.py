"""`gandetect experiment families`: options, exit codes and what is printed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gandetect.cli import main
from gandetect.experiments import families
from gandetect.experiments.families.plan import FAMILIES, Options

ROW = {"auc": [0.9991, 0.9, 1.0], "tpr_at_0.01": [0.97, 0.9, 1.0]}
WORLD = {
    "failed": {},
    "generators": [{"name": "vae", "failed": None}, {"name": "dcgan", "failed": None}],
    "choice": {"best": {"spectral": "svm-rbf/both"}},
    "detection": {"svm-rbf/both": {"dcgan": ROW}},
    "learned": {
        "rows": {
            "vae": {"distance": 91.25, "coverage": 0.375, "learned": False},
            "dcgan": {"distance": 12.5, "coverage": 0.75, "learned": True},
        }
    },
    "audit": {"vae": {"leaks": True}, "dcgan": {"leaks": False}},
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

    run.result = {"worlds": {"64px": WORLD}}
    monkeypatch.setattr(families, "run", run, raising=False)
    return calls, run


def invoke(tmp_path, *given):
    photographs = tmp_path / "photographs"
    photographs.mkdir(exist_ok=True)
    where = ["--data", str(photographs), "--out", str(tmp_path / "out"), "--no-report"]
    return CliRunner().invoke(main, ["experiment", "families", *where, *given])


def test_a_family_may_be_loaded(called, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    assert invoke(tmp_path, "--load", f"vae={run}").exit_code == 0
    ((_, _, options),) = called[0]
    assert options.loaded == {"vae": str(run)}
    for wrong in ("vae", f"vae={tmp_path / 'none'}", f"strange={run}"):
        result = invoke(tmp_path, "--load", wrong)
        assert result.exit_code == 2, result.output


def test_the_defaults_are_everything(called, tmp_path):
    result = invoke(tmp_path)
    assert result.exit_code == 0, result.output
    ((data, folder, options),) = called[0]
    assert data == (str(tmp_path / "photographs"),)
    assert folder == str(tmp_path / "out")
    assert options == Options()
    assert options.families == FAMILIES


def test_options_arrive(called, tmp_path):
    result = invoke(
        tmp_path, "--preset", "smoke", "--seed", "3", "--steps", "7", "--threads", "1",
        "--precision", "bfloat16", "--families", "vae,dcgan",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert called[0][0][2] == Options(
        "smoke", ("vae", "dcgan"), seed=3, steps=7, threads=1, precision="bfloat16"
    )


def test_what_is_printed_is_a_table_with_those_that_learned_nothing(called, tmp_path):
    lines = invoke(tmp_path).stdout.splitlines()
    (vae,), (dcgan,) = ([x for x in lines if x.startswith(name)] for name in ("vae", "dcgan"))
    assert "0.999 [0.900, 1.000]" in dcgan
    assert "yes" in dcgan
    assert "NO" in vae
    assert "LEAKS" in vae
    assert "[" not in vae


def test_json_is_results(called, tmp_path):
    assert json.loads(invoke(tmp_path, "--json").stdout) == {"worlds": {"64px": WORLD}}


@pytest.mark.parametrize(
    "changes",
    [{"failed": {"a.jpg": "damaged"}}, {"generators": [{"name": "vae", "failed": "nan"}]}],
)
def test_what_could_not_be_used_is_an_exit_code_and_named(changes, called, tmp_path):
    called[1].result = {"worlds": {"64px": {**WORLD, **changes}}}
    result = invoke(tmp_path)
    assert result.exit_code == 1
    assert "a.jpg: damaged" in result.stderr or "vae: nan" in result.stderr


@pytest.mark.parametrize(
    ("raised", "code"),
    [(ValueError("too few"), 3), (OSError("full"), 3), (KeyboardInterrupt(), 130)],
)
def test_what_ends_a_run_is_an_exit_code(raised, code, called, tmp_path):
    called[1].result = raised
    assert invoke(tmp_path).exit_code == code


@pytest.mark.parametrize("given", [("--families", "vae"), ("--families", "vae,what")])
def test_families_that_cannot_be_are_bad_usage(given, called, tmp_path):
    result = invoke(tmp_path, *given)
    assert result.exit_code == 2
    assert "families" in result.stderr
