"""Finding files: order, links, special files, and names of any bytes."""

from __future__ import annotations

import inspect
import os
import socket
import sys
from pathlib import Path

import pytest

from gandetect.screen.sources import Skipped, Source, Unreadable, find_files


def names(folder: Path) -> list[str]:
    return [os.path.relpath(found.path, folder) for found in find_files([folder])]


def test_files_come_in_byte_order_depth_first(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/z.jpg", "a/B.jpg", "c/d/e.jpg", "Z.jpg", "ä.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path) == ["Z.jpg", "a/B.jpg", "a/z.jpg", "b.jpg", "c/d/e.jpg", "ä.jpg"]


def test_a_path_given_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    first, again = find_files([tmp_path / "a.jpg", str(tmp_path / "a.jpg")])
    assert isinstance(first, Source)
    assert again == Skipped(str(tmp_path / "a.jpg"), "seen_before")


def test_files_named_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    (tmp_path / "b.dat").touch()
    found = list(find_files([tmp_path / "b.dat", str(tmp_path / "a.jpg")]))
    assert [Path(item.path).name for item in found] == ["b.dat", "a.jpg"]
    assert isinstance(found[1], Source)
    assert found[1].size == 5
    assert all(isinstance(item, Source) and item.wanted for item in found)


def test_only_media_names_are_wanted_below_a_folder(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.ts", "c.txt", "d"):
        (tmp_path / name).touch()
    wanted = {Path(i.path).name: i.wanted for i in find_files([tmp_path]) if isinstance(i, Source)}
    assert wanted == {"a.JPG": True, "b.ts": False, "c.txt": False, "d": False}


def test_hidden_names_are_skipped_unless_named(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.jpg").touch()
    (tmp_path / ".b.jpg").touch()
    assert [i.reason for i in find_files([tmp_path]) if isinstance(i, Skipped)] == ["hidden"] * 2
    assert isinstance(next(find_files([tmp_path / ".b.jpg"])), Source)
    assert names(tmp_path / ".cache") == ["a.jpg"]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.jpg").touch()
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "again").symlink_to(tmp_path / "a" / "b")
    (tmp_path / "one.jpg").symlink_to(tmp_path / "a" / "b" / "x.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    found = {os.path.relpath(item.path, tmp_path): item for item in find_files([tmp_path])}
    reasons = {name: item.reason for name, item in found.items() if isinstance(item, Skipped)}
    assert reasons == {
        "a/b/up": "loop",
        "again": "seen_before",
        "gone.jpg": "broken_link",
        "circle": "broken_link",
    }
    assert {name for name, item in found.items() if isinstance(item, Source)} == {
        "a/b/x.jpg",
        "one.jpg",
    }


def test_special_files_are_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jpg"))
        found = list(find_files([tmp_path, "/dev/null"]))
    assert [item.reason for item in found if isinstance(item, Skipped)] == [
        "fifo",
        "socket",
        "device",
    ]


def test_what_cannot_be_reached_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.jpg").touch()
    real = os.listdir

    def listdir(path: str) -> list[str]:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    closed, file, missing = find_files([tmp_path, tmp_path / "none.jpg"])
    assert closed == Unreadable(str(tmp_path / "closed"), "unreadable", "Permission denied")
    assert isinstance(file, Source)
    assert isinstance(missing, Unreadable)
    assert missing.reason == "not_found"


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    (found,) = find_files([f"{tmp_path}/nul\0byte"])
    assert isinstance(found, Unreadable)


def test_folders_may_nest_deeper_than_the_interpreter(tmp_path: Path) -> None:
    depth = 300
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 50)
    try:
        (found,) = find_files([tmp_path])
    finally:
        sys.setrecursionlimit(limit)
    assert found.path.count("/d") >= depth


def test_names_keep_their_bytes(tmp_path: Path) -> None:
    for name in (b"line\nbreak.jpg", b"caf\xe9.jpg", b"tab\t.jpg", b"\xff\xfe.jpg"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    found = [os.path.basename(os.fsencode(item.path)) for item in find_files([tmp_path])]
    assert found == [b"caf\xe9.jpg", b"line\nbreak.jpg", b"tab\t.jpg", b"\xff\xfe.jpg"]


def test_files_are_found_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").touch()
    listed = []
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or real(path))
    next(find_files([tmp_path]))
    assert [Path(path).name for path in listed] == [tmp_path.name, "a"]
