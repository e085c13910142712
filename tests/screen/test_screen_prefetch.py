"""Decoding ahead: everything arrives, in order within a source, and nothing runs away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from gandetect.screen.prefetch import prefetch


def three(number: int, source: str) -> Iterator[tuple[int, str, int]]:
    for part in range(3):
        yield number, source, part


def size(_: object) -> int:
    return 1


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_everything_arrives_in_order_within_its_source(workers: int) -> None:
    records = list(prefetch("abcdefgh", three, size, workers=workers, limit_bytes=4))
    assert sorted(records) == [
        (number, letter, part) for number, letter in enumerate("abcdefgh") for part in range(3)
    ]
    for number in range(8):
        assert [part for n, _, part in records if n == number] == [0, 1, 2]


def test_one_worker_keeps_the_order() -> None:
    records = list(prefetch(range(50), lambda n, s: [n], size, workers=1, limit_bytes=3))
    assert records == list(range(50))


def test_producers_wait_for_the_consumer() -> None:
    made: list[int] = []

    def produce(number: int, _: int) -> Iterator[int]:
        made.append(number)
        yield number

    records = prefetch(range(1000), produce, lambda _: 10, workers=2, limit_bytes=50)
    next(records)
    time.sleep(0.05)
    assert len(made) <= 1 + 5 + 2
    records.close()


def test_a_record_larger_than_the_limit_still_passes() -> None:
    records = prefetch(range(5), lambda n, s: [n], lambda _: 10**9, workers=2, limit_bytes=1)
    assert sorted(records) == [0, 1, 2, 3, 4]


def test_closing_stops_the_threads() -> None:
    before = threading.active_count()
    records = prefetch(range(10**9), lambda n, s: [n], size, workers=3, limit_bytes=10)
    assert isinstance(next(records), int)
    records.close()
    assert threading.active_count() == before


def test_closing_waits_once_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gandetect.screen.prefetch.STOP_SECONDS", 0.2)
    release = threading.Event()

    def produce(number: int, _: int) -> Iterator[int]:
        if number:
            release.wait(30)
        yield number

    records = prefetch(range(100), produce, size, workers=8, limit_bytes=10)
    assert next(records) == 0
    begun = time.monotonic()
    records.close()
    waited = time.monotonic() - begun
    release.set()
    assert waited < 8 * 0.2


def broken_sources() -> Iterator[int]:
    yield 0
    raise RuntimeError("the disk went away")


def broken(number: int, _: int) -> Iterator[int]:
    raise RuntimeError(f"broken at {number}")
    yield 0


def test_errors_of_sources_and_producers_are_raised_here() -> None:
    with pytest.raises(RuntimeError, match="disk went away"):
        list(prefetch(broken_sources(), lambda n, s: [n], size, workers=2, limit_bytes=10))
    with pytest.raises(RuntimeError, match="broken at 0"):
        list(prefetch([1], broken, size, workers=1, limit_bytes=10))
