"""`gandetect bench`: every op of the table, agreement first, honest exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from gandetect.cli import main
from gandetect.ops import _ext, benchmark
from gandetect.ops._schema import SCHEMAS
from gandetect.ops.table import TABLE

compiled = pytest.mark.skipif(not _ext.available(), reason="the kernels are not compiled")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
QUICK = ("bench", "--seconds", "0.01", "--size", "16x16")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Timings of few images are as good as of many where nobody reads them."""
    monkeypatch.setitem(benchmark.BATCH_PIXELS, "cpu", 1 << 14)


def bench(*options: str):
    return CliRunner().invoke(main, [*QUICK, *options])


def test_every_op_is_in_the_table():
    """But for packing, which makes what only its op can read, and those that write into a tensor:
    they are parts of others.
    """
    names = [schema.split("(")[0] for schema in SCHEMAS]
    whole = [name for name in names if not name.startswith("pack_") and not name.endswith("_")]
    assert whole == list(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_example_calls_agree_with_the_reference(name):
    entry = TABLE[name]
    arguments = entry.call(12, 10, 2, torch.device("cpu"))
    assert benchmark._difference(entry, arguments) < 1e-4


@compiled
def test_json_names_every_op_and_size():
    done = bench("--json", "--size", "9x14")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert {(t["op"], t["height"], t["width"]) for t in report["timings"]} == {
        (name, *size) for name in TABLE for size in ((16, 16), (9, 14))
    }
    assert all(t["microseconds"] > 0 and t["ratio"] > 0 for t in report["timings"])
    assert all(t["rounds"] >= benchmark.MIN_ROUNDS for t in report["timings"])
    assert report["failures"] == []
    assert report["device_name"]


@compiled
def test_table_for_people():
    done = bench("--op", "azimuthal_spread", "--op", "azimuthal_spread")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("azimuthal_spread") == 1
    assert "16x16" in done.stdout
    assert f"torch {torch.__version__}" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("amount", [2 * benchmark.AGREEMENT, float("nan")])
@pytest.mark.parametrize("output", range(4))
def test_one_wrong_element_of_any_output_is_seen(output, amount):
    entry = TABLE["spectral_means"]
    arguments = (*entry.call(12, 10, 2, torch.device("cpu"))[:-3], True, True, True)

    class Wrong:
        name, reference = "wrong", staticmethod(entry.reference)

        @staticmethod
        def op(*arguments):
            results = entry.op(*arguments)
            results[output][-1, ...].view(-1)[-1] *= 1 + amount
            return results

    assert benchmark._difference(entry, arguments) < 1e-4
    with pytest.raises(RuntimeError, match="differs from its reference"):
        benchmark._difference(Wrong, arguments)


@pytest.fixture
def broken(monkeypatch):
    """Makes the example call of an op one that fails."""

    def break_op(name: str) -> None:
        def call(*_):
            raise RuntimeError("planted:\nout of memory")

        monkeypatch.setitem(TABLE, name, replace(TABLE[name], call=call))

    return break_op


@compiled
def test_what_fails_costs_the_others_nothing(broken):
    broken("spectral_means")
    done = bench("--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert [t["op"] for t in report["timings"]] == [n for n in TABLE if n != "spectral_means"]
    assert [f["op"] for f in report["failures"]] == ["spectral_means"]
    assert len(done.stderr.splitlines()) == 1
    assert "spectral_means at 16x16 was not timed: planted" in done.stderr


@compiled
def test_all_failed(broken):
    broken("azimuthal_spread")
    done = bench("--op", "azimuthal_spread")
    assert (done.exit_code, done.stdout) == (3, "")


@compiled
def test_an_interrupt_keeps_what_was_measured(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    last = list(TABLE)[-1]
    monkeypatch.setitem(TABLE, last, replace(TABLE[last], call=interrupted))
    done = bench("--json")
    assert done.exit_code == 130
    assert [t["op"] for t in json.loads(done.stdout)["timings"]] == list(TABLE)[:-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--size", "0x4"), "want height x width"),
        (("--size", "4"), "want height x width"),
        (("--size", "4x99999"), "from 1 to 8192"),
        (("--op", "nothing"), "choose from spectral_means"),
        (("--device", "tpu"), "choose cpu, cuda or cuda:N"),
        (("--seconds", "0"), "--seconds"),
        (("--seconds", "nan"), "--seconds"),
        (("--threads", "0"), "--threads"),
    ],
)
def test_bad_usage(options, words):
    done = bench(*options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""


@without_gpu
def test_no_gpu():
    done = bench("--device", "cuda")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "nothing could be timed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_compiled_kernels():
    done = subprocess.run(
        [sys.executable, "-m", "gandetect", *QUICK],
        env={**os.environ, "GANDETECT_DISABLE_EXT": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "switched off by GANDETECT_DISABLE_EXT" in done.stderr
    assert len(done.stderr.splitlines()) == 1
