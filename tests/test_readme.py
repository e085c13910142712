"""The documents: commands that exist, files that exist, figures that were measured."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_figures_are_those_of_the_files():
    done = subprocess.run(
        [sys.executable, ROOT / "bench" / "table.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_shown_commands_and_options_exist():
    from click.testing import CliRunner

    from gandetect.cli import SUBCOMMANDS, main

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\$ gandetect (\w+)(.*)$", text, re.MULTILINE)
    assert {name for name, _ in shown} == set(SUBCOMMANDS)
    for name, line in shown:
        help_text = CliRunner().invoke(main, [name, "--help"]).output
        for option in re.findall(r"--[a-z-]+", line.split("#")[0]):
            assert option in help_text, f"gandetect {name} has no {option}"


def test_python_examples_compile():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "README.md", "exec")
    exec(compile(blocks[0], "README.md", "exec"), {})


def test_sql_examples_run(tmp_path):
    from gandetect.screen import screen

    db = tmp_path / "screen.sqlite"
    screen([str(ROOT / "examples" / "media" / "real_board.png")], db=str(db))
    statements = [
        statement
        for page in PAGES
        for statement in re.findall(r'sqlite3 screen.sqlite "([^"]+)"', page.read_text("utf-8"))
    ]
    assert len(statements) >= 4
    with sqlite3.connect(db) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()
