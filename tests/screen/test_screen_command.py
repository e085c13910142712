"""`gandetect screen` on the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gandetect.cli import main
from gandetect.cli._common import printable
from gandetect.cli.screen import _progress_bar
from gandetect.screen import Progress, pipeline
from gandetect.screen.store import iter_rows


@pytest.fixture
def invoke(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Result:
        command = ["screen", "--model", str(model_file), *map(str, args)]
        return CliRunner().invoke(main, command)

    return run


def test_a_table_and_a_summary(invoke, clips: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = invoke(clips)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["path", "kind", "verdict", "p", "reason"]
    assert [line.split()[0] for line in lines[1:7]] == sorted(map(str, clips.iterdir()))
    assert lines[-2].startswith("6 files: ")
    assert lines[-1].startswith("arbitrary, false alarms at most 0.05: generated above p 0.")
    assert "results: screen.sqlite (run 1)" in result.stderr
    assert (tmp_path / "screen.sqlite").exists()


def test_a_second_run_is_added(invoke, clips: Path) -> None:  # type: ignore[no-untyped-def]
    invoke(clips / "0.jpeg")
    assert "screen.sqlite (run 2)" in invoke(clips / "0.jpeg").stderr


def test_json(invoke, corpus: Path) -> None:  # type: ignore[no-untyped-def]
    result = invoke(corpus, "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["n_files"] == len(summary["files"]) == sum(summary["verdicts"].values())
    assert summary["skipped"]["fifo"] == 1
    assert summary["exit_code"] == 1
    assert {row["kind"] for row in summary["files"]} == {"file"}


def test_rows_on_stdout(invoke, clips: Path) -> None:  # type: ignore[no-untyped-def]
    result = invoke(clips, "--out", "-")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["kind"] for row in rows} == {"file", "frame"}
    assert "6 files" in result.stderr
    assert "files:" not in invoke(clips, "--out", "-", "-q").stderr


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_exports(invoke, name: str, clips: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert invoke(clips, "--out", name, "-q").exit_code == 0
    assert (tmp_path / name).stat().st_size > 100


def test_names_cannot_act_on_the_terminal(invoke, corpus: Path) -> None:  # type: ignore[no-untyped-def]
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


def test_markup_in_names_is_text(invoke, clips: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "[bold]a[red].jpg").write_bytes((clips / "0.jpeg").read_bytes())
    assert "[bold]a[red].jpg" in invoke("[bold]a[red].jpg").stdout


def test_exit_codes(invoke, clips: Path, corpus: Path) -> None:  # type: ignore[no-untyped-def]
    assert invoke(clips / "0.jpeg").exit_code == 0
    assert invoke(clips / "0.jpeg", corpus / "cut.mp4").exit_code == 1
    assert invoke(corpus / "cut.mp4").exit_code == 3
    assert invoke("no such file").exit_code == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "Missing argument"),
        (["x", "--region", "faces"], "faces"),
        (["x", "--fpr", "0"], "--fpr"),
        (["x", "--fpr", "0.000001"], "certif"),
        (["x", "--every", "-1"], "--every"),
        (["x", "--every", "nan"], "--every"),
        (["x", "--fpr", "nan"], "nan"),
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
def test_bad_usage(invoke, args: list[str], message: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / "screen.sqlite").exists()


def test_a_results_file_that_is_none(invoke, clips: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "screen.sqlite").write_text("my notes")
    result = invoke(clips)
    assert result.exit_code == 3
    assert "give another --db" in result.stderr
    assert (tmp_path / "screen.sqlite").read_text() == "my notes"


def test_an_interrupted_run_says_what_it_kept(  # type: ignore[no-untyped-def]
    invoke, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline._Run, "_tell", interrupt)
    result = invoke(clips)
    assert result.exit_code == 130
    assert "finished files are in screen.sqlite" in result.stderr


def test_missing_extras_are_named_before_the_run(  # type: ignore[no-untyped-def]
    invoke, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke(clips, "--out", "a.parquet")
    assert result.exit_code == 2
    assert "gandetect[parquet]" in result.stderr
    assert "gandetect[report]" in invoke(clips, "--report", "a.html").stderr
    assert not (tmp_path / "screen.sqlite").exists()


def test_long_tables_show_what_matters_first(  # type: ignore[no-untyped-def]
    invoke, clips: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gandetect.cli.screen.MAX_TABLE_ROWS", 4)
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
    with _progress_bar((str(clips),), quiet=False) as progress:
        assert progress is not None
        progress(Progress("a.jpg", 3, 30, 1, 0))
        for _ in range(500):  # the counting thread and the refreshing one take their time
            if "3/6" in sys.stderr.getvalue():  # type: ignore[attr-defined]
                break
            time.sleep(0.02)
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "1 errors" in shown
    assert "3/6" in shown
    with _progress_bar((str(clips),), quiet=True) as progress:
        assert progress is None
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with _progress_bar((str(clips),), quiet=False) as progress:
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


def test_each_run_reports_on_itself(  # type: ignore[no-untyped-def]
    invoke, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run into the same results file begins before this one is over."""
    real = pipeline._finish

    def begin_another(store: pipeline.Store, status: str) -> None:
        real(store, status)
        row = {"model": "m", "model_sha256": "", "model_card": "{}", "args": "{}"}
        pipeline.Store(store.path, {**row, "versions": "{}"}).close()

    monkeypatch.setattr(pipeline, "_finish", begin_another)
    assert invoke(clips / "0.jpeg", "--report", "report.html", "--out", "a.jsonl").exit_code == 0
    assert "1 files" in (tmp_path / "report.html").read_text()
    assert not list(iter_rows(tmp_path / "screen.sqlite"))


def test_a_report_is_written(invoke, corpus: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = invoke(corpus, "--report", "report.html")
    assert result.exit_code == 1, result.output
    page = (tmp_path / "report.html").read_text()
    assert "<html" in page
    assert "\x1b" not in page
    assert "report: report.html" in result.stderr
