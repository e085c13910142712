"""The up-sampling benchmark at tiny settings: its file is complete, its table can be read."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
REFERENCE = {**os.environ, "GANDETECT_DISABLE_EXT": "1"}
QUICK = ("--allow-reference", "--seconds", "0.001", "--threads", "1")
OURS = {
    "gandetect",
    "gandetect, packed",
    "gandetect, channels_last",
    "gandetect, packed, channels_last",
}


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH / "upsampling.py"), *options]
    return subprocess.run(command, env=REFERENCE, capture_output=True, text=True, check=False)


def measured(path: Path, cases: str, *options: str) -> dict:
    done = bench(*QUICK, *options, "--cases", cases, "--json", str(path / "upsampling.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[1/1]" in done.stderr
    return json.loads((path / "upsampling.json").read_text(encoding="utf-8"))


def table_of(results: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location("bench_table", BENCH / "table.py")
    assert spec is not None
    assert spec.loader is not None
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    table.RESULTS = results
    table.draw_upsampling(results / "upsampling.png")
    assert (results / "upsampling.png").stat().st_size > 10_000
    return table.upsampling()


def test_a_peer_that_cannot_run_says_why(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    from upsampling_peers import Candidates

    def refused():
        raise RuntimeError("no such kernel\nmore of it")

    found = Candidates()
    found.add("a peer", refused)
    assert (found.runs, found.missing) == ({}, {"a peer": "RuntimeError: no such kernel"})
    with pytest.raises(RuntimeError, match="no such kernel"):
        found.add("gandetect", refused)


@pytest.mark.parametrize("name", ["gandetect", "eager"])
def test_nothing_that_disagrees_is_timed(monkeypatch, name):
    monkeypatch.syspath_prepend(str(BENCH))
    from upsampling_peers import PEER_LIMIT, refuse_beyond

    refuse_beyond({name: 1e-6}, 2e-6)
    for wrong in (2 * PEER_LIMIT, float("inf")):
        with pytest.raises(SystemExit, match=name):
            refuse_beyond({name: wrong}, 2e-6)


def test_without_kernels_nothing_is_timed():
    done = bench("--seconds", "0.001")
    assert done.returncode == 1
    assert "switched off by GANDETECT_DISABLE_EXT" in done.stderr


def test_convolution(tmp_path, monkeypatch):
    cases = "n=16, conv_transpose2d + BN + ReLU, 128 to 64 at 16x16"
    report = measured(tmp_path, cases, "--no-compile")
    (case,) = report["cases"]
    peers = {"eager", "eager, folded", "eager, channels_last", "prepacked oneDNN"}
    assert set(case["results"]) == OURS | peers
    assert set(case["missing"]) == {"torch.compile", "torch.compile, frozen"}
    assert set(case["ratio_to"]) == OURS
    assert case["ratio_to"]["gandetect"]["gandetect"] == 1
    assert case["best_existing"] in peers
    assert max(case["error"].values()) < 1e-5
    assert case["gflop"] == pytest.approx(16 * 2e-9 * 128 * 64 * 16 * 256)
    assert case["bytes_at_least"] == 4 * (16 * 128 * 256 + 128 * 64 * 16 + 64 + 16 * 64 * 1024)
    (memory,) = report["memory"]
    assert memory["peak_bytes"]["eager"] >= 4 * 16 * 64 * 1024
    table = table_of(tmp_path, monkeypatch)
    assert "| conv_transpose2d + BN + ReLU, n = 16 and 64 |" in table
    assert case["best_existing"] in table


def test_what_moves_memory(tmp_path, monkeypatch):
    report = measured(tmp_path, "n=1, max_unpool2d", "--no-compile")
    (case,) = report["cases"]
    assert {"memcpy", "clone", "torch.zeros"} == set(case["yardsticks"])
    assert case["best_existing"] in ("eager", "eager, channels_last", "zeros and scatter_")
    assert case["share_of_memcpy"] > 0
    assert set(report["default_allocator"]) == {"n=1, max_unpool2d, 128 at 16x16"}
    assert "of memcpy" in table_of(tmp_path, monkeypatch)


def test_training_step(tmp_path, monkeypatch):
    name = "conv_transpose2d + ReLU, 256 to 128 at 8x8, training"
    (case,) = measured(tmp_path, name, "--no-compile")["cases"]
    assert set(case["gradient_error"]) == {"x", "weight", "bias"}
    errors = [case["error"], *case["gradient_error"].values()]
    assert max(max(of_part.values()) for of_part in errors) < 1e-5
    assert "gandetect, packed" in case["missing"]
    assert "training step" in table_of(tmp_path, monkeypatch)


@pytest.mark.slow
def test_freezing_is_in_force(tmp_path):
    (case,) = measured(tmp_path, "n=1, conv_transpose2d + tanh, 64 to 3")["cases"]
    assert case["generated_code"]["torch.compile, frozen"] == {"prepacked": 1, "plain": 0}
    assert case["generated_code"]["torch.compile"] == {"prepacked": 0, "plain": 1}
    assert {"torch.compile", "torch.compile, frozen"} <= set(case["results"])


def test_unknown_case():
    done = bench(*QUICK, "--cases", "nothing like it")
    assert done.returncode == 1
    assert "no case has" in done.stderr
