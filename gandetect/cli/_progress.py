"""One progress bar for commands that report (what, done, total)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from gandetect.cli._common import on_terminal


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Gives the callback; draws on stderr, and only where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(
        console=Console(stderr=True), transient=True, disable=not on_terminal()
    ) as progress:
        task = progress.add_task("starting", total=None)

        def update(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield update
