"""Without a GPU `make gpu` says in one line what is missing, and its tests skip or fail as told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gpu_machine
import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@without_gpu
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_gpu_stops_before_it_changes_anything():
    done = subprocess.run(
        ["make", "--no-print-directory", "gpu", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    refusal, *rest = done.stderr.splitlines()
    assert "make gpu needs an NVIDIA GPU" in refusal
    assert [line.split(":")[0] for line in rest] == ["make"]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine that has everything; tests take one thing away."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda_runtime.h").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(torch, "__version__", "2.11.0+cu130")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return monkeypatch


def test_nothing_is_missing(machine):
    assert gpu_machine.missing() is None


def test_no_torch(machine):
    machine.setitem(sys.modules, "torch", None)
    assert "has no torch" in gpu_machine.missing()


def test_a_cpu_build_of_torch(machine):
    machine.setattr(torch.version, "cuda", None)
    assert "is a CPU build" in gpu_machine.missing()


def test_an_old_torch(machine):
    machine.setattr(torch, "__version__", "2.9.1+cu128")
    assert "too old" in gpu_machine.missing()


def test_no_gpu(machine):
    machine.setattr(torch.cuda, "is_available", lambda: False)
    assert "finds no GPU" in gpu_machine.missing()


def test_no_toolkit(machine, tmp_path):
    machine.setattr(gpu_machine, "USUAL_TOOLKIT", tmp_path)
    machine.setenv("CUDA_HOME", str(tmp_path / "nothing"))
    machine.setenv("PATH", "")
    assert "no CUDA toolkit" in gpu_machine.missing()


@without_gpu
@pytest.mark.parametrize(("expected", "outcome"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_missing_gpu_skips_or_fails(expected, outcome):
    done = subprocess.run(
        [*PYTEST, f"{HERE / 'test_gpu_rules.py'}::test_graph_capture"],
        cwd=ROOT,
        env={**os.environ, "GANDETECT_EXPECT_GPU": expected},
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout
    assert "GANDETECT_EXPECT_GPU=1" in done.stdout
    assert (done.returncode == 0) == (expected == "0")
