"""The report of a screening run: one HTML file that refers to nothing outside itself.

It is written from the run's results file in two passes that hold only what is shown, so that a run
of a hundred thousand files makes a page of the size of a run of a thousand.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import json
import math
import os
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gandetect.detect.calibration import BASES
from gandetect.report.thumbnails import thumbnail_jpeg
from gandetect.screen.isolation import IsolationError, isolated
from gandetect.screen.pool import Limits, PoolError
from gandetect.screen.store import StoreError, holds_on_average, iter_rows, iter_skips, run_info

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
MAX_OFFENDERS = 9
MAX_TIMELINES = 12
# A rate per hour of video, taken from less than this, would say nothing.
MIN_HOURS = 0.1
# A report of nothing but hostile files is still to be written within minutes.
THUMBNAIL_LIMITS = Limits(stall_s=30.0, total_s=30.0, memory_bytes=2 << 30)

# What a machine word of a row means, for people.
REASONS = {
    "between_thresholds": "the score lies between the two thresholds",
    "between_pooled_thresholds": "the score lies between thresholds borrowed from other classes",
    "soft": "as soft as a blurred or enlarged photograph, which lacks as much, or resized",
    "uncertified_class": "too few calibration images of its compression and size to decide",
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
    "changed": "the file changed while it was screened",
    "own_results": "the results file of this very run",
    "not_media": "neither an image nor a video",
    "crashed": "the decoder crashed on it, twice",
    "timeout": "decoding took too long",
    "memory_limit": "decoding needed too much memory",
    "scoring_failed": "it could be decoded, but not scored",
    "no_face": "no face found",
    "not_significant": "above the threshold, but not among as many files (Benjamini-Hochberg)",
    "reviewed": "decided by a person",
    "hidden": "hidden file",
    "broken_link": "link to nothing",
    "seen_before": "the same file again",
    "loop": "link back to a folder above",
    "fifo": "not a regular file (pipe)",
    "socket": "not a regular file (socket)",
    "device": "not a regular file (device)",
}

# What a person said of a verdict.
REVIEWS = {
    "confirmed": "confirmed by a person",
    "false_positive": "a false alarm, says a person",
}

Row = dict[str, Any]


def _floats() -> array[float]:
    return array("d")


@dataclass
class Digest:
    """What the report shows of the files of a run."""

    verdicts: Counter[str] = field(default_factory=Counter)
    media: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    reviews: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[str] = field(default_factory=Counter)
    # By verdict.
    logits: dict[str, array[float]] = field(default_factory=lambda: defaultdict(_floats))
    rows: list[Row] = field(default_factory=list)
    errors: list[Row] = field(default_factory=list)
    videos: list[Row] = field(default_factory=list)
    n_frames: int = 0
    n_judged_videos: int = 0
    video_s: float = 0.0
    has_p_values: bool = False

    @property
    def n_files(self) -> int:
        return self.verdicts.total()

    @property
    def n_judged(self) -> int:
        return self.n_files - self.verdicts["error"]

    @property
    def video_hours(self) -> float:
        """Of the videos whose length is known and which were judged."""
        return self.video_s / 3600

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """The listed rows by verdict, in the order in which they stand."""
        by_verdict = itertools.groupby(self.rows, key=lambda row: row["verdict"])
        return [(word, list(rows)) for word, rows in by_verdict]

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
        digest.has_p_values |= row.get("p_value") is not None
        if row.get("review"):
            digest.reviews[row["review"]] += 1
        if row["logit"] is not None:
            digest.logits[row["verdict"]].append(row["logit"])
        if row.get("delivery"):
            digest.deliveries[row["delivery"]] += 1
        if row["verdict"] == "error":
            digest.reasons[row["reason"] or "unknown"] += 1
            if len(digest.errors) < MAX_ERRORS:
                digest.errors.append(row)
        elif row["media"] == "video":
            _count_video(row, digest)
        yield row


def _count_video(row: Row, digest: Digest) -> None:
    digest.n_judged_videos += 1
    digest.video_s += row.get("duration_s") or 0.0
    if row["logit"] is not None:
        digest.videos.append(row)
        if len(digest.videos) > 50 * MAX_TIMELINES:
            digest.videos = heapq.nsmallest(MAX_TIMELINES, digest.videos, key=_rank)


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
    timelines = [(row, _timeline(info, frames.get(_key(row), []))) for row in digest.videos]
    classes = _classes(info, digest)
    histogram = ""
    if digest.logits:
        # Where classes have their own, no two thresholds divide all scores.
        common = None if classes else (info["threshold_real"], info["threshold_generated"])
        picture = plots.score_histogram(digest.logits, *(common or ()))
        histogram = Markup(plots.inline_svg(picture))
    return page(
        "report.html",
        info=info,
        digest=digest,
        order=ORDER,
        histogram=histogram,
        classes=classes,
        offenders=[(row, thumbnail(row, frames.get(_key(row), []))) for row in digest.offenders],
        timelines=[(row, markup) for row, markup in timelines if markup],
        skipped=sorted(skipped.items(), key=lambda item: -item[1]),
        reasons=digest.reasons.most_common(),
        false_alarms=_false_alarms(info, digest),
        alarms_per_hour=_alarms_per_hour(info, digest),
        on_average=holds_on_average(info),
        video_rate=None if info["fpr"] is None else _video_rate(info),
    )


def _classes(info: Mapping[str, Any], digest: Digest) -> list[dict[str, Any]]:
    """The classes that images of the run are of: how many, and the thresholds that judged them."""
    known = info.get("class_thresholds") or {}
    counts = sorted(digest.deliveries.items())
    return [
        {"name": name, "files": n, "rests_on": BASES[known[name]["basis"]], **known[name]}
        for name, n in counts
        if name in known
    ]


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
    scored = [frame for frame in frames if frame["logit"] is not None]
    worst = max(scored, key=lambda frame: frame["logit"])["frame"] if scored else 0
    picture = _decoded_apart(path, row["media"], worst)
    if picture is None:
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _decoded_apart(path: str, media: str, frame: int) -> bytes | None:
    """The thumbnail, decoded in a process that may die of the file."""
    if not os.path.isfile(path):
        return None
    try:
        return isolated(thumbnail_jpeg, path, media, frame, limits=THUMBNAIL_LIMITS)
    except (IsolationError, PoolError):
        return None


def _timeline(info: Mapping[str, Any], frames: list[Row]) -> Markup | None:
    if sum(row["p_generated"] is not None for row in frames) < 2:
        return None
    picture = plots.timeline(
        [row["time_s"] for row in frames],
        [row["p_generated"] for row in frames],
        [row["verdict"] for row in frames],
        shots=[row.get("shot") for row in frames],
        thresholds=threshold_levels(info, frames),
    )
    return Markup(plots.inline_svg(picture))


def threshold_levels(
    info: Mapping[str, Any], rows: Iterable[Row]
) -> tuple[float | None, float | None]:
    """The thresholds (real, generated) as p(generated), None where the rows do not tell them.

    A results file holds the thresholds as scores. What carries a score to p is a logistic curve,
    and two rows on it tell which.
    """
    pairs = [(row["logit"], row["p_generated"]) for row in rows]
    # Near 0 and 1 the log odds of a rounded p are anything.
    usable = [(x, p) for x, p in pairs if x is not None and p is not None and 1e-6 < p < 1 - 1e-6]
    if not usable:
        return None, None
    (low, p_low), (high, p_high) = min(usable), max(usable)
    if low == high:
        return None, None
    slope = (_log_odds(p_high) - _log_odds(p_low)) / (high - low)

    def level(score: float | None) -> float | None:
        if score is None or not math.isfinite(score):
            return None
        odds = _log_odds(p_low) + slope * (score - low)
        return 0.5 * (1 + math.tanh(odds / 2))

    return level(info["threshold_real"]), level(info["threshold_generated"])


def _log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def _false_alarms(info: Mapping[str, Any], digest: Digest) -> int | None:
    """How many of these files the wanted rate lets be called generated if all of them were real."""
    if info["fpr"] is None:
        return None
    n_videos = digest.n_judged_videos
    expected = info["fpr"] * (digest.n_judged - n_videos) + _video_rate(info) * n_videos
    # Rounded, or 0.05 * 60 would be a little more than 3 and count as 4.
    return math.ceil(round(expected, 9))


def _video_rate(info: Mapping[str, Any]) -> float:
    """The largest share of real videos called generated; see `gandetect.screen.verdict`."""
    known = info.get("video_fpr")
    return float(min(1.0, 2 * info["fpr"]) if known is None else known)


def _alarms_per_hour(info: Mapping[str, Any], digest: Digest) -> float | None:
    """The same of the videos, per hour of them; None where too little of their length is known."""
    if info["fpr"] is None or digest.video_hours < MIN_HOURS:
        return None
    return _video_rate(info) * digest.n_judged_videos / digest.video_hours


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


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} hours"


def _small(value: float | None) -> str:
    """A p-value: two digits that count, however small."""
    return "" if value is None else f"{value:.2g}"


def _plural(count: float, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _traits(row: Row) -> str:
    """What a row tells of its file in a line: as much of it as is known."""
    size = f"{row['width']:,} × {row['height']:,}" if row["width"] and row["height"] else None
    parts = [size, row.get("container"), row["codec"]]
    if row["media"] == "video":
        rate, shots, worth = (row.get(key) for key in ("frame_rate", "n_shots", "n_effective"))
        parts += [
            _duration(row.get("duration_s")),
            f"{rate:.4g} frames per second" if rate else None,
            _plural(row["n_frames"], "frame") + " scored" if row["n_frames"] else None,
            f"in {_plural(shots, 'shot')}" if shots else None,
            f"worth {worth:.1f} independent frames" if worth is not None else None,
        ]
    return ", ".join(part for part in parts if part)


def _review(word: str | None) -> str:
    return REVIEWS.get(word, word.replace("_", " ")) if word else ""


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
    "duration": _duration,
    "name": visible_name,
    "number": _number,
    "p": _probability,
    "reason": _reason,
    "review": _review,
    "size": _size,
    "small": _small,
    "traits": _traits,
    "when": _when,
}
