"""Benjamini-Hochberg over the files of a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making_results import Brightness, write_pictures

from gandetect.screen import Summary, screen
from gandetect.screen.significance import critical_p_value
from gandetect.screen.store import iter_rows, run_info


def decisions(p: np.ndarray, rate: float) -> np.ndarray:
    critical = critical_p_value(Counter(p.tolist()).items(), rate)
    return np.zeros(len(p), bool) if critical is None else p <= critical


def test_decisions_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng, n_discoveries = np.random.default_rng(0), 0
    for _ in range(300):
        n_scores, n = int(rng.integers(5, 300)), int(rng.integers(1, 60))
        ranks = rng.integers(1, n_scores + 2, n)
        ranks[rng.random(n) < rng.random()] = 1  # Ties at the smallest value, as generated files.
        p, rate = ranks / (n_scores + 1), rng.uniform(0.01, 0.5)
        expected = stats.false_discovery_control(p) <= rate
        assert (decisions(p, rate) == expected).all()
        n_discoveries += int(expected.sum())
    assert n_discoveries > 1000


def test_decisions_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        p, rate = rng.integers(1, 30, int(rng.integers(1, 40))) / 97, rng.uniform(0.01, 0.5)
        ordered = np.sort(p)
        k = max((i for i in range(1, len(p) + 1) if ordered[i - 1] <= i * rate / len(p)), default=0)
        assert decisions(p, rate).sum() == (p <= ordered[k - 1]).sum() * (k > 0)


def test_no_files_have_no_discoveries() -> None:
    assert critical_p_value([], 0.1) is None


def test_the_order_of_the_counts_does_not_matter() -> None:
    counts = [(0.01, 3), (0.2, 5), (0.04, 1)]
    assert critical_p_value(counts, 0.1) == critical_p_value(counts[::-1], 0.1) == 0.04


# --- end to end ---

# Scores of three generated files, and of many real ones of which the largest exceed the threshold.
LOGITS = (9, 9, 8.5, *np.linspace(-5, 3.2, 37).tolist())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "p", *LOGITS)


def run(pictures: Path, tmp_path: Path, **options: Any) -> Summary:
    options = {"model": Brightness(), "fpr": 0.1, **options}
    return screen([pictures], db=tmp_path / "run.sqlite", workers=0, **options)


def shown(tmp_path: Path, number: int | None = None) -> list[dict[str, Any]]:
    return [{**row, "run": None} for row in iter_rows(tmp_path / "run.sqlite", number)]


def files(tmp_path: Path) -> list[dict[str, Any]]:
    return list(iter_rows(tmp_path / "run.sqlite", kind="file"))


@pytest.mark.parametrize("known", [False, True])
def test_files_above_the_threshold_that_are_no_discoveries_are_inconclusive(
    known: bool, pictures: Path, tmp_path: Path
) -> None:
    stats = pytest.importorskip("scipy.stats")
    if known:
        run(pictures, tmp_path)
    summary = run(pictures, tmp_path, fdr=0.05)
    assert summary.n_known == (len(LOGITS) if known else 0)
    rows = files(tmp_path)
    found = stats.false_discovery_control([row["p_value"] for row in rows]) <= 0.05
    upper = Brightness().thresholds(0.1).generated
    above = np.array([row["logit"] > upper for row in rows])
    for row, is_found, is_above in zip(rows, found, above, strict=True):
        assert (row["verdict"] == "generated") == (is_found and is_above)
        assert (row["reason"] == "not_significant") == (is_above and not is_found)
    assert (above & ~found).any()
    assert (above & found).any()
    assert summary.verdicts["generated"] == int((above & found).sum())
    assert summary.critical_p == max(r["p_value"] for r, f in zip(rows, found, strict=True) if f)


def test_a_later_run_without_it_restores_the_verdicts(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path)
    before = shown(tmp_path)
    run(pictures, tmp_path, fdr=0.05)
    assert shown(tmp_path) != before
    assert run(pictures, tmp_path).n_known == len(LOGITS)
    assert shown(tmp_path) == before


def test_a_later_run_at_another_rate_decides_anew(pictures: Path, tmp_path: Path) -> None:
    strict = run(pictures, tmp_path, fdr=0.01)
    lenient = run(pictures, tmp_path, fdr=0.4)
    assert lenient.verdicts["generated"] > strict.verdicts.get("generated", 0)
    assert run(pictures, tmp_path, fdr=0.01).verdicts == strict.verdicts


def test_without_discoveries_nothing_is_generated(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "q", *np.linspace(-5, 3.2, 60).tolist())
    summary = run(pictures, tmp_path, fdr=1e-3)
    assert summary.critical_p is None
    assert "generated" not in summary.verdicts
    assert "not_significant" in {row["reason"] for row in files(tmp_path)}


def test_files_of_other_runs_do_not_count(pictures: Path, tmp_path: Path) -> None:
    """The same few files among others in the results, and alone."""
    run(pictures, tmp_path)
    together = run(pictures / "0.png", tmp_path, fdr=0.05)
    alone = screen(
        [pictures / "0.png"], model=Brightness(), db=tmp_path / "b.sqlite", workers=0, fdr=0.05
    )
    assert together.critical_p == alone.critical_p
    assert together.verdicts == alone.verdicts == {"generated": 1}


def test_verdicts_of_files_in_other_runs_stay(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path)
    before = [row["verdict"] for row in shown(tmp_path, 1)]
    run(pictures / "39.png", tmp_path, fdr=1e-6)
    changed = [
        row["path"]
        for row, old in zip(shown(tmp_path, 1), before, strict=True)
        if row["verdict"] != old
    ]
    assert changed == [str(pictures / "39.png")]


def test_among_fewer_files_the_same_rate_finds_more(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path, fdr=0.05)
    missed = [row for row in files(tmp_path) if row["reason"] == "not_significant"]
    near = min(missed, key=lambda row: row["p_value"])
    assert near["p_value"] < 0.05
    few = [pictures / f"{i}.png" for i in range(3)] + [Path(near["path"])]
    screen(few, model=Brightness(), fpr=0.1, fdr=0.05, db=tmp_path / "run.sqlite", workers=0)
    assert [row["verdict"] for row in files(tmp_path)] == ["generated"] * 4


def test_the_rate_is_recorded(pictures: Path, tmp_path: Path) -> None:
    run(pictures / "0.png", tmp_path, fdr=0.05)
    assert run_info(tmp_path / "run.sqlite")["fdr"] == 0.05


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_out_of_range_is_refused_before_anything_is_written(
    rate: float, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="fdr"):
        run(pictures, tmp_path, fdr=rate)
    assert not (tmp_path / "run.sqlite").exists()


def test_discoveries_of_real_files_alone_are_rare() -> None:
    """Under the null the false-discovery rate is the chance of any discovery at all."""
    rng, n, trials = np.random.default_rng(2), 200, 400
    false = 0
    for _ in range(trials):
        reals, scores = np.sort(rng.normal(size=n)), rng.normal(size=20)
        p = (1 + n - np.searchsorted(reals, scores)) / (1 + n)
        false += decisions(p, 0.2).any()
    assert false / trials <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / trials)
