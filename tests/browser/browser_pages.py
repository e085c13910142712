"""The pages to open, made by the commands that users run where that can be done, and a visit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner
from making_media import write_clip
from PIL import Image
from report_runs import item, write_run

from gandetect.cli import main
from gandetect.report.html import digested, render, write_page, write_report
from gandetect.screen.store import COLUMNS, run_info

MEDIA = Path(__file__).resolve().parents[2] / "examples" / "media"

# As file names: they must show as text, whatever they would be elsewhere. Sorted as files are.
HOSTILE = sorted(
    (
        b"<script>window.pwned=1;alert(1)<",
        b"<img src=x onerror=alert(1)>",
        b"<svg onload=alert(1)>",
        b'" autofocus onfocus=alert(1) x="',
        b"' onmouseover='alert(1)",
        b"--><b>out<!--",
        b"<style>*{display:none}<",
        b"{{ 7*7 }}{% include 'x' %}",
        b"&lt;b&gt;&#60;i&#62;",
        b"line\nbreak\ttab\rreturn\x1b[31m",
        "photo\u202egpj.exe\u2066\u200f".encode(),
        "a\u2028b\u0000c".replace("\u0000", "\u0001").encode(),
        b"latin-1 caf\xe9 \xff\xfe",
        b"javascript:alert(1)",
        b"W" * 250,
        "\U0001f600\u0915\u094d\u0937\u6f22\u5b57".encode(),
    )
)
QUOTING = {i for i, name in enumerate(HOSTILE) if b"'" in name or b'"' in name}


class Visit:
    """A page in the browser, and in `problems` what it must not do: reach out, complain, ask."""

    def __init__(self, context: Any, path: Path) -> None:
        self.context = context
        self.address = path.as_uri()
        self.problems: list[str] = []
        self.page = context.new_page()
        context.on("request", self._requested)
        self.page.on("console", lambda message: self._note(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self._note(f"script error: {error}"))
        self.page.on("dialog", self._asked)
        self.page.on("popup", lambda _: self._note("a window opened"))

    def open(self) -> None:
        self.page.goto(self.address)

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    def _requested(self, request: Any) -> None:
        if request.url.split("#")[0] != self.address and not request.url.startswith("data:"):
            self._note(f"request: {request.url}")

    def _asked(self, dialog: Any) -> None:
        self._note(f"dialog: {dialog.message}")
        dialog.dismiss()

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def texts(self, selector: str) -> list[str]:
        return list(self.page.locator(selector).all_text_contents())

    def skeleton(self) -> list[list[str]]:
        """Every element as its name and the names of its attributes, in the page's order."""
        return list(
            self.run(
                "[...document.querySelectorAll('*')].map("
                "e => [e.tagName, ...[...e.attributes].map(a => a.name).sort()])"
            )
        )


def _command(*arguments: object) -> None:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code in (0, 1), result.output


def _screened(folder: Path, *media: Path) -> Path:
    page = folder / "report.html"
    _command("screen", *media, "--db", folder / "screen.sqlite", "--report", page, "-q")
    return page


def sample(folder: Path) -> Path:
    return _screened(folder, MEDIA)


def _named_files(folder: Path, names: list[bytes]) -> Path:
    """Pictures under these names, every fourth of them damaged; those of QUOTING are generated
    ones, whose names stand in attributes of the report."""
    folder.mkdir()
    generated = Image.open(MEDIA / "generated_bridge.png").convert("L")
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).integers(0, 256, (160, 160), dtype=np.uint8)
        picture = generated if number in QUOTING else Image.fromarray(noise)
        path = os.fsdecode(os.fsencode(folder) + b"/" + name)
        with open(path, "wb") as file:
            picture.save(file, "PNG")
        if number % 4 == 3 and number not in QUOTING:
            os.truncate(path, 3000)
    return folder


def hostile(folder: Path) -> Path:
    return _screened(folder, _named_files(folder / "<b>media'\"", HOSTILE))


def harmless(folder: Path) -> Path:
    """The run `hostile` under plain names."""
    names = [b"%02d" % number for number in range(len(HOSTILE))]
    return _screened(folder, _named_files(folder / "media", names))


def _stored(folder: Path, rows: list[dict[str, Any]]) -> Path:
    page = folder / "report.html"
    write_report(write_run(folder / "run.sqlite", rows, skips=["not_media"]), page)
    return page


def empty(folder: Path) -> Path:
    return _stored(folder, [])


def many(folder: Path) -> Path:
    verdicts = ("real", "inconclusive", "generated", "error")
    return _stored(
        folder,
        [
            item(f"archive/{i:05d}.jpg", verdicts[i % 4], **_score(i), reason="truncated")
            for i in range(2400)
        ],
    )


def _score(number: int) -> dict[str, Any]:
    if number % 4 == 3:
        return {}
    logit = number / 600 - 2
    return {"logit": logit, "p_generated": 1 / (1 + np.exp(-logit))}


def videos(folder: Path) -> Path:
    """Clips with all that a row may tell of a video, among it what only some runs hold."""
    clip = write_clip(folder / "clip.mp4", 12)
    rows, frames = [], {}
    for number, word in enumerate(("generated", "inconclusive", "real")):
        path = str(clip if number == 0 else folder / f"gone{number}.mp4")
        row = {**dict.fromkeys(COLUMNS), **item(path, word, media="video", **_score(1800))}
        row |= {"sha256": "0123456789abcdef" * 4, "container": "mp4", "duration_s": 1200.0}
        row |= {"frame_rate": 25.0, "n_shots": 3, "n_effective": 4.5, "p_value": 0.0123}
        row |= {"n_frames": 30, "review": "false_positive" if number == 0 else None}
        rows.append(row)
        frames[path, None] = [_frame(i) for i in range(30)]
    info = run_info(write_run(folder / "run.sqlite", []))
    page = folder / "report.html"
    write_page(render(info, digested(rows), frames, {}), page)
    return page


def _frame(number: int) -> dict[str, Any]:
    logit = float(np.sin(number / 3)) * 3
    return {
        "frame": number,
        "time_s": float(number),
        "logit": logit,
        "p_generated": float(1 / (1 + np.exp(-logit))),
        "verdict": "generated" if logit > 2 else "real" if logit < -1 else "inconclusive",
        "shot": number // 10,
    }


def profile(folder: Path) -> Path:
    page = folder / "profile.html"
    name = "<script>alert(1)</script>" + "W" * 60
    first = _named_files(folder / "first", [b"1.png", b"2.png", b"3.png", b"<script>alert(1)<.png"])
    second = _named_files(folder / "second", [b"1.png", b"2.png"])
    _command("profile", f"{name}={first}", second, "--projection", "rows", "--out", page)
    return page


def explained(folder: Path) -> Path:
    """Of a file whose name would break out of the page."""
    name = b"<img src=x onerror=alert(1)>\"'" + b"W" * 150
    media = _named_files(folder / "media", [name])
    page = folder / "explained.html"
    _command("explain", next(media.iterdir()), "--out", page)
    return page


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "sample": sample,
    "hostile": hostile,
    "harmless": harmless,
    "empty": empty,
    "many": many,
    "videos": videos,
    "profile": profile,
    "explained": explained,
}
