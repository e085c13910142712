"""The report of a screening run: one HTML file that refers to nothing outside itself.

It is written from the run's results file in two passes that hold only what is shown, so that a run
of a hundred thousand files makes a page of the size of a run of a thousand.
"""

from __future__ import annotations

import base64
import heapq
import io
import itertools
import json
import math
import os
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from gandetect.media import Luma, MediaError, VideoReader, read_luma
from gandetect.screen.store import StoreError, iter_rows, iter_skips, run_info

try:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from gandetect.report import plots
except ImportError as missing:
    raise ImportError(
        f"reports need matplotlib and jinja2 ({missing}): pip install 'gandetect[report]'"
    ) from missing

TEMPLATES = Path(__file__).parent / "templates"
ORDER = ("generated", "inconclusive", "real", "error")
MAX_ROWS = 1000
MAX_ERRORS = 200
MAX_OFFENDERS = 8
MAX_TIMELINES = 12
THUMBNAIL_SIDE = 220
# A thumbnail of the most suspicious frame is worth decoding this far into a video, no further.
THUMBNAIL_FRAMES = 2000

# What a machine word of a row means, for people.
REASONS = {
    "between_thresholds": "the score lies between the two thresholds",
    "few_frames": "too few frames with texture to judge",
    "no_frames": "no frame could be scored",
    "too_small": "smaller than the detector needs",
    "flat": "no texture, so no spectrum to judge",
    "interlaced": "interlaced: its lines imitate the trace",
    "not_finite": "the score is not a number",
    "truncated": "the file is cut short",
    "corrupt": "the file is damaged",
    "too_large": "too large to decode safely",
    "unsupported": "format not supported",
    "empty": "the file is empty",
    "no_video": "no video in the file",
    "unreadable": "the file cannot be read",
    "not_found": "there is no such file",
    "not_media": "neither an image nor a video",
    "hidden": "hidden file",
    "broken_link": "link to nothing",
    "seen_before": "the same file again",
    "loop": "link back to a folder above",
    "fifo": "not a regular file (pipe)",
    "socket": "not a regular file (socket)",
    "device": "not a regular file (device)",
}

Row = dict[str, Any]


@dataclass
class Digest:
    """What the report shows of the files of a run."""

    verdicts: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    logits: array[float] = field(default_factory=lambda: array("d"))
    rows: list[Row] = field(default_factory=list)
    errors: list[Row] = field(default_factory=list)
    videos: list[Row] = field(default_factory=list)
    n_frames: int = 0

    @property
    def n_files(self) -> int:
        return self.verdicts.total()

    @property
    def offenders(self) -> list[Row]:
        """The highest scores among what was not cleared."""
        suspects = (row for row in self.rows if row["verdict"] in ("generated", "inconclusive"))
        scored = (row for row in suspects if row["logit"] is not None)
        return list(itertools.islice(scored, MAX_OFFENDERS))


def write_report(
    db_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    run: int | None = None,
    max_rows: int = MAX_ROWS,
) -> None:
    """Write the report of a run (None: the latest) in the results file `db_path` to `out_path`.

    `max_rows`: the most files that the table lists, the most suspicious first; the page says how
    many there are. Pictures are read again from the screened files and left out where these are
    gone. The page appears whole or not at all. Raises StoreError where the results cannot be read
    or the page cannot be written, ValueError for max_rows below 1.
    """
    if max_rows < 1:
        raise ValueError(f"max_rows={max_rows} given; at least 1 is needed")
    info = run_info(db_path, run)
    digest = digested(iter_rows(db_path, info["id"], kind="file"), max_rows)
    shown = {_key(row) for row in digest.offenders + digest.videos}
    frames = frames_of(iter_rows(db_path, info["id"], kind="frame"), shown) if shown else {}
    skipped = Counter(row["reason"] for row in iter_skips(db_path, info["id"]))
    page = render(info, digest, frames, skipped)
    write_page(page, out_path)


def write_page(page: str, out_path: str | os.PathLike[str]) -> None:
    """The page, whole or not at all; raises StoreError where the disk refuses."""
    # Names may hold lone surrogates, which have no UTF-8.
    write_whole(page.encode("utf-8", errors="backslashreplace"), out_path)


def write_whole(data: bytes, out_path: str | os.PathLike[str]) -> None:
    """A file, whole or not at all; raises StoreError where the disk refuses."""
    partial = Path(f"{os.fspath(out_path)}.part{os.getpid()}")
    try:
        partial.write_bytes(data)
        os.replace(partial, out_path)
    except OSError as error:
        message = f"{os.fspath(out_path)}: {error.strerror or error}"
        raise StoreError(f"{message}; give another name for the file") from error
    finally:
        partial.unlink(missing_ok=True)


def digested(rows: Iterable[Row], max_rows: int = MAX_ROWS) -> Digest:
    """One pass over the file rows of a run, keeping only what is shown."""
    digest = Digest()
    digest.rows = heapq.nsmallest(max_rows, _counted(rows, digest), key=_rank)
    digest.videos.sort(key=_rank)
    del digest.videos[MAX_TIMELINES:]
    return digest


def _counted(rows: Iterable[Row], digest: Digest) -> Iterator[Row]:
    for row in rows:
        digest.verdicts[row["verdict"]] += 1
        digest.media[row["media"] or "unknown"] += 1
        digest.n_frames += row["n_frames"] or 0
        if row["logit"] is not None:
            digest.logits.append(row["logit"])
        if row["verdict"] == "error":
            digest.reasons[row["reason"] or "unknown"] += 1
            if len(digest.errors) < MAX_ERRORS:
                digest.errors.append(row)
        if row["media"] == "video" and row["logit"] is not None:
            digest.videos.append(row)
            if len(digest.videos) > 50 * MAX_TIMELINES:
                digest.videos = heapq.nsmallest(MAX_TIMELINES, digest.videos, key=_rank)
        yield row


def _rank(row: Row) -> tuple[int, float]:
    """The most suspicious first."""
    logit = -math.inf if row["logit"] is None else row["logit"]
    order = ORDER.index(row["verdict"]) if row["verdict"] in ORDER else len(ORDER)
    return order, -logit


def _key(row: Row) -> tuple[str, str | None]:
    return row["path"], row["path_hex"]


def frames_of(rows: Iterable[Row], wanted: set[Any]) -> dict[Any, list[Row]]:
    """The frame rows of the wanted files by `(path, path_hex)`; all others are passed over."""
    groups = itertools.groupby(rows, key=_key)
    return {key: thinned(group) for key, group in groups if key in wanted}


def thinned(rows: Iterable[Row], most: int = plots.TIMELINE_POINTS) -> list[Row]:
    """Evenly spaced rows of one video, at most `most`, among them the one with the highest score.

    Hours of video scored frame by frame would not fit into memory as rows.
    """
    kept: list[tuple[int, Row]] = []
    step, worst = 1, None
    for number, row in enumerate(rows):
        if row["logit"] is not None and (worst is None or row["logit"] > worst[1]["logit"]):
            worst = number, row
        if number % step == 0:
            kept.append((number, row))
        if len(kept) == most:
            del kept[1::2]
            step *= 2
    if worst is not None and worst not in kept:
        kept.append(worst)
    return [row for _, row in sorted(kept, key=lambda entry: entry[0])]


def render(
    info: Mapping[str, Any],
    digest: Digest,
    frames: Mapping[Any, list[Row]],
    skipped: Mapping[str, int],
) -> str:
    """The page as text, from a run's description, its digest and the frames of what is shown."""
    timelines = [(row, _timeline(frames.get(_key(row), []))) for row in digest.videos]
    histogram = ""
    if len(digest.logits):
        picture = plots.score_histogram(
            digest.logits, info["threshold_real"], info["threshold_generated"]
        )
        histogram = Markup(plots.inline_svg(picture))
    return page(
        "report.html",
        info=info,
        digest=digest,
        order=ORDER,
        histogram=histogram,
        offenders=[(row, thumbnail(row, frames.get(_key(row), []))) for row in digest.offenders],
        timelines=[(row, markup) for row, markup in timelines if markup],
        skipped=sorted(skipped.items(), key=lambda item: -item[1]),
        reasons=digest.reasons.most_common(),
        false_alarms=_false_alarms(info, digest),
    )


def page(template: str, **values: Any) -> str:
    """A template of this room, everything in it escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template(template).render(**values)


def thumbnail(row: Row, frames: list[Row]) -> str | None:
    """A data URI of the brightness of a file's picture (of a video, its most suspicious frame)."""
    path = row["path"] if row["path_hex"] is None else os.fsdecode(bytes.fromhex(row["path_hex"]))
    try:
        luma = _frame_luma(path, frames) if row["media"] == "video" else read_luma(path)
    except (MediaError, OSError):
        return None
    if luma is None:
        return None
    pixels = luma.as_uint8_range().float().clamp(0, 255).round().byte().contiguous().numpy()
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _frame_luma(path: str, frames: list[Row]) -> Luma | None:
    scored = [row for row in frames if row["logit"] is not None]
    worst = max(scored, key=lambda row: row["logit"])["frame"] if scored else 0
    wanted = worst if worst < THUMBNAIL_FRAMES else 0
    return next((frame.luma for frame in VideoReader(path) if frame.index >= wanted), None)


def _timeline(frames: list[Row]) -> Markup | None:
    if sum(row["p_generated"] is not None for row in frames) < 2:
        return None
    picture = plots.timeline(
        [row["time_s"] for row in frames],
        [row["p_generated"] for row in frames],
        [row["verdict"] for row in frames],
    )
    return Markup(plots.inline_svg(picture))


def _false_alarms(info: Mapping[str, Any], digest: Digest) -> int | None:
    """How many of these files the wanted rate lets be called generated if all of them were real."""
    if info["fpr"] is None:
        return None
    judged = digest.n_files - digest.verdicts["error"]
    return math.ceil(info["fpr"] * judged)


def visible_name(name: str) -> str:
    """A file name with control and direction-changing characters spelled out."""
    return "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else f"\\u{ord(c):04x}"
        for c in name
    )


def _probability(value: float | None) -> str:
    if value is None:
        return ""
    if value < 0.01:
        return "< 0.01"
    return "> 0.99" if value > 0.99 else f"{value:.2f}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _size(value: int | None) -> str:
    if value is None:
        return ""
    if value < 10_000:
        return f"{value:,} bytes"
    scaled = value / 1000
    for unit in ("kB", "MB"):
        if scaled < 1000:
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.1f} {unit}"
        scaled /= 1000
    return f"{scaled:,.1f} GB"


def _reason(word: str | None) -> str:
    if not word:
        return ""
    return REASONS.get(word, word.replace("_", " "))


def _when(text: str | None) -> str:
    if not text:
        return ""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return text


def _card(card: Mapping[str, Any]) -> str:
    text = json.dumps(card, indent=2, ensure_ascii=False)
    return text if len(text) < 20_000 else f"{text[:20_000]}\n... (the model file holds the rest)"


FILTERS = {
    "base": os.path.basename,
    "card": _card,
    "name": visible_name,
    "number": _number,
    "p": _probability,
    "reason": _reason,
    "size": _size,
    "when": _when,
}
