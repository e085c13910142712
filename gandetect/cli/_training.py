"""What the commands that train or draw have in common: the device, and progress of hours."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator

import click

from gandetect.cli._common import on_terminal, printable

# (what, done, total)
Progress = Callable[[str, int, int], None]

# Named here as well as in `gandetect.gans`, so that --help imports no torch.
PRECISIONS = ("float32", "bfloat16")
_SECONDS_BETWEEN_LINES = 60.0


def device_of(asked: str | None) -> str:
    """The device of this process; a usage error where there is no such one."""
    import torch

    if asked is not None and not re.fullmatch(r"cpu|cuda(:\d{1,3})?", asked):
        raise click.UsageError(f"--device {asked!r} given; choose cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    device = asked or ("cuda" if found else "cpu")
    if device == "cpu":
        return device
    # Under torchrun each process has a device of its own.
    number = int(device.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))
    if number >= found:
        raise click.UsageError(f"--device {device}: this machine has {found} CUDA device(s)")
    return f"cuda:{number}"


class Reached:
    """Remembers the iteration that training has come to."""

    def __init__(self) -> None:
        self.step = 0

    def before(self, progress: Progress) -> Progress:
        """`progress` that is remembered here first."""

        def update(what: str, done: int, total: int) -> None:
            self.step = done
            progress(what, done, total)

        return update


@contextlib.contextmanager
def training_bar(quiet: bool) -> Iterator[Progress]:
    """A bar with the losses, iterations per second and the time left; a line a minute where
    standard error is no terminal."""
    if quiet or not on_terminal():
        yield _lines(quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.3g}/s"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, rate=0.0)

        def update(what: str, done: int, total: int) -> None:
            if total != bar.tasks[0].total:
                # Another task, or one that goes on: its speed is not that of what was before.
                bar.reset(task, total=total, completed=done)
            rate = bar.tasks[0].finished_speed or bar.tasks[0].speed or 0.0
            bar.update(task, description=what, completed=done, total=total, rate=rate)

        yield update


def _lines(quiet: bool) -> Progress:
    """Progress as lines, for logs of machines."""
    said = time.monotonic()

    def update(what: str, done: int, total: int) -> None:
        nonlocal said
        if not quiet and time.monotonic() - said >= _SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            say(f"{what}: {done} of {total}")

    return update


def say(text: str) -> None:
    click.echo(printable(text), err=True)
