"""Benjamini-Hochberg over the files of a run: few false discoveries instead of few false alarms.

With m files judged and their p-values sorted, p_(1) <= ... <= p_(m), those up to the largest k with
p_(k) <= k q / m are the discoveries; among them the expected share of real files is at most q, for
files that are independent or positively dependent. A p-value is a rank among n calibration scores
and takes at most n + 1 values, so that counting them suffices, whatever the number of files.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from gandetect.screen.schema import store_errors
from gandetect.screen.writer import Writer

NOT_SIGNIFICANT = "not_significant"


def critical_p_value(counts: Iterable[tuple[float, int]], rate: float) -> float | None:
    """The largest p-value among the discoveries at false-discovery rate `rate`; None: there are
    none. `counts`: (p-value, how many files have it), in any order."""
    ordered = sorted(counts)
    total = sum(count for _, count in ordered)
    critical, rank = None, 0
    for p, count in ordered:
        rank += count
        if p <= rank * rate / total:
            critical = p
    return critical


def keep_significant(writer: Writer, rate: float) -> float | None:
    """Turn `generated` verdicts of this run that are no discoveries into `inconclusive`.

    Returns the critical p-value. Files that a person decided about count like any other.
    """
    writer.flush()
    with store_errors(writer.path), writer.connection as db:
        critical = critical_p_value(_counts(db, writer.run), rate)
        db.execute(
            "UPDATE item SET verdict = 'inconclusive', reason = ? WHERE verdict = 'generated' "
            "AND p_value > ? AND id IN (SELECT item FROM visit WHERE run = ?)",
            (NOT_SIGNIFICANT, -1.0 if critical is None else critical, writer.run),
        )
    return critical


def _counts(db: sqlite3.Connection, run: int) -> list[tuple[float, int]]:
    return db.execute(
        "SELECT p_value, count(*) FROM visit JOIN item ON item.id = visit.item "
        "WHERE visit.run = ? AND p_value IS NOT NULL GROUP BY p_value",
        (run,),
    ).fetchall()
