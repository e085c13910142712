"""The report: self-contained, escaped, complete, and of bounded size."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_runs import RUN, SPEC, frame, item

from gandetect.report.html import (
    MAX_ERRORS,
    digested,
    render,
    thinned,
    threshold_levels,
    write_report,
)
from gandetect.screen.store import COLUMNS, StoreError

MakeRun = Callable[..., Path]
VOID = {"meta", "img", "br", "link", "input", "hr", "path", "use", "rect"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def report(db: Path, **options: int) -> str:
    out = db.with_suffix(".html")
    write_report(db, out, **options)
    return out.read_text(encoding="utf-8")


def rendered(rows: list[dict[str, Any]], frames: dict[Any, Any] | None = None, **told: Any) -> str:
    """The page of rows that may hold more than the results file keeps today."""
    rows = [{**dict.fromkeys(COLUMNS), **row} for row in rows]
    info = {**SPEC, **RUN, "started": None, "finished": None, "status": "done", "id": 1}
    info |= {"args": {}, "versions": {}, "model_card": {}, **told}
    return render(info, digested(rows), frames or {}, {})


EXTRA = {
    "sha256": "c0ffee" * 10 + "beef",
    "container": "matroska",
    "duration_s": 5000.0,
    "frame_rate": 29.97,
    "n_shots": 7,
    "n_effective": 3.25,
    "p_value": 0.00012345,
    "review": "false_positive",
}


def test_what_is_known_of_a_video_is_told() -> None:
    clip = item("a.mkv", "generated", media="video", n_frames=40, width=640, height=480, **EXTRA)
    text = Page(rendered([clip])).text
    for words in (
        "640 × 480, matroska, 83.3 min, 29.97 frames per second, 40 frames scored, in 7 shots, "
        "worth 3.2 independent frames",
        "sha256 c0ffee",
        "p-value 0.00012",
        "a false alarm, says a person",
        "1 decided by a person (1: a false alarm, says a person)",
    ):
        assert words in text


def test_what_is_not_known_is_left_out() -> None:
    clip = item("a.mkv", "generated", media="video", n_frames=1)
    for row in (clip, {**clip, **dict.fromkeys(EXTRA)}):
        text = Page(rendered([row])).text
        assert "1 frame scored" in text
        for word in ("None", "sha256 c", "p-value", "by a person", "shots,", "worth", "per hour"):
            assert word not in text


def test_timeline_has_the_thresholds_and_the_cuts() -> None:
    clip = item("a.mkv", "generated", media="video", n_frames=9)
    frames = [
        {"frame": i, "time_s": float(i), "logit": x, "p_generated": 1 / (1 + math.exp(-x))}
        | {"verdict": "real", "shot": i // 3}
        for i, x in enumerate(np.linspace(-3, 3, 9))
    ]
    with_all = rendered([clip], {("a.mkv", None): frames})
    without = rendered([clip], {("a.mkv", None): [{**f, "shot": None} for f in frames]})
    assert with_all.count("stroke-opacity: 0.3;") - without.count("stroke-opacity: 0.3;") == 2
    # The histogram's two lines, and the timeline's two.
    assert without.count("stroke-dasharray: 3.2,2.4") == 4


CLASSES = {
    name: {
        "basis": basis,
        "n_own": n_own,
        "threshold_real": -0.75,
        "threshold_generated": threshold,
    }
    for name, basis, n_own, threshold in (
        ("lossless, 128", "own", 300, 3.25),
        ("JPEG 75 to 89, 128", "none", 4, None),
        ("WebP, 64", "pooled", 20, 4.5),
    )
}


def test_classes_of_images_have_their_thresholds_in_a_table() -> None:
    rows = [
        item(f"{i}.png", delivery=name)
        for i, name in enumerate(("lossless, 128", "lossless, 128", "JPEG 75 to 89, 128", "other"))
    ]
    text = Page(page := rendered(rows, class_thresholds=CLASSES)).text
    assert "lossless, 1282-0.753.25300its own" in text
    assert "too few: none is called generated" in text
    # Nobody's, and so without a row.
    assert "WebP, 64" not in text
    # No two lines divide what has thresholds of its own.
    assert page.count("stroke-dasharray") == 0
    assert rendered(rows).count("stroke-dasharray") == 2
    assert 'id="classes"' not in rendered(rows)


def test_threshold_levels_are_those_of_the_model() -> None:
    def p(x: float) -> float:
        return 1 / (1 + math.exp(-(1.7 * x - 0.4)))

    rows = [{"logit": x, "p_generated": p(x)} for x in (-2.0, 0.5, 40.0)]
    rows.append({"logit": None, "p_generated": None})
    info = {"threshold_real": -1.0, "threshold_generated": 2.0}
    assert threshold_levels(info, rows) == pytest.approx((p(-1.0), p(2.0)))
    assert threshold_levels(info, rows[2:]) == (None, None)
    assert threshold_levels(info, [rows[0]]) == (None, None)
    info = {"threshold_real": None, "threshold_generated": math.inf}
    assert threshold_levels(info, rows) == (None, None)


def test_tally_leads_to_the_rows_of_each_verdict(make_run: MakeRun) -> None:
    rows = [item("a.jpg", "generated"), item("b.jpg"), item("c.jpg", "error", reason="corrupt")]
    text = report(make_run(rows))
    assert re.findall(r'<li><a href="#([^"]+)"', text) == [
        "files-generated",
        "files-real",
        "errors",
    ]
    for target in re.findall(r'href="#([^"]+)"', text):
        assert text.count(f'id="{target}"') == 1


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("crashed", "the decoder crashed on it, twice"),
        ("timeout", "decoding took too long"),
        ("memory_limit", "decoding needed too much memory"),
        ("no_face", "no face found"),
        ("new_word", "new word"),
    ],
)
def test_reasons_are_words(make_run: MakeRun, reason: str, words: str) -> None:
    assert words in Page(report(make_run([item("a.jpg", "error", reason=reason)]))).text


def test_every_verdict_is_named_and_counted(make_run: MakeRun) -> None:
    db = make_run(
        [
            item("a.jpg", "generated", logit=3.0, p_generated=0.97),
            item("b.jpg", "real"),
            item("c.jpg", "inconclusive", reason="between_thresholds"),
            item("d.jpg", "error", reason="truncated", detail="ends early"),
        ],
        skips=["hidden", "hidden"],
    )
    page = Page(report(db))
    for words in (
        "the score lies between the two thresholds",
        "the file is cut short",
        "ends early",
        "0.97",
        "test-v1",
        "2: hidden file",
        "All 4 files",
    ):
        assert words in page.text


def test_nothing_is_loaded_from_outside(make_run: MakeRun, picture: Callable[..., Path]) -> None:
    image = str(picture("p.png"))
    clip = (item("v.mp4", media="video"), [frame(i, 0.5) for i in range(5)])
    text = report(make_run([item(image, "generated", logit=3.0), clip]))
    page = Page(text)
    assert not re.search(r"https?://|url\((?!#)|@import", text)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    for _, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "data", "srcset", "action"):
            assert value.startswith(("data:image/jpeg;base64,", "#"))
    assert sum(tag == "img" for tag in page.tags) == 1


HOSTILE = "<script>alert(1)</script>\"'&.jpg"


def test_names_and_details_are_escaped(make_run: MakeRun, picture: Callable[..., Path]) -> None:
    image = picture("<script>alert(1)<b>\"'&.jpg")
    db = make_run(
        [
            item(str(image), "generated", logit=3.0, reason="<i>reason</i>"),
            item(HOSTILE, "error", reason="corrupt", detail=HOSTILE),
            (item(HOSTILE, media="video"), [frame(i, 0.5) for i in range(5)]),
        ]
    )
    page = Page(report(db))
    assert "script" not in page.tags
    assert "<i>reason</i>" in page.text
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert HOSTILE in page.text
    assert "<b>nothing</b>" in page.text


def test_direction_and_control_characters_are_spelled_out(make_run: MakeRun) -> None:
    page = Page(report(make_run([item("photo\u202egpj.exe\x07.png", "real")])))
    assert "photo\\u202egpj.exe\\u0007.png" in page.text


def test_empty_run(make_run: MakeRun) -> None:
    page = Page(report(make_run([], skips=["not_media"])))
    assert "No file was screened" in page.text
    assert "svg" not in page.tags


def test_run_of_errors_only(make_run: MakeRun) -> None:
    rows = [item(f"{i}.jpg", "error", reason="corrupt") for i in range(MAX_ERRORS + 50)]
    page = Page(report(make_run(rows)))
    assert f"The first {MAX_ERRORS} by name" in page.text
    assert "svg" not in page.tags
    assert "They were not cleared" in page.text


def test_interrupted_run_says_so(make_run: MakeRun) -> None:
    assert "interrupted" in Page(report(make_run([item("a.jpg")], "interrupted"))).text
    assert "recorded as running" in Page(report(make_run([item("a.jpg")], None))).text


def test_large_run_is_capped_worst_first(make_run: MakeRun) -> None:
    verdicts = ("real", "inconclusive", "generated")
    rows = [item(f"f{i}.jpg", verdicts[i % 3], logit=i / 1000) for i in range(5000)]
    text = report(make_run(rows), max_rows=100)
    page = Page(text)
    assert "The 100 most suspicious of 5,000 files" in page.text
    listed = re.findall(r'<td class="path"><bdi>(f\d+)\.jpg', text)
    assert listed == [f"f{i}" for i in range(4997, 4997 - 300, -3)]
    assert len(text) < 200_000


def test_video_timeline(make_run: MakeRun) -> None:
    clip = item("walk.mp4", "generated", media="video", logit=3.0, n_frames=20)
    single = item("one.mp4", "generated", media="video", logit=3.0, n_frames=1)
    db = make_run([(clip, [frame(i, 0.9) for i in range(20)]), (single, [frame(0, 0.9)])])
    page = Page(report(db))
    assert "Videos over time" in page.text
    assert page.tags.count("svg") == 2  # the histogram and one timeline
    assert "no picture: the file is gone" in page.text


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 1000, 1023])
def test_long_videos_are_thinned_evenly_and_keep_their_peak(count: int) -> None:
    rows = [{"frame": i, "logit": None if i % 7 == 0 else float(i == 653)} for i in range(count)]
    kept = [row["frame"] for row in thinned(iter(rows), most=10)]
    assert kept == sorted(kept)
    assert len(kept) >= min(count, 5)
    assert len(kept) <= 10
    if count > 653:
        assert 653 in kept
        kept.remove(653)
        assert len(set(np.diff(kept))) == 1
    if count < 10:
        assert kept == list(range(count))


def test_expected_false_alarms_leave_out_errors(make_run: MakeRun) -> None:
    rows = [item(f"{i}.jpg") for i in range(100)] + [item("e", "error", reason="corrupt")] * 50
    assert "up to 5 files would still be called generated." in Page(report(make_run(rows))).text


def test_expected_false_alarms_of_videos_are_twice_those_of_images() -> None:
    clip = item("a.mp4", media="video", duration_s=36.0)
    text = Page(rendered([clip] * 50 + [item("b.jpg")] * 20)).text
    # Half an hour of video: 2 * 0.05 * 50 videos, and 0.05 * 20 images.
    assert "up to 6 files would still be called generated, about 10 per hour of video." in text
    assert "50 videos, 20 images; 30.0 min of video judged." in text


def test_no_rate_per_hour_from_seconds_of_video() -> None:
    text = Page(rendered([item("a.mp4", media="video", duration_s=36.0)])).text
    assert "up to 1 file would still be called generated." in text
    assert "per hour" not in text


def test_page_is_whole_or_not_at_all(make_run: MakeRun, tmp_path: Path) -> None:
    db = make_run([item("a.jpg")])
    with pytest.raises(StoreError, match="give another name"):
        write_report(db, tmp_path / "no folder" / "r.html")
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(StoreError):
        write_report(db, folder)
    assert not list(tmp_path.glob("*.part*"))


def test_wrong_arguments(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_rows=0"):
        write_report(make_run([]), tmp_path / "r.html", max_rows=0)
    with pytest.raises(StoreError, match="no such results file"):
        write_report(tmp_path / "none.sqlite", tmp_path / "r.html")


def test_gallery_holds_what_was_not_cleared_highest_first(
    make_run: MakeRun, picture: Callable[..., Path]
) -> None:
    names = [str(picture(f"p{i}.png", seed=i)) for i in range(4)]
    verdicts = ("real", "inconclusive", "inconclusive", "error")
    rows = [item(name, verdicts[i], logit=i / 10) for i, name in enumerate(names)]
    text = report(make_run(rows))
    assert "No file was called generated." in text
    assert re.findall(r'alt="brightness of (p\d)', text) == ["p2", "p1"]
