"""What our processes have in common: how many may run, and that none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection


def processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def end_with_parent() -> None:
    """Start a thread that kills this process, a child of `multiprocessing`, once its parent has
    ended, however that ended: one that waits to hand over a result would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
