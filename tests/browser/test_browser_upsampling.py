"""The report of the up-sampling experiment in a browser: quiet, whole, and readable when narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_pages import Visit
from upsampling_results import results_for, write_folder

from gandetect.report.upsampling import write_report

NAME = "<img src=x onerror=alert(1)>" + "W" * 40
WIDE, NARROW = 1000, 390


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upsampling")
    return write_report(write_folder(folder, results_for((NAME, "nearest", "bicubic"))))


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_report_is_quiet_whole_and_no_wider_than_the_window(
    visit: Callable[..., Visit], report: Path, width: int
) -> None:
    page: Any = visit(report, width=width, bypass_csp=True)
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run("[...document.images].every(i => i.complete && i.naturalWidth > 50)")
    assert page.run(
        "[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 90)"
    )
    outside = page.run(
        "[...document.querySelectorAll('h1, h2, h3, p, li, figcaption, summary')]"
        f".filter(e => e.getBoundingClientRect().right > {width} + 0.5).map(e => e.textContent)"
    )
    assert outside == []
    # Names of rows stay in sight where a table is pushed sideways, and are not broken to letters.
    heat = page.page.locator("#transfer .heat").first
    heat.locator(".chart").evaluate("e => e.scrollLeft = 200")
    name = heat.locator("tbody th").nth(1).bounding_box()
    assert name["x"] >= 0
    assert name["height"] < 60
    page.page.locator(".tally a").last.click()
    assert page.page.locator("#answer-3").bounding_box()["y"] < 900
