"""Work that processes share gives what one process gives, in its order, and ends when they do."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

from gandetect.detect.loading import WorkerError, in_order, threads
from gandetect.detect.perturbations import GRID


def squared(number):
    if number < 0:
        raise ValueError(f"{number} is negative")
    threads = {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())}
    return torch.full((3,), number**2), os.getpid(), max(threads)


@pytest.mark.parametrize("workers", [0, 1, 2, 9])
def test_results_are_in_order_and_one_thread_makes_each(workers):
    results = list(in_order(squared, range(7), workers))
    assert [int(tensor[0]) for tensor, *_ in results] == [n**2 for n in range(7)]
    assert {count for *_, count in results} == {1}
    processes = {process for _, process, _ in results}
    assert len(processes) == max(1, min(workers, 7))
    assert (os.getpid() in processes) == (workers == 0)


def test_threads_are_as_many_afterwards_as_before():
    before, pools = torch.get_num_threads(), threadpool_info()
    list(in_order(squared, range(3)))
    assert torch.get_num_threads() == before
    assert threadpool_info() == pools
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(ValueError), threads(before + 1):
        squared(-1)
    assert torch.get_num_threads() == before


def test_random_numbers_of_the_caller_are_left_alone():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    list(in_order(squared, range(4), 2))
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_an_item_raises_comes_in_its_turn_and_as_it_is(workers):
    results = in_order(squared, [2, -1, 3], workers)
    assert int(next(results)[0][0]) == 4
    with pytest.raises(ValueError, match=r"^-1 is negative$"):
        next(results)


def confused(number):
    raise KeyError(number)


def test_a_fault_shows_where_in_the_worker_it_was():
    with pytest.raises(KeyError, match="in confused"):
        next(in_order(confused, range(2), 2))


def deadly(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_is_killed_is_an_error_that_says_what_to_do():
    with pytest.raises(WorkerError, match=r"\w\. It was killed.*fewer workers"):
        list(in_order(deadly, range(8), 2))


ORPHANS = """
import multiprocessing, os, signal
from gandetect.detect.loading import in_order

# More than fits into a pipe: a worker waits until somebody reads.
results = in_order(lambda number: bytes(1 << 22), range(100), 2)
next(results)
print(*(child.pid for child in multiprocessing.active_children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_worker_outlives_a_process_that_was_killed(tmp_path):
    # Into a file: workers that live on would hold a pipe open.
    with open(tmp_path / "said", "w") as said:
        killed = subprocess.run([sys.executable, "-c", ORPHANS], stdout=said, check=False)
    assert killed.returncode == -signal.SIGKILL
    workers = [int(word) for word in (tmp_path / "said").read_text().split()]
    assert len(workers) == 2
    # They end at once; a minute is what a busy machine gets.
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers are still there"
        time.sleep(0.05)


def test_nothing_to_do_and_a_number_of_workers_that_is_none():
    assert list(in_order(squared, [], 2)) == []
    with pytest.raises(ValueError, match="workers=-1"):
        in_order(squared, [1], -1)


def test_few_results_wait(tmp_path):
    """Whoever reads slowly is not buried: two for each worker are ahead, not all of them."""
    results = in_order(_noted(tmp_path), range(50), 2)
    next(results)
    # The workers go on for as long as they may; what they may is counted, not how fast they are.
    for _ in range(3):
        next(results)
    assert len(list(tmp_path.iterdir())) <= 4 + 2 * 2 + 2


class _noted:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, number):
        (self.folder / str(number)).touch()
        return number


def test_what_workers_are_given_can_be_sent_to_them():
    """Where processes are not forked, everything is pickled."""
    sent = pickle.loads(pickle.dumps(GRID))
    plane = torch.arange(64 * 64).remainder(251).to(torch.uint8).view(64, 64)
    for one, other in zip(GRID, sent, strict=True):
        assert one.name == other.name
        assert torch.equal(one.apply(plane), other.apply(plane))
