"""Tables and matrices of the up-sampling experiment: one form for the page and for the documents,
and how its results.json is read where stages of it are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Results = Mapping[str, Any]
# The fields of a section, but for its key and title.
Fields = dict[str, Any]
# Scales of a matrix: an AUC is worth nothing at one half, a share at zero.
AUC, SHARE = "auc", "share"
NOT_MEASURED = "–"
NOT_RUN = "this stage has not been run"


@dataclass(frozen=True)
class Table:
    """Rows of text under a head. `labels`: columns from the left that name what a row is about; the
    others hold figures. `folded`: of interest to few, shown when asked for."""

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: int = 1
    folded: bool = False


@dataclass(frozen=True)
class Matrix:
    """Figures by row and column.

    `cells`: by (row, column) a number or [value, low, high]; what is not there was not measured.
    `corner`: what the rows and columns are. `scale`: AUC or SHARE, which decides the colors.
    """

    key: str
    title: str
    corner: str
    down: tuple[str, ...]
    across: tuple[str, ...]
    cells: Mapping[tuple[str, str], Any]
    scale: str = AUC
    folded: bool = False

    def table(self) -> Table:
        """The same with every interval written out."""
        rows = [
            (row, *(estimate(self.cells.get((row, column))) for column in self.across))
            for row in self.down
        ]
        head = (self.corner, *self.across)
        return Table(f"{self.key}-table", self.title, head, tuple(rows), folded=self.folded)


@dataclass(frozen=True)
class Section:
    """What one stage found.

    `lead`: what is measured; `words`: what came out, in sentences made from the figures. `missing`:
    why there is nothing to show, empty where there is something.
    """

    key: str
    title: str
    lead: str = ""
    words: tuple[str, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: str = ""

    @property
    def unfolded(self) -> list[Table]:
        """What is shown without being asked for, matrices as tables."""
        return [table for table in self._all() if not table.folded]

    @property
    def folded(self) -> list[Table]:
        """The other tables, matrices as tables."""
        return [table for table in self._all() if table.folded]

    def _all(self) -> list[Table]:
        return [*(matrix.table() for matrix in self.matrices), *self.tables]


def value_of(figure: Any) -> float | None:
    """The value of a number or of [value, low, high]; None where it was not measured."""
    if isinstance(figure, Sequence):
        return float(figure[0]) if figure else None
    return None if figure is None else float(figure)


def values_of(figures: Mapping[Any, Any]) -> dict[Any, float]:
    """The values by name, without those that were not measured."""
    found = {name: value_of(figure) for name, figure in figures.items()}
    return {name: value for name, value in found.items() if value is not None}


def estimate(figure: Any) -> str:
    """A figure and, where it has one, its interval."""
    value, reach = value_of(figure), interval(figure)
    if value is None:
        return NOT_MEASURED
    return f"{_number(value)} {reach}" if reach else _number(value)


def interval(figure: Any) -> str:
    """The interval of a figure; empty where it has none."""
    if not isinstance(figure, Sequence) or None in figure or not figure:
        return ""
    return f"[{_number(figure[1])}, {_number(figure[2])}]"


def _number(value: float) -> str:
    """Three decimals; one where there are digits enough before the point."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def yes_or_no(value: Any) -> str:
    """ "yes", "no", or that it was not judged."""
    return NOT_MEASURED if value is None else "yes" if value else "no"


def count(number: int | None) -> str:
    """A whole number for people."""
    return NOT_MEASURED if number is None else f"{number:,}"


def sentence(text: str | None) -> str:
    """`text` with a capital letter at its beginning and a period at its end; empty for nothing."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def mean(values: Iterable[float]) -> float:
    """Of one number or more."""
    known = list(values)
    return float(sum(known) / len(known))


def stage(results: Results, key: str) -> tuple[Any, str]:
    """What the stage `key` stored, and why it stored nothing, empty where it did."""
    found = results.get(key)
    if not found:
        return {}, NOT_RUN
    if isinstance(found, Mapping) and all(v is None for k, v in found.items() if k != "reason"):
        return {}, str(found.get("reason") or NOT_RUN)
    return found, ""


def part(results: Results, *keys: str) -> Mapping[Any, Any]:
    """The mapping at `keys`, one inside the other; empty where one of them is missing."""
    found: Any = results
    for key in keys:
        found = found.get(key) or {}
    return found if isinstance(found, Mapping) else {}


def names_of(results: Results, *roles: str) -> tuple[str, ...]:
    """The generators of these roles, all where none is given, in the order of their training."""
    generators = results.get("generators") or []
    return tuple(one["name"] for one in generators if not roles or one["role"] in roles)


def best_detectors(results: Results) -> dict[str, str]:
    """By role the detector that was chosen on the validation images."""
    return {role: name for role, name in part(results, "choice", "best").items() if name}


def shown(results: Results, detectors: Iterable[str]) -> list[str]:
    """The detectors that need not be asked for: the best, or all where none was chosen."""
    every, best = list(detectors), set(best_detectors(results).values())
    return [detector for detector in every if detector in best] or every


def keys_of(rows: Iterable[Results], first: Sequence[str]) -> tuple[str, ...]:
    """The keys of all `rows`, those of `first` before the others."""
    found = dict.fromkeys(key for row in rows for key in row)
    return (*(n for n in first if n in found), *(n for n in found if n not in first))
