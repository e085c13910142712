"""Rows, parts and processes, as the tests look at them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gandetect.screen.store import iter_rows, iter_skips


def rows_of(db: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of the latest run, all columns but the number of the run that made them."""
    return [{**row, "run": None} for row in iter_rows(db)]


def skips_of(db: str | os.PathLike[str]) -> list[tuple[str, str]]:
    return sorted((row["path"], row["reason"]) for row in iter_skips(db))


def stamps(parts: Path) -> dict[str, int]:
    """When each part was written."""
    return {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*.parquet")}


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process that is not a zombie."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin1")
            except OSError:
                continue
            if state != "Z":
                found[int(entry.name)] = int(parent), command
    return found


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all processes below one."""
    every = processes()
    below, added = {pid}, True
    while added:
        more = {child for child, (parent, _) in every.items() if parent in below} - below
        below |= more
        added = bool(more)
    return {child: every[child][1] for child in below - {pid}}


def left_of(seen: dict[int, str]) -> set[int]:
    """Which of these processes are still there. Two agents of Ray itself notice only after a minute
    or two that all of it was killed."""
    agents = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
    ours = {pid for pid, command in seen.items() if not command.startswith(agents)}
    return ours & set(processes())


def wait_until(happens: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
