"""The results file: one writer, any reader, whole files always, nothing screened twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from making_media import image_bytes, noise, write_clip
from making_results import (
    RUN,
    SPEC,
    Brightness,
    ask,
    file_rows,
    frame_row,
    shown_paths,
    write_picture,
    write_pictures,
    write_results,
)

from gandetect.detect import Model
from gandetect.screen import Progress, StoreError, Summary, pipeline, screen
from gandetect.screen import writer as writer_module
from gandetect.screen.schema import COLUMNS, SCHEMA_VERSION, file_path, open_to_write, text_path
from gandetect.screen.sources import Source
from gandetect.screen.store import iter_rows, iter_skips, run_info
from gandetect.screen.writer import Writer, fitting

ODD_NAME = os.fsdecode(b'caf\xe9\n\x1b[31m,"quoted".jpg')
ODD_NAMES = ("line\nbreak.png", os.fsdecode(b"caf\xe9\xff.png"), "\U0001f600 漢.png")
HELPERS = Path(__file__).parent


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Three files, added out of order: a video of two frames, an odd name, an error."""
    path = tmp_path / "run.sqlite"
    with Writer(path, SPEC, RUN) as writer:
        frames = [
            frame_row(3, time_s=0.12, logit=1 / 3, p_generated=0.1, n_tiles=4, key_frame=False),
            frame_row(0, time_s=0.0, logit=-0.1, p_generated=0.3, n_tiles=4, key_frame=True),
        ]
        writer.add([file_rows(2, "bad.mp4", verdict="error", reason="truncated", status="error")])
        writer.add([file_rows(0, "a.mp4", frames, logit=1 / 3, p_generated=0.1, n_frames=2)])
        writer.add([file_rows(1, ODD_NAME, p_generated=0.25, width=640)])
        writer.skip(99, "pipe", "fifo")
        writer.finish("done")
    return path


class Screening:
    """Screens into one results file, in this process, and keeps which files it decoded."""

    def __init__(self, db: Path) -> None:
        self.db = db
        self.decoded: list[str] = []

    def __call__(self, *paths: Path, **options: Any) -> Summary:
        self.decoded.clear()
        options = {"model": Brightness(), "workers": 0, **options}
        return screen(paths, db=self.db, **options)


@pytest.fixture
def screening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Screening:
    run = Screening(tmp_path / "run.sqlite")
    real = pipeline.work_here

    def watched(settings: Any, chunks: Any) -> Any:
        for chunk, scored in real(settings, chunks):
            run.decoded += [os.path.basename(source.path) for source in chunk.items]
            yield chunk, scored

    monkeypatch.setattr(pipeline, "work_here", watched)
    return run


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is a transaction, but where a test says otherwise."""
    monkeypatch.setattr(writer_module, "COMMIT_SECONDS", 0.0)


@contextlib.contextmanager
def child(script: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `script` after some imports and has printed "ready"."""
    head = f"""
        import os, sys, time
        sys.path[:0] = [{str(HELPERS)!r}, {str(HELPERS.parent / "media")!r}]
        from making_results import *
        from gandetect.screen import writer as writer_module
        writer_module.COMMIT_SECONDS = 0.0
    """
    source = textwrap.dedent(head) + textwrap.dedent(script)
    command = [sys.executable, "-c", source, *map(str, args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        yield process
    finally:
        process.kill()
        process.communicate()


def answer_of_another_process(db: Path, query: str) -> str:
    script = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]))"
    command = [sys.executable, "-I", "-c", script, str(db), query]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def bare(db: Path, run: int | None = None) -> list[dict[str, Any]]:
    """The rows of a run without the number of the run that screened them."""
    return [{**row, "run": None} for row in iter_rows(db, run)]


# --- reading ---


def test_rows_come_in_order_of_files_and_frames(db: Path) -> None:
    rows = list(iter_rows(db))
    assert [(row["path"][:3], row["kind"], row["frame"]) for row in rows] == [
        ("a.m", "frame", 0),
        ("a.m", "frame", 3),
        ("a.m", "file", None),
        ("caf", "file", None),
        ("bad", "file", None),
    ]


def test_rows_have_the_columns_and_their_types(db: Path) -> None:
    rows = list(iter_rows(db))
    assert all(list(row) == list(COLUMNS) for row in rows)
    for row in rows:
        for name, value in row.items():
            assert value is None or type(value) is COLUMNS[name], name


def test_values_come_back_as_they_were_written(db: Path) -> None:
    first, second, clip, _, bad = iter_rows(db)
    assert (first["key_frame"], second["key_frame"]) == (True, False)
    assert (second["logit"], clip["logit"]) == (1 / 3, 1 / 3)
    assert (first["model"], clip["convention"]) == ("m", "centered")
    assert (bad["reason"], bad["p_generated"]) == ("truncated", None)


def test_only_files_or_only_frames(db: Path) -> None:
    assert {row["kind"] for row in iter_rows(db, kind="file")} == {"file"}
    assert len(list(iter_rows(db, kind="frame"))) == 2
    with pytest.raises(ValueError, match="kind 'tile'"):
        list(iter_rows(db, kind="tile"))


def test_skips_and_run_are_recorded(db: Path) -> None:
    assert list(iter_skips(db)) == [{"path": "pipe", "path_hex": None, "reason": "fifo"}]
    info = run_info(db)
    assert (info["id"], info["status"], info["model_card"]) == (1, "done", {"name": "m"})
    assert info["started"] <= info["finished"]
    assert info["certified"] is True


def test_a_second_run_leaves_the_first(db: Path) -> None:
    with Writer(db, SPEC, RUN) as writer:
        writer.add([file_rows(0, "new.jpg")])
    assert shown_paths(db) == ["new.jpg"]
    assert len(list(iter_rows(db, run=1))) == 5
    assert run_info(db)["status"] == "running"
    with pytest.raises(StoreError, match="no run 9"):
        list(iter_rows(db, run=9))


def test_what_cannot_be_reached_has_no_size_and_no_time(screening: Screening) -> None:
    screening(Path("/none/such.jpg"))
    (row,) = iter_rows(screening.db)
    assert (row["verdict"], row["size"], row["mtime_ns"]) == ("error", None, None)


def test_a_missing_file_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such results file"):
        list(iter_rows(tmp_path / "none.sqlite"))
    assert not list(tmp_path.iterdir())


def test_a_reader_can_change_nothing(db: Path) -> None:
    from gandetect.screen.schema import opened_to_read

    with pytest.raises(StoreError, match="readonly"), opened_to_read(db) as connection:
        connection.execute("DELETE FROM item")


def test_views_show_the_latest_run(db: Path) -> None:
    write_results(db, file_rows(0, "new.mp4", [frame_row(7, p_generated=0.5)], verdict="generated"))
    assert ask(db, "SELECT path, verdict, model FROM files") == [("new.mp4", "generated", "m")]
    assert ask(db, "SELECT path, frame, p_generated FROM frames") == [("new.mp4", 7, 0.5)]


def test_the_queries_of_the_guide_work(db: Path) -> None:
    guide = (HELPERS.parents[1] / "docs" / "results.md").read_text()
    queries = re.findall(r'sqlite3 \S+ "([^"]+)"', guide)
    assert queries
    for query in queries:
        ask(db, query)


# --- any value ---


def test_any_name_becomes_text_and_back() -> None:
    for name in (ODD_NAME, *ODD_NAMES):
        text, raw = text_path(name)
        text.encode()
        assert file_path(text, raw) == name
    assert text_path(ODD_NAME)[0].startswith("caf\\xe9\n")
    assert text_path("plain ä\n") == ("plain ä\n", "")


def test_names_that_look_alike_as_text_stay_apart(tmp_path: Path) -> None:
    raw, spelled = os.fsdecode(b"caf\xe9.jpg"), "caf\\xe9.jpg"
    assert text_path(raw)[0] == text_path(spelled)[0]
    write_results(tmp_path / "a.sqlite", file_rows(0, raw), file_rows(1, spelled, mtime_ns=0))
    rows = list(iter_rows(tmp_path / "a.sqlite"))
    assert {file_path(row["path"], row["path_hex"]) for row in rows} == {raw, spelled}


def test_files_of_any_name_are_known_again(screening: Screening, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD_NAMES:
        write_picture(folder / name, 0.0)
    screening(folder)
    rows = list(iter_rows(screening.db, kind="file"))
    found = {file_path(row["path"], row["path_hex"]) for row in rows}
    assert found == {str(folder / name) for name in ODD_NAMES}
    assert screening(folder).n_known == 3


def test_files_that_look_alike_as_text_are_not_taken_for_each_other(
    screening: Screening, tmp_path: Path
) -> None:
    folder = write_pictures(tmp_path / "odd")
    for name in (os.fsdecode(b"caf\xe9.png"), "caf\\xe9.png"):
        write_picture(folder / name, 0.0)
        os.utime(folder / name, ns=(0, 0))
    screening(folder)
    screening(folder)
    assert len({row["path_hex"] for row in iter_rows(screening.db, kind="file")}) == 2


def test_any_detail_survives(db: Path) -> None:
    write_results(db, file_rows(0, detail="cannot open \udce9" + "x" * 5000))
    (row,) = iter_rows(db)
    assert row["detail"].startswith("cannot open \\udce9xxx")
    assert len(row["detail"]) <= 1000


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_integers_beyond_64_bits_are_unknown(number: int) -> None:
    assert fitting(number) is None


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, None, 1e300, "text"])
def test_what_fits_is_kept(value: object) -> None:
    assert fitting(value) == value


def test_a_file_of_the_far_future_is_screened(
    screening: Screening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_picture(tmp_path / "a.png", 0.0)
    source = Source(str(path), path.stat().st_size, 10**20, True)
    monkeypatch.setattr(pipeline, "find_files", lambda paths: iter([source]))
    assert screening(path).n_files == 1
    assert next(iter_rows(screening.db, kind="file"))["mtime_ns"] is None


# --- one transaction, whole files ---


def test_one_call_is_one_transaction(tmp_path: Path) -> None:
    statements: list[str] = []
    with Writer(tmp_path / "a.sqlite", SPEC, RUN) as writer:
        writer.visit(9, 1)
        writer.skip(99, "pipe", "fifo")
        writer.connection.set_trace_callback(statements.append)
        writer.add([file_rows(i, f"{i}.mp4", [frame_row(j) for j in range(5)]) for i in range(3)])
    assert sum(statement.startswith("BEGIN") for statement in statements) == 1
    assert sum(statement.startswith("COMMIT") for statement in statements) == 1


def test_a_call_that_fails_writes_nothing_of_it(tmp_path: Path) -> None:
    with Writer(tmp_path / "a.sqlite", SPEC, RUN) as writer:
        with pytest.raises(StoreError, match="NOT NULL"):
            writer.add([file_rows(0, "good.jpg", [frame_row(0)]), file_rows(1, verdict=None)])
        writer.finish("failed")
    for table in ("item", "frame", "visit"):
        assert ask(tmp_path / "a.sqlite", f"SELECT count(*) FROM {table}") == [(0,)]


def test_a_failed_run_does_not_cover_the_files_of_the_next(tmp_path: Path) -> None:
    db = tmp_path / "a.sqlite"
    with Writer(db, SPEC, RUN) as writer:
        with pytest.raises(StoreError):
            writer.add([file_rows(0, verdict=None)])
        writer.finish("failed")
    write_results(db, file_rows(0, "next.jpg"))
    assert shown_paths(db, run=1) == []
    assert shown_paths(db, run=2) == ["next.jpg"]


def test_files_that_come_quickly_share_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    db = tmp_path / "a.sqlite"
    monkeypatch.setattr(writer_module, "COMMIT_SECONDS", 3600.0)
    with Writer(db, SPEC, RUN) as writer:
        writer.connection.set_trace_callback(statements.append)
        for i in range(10):
            writer.add([file_rows(i, f"{i}.mp4", [frame_row(0)])])
        writer.tick()
        assert not statements
        writer.finish("done")
    assert sum("INTO item" in statement for statement in statements) == 10
    assert sum(statement == "COMMIT" for statement in statements) == 2
    assert len(shown_paths(db)) == 10


@pytest.mark.parametrize(("seconds", "rows"), [(0.05, 10**9), (3600.0, 30)])
def test_nothing_waits_for_long_or_becomes_much(
    seconds: float, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "COMMIT_SECONDS", seconds)
    monkeypatch.setattr(writer_module, "COMMIT_ROWS", rows)
    db = tmp_path / "a.sqlite"
    with Writer(db, SPEC, RUN) as writer:
        for i in range(20):
            writer.add([file_rows(i, f"{i}.mp4", [frame_row(0)])])
            time.sleep(0.01)
        writer.tick()
        assert len(shown_paths(db)) >= 10


def test_a_writer_killed_in_mid_write_leaves_whole_files(tmp_path: Path) -> None:
    db = tmp_path / "a.sqlite"
    script = """
        writer = Writer(sys.argv[1], SPEC, RUN)
        frames = [frame_row(i) for i in range(100)]
        writer.add([file_rows(0, "whole.mp4", frames)])
        seen = []
        def halt(sql):
            seen.append(sql)
            if len([s for s in seen if "INTO frame" in s]) == 50:
                print("ready", flush=True)
                time.sleep(60)
        writer.connection.set_trace_callback(halt)
        writer.add([file_rows(1, "half.mp4", frames)])
    """
    with child(script, db) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert ask(db, "PRAGMA integrity_check") == [("ok",)]
    assert ask(db, "SELECT path, status FROM files") == [("whole.mp4", "ok")]
    assert ask(db, "SELECT count(*) FROM frame") == [(100,)]
    assert run_info(db)["status"] == "running"
    write_results(db, file_rows(0, "next.mp4"))
    assert shown_paths(db) == ["next.mp4"]


def test_a_writer_killed_while_it_makes_the_file_leaves_a_usable_one(tmp_path: Path) -> None:
    """A first transaction that has reached the disk in part, with the journal that undoes it."""
    torn, db = tmp_path / "torn.sqlite", tmp_path / "a.sqlite"
    connection = sqlite3.connect(torn, isolation_level=None)
    connection.executescript("PRAGMA cache_size = 1; BEGIN; CREATE TABLE item (x)")
    connection.executemany("INSERT INTO item VALUES (?)", [("y" * 3000,)] * 200)
    for end in ("", "-journal"):
        shutil.copy(f"{torn}{end}", f"{db}{end}")
    connection.close()
    assert db.stat().st_size > 0
    write_results(db, file_rows(0, "a.jpg"))
    assert shown_paths(db) == ["a.jpg"]


def test_files_are_seen_by_others_as_soon_as_they_are_written(
    screening: Screening, tmp_path: Path
) -> None:
    seen: list[str] = []

    def look(progress: Progress) -> None:
        if progress.n_files in (1, 3):
            seen.append(answer_of_another_process(screening.db, "SELECT count(*) FROM files"))

    screening(write_pictures(tmp_path / "p", 0, 1, 2), progress=look)
    assert seen == ["(1,)", "(3,)"]


def test_a_reader_in_the_middle_does_not_stop_the_writer(db: Path) -> None:
    rows = iter_rows(db)
    next(rows)
    with Writer(db, SPEC, RUN) as writer:
        writer.add([file_rows(0, "new.jpg")])
        assert len(list(rows)) == 4
        assert shown_paths(db) == ["new.jpg"]


# --- one writer ---


def test_two_writers_are_refused_even_in_one_process(db: Path) -> None:
    with (
        Writer(db, SPEC, RUN),
        pytest.raises(StoreError, match=r"run\.sqlite: another run is writing to it; .*--db"),
    ):
        Writer(db, SPEC, RUN)
    write_results(db, file_rows(0))


def test_a_writer_that_was_killed_holds_the_file_no_longer(tmp_path: Path) -> None:
    db = tmp_path / "a.sqlite"
    script = """
        writer = Writer(sys.argv[1], SPEC, RUN)
        print("ready", flush=True)
        time.sleep(60)
    """
    with child(script, db) as process:
        with pytest.raises(StoreError, match="another run is writing"):
            Writer(db, SPEC, RUN)
        process.send_signal(signal.SIGKILL)
        process.wait()
        write_results(db, file_rows(0, "a.jpg"))
    assert shown_paths(db) == ["a.jpg"]


def test_a_run_into_a_file_in_use_screens_nothing(screening: Screening, tmp_path: Path) -> None:
    with Writer(screening.db, SPEC, RUN), pytest.raises(StoreError, match="another run"):
        screening(write_pictures(tmp_path / "p", 0))
    assert screening.decoded == []


def test_a_writer_that_cannot_begin_lets_go(db: Path) -> None:
    with pytest.raises(StoreError):
        Writer(db, SPEC, {**RUN, "args": None})
    write_results(db, file_rows(0))


# --- files that are not ours ---


def test_a_foreign_file_is_not_touched(tmp_path: Path) -> None:
    text, other = tmp_path / "text.sqlite", tmp_path / "other.sqlite"
    text.write_text("not a database at all" * 50)
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(StoreError, match="give another --db"):
            Writer(path, SPEC, RUN)
        with pytest.raises(StoreError):
            list(iter_rows(path))
        assert path.read_bytes() == before


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
def test_another_schema_is_refused_and_not_touched(version: int, db: Path) -> None:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = db.read_bytes()
    for attempt in (lambda: Writer(db, SPEC, RUN), lambda: list(iter_rows(db))):
        with pytest.raises(StoreError, match=f"schema version {version}, .*another --db"):
            attempt()
    assert db.read_bytes() == before


def test_a_folder_is_no_results_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for attempt in (
        lambda: Writer(tmp_path / "folder", SPEC, RUN),
        lambda: list(iter_rows(tmp_path / "folder")),
    ):
        with pytest.raises(StoreError, match="folder"):
            attempt()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file or directory; give another --db"):
        Writer(tmp_path / "none" / "run.sqlite", SPEC, RUN)
    assert not list(tmp_path.iterdir())


def answer_of_a_fork(work: Any, db: object) -> str:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=work, args=(str(db), theirs))
    process.start()
    try:
        return ours.recv() if ours.poll(30) else "no answer"
    finally:
        process.join(30)
        process.kill()


def _write_as_nobody(db: str, pipe: Any) -> None:
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        Writer(db, SPEC, RUN)
        pipe.send("written")
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("mode", [0o555, 0o700])
def test_an_unwritable_folder_is_an_error(mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, mode if os.getuid() == 0 else 0o555)
        message = answer_of_a_fork(_write_as_nobody, os.path.join(folder, "a.sqlite"))
        os.chmod(folder, 0o755)
    assert re.match(r"StoreError: .*a\.sqlite: .*[Pp]ermission denied; give another --db", message)


def test_names_that_sqlite_keeps_for_itself_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_results(Path(":memory:"), file_rows(0, "a.jpg"))
    assert shown_paths(Path(":memory:")) == ["a.jpg"]
    with pytest.raises(StoreError, match="unable to open"):
        Writer("", SPEC, RUN)


# --- a full disk ---


def test_a_full_disk_is_an_error_and_keeps_what_was_written(db: Path) -> None:
    with Writer(db, SPEC, RUN) as writer:
        writer.add([file_rows(0, "kept.jpg", [frame_row(i) for i in range(10)])])
        ((pages,),) = writer.connection.execute("PRAGMA page_count").fetchall()
        writer.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StoreError, match="full; free some space and run again"):
            writer.add([file_rows(1, frames=[frame_row(i, reason="x" * 500) for i in range(999)])])
    assert shown_paths(db) == ["kept.jpg"]
    assert len(list(iter_rows(db))) == 11


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_run_goes_on_once_a_full_disk_has_space_again(
    small_disk: Path, screening: Screening, tmp_path: Path
) -> None:
    pictures = write_pictures(tmp_path / "p", *([0.5] * 40))
    screening.db = small_disk / "run.sqlite"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(780 << 10))
    with pytest.raises(StoreError, match=r"run\.sqlite: .*full; free some space and run again"):
        screening(pictures)
    n_before = ask(screening.db, "SELECT count(*) FROM item")[0][0]
    assert 0 < n_before < 40
    assert ask(screening.db, "PRAGMA integrity_check") == [("ok",)]
    ballast.unlink()
    assert screening(pictures).n_known == n_before
    assert len(shown_paths(screening.db)) == len(set(shown_paths(screening.db))) == 40
    assert ask(screening.db, "PRAGMA integrity_check") == [("ok",)]


def _fill_to_the_limit(db: str, pipe: Any) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    writer = Writer(db, SPEC, RUN)
    try:
        for i in range(1000):
            writer.add([file_rows(i, f"{i}.mp4", [frame_row(j) for j in range(200)])])
    except StoreError as error:
        pipe.send(str(error))


def test_a_limit_on_files_is_an_error_and_the_results_stay_sound(tmp_path: Path) -> None:
    db = tmp_path / "a.sqlite"
    message = answer_of_a_fork(_fill_to_the_limit, db)
    assert re.match(r".*a\.sqlite: .*; (free some space and|is the disk sound.*)", message)
    assert ask(db, "PRAGMA integrity_check") == [("ok",)]
    n_items, n_frames = ask(db, "SELECT count(DISTINCT item), count(*) FROM frame")[0]
    assert n_items > 0
    assert n_frames == 200 * n_items
    write_results(db, file_rows(0, "next.mp4"))


# --- known files ---


def test_a_known_file_is_not_screened_again(screening: Screening, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p", -8, 0, 8)
    first = screening(pictures)
    assert screening.decoded == ["0.png", "1.png", "2.png"]
    rows = list(iter_rows(screening.db))
    second = screening(pictures)
    assert screening.decoded == []
    assert (second.n_files, second.n_known, second.n_frames) == (3, 3, 0)
    assert second.verdicts == first.verdicts == {"real": 1, "inconclusive": 1, "generated": 1}
    assert list(iter_rows(screening.db, 2)) == list(iter_rows(screening.db, 1)) == rows


def test_a_known_error_is_not_screened_again(screening: Screening, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(image_bytes(noise(64, 64), "JPEG")[:900])
    assert screening(tmp_path / "bad.jpg").verdicts == {"error": 1}
    again = screening(tmp_path / "bad.jpg")
    assert (again.n_known, again.verdicts, again.exit_code) == (1, {"error": 1}, 3)
    assert screening.decoded == []


def test_new_files_alone_are_screened(screening: Screening, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p", 0, 0)
    screening(pictures)
    write_picture(pictures / "01.png", 0)
    screening(pictures)
    assert screening.decoded == ["01.png"]
    assert [Path(path).name for path in shown_paths(screening.db)] == ["0.png", "01.png", "1.png"]


@pytest.mark.parametrize("what", ["size", "mtime"])
def test_a_changed_file_is_screened_again(what: str, screening: Screening, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", -8)
    status = path.stat()
    screening(path)
    if what == "size":
        write_picture(path, 8)
        path.write_bytes(path.read_bytes() + bytes(1 + abs(path.stat().st_size - status.st_size)))
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
        assert path.stat().st_size != status.st_size
    else:
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns + 1))
    screening(path)
    assert screening.decoded == ["a.png"]
    assert len(list(iter_rows(screening.db, run=1))) == len(list(iter_rows(screening.db))) == 2


def test_another_model_screens_again(screening: Screening, tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", 0)
    screening(path)
    screening(path, model=Brightness("other"))
    assert screening.decoded == ["a.png"]
    assert [row["model"] for row in iter_rows(screening.db, 1, "file")] == ["brightness"]
    assert [row["model"] for row in iter_rows(screening.db, 2, "file")] == ["other"]


def test_models_that_were_never_saved_are_told_apart(
    screening: Screening, model: Model, tmp_path: Path
) -> None:
    arrays = {**model.arrays, "bias": model.arrays["bias"] + 1}
    path = write_picture(tmp_path / "a.png", 0)
    assert model.sha256 == ""
    screening(path, model=model)
    assert screening(path, model=model).n_known == 1
    assert screening(path, model=Model(arrays, model.card)).n_known == 0


@pytest.mark.parametrize(
    "options",
    [
        {"every": 0.5},
        {"max_frames": 5},
        {"keyframes": True},
        {"region": "center"},
        {"max_tiles": 3},
    ],
)
def test_other_options_screen_again(
    options: dict[str, Any], screening: Screening, tmp_path: Path
) -> None:
    path = write_picture(tmp_path / "a.png", 0)
    screening(path)
    screening(path, **options)
    assert screening.decoded == ["a.png"]
    screening(path)
    assert screening.decoded == []


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"fpr": 0.2}, {"fdr": 0.1}])
def test_what_changes_no_score_does_not_screen_again(
    options: dict[str, Any], screening: Screening, tmp_path: Path
) -> None:
    path = write_picture(tmp_path / "a.png", 0)
    screening(path)
    assert screening(path, **options).n_known == 1
    assert screening.decoded == []


def test_again_screens_everything_in_its_old_place(screening: Screening, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p", -8, 8)
    screening(pictures)
    before = ask(screening.db, "SELECT id, path FROM item ORDER BY id")
    summary = screening(pictures, again=True)
    assert (summary.n_known, screening.decoded) == (0, ["0.png", "1.png"])
    assert ask(screening.db, "SELECT id, path FROM item ORDER BY id") == before
    assert list(iter_rows(screening.db, 1)) == list(iter_rows(screening.db, 2))
    assert ask(screening.db, "SELECT count(*) FROM frame") == [(2,)]


def test_retrying_errors_screens_those_alone(screening: Screening, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p", 0)
    bad = pictures / "bad.jpg"
    bad.write_bytes(image_bytes(noise(64, 64), "JPEG")[:900])
    screening(pictures)
    screening(pictures, retry_errors=True)
    assert screening.decoded == ["bad.jpg"]
    assert ask(screening.db, "SELECT count(*) FROM item") == [(2,)]


def test_a_file_screened_again_takes_its_place_in_earlier_runs(
    screening: Screening, tmp_path: Path
) -> None:
    """The same size and time, other content: only `again` finds out."""
    path = write_picture(tmp_path / "a.png", -8)
    path.write_bytes(path.read_bytes().ljust(9000, b"\0"))
    status = path.stat()
    screening(path)
    write_picture(path, 8)
    path.write_bytes(path.read_bytes().ljust(9000, b"\0"))
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert screening(path).verdicts == {"real": 1}
    assert screening(path, again=True).verdicts == {"generated": 1}
    for run in (1, 2, 3):
        assert [row["verdict"] for row in iter_rows(screening.db, run)] == ["generated"] * 2


def test_a_path_that_appears_replaces_no_error_of_an_earlier_run(
    screening: Screening, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    screening(path)
    screening(path)
    write_picture(path, 0)
    screening(path)
    verdicts = [[row["verdict"] for row in iter_rows(screening.db, n, "file")] for n in (1, 2, 3)]
    assert verdicts == [["error"], ["error"], ["inconclusive"]]
    assert ask(screening.db, "SELECT count(*) FROM item") == [(2,)]


def test_a_file_named_beside_its_folder_counts_once(screening: Screening, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p", 0, 0)
    for i, paths in enumerate([(pictures, pictures / "1.png"), (pictures / "1.png", pictures)]):
        screening.db = tmp_path / f"{i}.sqlite"
        for _ in range(2):
            summary = screening(*paths)
            assert (summary.n_files, summary.skipped) == (2, {"seen_before": 1})


# --- judged again ---


def test_other_thresholds_judge_again_without_decoding(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "a.mp4", 20)
    (tmp_path / "b.png").write_bytes(image_bytes(noise(64, 64), "PNG"))
    files = [tmp_path / "a.mp4", tmp_path / "b.png"]
    db, fresh = tmp_path / "run.sqlite", tmp_path / "fresh.sqlite"
    for name, fpr in ((db, 0.05), (fresh, 0.3)):
        screen(files, model=model, db=name, fpr=fpr, every=0.1, workers=1)

    def never(self: object) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(pipeline.Pool, "_start", never)
    summary = screen(files, model=model, db=db, fpr=0.3, every=0.1, workers=1)
    assert summary.n_known == 2
    assert bare(db) == bare(fresh)


def test_files_judged_again_are_as_if_screened_so(screening: Screening, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p", *[-6 + 0.5 * i for i in range(24)])
    (pictures / "flat.png").write_bytes(image_bytes(noise(64, 64) // 255, "PNG"))
    write_clip(pictures / "v.mp4", 12, size=64)
    screening(pictures, fpr=0.05)
    old = bare(screening.db)
    summary = screening(pictures, fpr=0.4)
    judged_again = bare(screening.db)
    assert old != judged_again
    screening.db = tmp_path / "fresh.sqlite"
    fresh = screening(pictures, fpr=0.4)
    assert judged_again == bare(screening.db)
    assert (summary.verdicts, summary.exit_code) == (fresh.verdicts, fresh.exit_code)


def test_the_same_thresholds_judge_nothing_again(
    screening: Screening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_pictures(tmp_path / "p", 0, 8)
    screening(pictures)
    monkeypatch.setattr(Writer, "judge", lambda *_: pytest.fail("judged again"))
    screening(pictures)


# --- interrupted ---


@pytest.mark.parametrize("n_done", [1, 5, 9])
def test_an_interrupted_run_goes_on_to_the_same_rows(
    n_done: int, screening: Screening, tmp_path: Path
) -> None:
    pictures = write_pictures(tmp_path / "p", *range(-5, 6))
    (pictures / "bad.jpg").write_bytes(image_bytes(noise(64, 64), "JPEG")[:900])
    write_clip(pictures / "v.mp4", 12, size=64)
    os.mkfifo(pictures / "pipe")

    def interrupt(progress: Progress) -> None:
        if progress.n_files >= n_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screening(pictures, progress=interrupt)
    assert run_info(screening.db)["status"] == "interrupted"
    n_kept = len(shown_paths(screening.db))
    assert n_done <= n_kept < 13
    assert screening(pictures).n_known == n_kept
    rows, skips = bare(screening.db), list(iter_skips(screening.db))
    screening.db = tmp_path / "whole.sqlite"
    screening(pictures)
    assert rows == bare(screening.db)
    assert skips == list(iter_skips(screening.db))


def test_a_run_that_fails_says_so(screening: Screening, tmp_path: Path) -> None:
    def broken(progress: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        screening(write_pictures(tmp_path / "p", 0, 1), progress=broken)
    info = run_info(screening.db)
    assert info["status"] == "failed"
    assert info["finished"] is not None


def test_an_empty_file_is_made_a_results_file(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").touch()
    open_to_write(str(tmp_path / "a.sqlite")).close()
    write_results(tmp_path / "a.sqlite", file_rows(0, "a.jpg"))
    assert shown_paths(tmp_path / "a.sqlite") == ["a.jpg"]
