"""What people decided: kept by content, respected by every later run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from making_media import image_bytes, noise
from making_results import (
    RUN,
    SPEC,
    Brightness,
    ask,
    file_rows,
    write_picture,
    write_pictures,
    write_results,
)

from gandetect.screen import Progress, StoreError, Summary, screen
from gandetect.screen.reviews import import_reviews, iter_reviews, review
from gandetect.screen.store import iter_rows
from gandetect.screen.writer import Writer


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """0.png and 1.png: generated, by their brightness; 2.png: real."""
    return write_pictures(tmp_path / "p", 9, 9, -9)


def run(db: Path, *paths: Path, **options: Any) -> Summary:
    return screen(paths, db=db, **{"model": Brightness(), "workers": 0, **options})


def shown(db: Path, number: int | None = None) -> dict[str, tuple[Any, ...]]:
    """What is shown of each file by its name: verdict, reason, review."""
    rows = iter_rows(db, number, "file")
    return {
        os.path.basename(row["path"]): (row["verdict"], row["reason"], row["review"])
        for row in rows
    }


FALSE_ALARM = ("real", "reviewed", "false_positive")
CONFIRMED = ("generated", "reviewed", "confirmed")
GENERATED = ("generated", None, None)
REAL = ("real", None, None)


def test_a_decision_is_shown_in_the_place_of_the_verdict(db: Path, pictures: Path) -> None:
    run(db, pictures)
    assert review(db, pictures / "0.png", "false_positive") == 1
    assert review(db, pictures / "2.png", "confirmed") == 1
    assert shown(db) == {"0.png": FALSE_ALARM, "1.png": GENERATED, "2.png": CONFIRMED}


def test_the_score_stays_as_it_was(db: Path, pictures: Path) -> None:
    run(db, pictures)
    before = list(iter_rows(db))
    review(db, pictures / "0.png", "false_positive")
    changed = {"verdict", "reason", "review"}
    for old, new in zip(before, iter_rows(db), strict=True):
        differences = {name for name in old if old[name] != new[name]}
        assert differences == (
            changed if new["kind"] == "file" and "0.png" in new["path"] else set()
        )


def test_queries_by_hand_see_the_decision(db: Path, pictures: Path) -> None:
    run(db, pictures)
    review(db, pictures / "0.png", "false_positive")
    query = "SELECT verdict, reason, review FROM files WHERE path LIKE '%0.png'"
    assert ask(db, query) == [FALSE_ALARM]


def test_counts_of_a_run_respect_decisions(db: Path, pictures: Path) -> None:
    assert run(db, pictures).verdicts == {"generated": 2, "real": 1}
    review(db, pictures / "0.png", "false_positive")
    assert run(db, pictures).verdicts == {"generated": 1, "real": 2}


# --- by content ---


def test_a_decision_survives_renaming(db: Path, pictures: Path) -> None:
    run(db, pictures)
    review(db, pictures / "0.png", "false_positive")
    (pictures / "0.png").rename(pictures / "9.png")
    run(db, pictures)
    assert shown(db) == {"1.png": GENERATED, "2.png": REAL, "9.png": FALSE_ALARM}


def test_a_decision_holds_for_copies_there_and_found_later(db: Path, pictures: Path) -> None:
    shutil.copy(pictures / "0.png", pictures / "copy.png")
    run(db, pictures)
    assert review(db, pictures / "0.png", "false_positive") == 2
    shutil.copy(pictures / "0.png", pictures / "later.png")
    run(db, pictures)
    assert {name for name, is_ in shown(db).items() if is_ == FALSE_ALARM} == {
        "0.png",
        "copy.png",
        "later.png",
    }


def test_changed_content_is_not_decided(db: Path, pictures: Path) -> None:
    run(db, pictures)
    review(db, pictures / "0.png", "false_positive")
    write_picture(pictures / "0.png", 8.5)
    run(db, pictures)
    assert shown(db)["0.png"] == GENERATED
    assert shown(db, 1)["0.png"] == FALSE_ALARM


@pytest.mark.parametrize(
    "options",
    [{"fpr": 0.3}, {"model": Brightness("other")}, {"fdr": 0.5}, {"again": True}, {"max_tiles": 2}],
)
def test_later_runs_respect_a_decision(options: dict[str, Any], db: Path, pictures: Path) -> None:
    run(db, pictures)
    review(db, pictures / "0.png", "false_positive")
    run(db, pictures, **options)
    assert shown(db)["0.png"] == FALSE_ALARM
    assert shown(db)["1.png"] == GENERATED


def test_earlier_runs_show_the_decision_too(db: Path, pictures: Path) -> None:
    run(db, pictures)
    run(db, pictures, model=Brightness("other"))
    assert review(db, pictures / "0.png", "false_positive") == 2
    assert shown(db, 1)["0.png"] == shown(db, 2)["0.png"] == FALSE_ALARM


def test_a_decision_before_the_first_look_counts(db: Path, pictures: Path) -> None:
    run(db, pictures / "1.png")
    assert review(db, pictures / "0.png", "false_positive") == 0
    run(db, pictures)
    assert shown(db)["0.png"] == FALSE_ALARM


def test_a_file_that_is_gone_is_known_by_its_name(db: Path, pictures: Path) -> None:
    run(db, pictures)
    (pictures / "0.png").unlink()
    assert review(db, pictures / "0.png", "false_positive") == 1
    assert shown(db)["0.png"] == FALSE_ALARM


def test_a_name_of_any_bytes_can_be_decided_about(db: Path, pictures: Path) -> None:
    odd = pictures / os.fsdecode(b"caf\xe9\n.png")
    (pictures / "0.png").rename(odd)
    run(db, pictures)
    odd.unlink()
    assert review(db, odd, "false_positive") == 1


def test_an_error_is_not_overruled(db: Path, pictures: Path) -> None:
    bad = pictures / "bad.jpg"
    bad.write_bytes(image_bytes(noise(64, 64), "JPEG")[:900])
    run(db, pictures)
    assert review(db, bad, "false_positive") == 0
    for _ in range(2):
        verdict, reason, decision = shown(db)["bad.jpg"]
        assert (verdict, decision) == ("error", None)
        assert reason != "reviewed"
        assert run(db, pictures).verdicts["error"] == 1


# --- at the same time ---


@pytest.mark.parametrize("name", ["0.png", "1.png"])
def test_a_decision_during_a_run_holds_for_files_done_and_to_come(
    name: str, db: Path, pictures: Path
) -> None:
    def decide(progress: Progress) -> None:
        if progress.n_files == 1:
            review(db, pictures / name, "false_positive")

    summary = run(db, pictures, progress=decide)
    assert shown(db)[name] == FALSE_ALARM
    assert summary.verdicts == {"generated": 1, "real": 2}


def test_a_decision_during_a_run_holds_for_files_judged_again(db: Path, pictures: Path) -> None:
    def decide(progress: Progress) -> None:
        if progress.n_files == 1:
            review(db, pictures / "1.png", "false_positive")

    run(db, pictures)
    run(db, pictures, fpr=0.3, progress=decide)
    assert shown(db)["1.png"] == FALSE_ALARM
    run(db, pictures, fpr=0.3)
    assert shown(db)["1.png"] == FALSE_ALARM


def test_a_decision_taken_back_during_a_run_is_gone(db: Path, pictures: Path) -> None:
    def take_back(progress: Progress) -> None:
        if progress.n_files == 1:
            review(db, pictures / "1.png", None)

    run(db, pictures)
    review(db, pictures / "1.png", "false_positive")
    run(db, pictures, fpr=0.3, progress=take_back)
    assert shown(db)["1.png"] == GENERATED


def test_deciding_needs_no_run_to_end(db: Path, pictures: Path) -> None:
    run(db, pictures)
    with Writer(db, SPEC, RUN) as writer:
        writer.add([file_rows(0, "x.mp4")])
        assert review(db, pictures / "0.png", "confirmed") == 1
        writer.add([file_rows(1, "y.mp4")])


# --- taking back, notes ---


def test_a_decision_can_be_taken_back(db: Path, pictures: Path) -> None:
    run(db, pictures)
    before = list(iter_rows(db))
    review(db, pictures / "0.png", "false_positive")
    assert review(db, pictures / "0.png", None) == 1
    assert list(iter_rows(db)) == before
    assert list(iter_reviews(db)) == []


def test_taking_nothing_back_changes_nothing(db: Path, pictures: Path) -> None:
    run(db, pictures)
    assert review(db, pictures / "0.png", None) == 0


def test_the_last_decision_counts(db: Path, pictures: Path) -> None:
    run(db, pictures)
    review(db, pictures / "0.png", "false_positive", "first thought")
    review(db, pictures / "0.png", "confirmed")
    (row,) = iter_reviews(db)
    assert (row["decision"], row["note"]) == ("confirmed", None)
    assert shown(db)["0.png"] == CONFIRMED


def test_decisions_are_listed_with_note_path_and_time(db: Path, pictures: Path) -> None:
    run(db, pictures)
    review(db, pictures / "0.png", "false_positive", "original seen, 漢")
    (row,) = iter_reviews(db)
    assert row["sha256"] == hashlib.sha256((pictures / "0.png").read_bytes()).hexdigest()
    assert (row["note"], row["path"]) == ("original seen, 漢", str(pictures / "0.png"))
    assert row["decided"].startswith("2")


# --- import and export ---


def test_decisions_go_from_one_results_file_to_another(
    db: Path, pictures: Path, tmp_path: Path
) -> None:
    run(db, pictures)
    review(db, pictures / "0.png", "false_positive", "why")
    review(db, pictures / "2.png", "confirmed")
    lines = [json.dumps(row) for row in iter_reviews(db)]
    other = tmp_path / "other.sqlite"
    run(other, pictures)
    assert import_reviews(other, map(json.loads, lines)) == 2
    assert list(iter_reviews(other)) == list(iter_reviews(db))
    assert shown(other) == shown(db)


HASH = "ab" * 32


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"sha256": HASH},
        {"sha256": HASH, "decision": "maybe"},
        {"sha256": HASH, "decision": None},
        {"sha256": HASH, "decision": ["confirmed"]},
        {"sha256": HASH[:-1], "decision": "confirmed"},
        {"sha256": HASH.upper(), "decision": "confirmed"},
        {"sha256": 7, "decision": "confirmed"},
        {"sha256": HASH, "decision": "confirmed", "note": {"a": 1}},
        {"sha256": HASH, "decision": "confirmed", "path": ["a"]},
        {"sha256": HASH, "decision": "confirmed", "decided": 7},
    ],
)
def test_garbage_is_refused_and_nothing_of_its_file_is_taken(row: dict[str, Any], db: Path) -> None:
    write_results(db)
    good = {"sha256": "cd" * 32, "decision": "confirmed"}
    with pytest.raises(ValueError, match="no decision"):
        import_reviews(db, [good, row])
    assert list(iter_reviews(db)) == []


def test_an_unknown_decision_is_refused(db: Path, pictures: Path) -> None:
    run(db, pictures)
    with pytest.raises(ValueError, match="false_positive, confirmed"):
        review(db, pictures / "0.png", "perhaps")
    assert list(iter_reviews(db)) == []


def test_a_file_that_nobody_knows_is_an_error(db: Path, pictures: Path) -> None:
    run(db, pictures)
    with pytest.raises(StoreError, match="neither on disk nor in the results"):
        review(db, pictures / "none.png", "confirmed")


def test_a_folder_and_a_pipe_are_no_files(db: Path, pictures: Path) -> None:
    run(db, pictures)
    os.mkfifo(pictures / "pipe")
    for path in (pictures, pictures / "pipe"):
        with pytest.raises(StoreError, match="neither on disk"):
            review(db, path, "confirmed")


def test_a_results_file_is_not_made_by_deciding(db: Path, pictures: Path) -> None:
    for attempt in (
        lambda: review(db, pictures / "0.png", "confirmed"),
        lambda: import_reviews(db, []),
        lambda: list(iter_reviews(db)),
    ):
        with pytest.raises(StoreError, match="no such results file"):
            attempt()
    assert not db.exists()


def test_a_file_that_is_not_ours_is_refused(db: Path, pictures: Path) -> None:
    db.write_text("my notes")
    with pytest.raises(StoreError, match="not a results file"):
        review(db, pictures / "0.png", "confirmed")
    assert db.read_text() == "my notes"
