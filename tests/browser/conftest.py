"""Opens the pages that gandetect writes in a headless Chromium, and watches what they do there.

Without a Chromium the tests are skipped; with GANDETECT_EXPECT_BROWSER=1, as in CI, they fail.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("media", "report")]

from browser_pages import BUILDERS, Visit  # noqa: E402

ARTIFACTS = ROOT / "artifacts"
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def _no_browser(why: str) -> NoReturn:
    if os.environ.get("GANDETECT_EXPECT_BROWSER") == "1":
        pytest.fail(f"GANDETECT_EXPECT_BROWSER=1, but {why}")
    pytest.skip(why)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for each process of the test run."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as missing:
        _no_browser(f"the Python package playwright is not installed ({missing})")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        _no_browser("there is no chromium on the PATH")
    with sync_playwright() as driver:
        # CI runs as root, where Chromium has no sandbox.
        running = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """page_file(name) -> the page of that name in BUILDERS, written once per process."""
    written: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in written:
            written[name] = BUILDERS[name](tmp_path_factory.mktemp(name))
        return written[name]

    return get


@pytest.fixture
def visit(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visit]]:
    """visit(path, width=1000, scheme="light", bypass_csp=False) -> a Visit.

    When the test ends, whatever a page asked of the network or complained about fails it, and the
    screenshots of a test that failed are kept under artifacts/.
    """
    visits: list[Visit] = []

    def go(
        path: Path, *, width: int = 1000, scheme: str = "light", bypass_csp: bool = False
    ) -> Visit:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=bypass_csp
        )
        visits.append(Visit(context, path))
        visits[-1].open()
        return visits[-1]

    yield go
    problems = [problem for one in visits for problem in one.problems]
    if problems or request.node.stash.get(FAILED, False):
        _keep_screenshots(visits, request.node.name)
    for one in visits:
        one.context.close()
    assert not problems


def _keep_screenshots(visits: list[Visit], test: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    for number, one in enumerate(visits):
        name = re.sub(r"[^\w-]+", "-", test).strip("-")
        one.page.screenshot(path=ARTIFACTS / f"{name}-{number}.png")
