"""The run: files are decoded ahead by threads, their squares are scored in batches of one size
across files, and each finished file goes to the results as one transaction.

Memory does not grow with the number of files: it holds decoded squares that wait to be scored
(QUEUE_BYTES), squares gathered for a batch (BATCH_BYTES), the pictures being decoded and, because a
file is one transaction, some 300 bytes for each scored frame of the files in work.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from gandetect.detect import Model, load_shipped
from gandetect.screen.batches import Batcher
from gandetect.screen.decode import DecodedFrame, FileEnd, Sampling, decode_file
from gandetect.screen.prefetch import prefetch
from gandetect.screen.regions import Cut, CutOptions
from gandetect.screen.sources import Found, Skipped, Unreadable, find_files
from gandetect.screen.store import Store, StoreError
from gandetect.screen.verdict import MIN_FRAMES, FrameScore, Judge, Scorer, frame_score

QUEUE_BYTES = 8 << 20
BATCH_BYTES = 16 << 20
MAX_OPEN_FILES = 256


@dataclass(frozen=True)
class Progress:
    """How far a run is; passed to the `progress` callback after every file and skip."""

    path: str
    n_files: int
    n_frames: int
    n_errors: int
    n_skipped: int


@dataclass
class Summary:
    """What a run did.

    `verdicts`: files by verdict. `n_partial`: files of which a part could not be decoded.
    `skipped`: things seen and not screened, by reason. `n_frames`: frames decoded and scored or
    found unfit. `seconds`: wall time of the run.
    """

    db: str
    run: int
    model: str
    verdicts: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    n_files: int = 0
    n_partial: int = 0
    n_frames: int = 0
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


def screen(
    paths: Iterable[str | os.PathLike[str]],
    *,
    model: Scorer | str | os.PathLike[str] | None = None,
    db: str | os.PathLike[str] = "screen.sqlite",
    fpr: float = 0.05,
    every: float | None = None,
    max_frames: int | None = None,
    region: str = "tiles",
    max_tiles: int = 16,
    batch_size: int = 64,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Screen files and folders, and append a run to the results file `db`.

    `model`: a Model, the path of a model file, or None for the one that ships. `fpr`: the largest
    share of real pictures called generated. `every` seconds a frame of a video is scored (None:
    every frame), at most `max_frames` per file. `region`: tiles, center or frame; `max_tiles` per
    picture; `batch_size` squares are scored at once. `workers`: decoding threads, one file each
    (None: one per processor, at most 8). `progress` is called after every file.

    A file that cannot be read becomes a row with verdict `error`. Raises ValueError for arguments
    out of range, and StoreError where the results cannot be written. On KeyboardInterrupt the
    finished files stay in the results.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} given; at least 1 is needed")
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers} given; at least 1 is needed, or None")
    paths = [os.fspath(path) for path in _as_list(paths)]
    scorer = _load(model)
    judge = Judge(scorer, fpr)
    options = CutOptions(region, scorer.tile, scorer.min_side, max_tiles)
    sampling = Sampling(every, max_frames)
    args = {
        "paths": [os.fsencode(path).decode(errors="backslashreplace") for path in paths],
        "cwd": os.fsencode(os.getcwd()).decode(errors="backslashreplace"),
        "fpr": fpr,
        "every": every,
        "max_frames": max_frames,
        "region": region,
        "max_tiles": max_tiles,
        "batch_size": batch_size,
    }
    started = time.monotonic()
    with Store(db, _run_row(judge, fpr, args)) as store:
        summary = Summary(store.path, store.run, scorer.name)
        run = _Run(judge, store, summary, region, sampling, batch_size, progress)
        status = "failed"
        try:
            workers = workers or default_workers()
            with closing(_decoded(find_files(paths), sampling, options, workers)) as records:
                run.consume(records)
            status = "done"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            summary.seconds = time.monotonic() - started
            _finish(store, status)
    return summary


def default_workers() -> int:
    """One decoding thread per processor this process may use, at most 8."""
    try:
        return min(8, len(os.sched_getaffinity(0)))
    except AttributeError:
        return min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class _Record:
    """One step of one file: where it was found, and what came of it."""

    number: int
    found: Found
    part: DecodedFrame | FileEnd | Skipped


def _decoded(
    found: Iterable[Found], sampling: Sampling, options: CutOptions, workers: int
) -> Generator[_Record, None, None]:
    def produce(number: int, item: Found) -> Iterator[_Record]:
        if isinstance(item, Skipped):
            yield _Record(number, item, item)
        elif isinstance(item, Unreadable):
            yield _Record(number, item, FileEnd("error", None, item.reason, item.detail))
        else:
            for part in decode_file(item, sampling, options):
                yield _Record(number, item, part)

    return prefetch(found, produce, _n_bytes, workers=workers, limit_bytes=QUEUE_BYTES)


def _n_bytes(record: _Record) -> int:
    part = record.part
    if isinstance(part, DecodedFrame) and part.cut.tiles is not None:
        return 1024 + part.cut.tiles.nbytes
    return 1024


@dataclass
class _File:
    """A file between its first frame and its row."""

    found: Found
    frames: list[DecodedFrame] = field(default_factory=list)
    scores: list[FrameScore | None] = field(default_factory=list)
    n_waiting: int = 0
    end: FileEnd | None = None


class _Run:
    """Puts frames, scores and ends together into files, and files into the store."""

    def __init__(
        self,
        judge: Judge,
        store: Store,
        summary: Summary,
        region: str,
        sampling: Sampling,
        batch_size: int,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._judge = judge
        self._store = store
        self._summary = summary
        self._region = region
        self._min_frames = min(MIN_FRAMES, sampling.max_frames or MIN_FRAMES)
        self._progress = progress
        self._files: dict[int, _File] = {}
        self._batcher: Batcher[tuple[int, int]] = Batcher(
            judge.model.logits, batch_size, BATCH_BYTES
        )

    def consume(self, records: Iterator[_Record]) -> None:
        for record in records:
            self._take(record)
            if len(self._files) >= MAX_OPEN_FILES:
                self._accept(self._batcher.flush())
        self._accept(self._batcher.flush())

    def _take(self, record: _Record) -> None:
        if isinstance(record.part, Skipped):
            self._skip(record.part)
            return
        file = self._files.setdefault(record.number, _File(record.found))
        if isinstance(record.part, FileEnd):
            file.end = record.part
            self._close_if_done(record.number)
        else:
            self._add_frame(record.number, file, record.part)

    def _add_frame(self, number: int, file: _File, frame: DecodedFrame) -> None:
        tiles, reason = frame.cut.tiles, frame.cut.reason
        file.frames.append(replace(frame, cut=Cut(None, reason)))
        if tiles is None:
            file.scores.append(frame_score((), reason))
            return
        file.scores.append(None)
        file.n_waiting += 1
        self._accept(self._batcher.add((number, len(file.frames) - 1), tiles))

    def _accept(self, scored: Iterable[tuple[tuple[int, int], list[float]]]) -> None:
        for (number, position), logits in scored:
            file = self._files[number]
            file.scores[position] = frame_score(logits)
            file.n_waiting -= 1
            self._close_if_done(number)

    def _close_if_done(self, number: int) -> None:
        file = self._files[number]
        if file.end is None or file.n_waiting:
            return
        del self._files[number]
        scores = [score for score in file.scores if score is not None]
        item = self._item_row(number, file.found, file.end, scores)
        frames = [self._frame_row(*pair) for pair in zip(file.frames, scores, strict=True)]
        self._store.add_file(item, frames)
        self._count(file.end, item["verdict"], len(frames))
        self._tell(file.found.path)

    def _count(self, end: FileEnd, verdict: str, n_frames: int) -> None:
        summary = self._summary
        summary.n_files += 1
        summary.n_frames += n_frames
        summary.n_partial += end.status == "partial"
        summary.verdicts[verdict] = summary.verdicts.get(verdict, 0) + 1

    def _item_row(
        self, number: int, found: Found, end: FileEnd, scores: Sequence[FrameScore]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "seq": number,
            "path": found.path,
            "media": end.media,
            "region": self._region,
            "width": end.width,
            "height": end.height,
            "p_generated": None,
            "verdict": "error",
            "reason": end.reason,
            "detail": end.detail,
            "logit": None,
            "status": end.status,
            "n_frames": sum(score.logit is not None for score in scores),
            "n_decoded": end.n_decoded,
            "n_errors": end.n_errors,
            "n_expected": end.n_expected,
            "codec": end.codec,
            "size": getattr(found, "size", None),
            "mtime_ns": getattr(found, "mtime_ns", None),
        }
        if end.status != "error":
            verdict = self._judge.file(scores, self._min_frames if end.media == "video" else 1)
            row["verdict"] = verdict.verdict
            row["reason"] = verdict.reason or end.reason
            row["logit"], row["p_generated"] = verdict.logit, verdict.p_generated
        return row

    def _frame_row(self, frame: DecodedFrame, score: FrameScore) -> tuple[Any, ...]:
        verdict = self._judge.frame(score)
        return (
            frame.index,
            frame.time_s,
            frame.width,
            frame.height,
            verdict.p_generated,
            verdict.verdict,
            verdict.reason,
            verdict.logit,
            score.n_tiles,
            frame.key_frame,
            frame.pict_type,
        )

    def _skip(self, skipped: Skipped) -> None:
        self._store.add_skip(skipped.path, skipped.reason)
        counts = self._summary.skipped
        counts[skipped.reason] = counts.get(skipped.reason, 0) + 1
        self._tell(skipped.path)

    def _tell(self, path: str) -> None:
        if self._progress is None:
            return
        summary = self._summary
        self._progress(
            Progress(
                path,
                summary.n_files,
                summary.n_frames,
                summary.n_errors,
                sum(summary.skipped.values()),
            )
        )


def _as_list(paths: Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def _load(model: Scorer | str | os.PathLike[str] | None) -> Scorer:
    if model is None:
        return load_shipped()
    return Model.load(os.fspath(model)) if isinstance(model, str | os.PathLike) else model


def _run_row(judge: Judge, fpr: float, args: dict[str, Any]) -> dict[str, Any]:
    model, thresholds = judge.model, judge.thresholds
    return {
        "model": model.name,
        "model_sha256": model.sha256,
        "model_card": json.dumps(model.card),
        "threshold_generated": thresholds.generated,
        "threshold_real": thresholds.real,
        "fpr": fpr,
        "certified": thresholds.certified,
        "args": json.dumps(args),
        "versions": json.dumps(_versions()),
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


def _finish(store: Store, status: str) -> None:
    """The status of a run that failed because the disk is full cannot be written either."""
    try:
        store.finish(status)
    except StoreError:
        if status != "failed":
            raise
