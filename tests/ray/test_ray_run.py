"""Runs on Ray give the rows of this machine's workers, whatever is killed meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from odd_models import LosesItsMachine, Poisonable, Slow
from ray_helpers import descendants, left_of, processes, rows_of, skips_of, stamps, wait_until

from gandetect.detect import Model
from gandetect.screen import Progress, on_ray, screen
from gandetect.screen.on_ray import RayError, screen_on_ray
from gandetect.screen.pipeline import ScreenOptions
from gandetect.screen.shards import ShardSettings, process_shard
from gandetect.screen.store import run_info

DRIVER = Path(__file__).with_name("driver.py")


@pytest.fixture(scope="module")
def expected(many: Path, model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an uninterrupted run of this machine's workers over `many`."""
    db = tmp_path_factory.mktemp("expected") / "run.sqlite"
    screen([many], model=model_file, db=db, every=0.2, workers=2)
    return db


@pytest.mark.parametrize("confidence", [0.95, None])
def test_rows_equal_those_of_the_local_engine(
    confidence: float | None,
    ray_here: Any,
    corpus: Path,
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # By relative paths, which mean nothing to a process in another folder.
    monkeypatch.chdir(corpus.parent)
    common = {"model": model, "every": 0.5, "fdr": 0.2, "confidence": confidence}
    local = screen([corpus.name], db=tmp_path / "local.sqlite", workers=2, **common)
    seen: list[Progress] = []
    summary = screen_on_ray(
        [corpus.name], db=tmp_path / "ray.sqlite", shard_files=10, progress=seen.append, **common
    )
    assert rows_of(summary.db) == rows_of(local.db)
    here, there = (run_info(one.db) for one in (local, summary))
    assert here["args"]["confidence"] == there["args"]["confidence"] == confidence
    names = ("threshold_generated", "threshold_real", "class_thresholds")
    assert [here[name] for name in names] == [there[name] for name in names]
    assert skips_of(summary.db) == skips_of(local.db)
    for name in ("verdicts", "skipped", "n_files", "n_partial", "n_frames", "video_hours"):
        assert getattr(summary, name) == getattr(local, name), name
    assert run_info(summary.db)["status"] == "done"
    assert seen[-1].n_files == summary.n_files
    # It was connected before, and stays so.
    assert ray_here.is_initialized()


def test_parts_of_another_run_are_used(
    ray_here: Any, many: Path, expected: Path, model_file: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"

    def run(db: str, **more: Any) -> dict[str, int]:
        screen_on_ray(
            [many], model=model_file, db=tmp_path / db, every=0.2, parts=parts.as_uri(), **more
        )
        assert rows_of(tmp_path / db) == rows_of(expected)
        return stamps(parts)

    first = run("a.sqlite", shard_files=8)
    assert len(first) >= 9
    # Other shards, the same files: nothing is screened again.
    assert run("b.sqlite", shard_files=50) == first
    # The results hold everything: parts are not even looked at.
    shutil.rmtree(parts)
    assert run("b.sqlite") == {}


def test_damaged_parts_are_made_again(
    ray_here: Any, many: Path, expected: Path, model_file: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"

    def run(db: str) -> None:
        screen_on_ray(
            [many], model=model_file, db=tmp_path / db, every=0.2, parts=parts, shard_files=24
        )
        assert rows_of(tmp_path / db) == rows_of(expected)

    run("a.sqlite")
    cut, changed, *_ = sorted(parts.iterdir())
    cut.write_bytes(cut.read_bytes()[:-9])
    data = bytearray(changed.read_bytes())
    at = data.index(b"\x28\xb5\x2f\xfd", len(data) // 3) + 6
    data[at] ^= 255
    changed.write_bytes(data)
    before = stamps(parts)
    run("b.sqlite")
    after = stamps(parts)
    made = {name for name in after if after[name] != before.get(name)}
    assert made, "what was in the two was screened again"
    assert len(made) < len(before)
    run("c.sqlite")
    assert stamps(parts) == after


def test_a_part_that_lacks_its_files_is_made_again(
    ray_here: Any, many: Path, expected: Path, model_file: Path, tmp_path: Path
) -> None:
    settings = ShardSettings(Model.load(model_file), ScreenOptions(every=0.2))
    options = {"model": model_file, "every": 0.2, "parts": tmp_path / "parts", "shard_files": 40}
    screen_on_ray([many], db=tmp_path / "a.sqlite", **options)
    before = stamps(tmp_path / "parts")
    for name in before:
        process_shard([], settings, str(tmp_path / "parts" / name), replace=True)
    screen_on_ray([many], db=tmp_path / "b.sqlite", **options)
    assert rows_of(tmp_path / "b.sqlite") == rows_of(expected)
    assert set(stamps(tmp_path / "parts")) == set(before)


def test_what_is_no_media_is_an_error_only_of_who_names_it(
    ray_here: Any, model: Model, tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    notes = tmp_path / "media" / "notes"
    notes.write_text("nothing to see")

    def run(path: Path, db: str) -> Any:
        return screen_on_ray([path], model=model, db=tmp_path / db, parts=tmp_path / "parts")

    assert run(notes.parent, "a.sqlite").skipped == {"not_media": 1}
    assert run(notes, "b.sqlite").n_errors == 1
    assert run(notes.parent, "c.sqlite").skipped == {"not_media": 1}


def test_asking_again_screens_again(ray_here: Any, model: Model, tmp_path: Path) -> None:
    from making_media import image_bytes, noise

    (tmp_path / "a.jpg").write_bytes(image_bytes(noise(96, 96), "JPEG"))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    parts = tmp_path / "parts"

    def run(db: str, **more: Any) -> dict[str, int]:
        paths = [tmp_path / "a.jpg", tmp_path / "bad.jpg"]
        summary = screen_on_ray(paths, model=model, db=tmp_path / db, parts=parts, **more)
        assert (summary.n_files, summary.n_errors) == (2, 1)
        return stamps(parts)

    first = run("a.sqlite")
    assert run("b.sqlite") == first
    second = run("a.sqlite", retry_errors=True)
    assert len(second) == 2, "the file without a result is a shard by itself"
    assert {name: second[name] for name in first} == first
    third = run("c.sqlite", again=True)
    assert {name for name in second if third[name] != second[name]} == set(first)


def test_a_poisonous_file_costs_a_row(
    ray_here: Any, many: Path, model: Model, poison: bytes, tmp_path: Path
) -> None:
    folder = tmp_path / "media"
    shutil.copytree(many, folder, ignore=shutil.ignore_patterns("[1-9]*.jpg", "[3-9].mp4"))
    (folder / "05a.png").write_bytes(poison)
    summary = screen_on_ray(
        [folder], model=Poisonable(model), db=tmp_path / "run.sqlite", every=0.2
    )
    files = {Path(row["path"]).name: row for row in rows_of(summary.db) if row["kind"] == "file"}
    assert len(files) == len(list(folder.iterdir()))
    bad = files.pop("05a.png")
    assert (bad["status"], bad["verdict"], bad["reason"]) == ("quarantined", "error", "crashed")
    assert "SIGKILL" in bad["detail"]
    assert {row["status"] for row in files.values()} == {"ok"}


def test_a_file_that_takes_its_task_along_is_given_up_alone(
    ray_here: Any, many: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "RETRIES", 0)
    monkeypatch.setattr(on_ray, "RETRIES_ALONE", 0)
    names = ["00.jpg", "01.jpg", "02.jpg"]
    summary = screen_on_ray(
        [many / name for name in names],
        model=LosesItsMachine(model, "01.jpg"),
        db=tmp_path / "run.sqlite",
        workers=1,
    )
    files = [row for row in rows_of(summary.db) if row["kind"] == "file"]
    assert [row["status"] for row in files] == ["ok", "quarantined", "ok"]
    assert files[1]["reason"] == "crashed"
    assert "lost" in files[1]["detail"]


def test_killed_ray_workers_cost_nothing(
    ray_here: Any, many: Path, expected: Path, model_file: Path, tmp_path: Path
) -> None:
    killed: dict[int, set[int]] = {}
    over = threading.Event()

    def kill_two() -> None:
        while not over.wait(0.05) and len(killed) < 2:
            tasks = [p for p, c in descendants(os.getpid()).items() if "process_shard" in c]
            # One that has its workers by now.
            busy = [pid for pid in tasks if pid not in killed and len(descendants(pid)) >= 3]
            if busy and not over.wait(0.1):
                pid = random.choice(busy)
                killed[pid] = set(descendants(pid))
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_two)
    killer.start()
    try:
        summary = screen_on_ray(
            [many],
            model=Slow(Model.load(model_file), 0.15),
            db=tmp_path / "run.sqlite",
            every=0.2,
            batch_size=8,
            workers=1,
            shard_files=24,
        )
    finally:
        over.set()
        killer.join()
    assert len(killed) == 2, "the run was over before"
    assert rows_of(summary.db) == rows_of(expected)
    children = set().union(*killed.values())
    assert children
    wait_until(lambda: not children & set(processes()), "the workers' children are gone")


def start_driver(many: Path, model_file: Path, db: Path, seconds: float) -> Any:
    command = [sys.executable, str(DRIVER), str(many), str(model_file), str(db), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_a_killed_driver_leaves_parts_and_no_processes(
    ray_here: Any, many: Path, expected: Path, model_file: Path, tmp_path: Path
) -> None:
    db, parts = tmp_path / "run.sqlite", tmp_path / "run.sqlite.parts"
    driver = start_driver(many, model_file, db, 0.05)
    try:
        wait_until(lambda: len(stamps(parts)) >= 2, "two parts")
        assert driver.poll() is None, "the run ended before it could be killed"
        below = descendants(driver.pid)
        assert any("raylet" in command for command in below.values())
        assert any("forkserver" in command for command in below.values())
    finally:
        driver.kill()
        driver.wait()
    wait_until(lambda: not left_of(below), "all its processes are gone")
    before = stamps(parts)
    assert run_info(db)["status"] == "running"
    n_before = sum(row["kind"] == "file" for row in rows_of(db))
    summary = screen_on_ray([many], model=model_file, db=db, every=0.2, shard_files=8)
    assert n_before <= summary.n_known < summary.n_files
    assert rows_of(db) == rows_of(expected)
    after = stamps(parts)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)


def test_a_run_that_ends_leaves_no_processes(
    many: Path, model_file: Path, expected: Path, tmp_path: Path
) -> None:
    db = tmp_path / "run.sqlite"
    driver = start_driver(many, model_file, db, 0.0)
    seen: dict[int, str] = {}

    def ended() -> bool:
        seen.update(descendants(driver.pid))
        return driver.poll() is not None

    wait_until(ended, "the run")
    assert driver.returncode == 0
    assert driver.stdout.read().strip() == b"72"
    driver.stdout.close()
    assert any("forkserver" in command for command in seen.values())
    wait_until(lambda: not left_of(seen), "all its processes are gone")
    assert rows_of(db) == rows_of(expected)


def test_without_ray_the_message_says_what_to_install(
    many: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RayError, match=r"pip install 'gandetect\[ray\]'"):
        screen_on_ray([many], model=model, db=tmp_path / "run.sqlite")
    assert not (tmp_path / "run.sqlite").exists()


UNREACHABLE = """
import sys
from gandetect.screen.on_ray import RayError, screen_on_ray
try:
    screen_on_ray([sys.argv[1]], db=sys.argv[2], address=sys.argv[3])
except RayError as error:
    print(error)
"""


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999999"])
def test_an_address_where_nobody_answers_is_named(address: str, many: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNREACHABLE, str(many), str(tmp_path / "run.sqlite"), address]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.startswith(f"no Ray cluster at {address}: ")
    assert not (tmp_path / "run.sqlite").exists()


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"workers": -1}, {"shard_files": 0}, {"region": "ears"}, {"fpr": 1e-9}],
)
def test_bad_options_are_refused_before_ray_is_started(
    options: dict[str, Any], many: Path, model: Model, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError):
        screen_on_ray([many], model=model, db=tmp_path / "run.sqlite", **options)


def test_the_command_says_it_in_one_line(many: Path, tmp_path: Path) -> None:
    db = str(tmp_path / "run.sqlite")
    command = [sys.executable, "-m", "gandetect", "screen", str(many), "--db", db]
    command += ["--engine", "ray", "--ray-address", "127.0.0.1:9"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 3
    assert result.stderr.startswith("Error: no Ray cluster at 127.0.0.1:9: ")
    assert result.stderr.count("\n") == 1
