"""What holds for every page: it stands alone, shows what it holds, on any screen and on paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from browser_pages import BUILDERS, Visit

Visiting = Callable[..., Visit]
PageFile = Callable[[str], Path]
PAGES = [name for name in BUILDERS if name != "harmless"]
NARROW = 390

# The ratio of the brighter to the darker luminance, as WCAG 2 defines it.
CONTRAST = """([selector]) => {
  const parse = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = color => {
    const [r, g, b] = parse(color).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll(selector)].map(element => {
    const ink = luminance(getComputedStyle(element).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
}"""


@pytest.mark.parametrize("name", PAGES)
def test_opens_quietly_and_shows_its_pictures(
    visit: Visiting, page_file: PageFile, name: str
) -> None:
    page = visit(page_file(name))
    assert page.page.locator("h1").is_visible()
    assert page.page.locator("footer").is_visible()
    assert page.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.run(
        "[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().height > 90)"
    )
    assert page.run("document.scripts.length") == 0
    assert page.run(
        "[...document.querySelectorAll('a')].every("
        "a => a.hash && document.getElementById(a.hash.slice(1)))"
    )


@pytest.mark.parametrize("name", PAGES)
def test_narrow_windows_need_no_scrolling_sideways(
    visit: Visiting, page_file: PageFile, name: str
) -> None:
    page = visit(page_file(name), width=NARROW)
    assert page.run("document.documentElement.scrollWidth") == NARROW
    # Text that sticks out of a box that hides it would not widen the page. Charts and tables of
    # figures scroll by themselves.
    outside = page.run(
        "[...document.querySelectorAll('h1, h2, p, td, li, figcaption, summary')]"
        ".filter(e => !e.closest('.chart, .facts'))"
        f".filter(e => e.getBoundingClientRect().right > {NARROW} + 0.5)"
        ".map(e => e.textContent)"
    )
    assert outside == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["sample", "profile", "explained"])
def test_text_stands_out_in_both_color_schemes(
    visit: Visiting, page_file: PageFile, name: str, scheme: str
) -> None:
    page = visit(page_file(name), scheme=scheme)
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
    assert brightness < 60 if scheme == "dark" else brightness > 200
    ratios = page.page.evaluate(CONTRAST, ["h1, p, td, th, figcaption, .verdict, a, svg"])
    assert len(ratios) > 10
    assert min(ratios) >= 4.5


@pytest.mark.parametrize("name", ["sample", "many", "videos", "profile", "explained"])
def test_prints_to_pdf(visit: Visiting, page_file: PageFile, name: str) -> None:
    document = visit(page_file(name)).page.pdf(format="A4")
    assert document.startswith(b"%PDF-")
    sheets = len(re.findall(rb"/Type\s*/Page\b", document))
    assert sheets >= {"profile": 1, "explained": 1, "many": 15}.get(name, 2)
