"""Workers that die, hang, grow or break cost one item, never the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import faults
import pytest

from gandetect.screen.isolation import IsolationError, isolated
from gandetect.screen.pool import Chunk, Failure, Limits, Pool, PoolError

QUICK = Limits(stall_s=1.2, total_s=2.5, memory_bytes=256 << 20)


def outcomes(
    chunks: list[list[str]], workers: int = 2, limits: Limits = QUICK, settings: Any = None
) -> tuple[list[str], dict[str, Failure]]:
    """Items that were done, sorted, and the failures by item."""
    done: list[str] = []
    failed: dict[str, Failure] = {}
    with Pool(faults.prepare_faulty, settings, workers, limits) as pool:
        for outcome in pool.run(Chunk(items) for items in chunks):
            if outcome is None:
                continue
            chunk, payload = outcome
            if isinstance(payload, Failure):
                (item,) = chunk.items
                assert item not in failed
                failed[item] = payload
            else:
                assert payload == list(chunk.items)
                done += payload
    return sorted(done), failed


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_is_done_once(workers: int) -> None:
    items = [[f"ok {i}.{k}" for k in range(1 + i % 7)] for i in range(60)]
    done, failed = outcomes(items, workers)
    assert done == sorted(item for chunk in items for item in chunk)
    assert not failed


@pytest.mark.parametrize(
    ("deed", "reason", "text"),
    [
        ("die", "crashed", "SIGSEGV"),
        ("exit", "crashed", "exit code 139"),
        ("hang", "timeout", "no progress for 1.2 s"),
        ("slow", "timeout", "not done after 2.5 s"),
        ("grow", "memory_limit", "needed more than 256 MB"),
        ("raise", "failed", "unforeseen"),
        ("allocate", "memory_limit", "MemoryError"),
    ],
)
def test_a_bad_item_is_tried_twice_and_given_up(deed: str, reason: str, text: str) -> None:
    chunks = [["ok 1", "ok 2", deed, "ok 3"], ["ok 4"], ["ok 5", "ok 6"]]
    done, failed = outcomes(chunks)
    assert done == [f"ok {i}" for i in range(1, 7)]
    assert list(failed) == [deed]
    assert failed[deed].reason == reason
    assert text in failed[deed].detail
    assert failed[deed].attempts == 2


def test_an_item_that_fails_once_is_done(tmp_path: Path) -> None:
    items = [f"once {tmp_path}/{deed} {deed}" for deed in ("die", "hang", "raise")]
    done, failed = outcomes([["ok 1", *items, "ok 2"]])
    assert done == sorted(["ok 1", *items, "ok 2"])
    assert not failed


def test_many_bad_items_cost_only_themselves() -> None:
    items = [f"{'die' if i % 3 == 0 else 'ok'} {i}" for i in range(30)]
    done, failed = outcomes([items[:20], items[20:]])
    assert done == sorted(item for item in items if item.startswith("ok"))
    assert set(failed) == {item for item in items if item.startswith("die")}


def test_a_chunk_that_breaks_as_a_whole_is_done_one_by_one() -> None:
    items = [f"ok {i}" for i in range(5)]
    done, failed = outcomes([items], settings="die at the end")
    assert done == items
    assert not failed


def test_a_slow_item_that_makes_progress_is_left_alone() -> None:
    limits = Limits(stall_s=1.0, total_s=None, memory_bytes=None)
    with Pool(faults.prepare_faulty, None, 1, limits) as pool:
        started = time.monotonic()
        steps = 0
        for outcome in pool.run([Chunk(["slow"])]):
            assert outcome is None
            steps = max(steps, pool.steps)
            if time.monotonic() - started > 2.5:
                break
    assert steps > 10


def test_settings_that_cannot_be_prepared_are_an_error_with_its_text() -> None:
    with Pool(faults.prepare_broken, None, 1) as pool, pytest.raises(PoolError, match="no such m"):
        list(pool.run([Chunk(["ok"])]))


def test_workers_that_never_start_are_an_error() -> None:
    with Pool(faults.prepare_dead, None, 1) as pool, pytest.raises(PoolError, match="exit code 3"):
        list(pool.run([Chunk(["ok"])]))


def test_closing_stops_workers_whatever_they_do() -> None:
    with Pool(faults.prepare_faulty, None, 2) as pool:
        run = pool.run([Chunk(["hang"]), Chunk(["hang"])])
        while len(pool.pids) < 2:
            next(run)
        pids = pool.pids
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert not [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
print("the main module runs", flush=True)
import faults
from gandetect.screen.pool import Chunk, Pool
with Pool(faults.prepare_faulty, None, 2) as pool:
    shown = False
    for _ in pool.run([Chunk(["hang"]), Chunk(["slow"])]):
        if not shown and len(pool.pids) == 2 and pool.steps:
            print(*pool.pids, flush=True)
            shown = True
"""


def test_workers_die_with_a_killed_parent_and_never_run_its_script(tmp_path: Path) -> None:
    """The script has no guard: a worker that imported it would start workers of its own."""
    script = tmp_path / "unguarded.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), os.path.dirname(__file__)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "the main module runs\n"
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(is_alive, pids))
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if is_alive(pid)]
    assert process.stdout.read() == ""


def test_workers_are_confined() -> None:
    found = isolated(faults.limits, limits=Limits(memory_bytes=1 << 30))
    assert found["core"] == (0, 0)
    assert found["fsize"] == (0, 0)
    assert found["files"][1] <= 256
    assert found["main"] is None
    if sys.platform == "linux":
        assert found["no_new_privs"] == "1"
        assert 1 << 30 < found["data"][1] < 16 << 30


def test_workers_cannot_write_files(tmp_path: Path) -> None:
    place = tmp_path / "written"
    _, failed = outcomes([[f"write {place}"]])
    assert [failure.reason for failure in failed.values()] == ["failed"]
    assert not place.exists() or place.stat().st_size == 0


def test_what_libraries_print_stays_out_of_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    done, _ = outcomes([["print"]])
    assert done == ["print"]
    assert capfd.readouterr().err == ""


def test_a_call_in_isolation() -> None:
    assert isolated(faults.double, 21) == 42
    with pytest.raises(IsolationError, match="failed: RuntimeError: sorry"):
        isolated(faults.fails, "sorry")
    with pytest.raises(IsolationError) as caught:
        isolated(faults.dies)
    assert caught.value.reason == "crashed"


@pytest.mark.parametrize("values", [{"stall_s": 0}, {"total_s": -1}, {"memory_bytes": 0}])
def test_limits_must_be_positive(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a positive number"):
        Limits(**values)
