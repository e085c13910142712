"""A run that is killed leaves whole files, and a sound results file."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gandetect.screen import screen
from gandetect.screen.store import iter_rows, run_info

# A suite that runs in the background inherits SIGINT ignored.
SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from gandetect.screen import screen
screen([sys.argv[1]], model=sys.argv[2], db=sys.argv[3], every=0.2, workers=2)
"""


def command(many: Path, model_file: Path, db: Path) -> list[str]:
    return [sys.executable, "-c", SCRIPT, str(many), str(model_file), str(db)]


@pytest.fixture
def many(clips: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(400):
        os.link(clips / ("a.mp4", "0.jpeg")[i % 2], folder / f"{i:03}{('.mp4', '.jpg')[i % 2]}")
    return folder


def wait_for_rows(db: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Until the results hold `count` files; the run must not be over before."""
    for _ in range(6000):
        assert process.poll() is None, "the run ended before it could be killed"
        if db.exists() and db.stat().st_size:
            with closing(sqlite3.connect(db, timeout=30)) as connection:
                try:
                    (n,) = connection.execute("SELECT count(*) FROM item").fetchone()
                except sqlite3.OperationalError:
                    n = 0
            if n >= count:
                return
        time.sleep(0.01)
    pytest.fail("the run made no progress")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_whole_files(
    sign: signal.Signals, many: Path, model_file: Path, tmp_path: Path
) -> None:
    db = tmp_path / "run.sqlite"
    process = subprocess.Popen(command(many, model_file, db), stderr=subprocess.DEVNULL)
    try:
        wait_for_rows(db, 5, process)
        process.send_signal(sign)
    finally:
        code = process.wait(timeout=60)
    assert code in (-sign, 1, 130)
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (lost,) = connection.execute(
            "SELECT count(*) FROM item WHERE n_frames != "
            "(SELECT count(*) FROM frame WHERE item = item.id)"
        ).fetchone()
    assert lost == 0
    files = list(iter_rows(db, kind="file"))
    assert 5 <= len(files) < 400
    assert len({row["path"] for row in files}) == len(files)
    assert run_info(db)["status"] == ("running" if sign == signal.SIGKILL else "interrupted")


def test_a_run_killed_again_and_again_ends_like_one_that_was_not(
    many: Path, model_file: Path, tmp_path: Path
) -> None:
    """Killed at random moments; `bench/killing.py` does it fifty times."""
    whole = screen([many], model=model_file, db=tmp_path / "whole.sqlite", every=0.2)
    db = tmp_path / "run.sqlite"
    random = Random(1)
    for _ in range(4):
        process = subprocess.Popen(command(many, model_file, db), stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=2.0 + 1.5 * random.random())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    summary = screen([many], model=model_file, db=db, every=0.2)
    assert summary.n_files == whole.n_files == 400
    assert comparable(summary.db) == comparable(whole.db)
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchone() == (400,)


def comparable(db: str) -> list[dict[str, Any]]:
    """All rows, less the number of the run that screened them."""
    return [{**row, "run": None} for row in iter_rows(db)]
