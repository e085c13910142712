"""Results files and pictures made for the tests of the report."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_runs import write_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "media"))

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """make_run(items, status="done", skips=()) -> results file; an item may be (item, frames)."""
    numbers = itertools.count()

    def make(items: Iterable[Any], status: str | None = "done", skips: Iterable[str] = ()) -> Path:
        return write_run(tmp_path / f"run{next(numbers)}.sqlite", items, status, skips)

    return make


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """picture(name, height, width, seed) -> a gray image file of noise."""

    def make(name: str, height: int = 128, width: int = 128, seed: int = 0) -> Path:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return make
