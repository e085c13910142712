"""Kill runs at random moments and see whether the results come out as if nothing had happened.

    python bench/killing.py --engine local|ray [--times 50] [--seed 1] [--files 400]
                            [--out bench/results/killing.json]

A trial begins with empty results and screens a folder of hard links to small media files. At random
moments of it a process is killed (SIGKILL): the run itself, which is then started again, or one of
the processes that work for it, which it must replace. Once it gets through, the rows must equal
those of a run that nobody disturbed, all columns but the number of the run, and each file must be
there once. Trials go on until `--times` processes were killed. Exits with 1 where one failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import machine
from screen_memory import make_originals

from gandetect.screen.store import iter_rows

# Kills in one trial at most, so that it ends.
MAX_KILLS = 4
TRIAL_SECONDS = 300
GONE_SECONDS = 30
CHILD = """
import sys
engine, folder, db = sys.argv[1:]
options = {"db": db, "every": 0.5, "workers": 2 if engine == "local" else 1}
if engine == "local":
    from gandetect.screen import screen as run
else:
    from gandetect.screen.on_ray import screen_on_ray as run
    options["shard_files"] = 16
run([folder], **options)
"""


@dataclass
class Trial:
    """What was done to one run, and whether it came out right."""

    killed: list[str] = field(default_factory=list)
    starts: int = 0
    files_at_kills: list[int] = field(default_factory=list)
    rows_equal: bool = False
    files_once: bool = False
    processes_left: int = 0

    @property
    def passed(self) -> bool:
        return self.rows_equal and self.files_once and not self.processes_left


def make_folder(folder: Path, count: int) -> Path:
    """`count` links to the originals, as in the measurement of memory."""
    originals = make_originals(folder)
    links = folder / "links"
    links.mkdir()
    for i in range(count):
        source = originals[i % len(originals)]
        os.link(source, links / f"{i:05}{source.suffix}")
    return links


def start(engine: str, folder: Path, db: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", CHILD, engine, str(folder), str(db)]
    with open(f"{db}.log", "wb") as log:
        return subprocess.Popen(command, env=environment, stderr=log)


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process that is not a zombie."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin1")
            except OSError:
                continue
            if state != "Z":
                found[int(entry.name)] = int(parent), command
    return found


# Of Ray itself; they notice only after a minute or two that all of it was killed.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


def below(pid: int) -> dict[int, str]:
    """The command lines of the processes below one."""
    every = processes()
    family, added = {pid}, True
    while added:
        more = {child for child, (parent, _) in every.items() if parent in family} - family
        family |= more
        added = bool(more)
    return {child: every[child][1] for child in family - {pid}}


def kinds(pid: int) -> dict[str, list[int]]:
    """What can be killed, by what it does: supervised workers are those whose parent is a fork
    server."""
    every, family = processes(), below(pid)
    found: dict[str, list[int]] = {"run": [pid], "worker": [], "ray task": []}
    for child, command in family.items():
        parent = every.get(child, (0, ""))[0]
        if "forkserver" in command and "forkserver" in family.get(parent, ""):
            found["worker"].append(child)
        elif command.startswith("ray::process_shard"):
            found["ray task"].append(child)
    return {kind: pids for kind, pids in found.items() if pids}


def written(db: Path) -> int:
    """Files in the results so far."""
    if not db.exists():
        return 0
    with closing(sqlite3.connect(db, timeout=30)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM item").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def rows_hash(db: Path) -> str:
    """Of all columns of all rows, but the number of the run that made them."""
    digest = hashlib.sha256()
    for row in iter_rows(db):
        digest.update(json.dumps({**row, "run": None}, sort_keys=True).encode())
    return digest.hexdigest()


def files_once(db: Path, count: int) -> bool:
    paths = [row["path"] for row in iter_rows(db, kind="file")]
    return len(paths) == len(set(paths)) == count


def left_after(family: set[int]) -> int:
    """How many processes of a run are still there a while after its end."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := len(family & set(processes())):
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return 0


def disturb(
    run: subprocess.Popen[bytes], targets: list[int], trial: Trial, chance: random.Random, db: Path
) -> set[int]:
    """Let a run go on until it ends or is killed; `targets` says at how many written files each to
    kill something, a random moment later. Returns all processes that were seen below it."""
    began, family = time.monotonic(), set()
    while run.poll() is None:
        if time.monotonic() - began > TRIAL_SECONDS:
            run.kill()
            raise SystemExit(f"a run does not end; killed before: {trial.killed}")
        if targets and written(db) >= targets[0]:
            # Before the first file: somewhere in the start of the run.
            time.sleep(chance.uniform(0, 0.03 if targets.pop(0) else 3.0))
            family |= {p for p, c in below(run.pid).items() if not c.startswith(AGENTS)}
            if kill_one(run, trial, chance, db) == "run":
                run.wait()
                return family
        time.sleep(0.005)
    return family


def kill_one(
    run: subprocess.Popen[bytes], trial: Trial, chance: random.Random, db: Path
) -> str | None:
    """Kill the run or one of its processes; says which, or None where it was over before."""
    targets = kinds(run.pid)
    kind = chance.choice(sorted(targets))
    pid = chance.choice(targets[kind])
    if run.poll() is not None:
        return None
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return None
    trial.killed.append(kind)
    trial.files_at_kills.append(written(db))
    return kind


def attempt(
    engine: str, folder: Path, db: Path, n_files: int, kills: int, chance: random.Random
) -> Trial:
    """One trial with at most so many kills."""
    trial = Trial()
    while True:
        left = kills - len(trial.killed)
        count = chance.randint(1, left) if left else 0
        targets = sorted(
            chance.randrange(min(written(db), n_files - 1), n_files) for _ in range(count)
        )
        run = start(engine, folder, db)
        trial.starts += 1
        family = disturb(run, targets, trial, chance, db)
        trial.processes_left += left_after(family)
        if run.returncode != -signal.SIGKILL:
            if run.returncode:
                said = Path(f"{db}.log").read_text(errors="replace")
                raise SystemExit(f"{said}a run failed; killed before: {trial.killed}")
            return trial


def measure(engine: str, times: int, n_files: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name), n_files)
        reference = Path(name, "reference.sqlite")
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", CHILD, "local", str(folder), str(reference)], check=True
        )
        if engine != "local":
            began = time.monotonic()
            start(engine, folder, Path(name, "undisturbed.sqlite")).wait()
        usual, expected = time.monotonic() - began, rows_hash(reference)
        trials: list[Trial] = []
        while (done := sum(len(trial.killed) for trial in trials)) < times:
            db = Path(name, f"{len(trials)}.sqlite")
            trial = attempt(engine, folder, db, n_files, min(MAX_KILLS, times - done), chance)
            trial.rows_equal = rows_hash(db) == expected
            trial.files_once = files_once(db, n_files)
            trials.append(trial)
            print(f"{engine}: {done + len(trial.killed)} of {times} killed", file=sys.stderr)
    killed = [kind for trial in trials for kind in trial.killed]
    return {
        "machine": machine(),
        "seed": seed,
        "files": n_files,
        "undisturbed_seconds": round(usual, 2),
        "kills": len(killed),
        "killed": {kind: killed.count(kind) for kind in sorted(set(killed))},
        "trials": len(trials),
        "trials_with_rows_equal": sum(trial.rows_equal for trial in trials),
        "trials_with_each_file_once": sum(trial.files_once for trial in trials),
        "processes_left": sum(trial.processes_left for trial in trials),
        "files_written_at_kills": sorted(n for trial in trials for n in trial.files_at_kills),
        "equal": all(trial.passed for trial in trials),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=["local", "ray"], required=True)
    parser.add_argument("--times", type=int, default=50, help="processes to kill")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument(
        "--out", type=Path, help="JSON file; what it says of the other engine stays"
    )
    args = parser.parse_args()
    report = measure(args.engine, args.times, args.files, args.seed)
    print(json.dumps(report, indent=2))
    if args.out:
        kept = json.loads(args.out.read_text()) if args.out.exists() else {}
        args.out.write_text(json.dumps({**kept, args.engine: report}, indent=2) + "\n")
    return int(not report["equal"])


if __name__ == "__main__":
    sys.exit(main())
