"""`gandetect export` and `gandetect review` on the command line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner, Result
from making_results import (
    Brightness,
    ask,
    file_rows,
    frame_row,
    write_picture,
    write_pictures,
    write_results,
)

from gandetect.cli import main
from gandetect.screen import screen
from gandetect.screen.reviews import iter_reviews
from gandetect.screen.store import iter_rows


class Invoke(Protocol):
    def __call__(self, *args: object, input: str | bytes | None = None) -> Result: ...


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """`gandetect` in a folder with screen.sqlite, pictures p/0.png (generated), p/1.png (real), and
    an error."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "p", 9, -9)
    screen(["p", "p/none.png"], model=Brightness(), workers=0)

    def run(*args: object, input: str | bytes | None = None) -> Result:
        return CliRunner().invoke(main, [*map(str, args)], input=input)

    return run


def verdicts() -> dict[str, str]:
    return {row["path"]: row["verdict"] for row in iter_rows("screen.sqlite", kind="file")}


# --- export ---


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_an_export_says_how_many_rows_there_were(name: str, invoke: Invoke) -> None:
    result = invoke("export", name)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "5 rows\n")
    assert Path(name).stat().st_size > 100


def test_an_export_counts_in_json(invoke: Invoke) -> None:
    result = invoke("export", "rows.csv", "--json")
    assert json.loads(result.stdout)["rows"] > 0
    refused = invoke("export", "-", "--json")
    assert refused.exit_code == 2
    assert "give one" in refused.stderr


def test_quiet_exports_say_nothing(invoke: Invoke) -> None:
    assert invoke("export", "a.csv", "-q").output == ""


def test_a_dash_is_standard_output(invoke: Invoke) -> None:
    result = invoke("export", "-")
    assert [json.loads(line) for line in result.stdout.splitlines()] == list(
        iter_rows("screen.sqlite")
    )
    assert result.stderr == "5 rows\n"


def test_rows_can_be_chosen(invoke: Invoke) -> None:
    def chosen(*options: str) -> list[tuple[str, str]]:
        lines = invoke("export", "-", *options).stdout.splitlines()
        return [(row["kind"], row["verdict"]) for row in map(json.loads, lines)]

    assert chosen("--kind", "file") == [("file", v) for v in ("generated", "real", "error")]
    assert chosen("--kind", "frame") == [("frame", "generated"), ("frame", "real")]
    assert chosen("--verdict", "generated") == [("frame", "generated"), ("file", "generated")]
    assert len(chosen("--kind", "file", "--verdict", "real", "--verdict", "error")) == 2
    assert chosen("--verdict", "inconclusive") == []


def test_a_run_and_a_file_can_be_chosen(invoke: Invoke) -> None:
    write_results(Path("other.sqlite"), file_rows(0, "other.mp4", [frame_row(0)]))
    write_results(Path("other.sqlite"), file_rows(0, "newer.mp4", mtime_ns=5))
    lines = invoke("export", "-", "--db", "other.sqlite").stdout.splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["newer.mp4"]
    lines = invoke("export", "-", "--db", "other.sqlite", "--run", "1").stdout.splitlines()
    assert [json.loads(line)["path"] for line in lines] == ["other.mp4"] * 2


def test_exports_show_what_people_decided(invoke: Invoke) -> None:
    invoke("review", "p/0.png", "--false-positive")
    invoke("export", "a.csv", "--kind", "file", "--verdict", "real")
    with open("a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["review"]) for row in rows] == [
        ("p/0.png", "false_positive"),
        ("p/1.png", ""),
    ]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "Missing argument"),
        (["a.xlsx"], 2, ".parquet, .jsonl, .csv"),
        (["none/a.csv"], 2, "there is no folder none"),
        (["p"], 2, ".parquet, .jsonl, .csv"),
        (["a.csv", "--run", "0"], 2, "--run"),
        (["a.csv", "--run", "7"], 3, "there is no run 7"),
        (["a.csv", "--kind", "tile"], 2, "'tile'"),
        (["a.csv", "--verdict", "fake"], 2, "'fake'"),
        (["a.csv", "--db", "none.sqlite"], 3, "there is no such results file"),
        (["a.csv", "--db", "p/0.png"], 3, "not a results file"),
        (["a.csv", "b.csv"], 2, "unexpected extra argument"),
    ],
)
def test_refused_exports(args: list[str], code: int, message: str, invoke: Invoke) -> None:
    result = invoke("export", *args)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert not Path("a.csv").exists()


def test_parquet_without_its_library_is_refused(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke("export", "a.parquet")
    assert result.exit_code == 2
    assert "gandetect[parquet]" in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_behind_standard_output_is_an_error(invoke: Invoke) -> None:
    script = "from gandetect.cli import main\nmain()"
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", script, "export", "-"], stdout=full, stderr=-1, check=False
        )
    assert result.returncode != 0
    assert b"No space left on device" in result.stderr
    assert b"Traceback" not in result.stderr


# --- review ---


@pytest.mark.parametrize(
    ("option", "verdict"), [("--false-positive", "real"), ("--confirmed", "generated")]
)
def test_a_decision_is_taken_and_taken_back(option: str, verdict: str, invoke: Invoke) -> None:
    result = invoke("review", "p/0.png", option)
    word = option[2:].replace("-", "_")
    assert (result.exit_code, result.stdout) == (0, f"p/0.png: {word}, 1 rows\n")
    assert verdicts()["p/0.png"] == verdict
    assert invoke("review", "p/0.png", "--clear").stdout == "p/0.png: clear, 1 rows\n"
    assert list(iter_reviews("screen.sqlite")) == []


def test_several_files_are_decided_alike(invoke: Invoke) -> None:
    assert invoke("review", "p/0.png", "p/1.png", "--confirmed", "--note", "seen").exit_code == 0
    assert {row["note"] for row in iter_reviews("screen.sqlite")} == {"seen"}
    assert verdicts() == {"p/0.png": "generated", "p/1.png": "generated", "p/none.png": "error"}


def test_decisions_are_listed(invoke: Invoke) -> None:
    assert invoke("review").stdout == ""
    invoke("review", "p/0.png", "--false-positive", "--note", "original seen")
    (line,) = invoke("review").stdout.splitlines()
    assert line.split()[1:] == ["false_positive", "p/0.png", "(original", "seen)"]


def test_decisions_go_out_and_in_as_json_lines(invoke: Invoke) -> None:
    invoke("review", "p/0.png", "--false-positive", "--note", "a\nb")
    listed = invoke("review", "--json").stdout
    assert [json.loads(line) for line in listed.splitlines()] == list(iter_reviews("screen.sqlite"))
    Path("decisions.jsonl").write_text(listed)
    screen(["p"], model=Brightness(), db="other.sqlite", workers=0)
    result = invoke("review", "--import", "decisions.jsonl", "--db", "other.sqlite")
    assert (result.exit_code, result.stdout) == (0, "1 decisions taken over\n")
    assert list(iter_reviews("other.sqlite")) == list(iter_reviews("screen.sqlite"))
    assert invoke("review", "--import", "-", input=listed).stdout == "1 decisions taken over\n"


HASH = "ab" * 32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "line 1 is no JSON"),
        (json.dumps({"sha256": HASH, "decision": "confirmed"}) + "\n[]\n", "line 2"),
        ('{"sha256": "x", "decision": "confirmed"}', "no decision"),
        (f'{{"sha256": "{HASH}", "decision": {{}}}}', "no decision"),
        (b"\xff\xfe\x00", "decode"),
        (f'{{"sha256": "{HASH}", "decision": "confirmed", "note": "\\ud800"}}', "surrogates"),
    ],
)
def test_garbage_is_not_imported(text: Any, message: str, invoke: Invoke) -> None:
    Path("in.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = invoke("review", "--import", "in.jsonl")
    assert result.exit_code == 3, result.output
    assert message in result.stderr
    assert "\x1b" not in result.output
    assert list(iter_reviews("screen.sqlite")) == []


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["p/0.png"], 2, "--false-positive, --confirmed or --clear"),
        (["p/0.png", "--note", "x"], 2, "--false-positive, --confirmed or --clear"),
        (["--confirmed"], 2, "name the files"),
        (["--note", "x"], 2, "name the files"),
        (["p/0.png", "--confirmed", "--import", "p/0.png"], 2, "leave PATHS out"),
        (["--import", "none.jsonl"], 2, "none.jsonl"),
        (["p/gone.png", "--confirmed"], 3, "neither on disk nor in the results"),
        (["p/0.png", "--confirmed", "--db", "none.sqlite"], 3, "there is no such results file"),
        (["--db", "p/0.png"], 3, "not a results file"),
        (["--maybe"], 2, "--maybe"),
    ],
)
def test_refused_decisions(args: list[str], code: int, message: str, invoke: Invoke) -> None:
    result = invoke("review", *args)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert list(iter_reviews("screen.sqlite")) == []
    assert not Path("none.sqlite").exists()


def test_an_error_row_stays_one(invoke: Invoke) -> None:
    write_picture(Path("p/none.png"), 5, seed=7)
    assert invoke("review", "p/none.png", "--confirmed").stdout.endswith("confirmed, 0 rows\n")
    assert verdicts()["p/none.png"] == "error"


def test_names_and_notes_cannot_act_on_the_terminal(invoke: Invoke) -> None:
    odd = os.fsdecode(b"p/\x1b[31m\nred\xe9.png")
    os.rename("p/0.png", odd)
    done = invoke("review", odd, "--confirmed", "--note", "\x1b[2J\nnote")
    assert done.stdout == "p/\\x1b[31m\\nred\\udce9.png: confirmed, 1 rows\n"
    listed = invoke("review").stdout
    assert len(listed.splitlines()) == 1
    assert "\x1b" not in listed
    assert "\x1b" not in invoke("review", "--json").stdout
    missing = invoke("review", "\x1b[31mnone", "--confirmed")
    assert missing.exit_code == 3
    assert "\x1b" not in missing.output


def test_the_example_of_the_help_works(invoke: Invoke) -> None:
    query = "SELECT path, p_generated FROM files WHERE verdict = 'generated'"
    assert query in invoke("export", "--help").stdout
    ((path, p),) = ask("screen.sqlite", query)
    assert (path, p > 0.9) == ("p/0.png", True)


@pytest.mark.parametrize("name", ["export", "review"])
def test_help_loads_nothing_heavy(name: str) -> None:
    script = (
        "import sys\nfrom gandetect.cli import main\n"
        f"try:\n    main([{name!r}, '--help'])\nexcept SystemExit:\n    pass\n"
        "loaded = {'torch', 'av', 'numpy', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
