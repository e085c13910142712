"""The run: files are found, those already in the results are passed over, the others go in chunks
to supervised workers, and what comes back is judged and written.

    find_files -> known? -> chunks -> workers (decode, cut, score) -> judge -> results

Memory does not grow with the number of files: a worker holds one decoded picture, the squares that
wait for its batch (BATCH_BYTES) and some 50 bytes for each scored frame of its chunk; here only
two chunks per worker are under way.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from itertools import islice
from typing import Any

import torch

from gandetect.detect import Model, load_shipped
from gandetect.detect.calibration import CONFIDENCE, described_classes
from gandetect.processes import processors
from gandetect.screen.decode import FileEnd, Sampling
from gandetect.screen.frames import Frames
from gandetect.screen.pool import Chunk, Failure, Limits, Pool
from gandetect.screen.regions import CutOptions
from gandetect.screen.schema import ITEM_COLUMNS, UNKNOWN, StoreError, file_key, text_path
from gandetect.screen.significance import keep_significant
from gandetect.screen.sources import Found, Skipped, Source, Unreadable, find_files
from gandetect.screen.verdict import (
    EVEN,
    MIN_FRAMES,
    Judge,
    Scorer,
    Verdict,
    look_rate,
    suspicious_from,
)
from gandetect.screen.work import Scored, WorkSettings, prepare, work_here
from gandetect.screen.writer import FileRows, Known, Writer, fitting, plain

MAX_WORKERS = 32
# What `softness` finds in suspicious pictures: scores that another version knew are not taken.
LOOKED_FOR = ("soft", "resized")
# Small files travel together, so that a message costs little per file; never so many that one
# worker is left with them at the end.
CHUNK_FILES = 32
CHUNK_BYTES = 4 << 20
_JUDGEMENT = (
    "fpr", "fdr", "threshold_generated", "threshold_real", "video_threshold_generated",
    "video_threshold_real", "prevalence", "class_thresholds",
)  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """How far a run is; passed to the `progress` callback after files and skips, and while long
    files are in work. `n_known`: files that were in the results already."""

    path: str
    n_files: int
    n_frames: int
    n_errors: int
    n_skipped: int
    n_known: int = 0


@dataclass
class Summary:
    """What a run covers.

    `verdicts`: files by verdict, those screened by earlier runs included, of which there are
    `n_known`. `n_partial`: files of which a part could not be decoded. `skipped`: things seen and
    not screened, by reason. `n_frames`: frames decoded and scored or found unfit. `video_hours`:
    length of the videos that this run screened. `critical_p`: with `fdr` the largest p-value among
    the discoveries. `seconds`: wall time of the run.
    """

    db: str
    run: int
    model: str
    verdicts: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    n_files: int = 0
    n_known: int = 0
    n_partial: int = 0
    n_frames: int = 0
    video_hours: float = 0.0
    critical_p: float | None = None
    seconds: float = 0.0

    @property
    def n_errors(self) -> int:
        return self.verdicts.get("error", 0)

    @property
    def exit_code(self) -> int:
        """0 all screened, 1 some files failed wholly or in part, 3 none could be screened."""
        if self.n_errors == self.n_files:
            return 3
        return 1 if self.n_errors or self.n_partial else 0


@dataclass(frozen=True)
class ScreenOptions:
    """What decides the scores of a file besides its content and the model.

    every, max_frames, keyframes: see `Sampling`; region, max_tiles: see `CutOptions`.
    """

    every: float | None = None
    max_frames: int | None = None
    keyframes: bool = False
    region: str = "tiles"
    max_tiles: int = 16

    def work(
        self, model: Scorer, batch_size: int = 64, device: str = "cpu", fpr: float = 0.05
    ) -> WorkSettings:
        """What workers are told for runs at the rate `fpr`; raises ValueError for options out of
        range."""
        options = CutOptions(
            self.region,
            model.tile,
            model.min_side,
            self.max_tiles,
            as_decoded=bool(getattr(model, "ignores_brightness", False)),
        )
        sampling = Sampling(self.every, self.max_frames, self.keyframes)
        suspicious = suspicious_from(model, fpr)
        return WorkSettings(model, sampling, options, batch_size, device, suspicious)

    def key(self) -> str:
        """The options as text that is the same for the same options."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def min_frames(self) -> int:
        """Frames below which a video is not judged."""
        return min(MIN_FRAMES, self.max_frames or MIN_FRAMES)


def screen(
    paths: Iterable[str | os.PathLike[str]],
    *,
    model: Scorer | str | os.PathLike[str] | None = None,
    db: str | os.PathLike[str] = "screen.sqlite",
    fpr: float = 0.05,
    fdr: float | None = None,
    confidence: float | None = CONFIDENCE,
    prevalence: float = EVEN,
    every: float | None = None,
    max_frames: int | None = None,
    keyframes: bool = False,
    region: str = "tiles",
    max_tiles: int = 16,
    batch_size: int = 64,
    workers: int | None = None,
    limits: Limits | None = None,
    device: str = "cpu",
    again: bool = False,
    retry_errors: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Screen files and folders, and add a run to the results file `db`.

    `model`: a Model, the path of a model file, or None for the one that ships. `fpr`: the largest
    share of real pictures, and of real videos, called generated; with `confidence`, or, where that
    is None, on average over calibrations (conformal). `fdr`: besides, the largest expected share of
    real files among those called generated (Benjamini-Hochberg over the run).
    `prevalence`: the share of generated files that p(generated) is for; it moves no verdict.
    `every` seconds a frame of a video is scored (None: every frame), at most `max_frames` per file,
    of its key frames alone with `keyframes`. `region`: tiles, center, frame or faces; `max_tiles`
    per picture; `batch_size` squares are scored at once, on `device`.

    Files that the results hold already, unchanged and screened with this model and these options,
    are not screened again but judged by `fpr` (`again`: screened all the same; `retry_errors`:
    those without a verdict). `workers`: supervised processes, one file each (None: one per
    processor; 0: none, in this process and unprotected). `limits`: what one file may cost.
    `progress` is called after files, and now and then.

    A file that cannot be read, or that took its worker along twice, becomes a row with verdict
    `error`. Raises ValueError for arguments out of range, and StoreError where the results cannot
    be written or another run writes to them. On KeyboardInterrupt the finished files stay.
    """
    check_options(batch_size, workers, fdr, device, region, prevalence, confidence)
    options = ScreenOptions(every, max_frames, keyframes, region, max_tiles)
    scorer = load_scorer(model)
    settings = options.work(scorer, batch_size, device, fpr)
    count = default_workers() if workers is None else workers

    def scored(chunks: Iterator[Chunk[Source]]) -> Iterator[Outcome]:
        if count == 0:
            yield from work_here(settings, chunks)
            return
        with Pool(prepare, settings, count, limits_for(device, limits)) as pool:
            for outcome in pool.run(chunks):
                yield outcome if outcome is not None else pool.steps

    names = path_names(paths)
    return run_over(
        find_files(names), scored, scorer, options, db=db, fpr=fpr, fdr=fdr, workers=max(1, count),
        again=again, retry_errors=retry_errors, progress=progress, prevalence=prevalence,
        confidence=confidence, args={**described(names), "batch_size": batch_size},
    )  # fmt: skip


# What an engine gives: a chunk with its scores, one file that was given up, or, now and then, the
# number of frames done in the files at work.
Outcome = tuple[Chunk[Source], Scored | Failure] | int
Engine = Callable[[Iterator[Chunk[Source]]], Iterator[Outcome]]


def described(paths: list[str]) -> dict[str, Any]:
    """What was asked for, as the run's row keeps it."""
    return {
        "paths": [os.fsencode(path).decode(errors="backslashreplace") for path in paths],
        "cwd": os.fsencode(os.getcwd()).decode(errors="backslashreplace"),
    }


def run_over(
    found: Iterable[Found],
    engine: Engine,
    model: Scorer,
    options: ScreenOptions,
    *,
    db: str | os.PathLike[str],
    fpr: float,
    fdr: float | None,
    workers: int,
    again: bool,
    retry_errors: bool,
    progress: Callable[[Progress], None] | None,
    args: dict[str, Any],
    prevalence: float = EVEN,
    confidence: float | None = CONFIDENCE,
) -> Summary:
    """Screen what was found by an engine; see `screen`. `workers`: how many files it works on at
    once. `args`: for the run's row."""
    judge = Judge(model, fpr, options.key(), prevalence, confidence)
    args = {**args, "fpr": fpr, "confidence": confidence, **asdict(options)}
    started = time.monotonic()
    with Writer(db, _spec_row(model, options, fpr), _run_row(judge, fpr, fdr, args)) as writer:
        summary = Summary(writer.path, writer.run, model.name)
        run = _Run(judge, writer, summary, options, again, retry_errors, progress)
        status = "failed"
        try:
            for outcome in engine(run.chunks(found, workers)):
                run.take(outcome)
            run.conclude(fdr)
            status = "done"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            summary.seconds = time.monotonic() - started
            _finish(writer, status)
    return summary


def limits_for(device: str, limits: Limits | None) -> Limits:
    """The limits of workers that score on `device`: CUDA maps far more memory than it uses."""
    return replace(limits or Limits(), hard=torch.device(device).type == "cpu")


def default_workers() -> int:
    """One worker per processor this process may use, at most MAX_WORKERS."""
    return min(MAX_WORKERS, processors())


class _Run:
    """Between the files found, the workers and the results."""

    def __init__(
        self,
        judge: Judge,
        writer: Writer,
        summary: Summary,
        options: ScreenOptions,
        again: bool,
        retry_errors: bool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._judge = judge
        self._writer = writer
        self._summary = summary
        self._options = options
        self._again = again
        self._retry_errors = retry_errors
        self._progress = progress
        self._same_judgement = _runs_alike(writer)
        # Of files on their way, by path: their place in the run and the row they replace.
        self._under_way: dict[str, tuple[int, int | None]] = {}

    def chunks(self, found: Iterable[Found], workers: int) -> Iterator[Chunk[Source]]:
        """Chunks of the files that are to be screened; the others are dealt with here."""
        sources = self._to_screen(found)
        first = list(islice(sources, workers))
        if not first:
            return
        if len(first) < workers:
            # Fewer files than processors: several may decode one video.
            for source in first:
                yield Chunk([source], max(1, workers // len(first)))
            return
        yield from (Chunk([source]) for source in first)
        yield from _chunked(sources, workers)

    def _to_screen(self, found: Iterable[Found]) -> Iterator[Source]:
        for seq, item in enumerate(found):
            if isinstance(item, Skipped):
                self._skip(seq, item)
                continue
            if self._writer.owns(item.path):
                self._skip(seq, Skipped(item.path, "own_results"))
                continue
            size, mtime_ns = _stamp(item)
            known = self._writer.known(item.path, size, mtime_ns)
            if isinstance(item, Unreadable):
                end = FileEnd("error", None, item.reason, item.detail)
                row = self._row(item.path, size, mtime_ns, end, Frames())
                self._writer.add([FileRows(seq, row, (), known and known.id)])
                self._count(end.status, "error", 0)
            elif known is not None and not self._is_due(known):
                self._pass_over(seq, known)
            else:
                self._under_way[item.path] = seq, known and known.id
                yield item
                continue
            self._tell(item.path)

    def _is_due(self, known: Known) -> bool:
        return self._again or (self._retry_errors and known.verdict == "error")

    def _pass_over(self, seq: int, known: Known) -> None:
        """A file that was screened before: judged anew where that was by other thresholds."""
        verdict = known.verdict
        if known.judged not in self._same_judgement and verdict != "error":
            verdict = self._judge_again(known.id)
        self._writer.visit(seq, known.id)
        self._summary.n_known += 1
        self._count(known.status, verdict, 0)

    def _judge_again(self, item: int) -> str:
        row, frames = self._writer.row_of(item), self._writer.frames_of(item)
        chances, words, reasons = self._judge.frames(frames)
        end = FileEnd(row["status"], row["media"], row["status"])
        values = self._conclusion(end, frames, chances, words, reasons)
        self._writer.judge(item, values, zip(chances, words, reasons, frames.index, strict=True))
        return str(values[0])

    def take(self, outcome: Outcome) -> None:
        """What an engine gave."""
        if isinstance(outcome, int):
            self._writer.tick()
            self._tell("", outcome)
            return
        chunk, scored = outcome
        if isinstance(scored, Failure):
            end = FileEnd(
                "quarantined", None, scored.reason, scored.detail, attempts=scored.attempts
            )
            scored = Scored([end], [0])
        self._write(chunk, scored)

    def _write(self, chunk: Chunk[Source], scored: Scored) -> None:
        chances, words, reasons = self._judge.frames(scored.frames)
        decided = [*zip(scored.frames.rows(), chances, words, reasons, strict=True)]
        files, start = [], 0
        for source, end, count in zip(chunk.items, scored.ends, scored.counts, strict=True):
            stop = start + count
            seq, replaces = self._under_way.pop(source.path)
            if isinstance(end, Skipped):
                self._skip(seq, end)
                continue
            part = slice(start, stop)
            frames = scored.frames.part(start, stop)
            row = self._row(
                source.path, *_stamp(source), end, frames, chances[part], words[part], reasons[part]
            )
            rows = [(*f[:4], reason, *f[5:], p, word) for f, p, word, reason in decided[part]]
            files.append(FileRows(seq, row, rows, replaces))
            self._count(end.status, row[_VERDICT], count, end.duration_s)
            start = stop
        self._writer.add(files)
        self._tell(chunk.items[-1].path)

    def _row(
        self,
        path: str,
        size: int,
        mtime_ns: int,
        end: FileEnd,
        frames: Frames,
        chances: Any = (),
        words: Any = (),
        reasons: Any = (),
    ) -> tuple[Any, ...]:
        """The values of ITEM_COLUMNS after id, spec and run."""
        return (
            *text_path(path), size, mtime_ns, file_key(path, size, mtime_ns), end.sha256,
            end.media, end.container, end.codec, end.width, end.height, end.duration_s,
            end.frame_rate, end.status, plain(end.detail), end.attempts, fitting(end.n_decoded),
            fitting(end.n_errors), fitting(end.n_expected), frames.image_delivery(),
            self._writer.run,
            *self._conclusion(end, frames, chances, words, reasons),
        )  # fmt: skip

    def _conclusion(
        self, end: FileEnd, frames: Frames, chances: Any, words: Any, reasons: Any
    ) -> tuple[Any, ...]:
        """The values of JUDGED_COLUMNS after `judged`."""
        if end.status in ("error", "quarantined"):
            return ("error", end.reason, None, None, None, 0, None, None)
        if end.media == "video":
            verdict = self._judge.video_file(frames, self._options.min_frames)
        elif len(frames):
            logit = frames.logit[0]
            known = None if math.isnan(logit) else logit
            delivery = frames.image_delivery()
            verdict = self._judge.image(known, chances[0], words[0], reasons[0], delivery)
        else:
            verdict = Verdict("inconclusive", "no_frames")
        partial = "partial" if end.status == "partial" else None
        return (
            verdict.verdict, verdict.reason or partial, verdict.logit, verdict.p_generated,
            verdict.p_value, verdict.n_scored, verdict.n_shots, verdict.n_effective,
        )  # fmt: skip

    def conclude(self, fdr: float | None) -> None:
        """What can be said only of all files together, and the count of verdicts as they are."""
        if fdr is not None:
            self._summary.critical_p = keep_significant(self._writer, fdr)
        self._summary.verdicts = self._writer.verdicts()

    def _count(
        self, status: str, verdict: str, n_frames: int, duration_s: float | None = None
    ) -> None:
        summary = self._summary
        summary.n_files += 1
        summary.n_frames += n_frames
        summary.n_partial += status == "partial"
        summary.video_hours += (duration_s or 0.0) / 3600
        summary.verdicts[verdict] = summary.verdicts.get(verdict, 0) + 1

    def _skip(self, seq: int, skipped: Skipped) -> None:
        self._writer.skip(seq, skipped.path, skipped.reason)
        counts = self._summary.skipped
        counts[skipped.reason] = counts.get(skipped.reason, 0) + 1
        self._tell(skipped.path)

    def _tell(self, path: str, n_at_work: int = 0) -> None:
        if self._progress is None:
            return
        summary = self._summary
        self._progress(
            Progress(
                path,
                summary.n_files,
                summary.n_frames + n_at_work,
                summary.n_errors,
                sum(summary.skipped.values()),
                summary.n_known,
            )
        )


# Of the values that `_row` gives, which begin after id, spec and run.
_VERDICT = ITEM_COLUMNS.index("verdict") - 3


def _chunked(sources: Iterator[Source], workers: int) -> Iterator[Chunk[Source]]:
    """Small files together, large ones alone; the chunks begin small, so that a short list is
    shared evenly."""
    items: list[Source] = []
    n_bytes, n_chunks = 0, 0
    for source in sources:
        items.append(source)
        n_bytes += source.size
        if len(items) >= min(CHUNK_FILES, 1 + n_chunks // (2 * workers)) or n_bytes >= CHUNK_BYTES:
            yield Chunk(items)
            items, n_bytes, n_chunks = [], 0, n_chunks + 1
    if items:
        yield Chunk(items)


def _stamp(found: Source | Unreadable) -> tuple[int, int]:
    """Size and time of change; those of what cannot be reached are not known."""
    if isinstance(found, Unreadable):
        return UNKNOWN, UNKNOWN
    mtime_ns = fitting(found.mtime_ns)
    return found.size, UNKNOWN if mtime_ns is None else mtime_ns


def _runs_alike(writer: Writer) -> set[int]:
    """The runs that judged as this one does: by the same thresholds, file by file."""
    runs = {number: values for number, *values in writer.run_values(_JUDGEMENT)}
    mine = runs[writer.run]
    alike = {number for number, values in runs.items() if values == mine and values[1] is None}
    return alike | {writer.run}


def check_options(
    batch_size: int,
    workers: int | None,
    fdr: float | None,
    device: str,
    region: str,
    prevalence: float = EVEN,
    confidence: float | None = CONFIDENCE,
) -> None:
    """Raises ValueError for arguments out of range, and ImportError where a region needs more than
    is installed."""
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} given; at least 1 is needed")
    if workers is not None and workers < 0:
        raise ValueError(f"workers={workers} given; at least 0 is needed, or None")
    if fdr is not None and not 0 < fdr < 1:
        raise ValueError(f"fdr={fdr} given; give a rate between 0 and 1, or None")
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence={prevalence} given; give a share between 0 and 1")
    if confidence is not None and not 0.5 <= confidence < 1:
        raise ValueError(f"confidence={confidence} given; give 0.5 to 1, or None for on average")
    if region == "faces":
        from gandetect.screen.faces import require_detector

        require_detector()
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"device {device!r} given; choose cpu, cuda or cuda:N") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} given, but torch sees no CUDA device; use cpu")


def path_names(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[str]:
    """Paths as text; one by itself is one path, not its letters."""
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    return [os.fspath(path) for path in several]


def load_scorer(model: Scorer | str | os.PathLike[str] | None) -> Scorer:
    """The model itself, or that of a file, or (None) the one that ships."""
    if model is None:
        return load_shipped()
    return Model.load(os.fspath(model)) if isinstance(model, str | os.PathLike) else model


def score_key(model: Scorer, options: ScreenOptions, fpr: float) -> str:
    """What decides the rows of a file besides its content and the model, as text."""
    rate = look_rate(model, fpr)
    if rate is None:
        return options.key()
    looked = {"looked_into_up_to": rate, "looked_for": LOOKED_FOR}
    return json.dumps({**asdict(options), **looked}, sort_keys=True)


def _spec_row(model: Scorer, options: ScreenOptions, fpr: float) -> dict[str, Any]:
    features = model.card.get("features") or {}
    return {
        "model": model.name,
        "model_sha256": model.sha256 or _content_of(model),
        "convention": str(features.get("convention", "")),
        "region": options.region,
        "options": score_key(model, options, fpr),
    }


def _content_of(model: Scorer) -> str:
    """What tells a model apart that is not in a file; one that has no bytes is like no other."""
    to_bytes = getattr(model, "to_bytes", None)
    if to_bytes is None:
        return f"unsaved-{uuid.uuid4().hex}"
    return hashlib.sha256(to_bytes()).hexdigest()


def _run_row(judge: Judge, fpr: float, fdr: float | None, args: dict[str, Any]) -> dict[str, Any]:
    thresholds, video = judge.thresholds, judge.video
    versions = _versions()
    return {
        "model_card": json.dumps(judge.model.card),
        "fpr": fpr,
        "fdr": fdr,
        "certified": thresholds.certified,
        "threshold_generated": thresholds.generated,
        "threshold_real": thresholds.real,
        "prevalence": judge.prevalence,
        "class_thresholds": json.dumps(described_classes(judge.classes)),
        "video_fpr": video.fpr_bound,
        "video_threshold_generated": video.generated,
        "video_threshold_real": video.real,
        "args": json.dumps(args),
        "versions": json.dumps(versions),
        "tool_version": versions["gandetect"],
    }


def _versions() -> dict[str, str]:
    names = ("gandetect", "torch", "numpy", "av", "simplejpeg", "pillow")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _finish(writer: Writer, status: str) -> None:
    """The status of a run that failed because the disk is full cannot be written either."""
    try:
        writer.finish(status)
    except StoreError:
        if status != "failed":
            raise
