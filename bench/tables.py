"""What the makers of tables share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Figure = tuple[Callable[[], str], Path, str]
ROOT = Path(__file__).resolve().parent.parent


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def interval(values: list[float], digits: int = 2) -> str:
    value, low, high = (f"{one:.{digits}f}" for one in values)
    return f"{value} [{low}, {high}]"


def told_machine(report: dict[str, Any]) -> str:
    machine = report.get("machine")
    if machine is None:
        return f"torch {report['torch']}, on a machine that was not written down"
    minutes = report["seconds"] / 60
    return f"{machine['cpu']}, {machine['threads']} thread(s), {minutes:.0f} minutes"
