"""The three questions of the up-sampling experiment, answered in sentences made from its tables.

The verdict on a question is the experiment's, by its stated rule. Beside it stands what each table
says, worded here from the figures themselves, so that a reader can check the one by the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gandetect.report.upsampling_detection import (
    learning_curves,
    lowest_in_words,
    robustness_values,
    transfer_in_words,
    transfer_values,
)
from gandetect.report.upsampling_tables import (
    Results,
    Table,
    best_detectors,
    estimate,
    mean,
    names_of,
    part,
    sentence,
    value_of,
    values_of,
    yes_or_no,
)

OTHER_UP_SAMPLERS, PROJECTIONS, NETWORK = "other_up_samplers", "projections", "neural_network"
# By question the roles in `choice.best` of the detectors that it compares, the asked-for first.
_COMPARED = {PROJECTIONS: ("projections", "radial"), NETWORK: ("network", "spectral")}
_UNDECIDED = "not decided"
Figures = Callable[[Results, str], dict[Any, Any]]


@dataclass(frozen=True)
class Finding:
    """What one table says; `section` is where that table stands."""

    text: str
    section: str


@dataclass(frozen=True)
class Answer:
    """A question, the verdict that follows by `rule` with its sentence, and what speaks for it."""

    key: str
    question: str
    verdict: str
    sentence: str
    rule: str
    findings: tuple[Finding, ...]
    evidence: Table

    @property
    def text(self) -> str:
        """Verdict and sentence; the experiment's sentences begin with the verdict."""
        if self.sentence.lower().startswith(self.verdict.lower()):
            return self.sentence
        return f"{sentence(self.verdict)} {self.sentence}".strip()


def answers(results: Results) -> list[Answer]:
    """The questions that were answered; none where that stage has not been run."""
    return [
        Answer(
            one["id"],
            one["question"],
            one.get("verdict") or _UNDECIDED,
            one.get("sentence") or "",
            sentence(one.get("rule")),
            tuple(_findings(one["id"], results)),
            _evidence(one),
        )
        for one in results.get("answers") or []
    ]


def _findings(question: str, results: Results) -> Iterable[Finding]:
    best = best_detectors(results)
    if question == OTHER_UP_SAMPLERS and "spectral" in best:
        yield from _on_other_up_samplers(results, best["spectral"])
    roles = _COMPARED.get(question, ())
    if roles and all(role in best for role in roles):
        yield from _comparison(results, *(best[role] for role in roles))


def _on_other_up_samplers(results: Results, detector: str) -> Iterable[Finding]:
    own, others = _own(results, detector), transfer_values(results, detector)
    left_out = part(results, "transfer", detector, "left_out")
    joint = _joint(results, detector)
    if own:
        told = lowest_in_words(detector, own)
        yield Finding(f"Trained anew for each up-sampler, {told}", "detection")
    if others:
        yield Finding(f"Carried over, {detector}: {transfer_in_words(others)}", "transfer")
    if left_out:
        told = lowest_in_words(detector, left_out)
        yield Finding(f"Trained on all the others, {told}", "left-out")
    if joint:
        yield Finding(f"One for all, {lowest_in_words(detector, joint)}", "joint")


def _comparison(results: Results, first: str, second: str) -> Iterable[Finding]:
    """How often and by how much `first` is above `second`, table by table."""
    for section, where, figures in _PLACES:
        one, other = (values_of(figures(results, detector)) for detector in (first, second))
        both = [key for key in one if key in other]
        if both:
            text = _compared(
                first, second, [one[key] for key in both], [other[key] for key in both]
            )
            yield Finding(f"{where}: {text}", section)


def _compared(first: str, second: str, one: list[float], other: list[float]) -> str:
    wins = sum(a > b for a, b in zip(one, other, strict=True))
    losses = sum(a < b for a, b in zip(one, other, strict=True))
    ties = len(one) - wins - losses
    equal = f", equal in {ties}" if ties else ""
    return (
        f"{first} has the higher AUC in {wins} of {len(one)} cases, {second} in {losses}{equal}; "
        f"mean {mean(one):.3f} against {mean(other):.3f}."
    )


def _own(results: Results, detector: str) -> dict[str, Any]:
    rows = part(results, "detection", detector)
    return {name: rows[name].get("auc") for name in names_of(results, "plain") if name in rows}


def _left_out(results: Results, detector: str) -> dict[Any, Any]:
    return dict(part(results, "transfer", detector, "left_out"))


def _joint(results: Results, detector: str) -> dict[Any, Any]:
    rows = part(results, "joint", detector, "generators")
    return {name: row.get("auc") for name, row in rows.items()}


def _few(results: Results, detector: str) -> dict[Any, Any]:
    return learning_curves(results).get(detector, {})


_PLACES: tuple[tuple[str, str, Figures], ...] = (
    ("detection", "On the generator of the training", _own),
    ("transfer", "On another generator", transfer_values),
    ("left-out", "On the generator left out", _left_out),
    ("joint", "One for all", _joint),
    ("learning", "With few training images", _few),
    ("robustness", "On changed images", robustness_values),
)


def _evidence(answer: Results) -> Table:
    """The paired differences or figures that the verdict rests on, each with what it says."""
    rows = [_evidence_row(one) for one in answer.get("evidence") or ()]
    head = ("measure", "what", "says", "counts", "figure", "difference")
    return Table(f"evidence-{answer['id']}", "What the verdict rests on", head, tuple(rows), 4)


def _evidence_row(one: Results) -> tuple[str, ...]:
    about, counts = one.get("about") or "", yes_or_no(one.get("counts", True))
    if "values" not in one:
        return one["measure"], about, "", counts, estimate(one.get("value")), ""
    first, second = one["first"], one["second"]
    figures = f"{_short(one['values'][0])} against {_short(one['values'][1])}"
    says = _says(first, second, one.get("difference"))
    return one["measure"], about, says, counts, figures, estimate(one.get("difference"))


def _short(figure: Any) -> str:
    return estimate(value_of(figure))


def _says(first: str, second: str, difference: Any) -> str:
    """Which is better, where the interval of the paired difference leaves out 0."""
    if not difference or None in difference:
        return _UNDECIDED
    _, low, high = difference
    if low > 0:
        return f"{first} is better than {second}"
    return f"{second} is better than {first}" if high < 0 else _UNDECIDED
