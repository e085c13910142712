"""Thousands of odd, hostile and damaged files: a run ends, and every file is accounted for."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import KINDS, TOO_DEEP, make_hostile

from gandetect.detect import Model
from gandetect.screen import Summary, screen
from gandetect.screen.store import iter_rows, iter_skips

# Also told of files that are damaged; anything else would say that a decoder broke.
DAMAGE = {"truncated", "corrupt", "too_large", "unsupported", "no_video", "not_media", "empty"}
REGIONS = ("tiles", "frame", "center")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    make_hostile(folder)
    return folder


class Outcome:
    """The rows and skips of a run over `folder`, by path below it."""

    def __init__(self, folder: Path, model: Model, db: Path, **options: Any) -> None:
        self._folder = folder
        self.summary: Summary = screen([folder], model=model, db=db, every=0.5, **options)
        rows = [(self._name(row), row) for row in iter_rows(db, kind="file")]
        skips = [(self._name(skip), skip["reason"]) for skip in iter_skips(db)]
        self.seen = Counter(name for name, _ in [*rows, *skips])
        self.rows: dict[str, dict[str, Any]] = dict(rows)
        self.skips: dict[str, str] = dict(skips)

    def _name(self, row: dict[str, Any]) -> str:
        raw = bytes.fromhex(row["path_hex"]) if row["path_hex"] else row["path"].encode()
        return os.path.relpath(os.fsdecode(raw), self._folder)

    def fate(self, name: str) -> str:
        """In the words of KINDS."""
        if name in self.skips:
            return f"skip:{self.skips[name]}"
        row = self.rows[name]
        return row["status"] if row["status"] in ("ok", "partial") else row["reason"]


@pytest.fixture(scope="module")
def outcome(hostile: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return Outcome(hostile, model, tmp_path_factory.mktemp("db") / "all.sqlite", workers=2)


@pytest.fixture(scope="module")
def by_region(
    outcome: Outcome, hostile: Path, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("db")
    return {
        region: Outcome(
            hostile / "kinds", model, folder / f"{region}.sqlite", workers=2, region=region
        )
        for region in REGIONS
    }


def everything(folder: Path) -> Iterator[str]:
    """What a run must account for, by the names of the file system alone: all but folders, and
    of folders those that are hidden, linked to or cannot be listed."""
    for root, folders, files in os.walk(folder):
        below = os.path.relpath(root, folder)
        yield from (os.path.normpath(os.path.join(below, name)) for name in files)
        for name in list(folders):
            if (
                name.startswith(".")
                or os.path.islink(os.path.join(root, name))
                or _shut(root, name)
            ):
                folders.remove(name)
                yield os.path.normpath(os.path.join(below, name))


def _shut(root: str, name: str) -> bool:
    try:
        os.listdir(os.path.join(root, name))
    except OSError:
        return True
    return False


def kind_of(name: str) -> str:
    """The entry of KINDS for a path below `kinds`; where paths get too long differs by system."""
    return TOO_DEEP if name.startswith(TOO_DEEP) else name


def test_the_corpus_holds_what_it_says(hostile: Path) -> None:
    found = list(everything(hostile))
    kinds = [os.path.relpath(name, "kinds") for name in found if name.startswith("kinds")]
    assert sorted(map(kind_of, kinds)) == sorted(KINDS)
    assert len(found) == 2000
    assert len(KINDS) > 60
    assert sum(fate == "any" for fate in KINDS.values()) < 20


def test_the_corpus_is_the_same_for_the_same_seed(hostile: Path, tmp_path: Path) -> None:
    make_hostile(tmp_path, count=400)
    paths = {name: str(tmp_path / name) for name in everything(tmp_path)}
    names = [name for name, path in paths.items() if os.path.isfile(path) and os.access(path, 4)]
    files = [name for name in names if os.path.getsize(paths[name]) < 1 << 20]
    assert len(files) > 350
    assert not [name for name in files if _hash(tmp_path / name) != _hash(hostile / name)]


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_file_is_there_once(outcome: Outcome, hostile: Path) -> None:
    assert outcome.seen == Counter(everything(hostile))
    summary = outcome.summary
    assert summary.n_files == len(outcome.rows)
    assert sum(summary.skipped.values()) == len(outcome.skips)
    assert sum(summary.verdicts.values()) == summary.n_files


@pytest.mark.parametrize("name", [name for name, fate in KINDS.items() if fate != "any"])
def test_each_kind_becomes_what_it_should(name: str, outcome: Outcome) -> None:
    fates = [outcome.fate(seen) for seen in outcome.seen if kind_of_seen(seen) == name]
    assert fates == [KINDS[name]]


def kind_of_seen(name: str) -> str | None:
    return kind_of(os.path.relpath(name, "kinds")) if name.startswith("kinds") else None


def test_what_cannot_be_read_has_no_probability(outcome: Outcome) -> None:
    errors = [row for row in outcome.rows.values() if row["status"] not in ("ok", "partial")]
    assert len(errors) > 200
    for row in errors:
        assert row["verdict"] == "error"
        assert row["p_generated"] is None
        assert row["logit"] is None
        assert row["reason"]
        assert row["detail"]


def test_damage_is_called_damage(outcome: Outcome) -> None:
    damaged = {name: row for name, row in outcome.rows.items() if name.startswith("damaged")}
    reasons = {name: row["reason"] for name, row in damaged.items() if row["verdict"] == "error"}
    assert {name: reason for name, reason in reasons.items() if reason not in DAMAGE} == {}
    statuses = Counter(row["status"] for row in damaged.values())
    assert min(statuses[status] for status in ("ok", "partial", "error")) > 50


def test_archives_are_not_unpacked(outcome: Outcome, hostile: Path) -> None:
    assert not [name for name in everything(hostile) if "escaped" in name]
    assert not os.path.exists("/tmp/escaped.jpg")
    assert outcome.fate("kinds/text/archive.zip") == "skip:not_media"


def test_regions_change_no_fate(by_region: dict[str, Outcome], hostile: Path) -> None:
    names = Counter(everything(hostile / "kinds"))
    fates = {}
    for region, run in by_region.items():
        assert run.seen == names
        fates[region] = {name: run.fate(name) for name in run.seen}
        assert all(row["region"] == region for row in run.rows.values())
    assert fates["frame"] == fates["center"] == fates["tiles"]
