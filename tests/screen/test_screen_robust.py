"""What a review of the screening code broke once: it must not break again."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import faults
import pytest
from making_corpus import make_model
from making_media import image_bytes, noise, write_clip
from making_results import RUN, SPEC, file_rows

from gandetect.detect import Model
from gandetect.media import Frame
from gandetect.screen import StoreError, decode, pool, screen
from gandetect.screen.pool import Chunk, Failure, Limits, Pool, PoolError
from gandetect.screen.reviews import import_reviews, iter_reviews
from gandetect.screen.store import iter_rows, iter_skips
from gandetect.screen.writer import Writer


def write_picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(image_bytes(noise(64, 64, seed), "PNG"))
    return path


# --- files ---


def test_frame_numbers_that_repeat_are_told_apart(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time stamps that run backwards give a reader the same number twice."""

    class Repeats(decode.VideoReader):
        def __iter__(self) -> Iterator[Frame]:
            for number, frame in enumerate(super().__iter__()):
                object.__setattr__(frame, "index", number // 2)
                yield frame

    monkeypatch.setattr(decode, "VideoReader", Repeats)
    clip = write_clip(tmp_path / "a.mp4", 10)
    summary = screen([clip], model=model, db=tmp_path / "r.sqlite", workers=0)
    rows = list(iter_rows(summary.db, kind="frame"))
    assert [row["frame"] for row in rows] == list(range(10))


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_a_file_that_changes_meanwhile_is_left_to_the_next_run(
    name: str, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "m" / "a.png")
    write_clip(tmp_path / "m" / "a.mp4", 10)
    db = tmp_path / "r.sqlite"
    look = decode.sniff_bytes

    def grows(head: bytes) -> str | None:
        with open(tmp_path / "m" / name, "ab") as file:
            file.write(b"more")
        return look(head)

    monkeypatch.setattr(decode, "sniff_bytes", grows)
    screen([tmp_path / "m" / name], model=model, db=db, workers=0)
    (row,) = iter_rows(db, kind="file")
    assert (row["verdict"], row["reason"]) == ("error", "changed")
    assert not list(iter_rows(db, kind="frame"))
    monkeypatch.undo()
    screen([tmp_path / "m" / name], model=model, db=db, workers=0)
    (row,) = iter_rows(db, kind="file")
    assert row["status"] == "ok"


def test_one_place_is_one_file_however_it_is_spelled(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = write_picture(tmp_path / "A" / "a.png")
    monkeypatch.chdir(tmp_path)
    db = tmp_path / "r.sqlite"
    spellings = ["A/a.png", "./A/a.png", "A/../A/a.png", str(picture)]
    summary = screen(spellings, model=model, db=db, workers=0)
    assert (summary.n_files, summary.skipped) == (1, {"seen_before": 3})
    for paths in (["./A"], [str(tmp_path)]):
        later = screen(paths, model=model, db=db, workers=0)
        assert (later.n_files, later.n_known) == (1, 1)


def test_one_spelling_in_two_folders_is_two_files(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in "AB":
        picture = write_picture(tmp_path / folder / "a.png")
        os.utime(picture, ns=(1, 1))
    db = tmp_path / "r.sqlite"
    for folder in "AB":
        monkeypatch.chdir(tmp_path / folder)
        assert screen(["a.png"], model=model, db=db, workers=0).n_known == 0


# --- results ---


def test_the_results_are_no_files_to_screen(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening and closing them would take SQLite's locks from this process."""
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "other" / "r.sqlite")
    monkeypatch.chdir(tmp_path)
    summary = screen(["."], model=model, db="r.sqlite", workers=0)
    assert summary.n_files == 2
    reasons = {Path(row["path"]).name: row["reason"] for row in iter_skips(summary.db)}
    assert {"r.sqlite", "r.sqlite.lock", "r.sqlite-wal"} <= set(reasons)
    assert set(reasons.values()) == {"own_results"}


def test_two_names_of_one_results_file_are_one(tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "r.sqlite")
    with Writer(tmp_path / "r.sqlite", SPEC, RUN), pytest.raises(StoreError, match="another run"):
        Writer(tmp_path / "link.sqlite", SPEC, RUN)


def test_an_interrupt_after_a_transaction_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(writer: Writer) -> None:
        raise KeyboardInterrupt

    db = tmp_path / "r.sqlite"
    with Writer(db, SPEC, RUN) as writer:
        writer.add([file_rows(0)])
        writer.visit(1, 1)
        writer.skip(2, "pipe", "fifo")
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "_forget_waiting", interrupt)
            with pytest.raises(KeyboardInterrupt):
                writer.flush()
        writer.finish("interrupted")
    assert len(list(iter_skips(db))) == 1
    assert len(list(iter_rows(db, kind="file"))) == 2


def test_decisions_are_read_before_anything_is_locked(tmp_path: Path) -> None:
    db = tmp_path / "r.sqlite"
    Writer(db, SPEC, RUN).close()

    def slow() -> Iterator[dict[str, Any]]:
        with closing(sqlite3.connect(db, timeout=0)) as other, other:
            other.execute("UPDATE run SET finished = 'now'")
        yield {"sha256": "ab" * 32, "decision": "confirmed"}

    assert import_reviews(db, slow()) == 1
    assert [row["decision"] for row in iter_reviews(db)] == ["confirmed"]


def test_results_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("a file system cannot be mounted here")
    except OSError:
        pytest.skip("there is no mount")
    try:
        with Writer(place / "r.sqlite", SPEC, RUN) as writer:
            writer.add([file_rows(0)])
            writer.finish("done")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert len(list(iter_rows(place / "r.sqlite", kind="file"))) == 1
    finally:
        subprocess.run(["umount", str(place)], check=True)


# --- processes ---


class Stillborn:
    """A context whose first processes die before they have read what they are."""

    def __init__(self, deaths: int) -> None:
        self._context = pool._context()
        self._deaths = deaths

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Process(self, **options: Any) -> Any:
        process = self._context.Process(**options)
        if self._deaths:
            self._deaths -= 1

            def start() -> None:
                raise BrokenPipeError(32, "Broken pipe")

            process.start = start
        return process


def test_a_worker_killed_while_it_starts_is_replaced() -> None:
    with Pool(faults.prepare_faulty, None, 2) as workers:
        workers._context = Stillborn(2)
        done = [outcome for outcome in workers.run([Chunk(["ok 1"]), Chunk(["ok 2"])]) if outcome]
    assert sorted(payload[0] for _, payload in done) == ["ok 1", "ok 2"]


def test_workers_that_are_killed_whenever_they_start_are_an_error() -> None:
    with Pool(faults.prepare_faulty, None, 1) as workers:
        workers._context = Stillborn(99)
        with pytest.raises(PoolError, match="Broken pipe"):
            list(workers.run([Chunk(["ok"])]))


def test_a_result_that_cannot_be_sent_is_given_up() -> None:
    with Pool(faults.prepare_unsendable, None, 1) as workers:
        outcomes = [outcome for outcome in workers.run([Chunk(["a", "b"])]) if outcome]
    assert {chunk.items[0]: payload.reason for chunk, payload in outcomes} == {
        "a": "failed",
        "b": "failed",
    }


def test_a_chunk_that_kills_without_an_item_in_hand_is_given_up() -> None:
    with Pool(faults.prepare_sneaky, None, 1, Limits()) as workers:
        outcomes = [outcome for outcome in workers.run([Chunk(["a", "b"])]) if outcome]
    assert {chunk.items[0] for chunk, _ in outcomes} == {"a", "b"}
    assert all(isinstance(payload, Failure) for _, payload in outcomes)


def test_threads_may_screen_at_once(tmp_path: Path, model: Model) -> None:
    main = sys.modules["__main__"]
    write_picture(tmp_path / "m" / "a.png")
    counts = []

    def run(number: int) -> None:
        db = tmp_path / f"{number}.sqlite"
        counts.append(screen([tmp_path / "m"], model=model, db=db, workers=2).n_files)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1] * 4
    assert sys.modules["__main__"] is main


def in_a_daemon(folder: str) -> str:
    try:
        screen([folder], model=make_model(), db=os.path.join(folder, "r.sqlite"), workers=1)
    except PoolError as error:
        return str(error)
    return "screened"


def test_processes_that_may_have_no_children_are_told_what_to_do(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    with multiprocessing.get_context("spawn").Pool(1) as daemons:
        said = daemons.apply(in_a_daemon, (str(tmp_path),))
    assert "workers=0" in said


SCRIPT = """
import sys
from gandetect.detect import Model, load_shipped
from gandetect.screen import screen
class Mine(Model):
    def __reduce__(self):
        return Mine, (self.arrays, self.card)
shipped = load_shipped()
screen([sys.argv[1]], model=Mine(shipped.arrays, shipped.card), db=sys.argv[2], workers=1)
"""


def test_a_model_of_the_main_script_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(tmp_path / "r.sqlite")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "PoolError" in done.stderr
    assert "workers=0" in done.stderr


# --- streams ---


def run_shell(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    program = f'{sys.executable} -m gandetect screen "$0" --db "$1" {script}'
    command = ["sh", "-c", program, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("2>&-", 0),
        (">&-", 0),
        ("--json >&-", 0),
        ("> /dev/full", 3),
        ("--json > /dev/full", 3),
        ("--json | true", 0),
    ],
)
def test_closed_and_full_streams(script: str, code: int, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "a.png")
    db = tmp_path / "r.sqlite"
    done = run_shell(script, picture, db)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(iter_rows(db, kind="file"))) == 1
    if code:
        assert "cannot write the output: No space left" in done.stderr
