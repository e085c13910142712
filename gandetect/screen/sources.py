"""Finding the files to screen: in a fixed order, each folder once, nothing opened that could block.

Folders are walked depth first in the byte order of names. Only the names of the folders being
walked are in memory, never a list of all files. What is not screened is passed on with the reason,
so that a run accounts for everything it saw.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

# Without .ts, which is more often source code; a transport stream is known by its content.
# fmt: off
MEDIA_EXTENSIONS = frozenset({
    ".264", ".265", ".3gp", ".apng", ".asf", ".avi", ".avif", ".bmp", ".dv", ".flv", ".gif",
    ".h264", ".h265", ".heic", ".hevc", ".ivf", ".j2k", ".jp2", ".jpe", ".jpeg", ".jpg", ".m2ts",
    ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mxf", ".ogv", ".pgm", ".png",
    ".ppm", ".qoi", ".tif", ".tiff", ".vob", ".webm", ".webp", ".wmv", ".y4m",
})
# fmt: on


@dataclass(frozen=True)
class Source:
    """A regular file to screen. `wanted`: it was named itself, or is named like media, so that
    content of another kind is an error and not just another file in the folder."""

    path: str
    size: int
    mtime_ns: int
    wanted: bool


@dataclass(frozen=True)
class Skipped:
    """Something seen and not screened: `reason` is hidden, fifo, socket, device, broken_link, loop,
    seen_before, not_media or empty."""

    path: str
    reason: str


@dataclass(frozen=True)
class Unreadable:
    """Something that should have been screened and cannot be reached: becomes an error row."""

    path: str
    reason: str
    detail: str


Found = Source | Skipped | Unreadable


def find_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Found]:
    """Every file at or below `paths`, in order.

    Names beginning with a dot are left out below a folder, unless named in `paths`. A path given
    twice, or together with a folder above it, counts once. Links are followed; a folder is walked
    once, so that a link to one of its parents ends there. A file with several names is found under
    each of them. Names keep undecodable bytes as surrogates (`os.fsencode` gives the bytes back).
    """
    visited: set[tuple[int, int]] = set()
    names = [os.fspath(path) for path in paths]
    # However it is spelled; a path by itself can only be found once.
    named = {os.path.abspath(name) for name in names} if len(names) > 1 else set()
    seen: set[str] = set()
    for name in names:
        if os.path.abspath(name) in seen:
            yield Skipped(name, "seen_before")
            continue
        for found in _walk(name, visited):
            place = os.path.abspath(found.path) if named else ""
            if place not in named or isinstance(found, Skipped):
                yield found
            elif place in seen:
                yield Skipped(found.path, "seen_before")
            else:
                seen.add(place)
                yield replace(found, wanted=True) if isinstance(found, Source) else found
        seen.add(os.path.abspath(name))


def _walk(top: str, visited: set[tuple[int, int]]) -> Iterator[Found]:
    """Depth first with a stack of its own: folders may nest deeper than Python's recursion."""
    stack: list[tuple[Iterator[str], tuple[int, int]]] = []
    open_folders: set[tuple[int, int]] = set()
    names = iter([top])
    folder_key = (-1, -1)
    while True:
        path = next(names, None)
        if path is None:
            open_folders.discard(folder_key)
            if not stack:
                return
            names, folder_key = stack.pop()
            continue
        named = not stack
        if not named and os.path.basename(path).startswith("."):
            yield Skipped(path, "hidden")
            continue
        found = _look_at(path, named)
        if not isinstance(found, os.stat_result):
            yield found
            continue
        key = (found.st_dev, found.st_ino)
        if key in visited:
            yield Skipped(path, "loop" if key in open_folders else "seen_before")
            continue
        visited.add(key)
        try:
            entries = sorted(os.listdir(path), key=os.fsencode)
        except OSError as error:
            yield _unreadable(path, error)
            continue
        stack.append((names, folder_key))
        names, folder_key = map(partial(os.path.join, path), entries), key
        open_folders.add(key)


def _look_at(path: str, named: bool) -> Found | os.stat_result:
    """What `path` is; its status where it is a folder."""
    try:
        status = os.stat(path)
    except OSError as error:
        if not named and os.path.islink(path):
            return Skipped(path, "broken_link")
        return _unreadable(path, error)
    except ValueError as error:
        return Unreadable(path, "not_found", str(error))
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return status
    if not stat.S_ISREG(mode):
        return Skipped(path, _special_kind(mode))
    extension = os.path.splitext(path)[1].lower()
    wanted = named or extension in MEDIA_EXTENSIONS
    return Source(path, status.st_size, status.st_mtime_ns, wanted)


def _special_kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "fifo"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def _unreadable(path: str, error: OSError) -> Unreadable:
    reason = "not_found" if isinstance(error, FileNotFoundError) else "unreadable"
    return Unreadable(path, reason, error.strerror or str(error))
