"""The report of a run as the one who reads it finds it in a browser."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from browser_pages import HOSTILE, QUOTING, Visit

from gandetect.report.html import MAX_ERRORS, MAX_OFFENDERS, MAX_ROWS, visible_name
from gandetect.screen.schema import text_path
from gandetect.screen.store import iter_rows

Visiting = Callable[..., Visit]
PageFile = Callable[[str], Path]


def test_sample_report_shows_the_rows_of_the_run(visit: Visiting, page_file: PageFile) -> None:
    path = page_file("sample")
    rows = list(iter_rows(path.with_name("screen.sqlite"), kind="file"))
    verdicts = Counter(row["verdict"] for row in rows)
    report = visit(path)
    for section in ("summary", "scores", "highest", "videos", "files", "errors", "limits"):
        assert report.page.locator(f"#{section} h2").is_visible()
    tally = report.page.locator(".tally li").all_inner_texts()
    assert [int(text.split()[0]) for text in tally] == [
        verdicts[word] for word in ("generated", "inconclusive", "real", "error")
    ]
    assert report.page.locator("#files tbody tr").count() == len(rows)
    suspects = verdicts["generated"] + verdicts["inconclusive"]
    assert report.page.locator(".gallery img").count() == min(suspects, MAX_OFFENDERS)
    assert report.page.locator("#videos svg").count() == sum(r["media"] == "video" for r in rows)


def test_thumbnails_are_large_and_crisp(visit: Visiting, page_file: PageFile) -> None:
    report = visit(page_file("sample"))
    boxes = [picture.bounding_box() for picture in report.page.locator(".gallery img").all()]
    assert boxes
    assert all(box["width"] >= 240 and box["height"] >= 230 for box in boxes)
    assert report.run("Math.max(...[...document.images].map(i => i.naturalWidth))") >= 500


def test_tally_leads_to_the_files_of_its_verdict(visit: Visiting, page_file: PageFile) -> None:
    report = visit(page_file("sample"))
    rows = report.page.locator("#files-inconclusive")
    assert rows.bounding_box()["y"] > 900
    report.page.get_by_role("link", name="inconclusive").first.click()
    assert rows.bounding_box()["y"] < 900
    assert set(report.texts("#files-inconclusive .verdict")) == {"inconclusive"}


def test_hostile_names_are_text_and_nothing_else(visit: Visiting, page_file: PageFile) -> None:
    # Without the page's own rule against scripts, so that nothing but the escaping protects it.
    report = visit(page_file("hostile"), bypass_csp=True)
    for element in report.page.locator("[title], bdi, img").all()[:20]:
        element.hover(force=True)
    assert report.run("window.pwned") is None
    shown = [picture.get_attribute("alt") for picture in report.page.locator(".gallery img").all()]
    assert len([text for text in shown if {"'", '"'} & set(text)]) == len(QUOTING)
    assert report.skeleton() == visit(page_file("harmless"), bypass_csp=True).skeleton()


def test_hostile_names_are_all_shown_and_spelled_out(visit: Visiting, page_file: PageFile) -> None:
    report = visit(page_file("hostile"))
    shown = {os.path.basename(text) for text in report.texts("#files td.path bdi")}
    assert shown == {visible_name(text_path(os.fsdecode(name))[0]) for name in HOSTILE}
    assert not {"\u202e", "\u2066", "\n", "\x1b", "\u2028"} & set("".join(shown))
    for name in report.page.locator("#files td.path bdi").all():
        assert name.is_visible()


def test_empty_run_says_so(visit: Visiting, page_file: PageFile) -> None:
    report = visit(page_file("empty"))
    assert report.page.get_by_text("No file was screened").is_visible()
    assert report.page.locator("svg, img, #files").count() == 0


def test_large_run_lists_the_most_suspicious(visit: Visiting, page_file: PageFile) -> None:
    report = visit(page_file("many"))
    assert report.page.locator("#files tbody tr").count() == MAX_ROWS
    assert report.page.locator("#errors .wide tbody tr").count() == MAX_ERRORS
    assert report.page.get_by_text("The 1,000 most suspicious of 2,400 files").is_visible()
    # The head of the table stays in sight.
    report.page.locator("#files tbody tr").nth(500).scroll_into_view_if_needed()
    assert report.page.get_by_text("p(generated)").last.bounding_box()["y"] >= 0


def test_videos_are_shown_over_time(visit: Visiting, page_file: PageFile) -> None:
    report = visit(page_file("videos"))
    assert report.page.locator("#videos svg").count() == 3
    # Two cuts and two thresholds in each of the three.
    dashed = "path[style*='stroke-dasharray: 3.2'], path[style*='stroke-dasharray: 4']"
    assert report.page.locator(f"#videos svg :is({dashed})").count() == 6
    assert report.page.locator("#videos svg path[style*='stroke-opacity: 0.3;']").count() == 6
    assert report.page.locator(".gallery img").count() == 1
    assert report.page.get_by_text("no picture: the file is gone").first.is_visible()
    assert report.page.get_by_text("a false alarm, says a person").first.is_visible()
    assert report.page.get_by_text("per hour of video").is_visible()
