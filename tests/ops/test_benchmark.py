"""`gandetect bench`: every op of the table, agreement first, honest exits."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from gandetect.cli import main
from gandetect.ops import _ext, benchmark
from gandetect.ops._schema import SCHEMAS
from gandetect.ops.table import TABLE

compiled = pytest.mark.skipif(not _ext.available(), reason="the kernels are not compiled")


def test_every_op_is_in_the_table():
    assert {schema.split("(")[0] for schema in SCHEMAS} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_calls_agree_with_the_reference(name):
    entry = TABLE[name]
    arguments = entry.call(12, 10, 2, torch.device("cpu"))
    results = (f(*arguments) for f in (entry.op, entry.reference))
    actual, wanted = (r if isinstance(r, torch.Tensor) else r[0] for r in results)
    torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@compiled
def test_json_names_every_op_and_size():
    options = ["bench", "--json", "--seconds", "0.01", "--size", "16x16", "--size", "9x14"]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    timings = json.loads(done.stdout)["timings"]
    assert {(t["op"], t["height"], t["width"]) for t in timings} == {
        (name, *size) for name in TABLE for size in ((16, 16), (9, 14))
    }
    assert all(t["microseconds"] > 0 and t["ratio"] > 0 for t in timings)


@compiled
def test_table_for_people():
    options = ["bench", "--op", "azimuthal_spread", "--seconds", "0.01", "--size", "16x16"]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    assert "azimuthal_spread" in done.stdout
    assert "16x16" in done.stdout


@compiled
def test_a_wrong_op_is_not_timed(monkeypatch):
    spread = TABLE["azimuthal_spread"]
    monkeypatch.setattr(benchmark, "_first", lambda result: result + torch.rand(()))
    with pytest.raises(RuntimeError, match="nothing was timed"):
        list(benchmark.measure([spread.name], [(8, 8)], seconds=0.01))


@pytest.mark.parametrize(
    "options", [["--size", "0x4"], ["--op", "nothing"], ["--device", "tpu"], ["--seconds", "0"]]
)
def test_bad_usage(options):
    if options[0] == "--op" and not _ext.available():
        pytest.skip("unknown names are found before kernels are missed")
    assert CliRunner().invoke(main, ["bench", *options]).exit_code == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_nothing_to_measure():
    done = CliRunner().invoke(main, ["bench", "--device", "cuda"])
    assert done.exit_code == 3
    assert "nothing to measure" in done.output
