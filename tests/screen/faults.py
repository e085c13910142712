"""Handlers and models that misbehave on purpose, in a module that workers can import."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gandetect.detect import Model
from gandetect.screen.pool import Beat, Chunk


def prepare_faulty(settings: Any) -> Callable[[Chunk[str], Beat], list[str]]:
    """A handler whose items say what to do: `ok`, `die`, `exit`, `hang`, `slow`, `grow`, `raise`,
    `once PATH DEED` (only if PATH does not exist yet)."""

    def handle(chunk: Chunk[str], beat: Beat) -> list[str]:
        done = []
        for position, item in enumerate(chunk.items):
            beat(position, 0)
            do(item, lambda steps, position=position: beat(position, steps))
            done.append(item)
        beat(len(chunk.items), 0)
        if settings == "die at the end" and len(chunk.items) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    return handle


def prepare_broken(settings: Any) -> Any:
    raise ValueError("no such model")


def prepare_dead(settings: Any) -> Any:
    os._exit(3)


def prepare_unsendable(settings: Any) -> Callable[[Chunk[str], Beat], Any]:
    def handle(chunk: Chunk[str], beat: Beat) -> Any:
        beat(0, 0)
        return lambda: chunk

    return handle


def prepare_sneaky(settings: Any) -> Callable[[Chunk[str], Beat], Any]:
    """Dies at work, and says that it has nothing in hand."""

    def handle(chunk: Chunk[str], beat: Beat) -> Any:
        beat(-1, 0)
        os.kill(os.getpid(), signal.SIGKILL)

    return handle


def do(item: str, step: Callable[[int], None]) -> None:
    deed, *rest = item.split()
    if deed == "once":
        path, deed = rest[0], rest[1]
        if os.path.exists(path):
            return
        os.mkdir(path)
    match deed:
        case "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(139)
        case "hang":
            time.sleep(3600)
        case "slow":
            for steps in range(1, 3600):
                time.sleep(0.05)
                step(steps)
        case "grow":
            _grow()
        case "allocate":
            np.empty(1 << 36, np.uint8)
        case "raise":
            raise KeyError("unforeseen")
        case "write":
            with open(rest[0], "w") as file:
                file.write("x" * 10_000)
        case "print":
            os.write(2, b"noise from a library\n")


def _grow() -> None:
    """Hold more and more memory, slowly enough to be caught."""
    held = []
    while True:
        held.append(np.ones(1 << 20, np.uint8))
        time.sleep(0.001)


class KillsOn(Model):
    """A model that takes its process along where a batch holds a square of this mean value."""

    fatal = 7.0

    def logits(self, images: Tensor) -> Tensor:
        if (images.float().mean(dim=(1, 2)).round() == self.fatal).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().logits(images)

    def __reduce__(self) -> Any:
        return KillsOn, (self.arrays, self.card, self.sha256)


class Echo:
    """What a worker is told, for tests that settings arrive."""

    def __init__(self, value: object) -> None:
        self.value = value


def double(value: int) -> int:
    return 2 * value


def fails(text: str) -> None:
    raise RuntimeError(text)


def dies() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def limits() -> dict[str, Any]:
    """What a worker may do."""
    import resource

    return {
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "fsize": resource.getrlimit(resource.RLIMIT_FSIZE),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "data": resource.getrlimit(resource.RLIMIT_DATA),
        "no_new_privs": _status("NoNewPrivs"),
        "main": getattr(__import__("__main__"), "__file__", None),
        "threads": torch.get_num_threads(),
    }


def _status(name: str) -> str | None:
    try:
        with open("/proc/self/status") as file:
            return next((line.split()[1] for line in file if line.startswith(name)), None)
    except OSError:
        return None
