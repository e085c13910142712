"""`gandetect screen` on the command line."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from making_results import RUN, SPEC

from gandetect.cli import main
from gandetect.cli._common import printable
from gandetect.cli._screen_output import screening_bar
from gandetect.cli.screen import command
from gandetect.screen import Limits, Progress, pipeline
from gandetect.screen.store import iter_rows, run_info
from gandetect.screen.writer import Writer

# The package gives the name `screen` to the command.
command_module = importlib.import_module("gandetect.cli.screen")


class Invoke(Protocol):
    def __call__(self, *args: object) -> Result: ...


@pytest.fixture
def invoke(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """`gandetect screen` in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Result:
        command = ["screen", "--model", str(model_file), "--workers", "0", *map(str, args)]
        return CliRunner().invoke(main, command)

    return run


@pytest.fixture
def passed(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What `screen` would be called with."""
    calls: list[dict[str, Any]] = []

    def record(paths: Any, **options: Any) -> None:
        calls.append({"paths": paths, **options})
        raise ValueError("recorded")

    monkeypatch.setattr("gandetect.screen.screen", record)

    def run(*args: object) -> dict[str, Any]:
        calls.clear()
        result = invoke(*args)
        assert "recorded" in result.stderr, result.stderr
        return calls[0]

    return run


def test_a_table_and_a_summary(invoke: Invoke, clips: Path, tmp_path: Path) -> None:
    result = invoke(clips)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["path", "kind", "verdict", "p", "reason"]
    assert [line.split()[0] for line in lines[1:7]] == sorted(map(str, clips.iterdir()))
    assert lines[-2].startswith("6 files: ")
    assert lines[-1].startswith("arbitrary, false alarms at most 0.05: generated above p 0.")
    assert "results: screen.sqlite (run 1)" in result.stderr
    assert (tmp_path / "screen.sqlite").exists()


def test_a_second_run_goes_on_from_the_first(invoke: Invoke, clips: Path) -> None:
    invoke(clips / "0.jpeg")
    result = invoke(clips)
    assert "screen.sqlite (run 2)" in result.stderr
    assert "; 1 of them screened before; " in result.stdout


def test_resuming_needs_a_results_file(invoke: Invoke, clips: Path, tmp_path: Path) -> None:
    result = invoke(clips, "--resume")
    assert result.exit_code == 2
    assert "--resume: there is no results file screen.sqlite" in result.stderr
    assert not list(tmp_path.iterdir())
    invoke(clips / "0.jpeg")
    assert invoke(clips, "--resume", "--json").exit_code == 0


def test_again_and_retry_errors(invoke: Invoke, clips: Path, corpus: Path) -> None:
    def known(*options: str) -> int:
        return int(json.loads(invoke(clips / "0.jpeg", cut, "--json", *options).stdout)["n_known"])

    cut = corpus / "cut.jpg"
    assert [known(), known(), known("--again"), known("--retry-errors")] == [0, 2, 0, 1]


# --- options ---

DEFAULTS = {
    "paths": ("x",),
    "db": "screen.sqlite",
    "every": 1.0,
    "keyframes": False,
    "max_frames": None,
    "region": "tiles",
    "max_tiles": 16,
    "fpr": 0.05,
    "fdr": None,
    "confidence": 0.95,
    "prevalence": 0.5,
    "batch_size": 64,
    "workers": 0,
    "device": "cpu",
    "limits": Limits(60.0, 14400.0, 4096 << 20),
    "again": False,
    "retry_errors": False,
    "progress": None,
}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("--every 2", {"every": 2.0}),
    ("--every 0", {"every": None}),
    ("--fps 5", {"every": 0.2}),
    ("--keyframes", {"keyframes": True, "every": None}),
    ("--keyframes --fps 1", {"keyframes": True, "every": 1.0}),
    ("--keyframes --every 0", {"keyframes": True, "every": None}),
    ("--max-frames 7", {"max_frames": 7}),
    ("--region center", {"region": "center"}),
    ("--region frame", {"region": "frame"}),
    ("--max-tiles 3", {"max_tiles": 3}),
    ("--fpr 0.1", {"fpr": 0.1}),
    ("--conformal", {"confidence": None}),
    ("--fdr 0.2", {"fdr": 0.2}),
    ("--prevalence 0.01", {"prevalence": 0.01}),
    ("--batch-size 9", {"batch_size": 9}),
    ("--workers 2", {"workers": 2}),
    ("--device cuda:1", {"device": "cuda:1"}),
    ("--timeout 5", {"limits": Limits(5.0, 14400.0, 4096 << 20)}),
    ("--time-limit 9.5", {"limits": Limits(60.0, 9.5, 4096 << 20)}),
    ("--memory-limit 100", {"limits": Limits(60.0, 14400.0, 100 << 20)}),
    ("--again", {"again": True}),
    ("--retry-errors", {"retry_errors": True}),
    ("--db other.sqlite", {"db": "other.sqlite"}),
    ("--engine local", {}),
    ("--shard-files 3", {}),
    ("-q", {}),
]


@pytest.mark.parametrize(("args", "changed"), OPTIONS, ids=[args for args, _ in OPTIONS])
def test_options_reach_the_run(
    args: str, changed: dict[str, Any], passed: Callable[..., dict[str, Any]]
) -> None:
    found = passed("x", *args.split())
    assert found.pop("model").name == "arbitrary"
    assert found == {**DEFAULTS, **changed}


def test_every_option_is_tried_here() -> None:
    tried = {word for args, _ in OPTIONS for word in args.split() if word.startswith("-")}
    tried |= {"--model", "--out", "--report", "--json", "--resume", "--ray-address", "--parts"}
    assert not [p.name for p in command.params if p.opts[0][0] == "-" and not {*p.opts} & tried]


def test_options_are_recorded(invoke: Invoke, clips: Path) -> None:
    args = ("--fps", "4", "--max-frames", "3", "--region", "center", "--fdr", "0.1", "-q")
    assert invoke(clips / "a.mp4", *args).exit_code == 0
    info = run_info("screen.sqlite")
    assert info["options"]["every"] == 0.25
    assert (info["options"]["max_frames"], info["region"], info["fdr"]) == (3, "center", 0.1)


def test_key_frames_alone_are_decoded(invoke: Invoke, clips: Path) -> None:
    invoke(clips / "a.mp4", "--keyframes", "-q")
    frames = list(iter_rows("screen.sqlite", kind="frame"))
    assert [frame["frame"] for frame in frames] == [0, 10, 20, 30, 40]


def test_thresholds_are_told_in_the_units_of_the_table(invoke: Invoke, clips: Path) -> None:
    line = invoke(clips, "--fpr", "0.1", "--fdr", "0.01").stdout.splitlines()[-1]
    assert line.startswith("arbitrary, false alarms at most 0.1: generated above p 0.")
    assert "; of videos (at most 0.1) above p 0." in line
    assert line.endswith("; false discoveries at most 0.01: none")
    assert "of videos" not in invoke(clips / "0.jpeg").stdout


def test_json(invoke: Invoke, corpus: Path) -> None:
    result = invoke(corpus, "--json")
    assert result.exit_code == 1
    assert result.stderr == ""
    summary = json.loads(result.stdout)
    assert summary["n_files"] == len(summary["files"]) == sum(summary["verdicts"].values())
    assert summary["skipped"]["fifo"] == 1
    assert summary["exit_code"] == 1
    assert {row["kind"] for row in summary["files"]} == {"file"}


def test_rows_on_stdout(invoke: Invoke, clips: Path) -> None:
    result = invoke(clips, "--out", "-")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["kind"] for row in rows} == {"file", "frame"}
    assert "6 files" in result.stderr
    quiet = invoke(clips, "--out", "-", "-q")
    assert quiet.stderr == ""
    assert len(quiet.stdout.splitlines()) == len(rows)


def test_quiet_says_nothing(invoke: Invoke, clips: Path) -> None:
    assert invoke(clips, "-q").output == ""
    assert json.loads(invoke(clips, "-q", "--json").stdout)["n_known"] == 6


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_exports(invoke: Invoke, name: str, clips: Path, tmp_path: Path) -> None:
    assert invoke(clips, "--out", name, "-q").exit_code == 0
    assert (tmp_path / name).stat().st_size > 100


def test_names_cannot_act_on_the_terminal(invoke: Invoke, corpus: Path) -> None:
    result = invoke(corpus)
    assert "\x1b" not in result.output
    assert "\\x1b[31mred.jpg" in result.stdout
    assert "line\\nbreak.jpg" in result.stdout
    assert "caf\\xe9.jpg" in result.stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢.jpg", "plain ä 漢.jpg"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("a\r\nb\t", "a\\r\\nb\\t"),
        ("gnp.\u202egpj", "gnp.\\u202egpj"),
        ("\udce9", "\\udce9"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_names_beyond_the_encoding_of_the_terminal(
    clips: Path, model_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "漢.jpg").write_bytes((clips / "0.jpeg").read_bytes())
    script = "from gandetect.cli import main\nmain()"
    result = subprocess.run(
        [sys.executable, "-c", script, "screen", "漢.jpg", "--model", str(model_file)],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert b"\\u6f22.jpg" in result.stdout


def test_markup_in_names_is_text(invoke: Invoke, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "[bold]a[red].jpg").write_bytes((clips / "0.jpeg").read_bytes())
    assert "[bold]a[red].jpg" in invoke("[bold]a[red].jpg").stdout


def test_exit_codes(invoke: Invoke, clips: Path, corpus: Path) -> None:
    assert invoke(clips / "0.jpeg").exit_code == 0
    assert invoke(clips / "0.jpeg", corpus / "cut.mp4").exit_code == 1
    assert invoke(corpus / "cut.mp4").exit_code == 3
    assert invoke("no such file").exit_code == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Missing argument"),
        (["x", "--fpr", "0"], "--fpr"),
        (["x", "--fpr", "0.000001"], "certif"),
        (["x", "--every", "-1"], "--every"),
        (["x", "--every", "nan"], "--every"),
        (["x", "--every", "inf"], "--every inf"),
        (["x", "--fps", "0"], "--fps"),
        (["x", "--fps", "nan"], "--fps nan"),
        (["x", "--fps", "inf"], "--fps inf"),
        (["x", "--fps", "1e-320"], "--fps"),
        (["x", "--fps", "2", "--every", "1"], "say the same"),
        (["x", "--fpr", "nan"], "nan"),
        (["x", "--fdr", "1"], "--fdr"),
        (["x", "--fdr", "nan"], "nan"),
        (["x", "--timeout", "0"], "--timeout"),
        (["x", "--timeout", "nan"], "--timeout nan"),
        (["x", "--time-limit", "nan"], "--time-limit nan"),
        (["x", "--memory-limit", "1"], "--memory-limit"),
        (["x", "--max-frames", "0"], "--max-frames"),
        (["x", "--max-tiles", "0"], "--max-tiles"),
        (["x", "--region", "nose"], "'nose'"),
        (["x", "--workers", "-1"], "--workers"),
        (["x", "--device", "toaster"], "toaster"),
        (["x", "--engine", "abacus"], "'abacus'"),
        (["x", "--ray-address", "auto"], "need --engine ray"),
        (["x", "--parts", "parts"], "need --engine ray"),
        (["x", "--nonsense"], "--nonsense"),
        (["x", "--out", "a.csv", "--resume"], "--resume"),
        (["x", "--batch-size", "0"], "--batch-size"),
        (["x", "--out", "a.xlsx"], ".parquet, .jsonl, .csv"),
        (["x", "--out", "none/a.csv"], "there is no folder none"),
        (["x", "--report", "none/a.html"], "there is no folder none"),
        (["x", "--out", "a.csv", "--db", "a.csv"], "the same file"),
        (["x", "--out", "a.csv", "--report", "./a.csv"], "the same file"),
        (["x", "--db", "none/a.sqlite"], "there is no folder none"),
        (["x", "--report", "."], ". is a folder"),
        (["x", "--json", "--out", "-"], "standard output"),
        (["x", "--model", "none.safetensors"], "none.safetensors"),
    ],
)
def test_bad_usage(invoke: Invoke, args: list[str], message: str, tmp_path: Path) -> None:
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "screen.sqlite").exists()


def test_a_results_file_that_is_none(invoke: Invoke, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "screen.sqlite").write_text("my notes")
    result = invoke(clips)
    assert result.exit_code == 3
    assert "give another --db" in result.stderr
    assert (tmp_path / "screen.sqlite").read_text() == "my notes"


def test_an_interrupted_run_says_what_it_kept(
    invoke: Invoke, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline._Run, "_tell", interrupt)
    result = invoke(clips)
    assert result.exit_code == 130
    assert "finished files are in screen.sqlite" in result.stderr
    assert run_info("screen.sqlite")["status"] == "interrupted"


def test_a_results_file_in_use_is_an_error(invoke: Invoke, clips: Path) -> None:
    invoke(clips / "0.jpeg")
    lock = FileLock("screen.sqlite.lock")
    with lock:
        result = invoke(clips)
    assert result.exit_code == 3
    assert "another run is writing to it" in result.stderr


def test_missing_extras_are_named_before_the_run(
    invoke: Invoke, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke(clips, "--out", "a.parquet")
    assert result.exit_code == 2
    assert "gandetect[parquet]" in result.stderr
    assert "gandetect[report]" in invoke(clips, "--report", "a.html").stderr
    assert "gandetect[faces]" in invoke(clips, "--region", "faces").stderr
    assert "gandetect[ray]" in invoke(clips, "--engine", "ray").stderr
    assert not (tmp_path / "screen.sqlite").exists()


def test_long_tables_show_what_matters_first(
    invoke: Invoke, clips: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gandetect.cli._screen_output.MAX_TABLE_ROWS", 4)
    result = invoke(clips, corpus)
    lines = result.stdout.splitlines()
    assert lines[5].startswith("... and ")
    order = ["generated", "error", "inconclusive", "real"]
    verdicts = [next(v for v in order if v in line) for line in lines[1:5]]
    assert verdicts == sorted(verdicts, key=order.index)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals_only(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with screening_bar((str(clips),), quiet=False) as progress:
        assert progress is not None
        progress(Progress("a.jpg", 3, 30, 1, 0))
        for _ in range(500):  # the counting thread and the refreshing one take their time
            if "3/6" in sys.stderr.getvalue():  # type: ignore[attr-defined]
                break
            time.sleep(0.02)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "1 errors" in shown
    assert "3/6" in shown
    with screening_bar((str(clips),), quiet=True) as progress:
        assert progress is None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with screening_bar((str(clips),), quiet=False) as progress:
        assert progress is None


@pytest.mark.parametrize("args", [["--help"], ["screen", "--help"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    heavy = "{'torch', 'av', 'numpy', 'PIL', 'pyarrow', 'matplotlib', 'sklearn', 'rich'}"
    script = (
        "import sys\nfrom gandetect.cli import main\n"
        f"try:\n    main({args!r})\nexcept SystemExit:\n    pass\n"
        f"loaded = {heavy} & set(sys.modules)\nsys.exit(f'loaded {{loaded}}' if loaded else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "screen" in result.stdout


def test_each_run_reports_on_itself(
    invoke: Invoke, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run into the same results file begins before this one is shown."""
    real = command_module.present

    def begin_another(summary: Any, *args: Any) -> None:
        Writer(summary.db, SPEC, RUN).close()
        real(summary, *args)

    monkeypatch.setattr(command_module, "present", begin_another)
    assert invoke(clips / "0.jpeg", "--report", "report.html", "--out", "a.jsonl").exit_code == 0
    assert "1 files" in (tmp_path / "report.html").read_text()
    assert not list(iter_rows(tmp_path / "screen.sqlite"))


def test_a_report_is_written(invoke: Invoke, corpus: Path, tmp_path: Path) -> None:
    result = invoke(corpus, "--report", "report.html")
    assert result.exit_code == 1, result.output
    page = (tmp_path / "report.html").read_text()
    assert "<html" in page
    assert "\x1b" not in page
    assert "report: report.html" in result.stderr
