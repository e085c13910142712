"""The report of `gandetect experiment upsampling`: one page that refers to nothing outside itself,
its figures as files, and its tables for the documents.

It shows what the experiment stored in its folder and computes nothing. What would mislead comes
first: a failed leak audit, generators that have learned nothing, a run too small to say anything.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.colors import LinearSegmentedColormap, to_hex

from gandetect.report.evaluation import _DARK_TEXT, _HEAT, _LIGHT_TEXT, _is_dark
from gandetect.report.html import page, visible_name, write_page, write_whole
from gandetect.report.upsampling_figures import Gallery, gallery
from gandetect.report.upsampling_generators import leaks_of, made_by, not_learned
from gandetect.report.upsampling_sections import sections
from gandetect.report.upsampling_tables import (
    AUC,
    SHARE,
    Matrix,
    Results,
    Section,
    Table,
    estimate,
    interval,
    names_of,
    part,
    value_of,
)
from gandetect.report.upsampling_words import Answer, answers
from gandetect.screen.store import StoreError

RESULTS, PAGE, FIGURES = "results.json", "report.html", "figures"
FORMAT_VERSION = 1
SMOKE = "smoke"
_TITLE = "Does detection survive other up-samplers?"
_NAME_LETTERS = 80
# Generators whose images lie near fewer photographs than this are named.
_POOR_COVERAGE = 0.5
# Where each scale begins, and its colors from there to one.
_SCALES = {
    AUC: (0.5, _HEAT),
    SHARE: (0.0, LinearSegmentedColormap.from_list("share", ["#eef2f6", "#2f74b5"])),
}


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write FOLDER/report.html and FOLDER/figures/*.png of the experiment in `folder`.

    Returns the page's path. Stages that have not been run are named as such. Raises ValueError
    where the folder holds no results that this version can read, StoreError where the disk refuses.
    """
    folder = Path(folder)
    results = read_results(folder)
    found = sections(results)
    pictures = gallery(results, folder, found)
    write_figures(pictures, folder / FIGURES)
    write_page(report_page(results, found, pictures), folder / PAGE)
    return folder / PAGE


def read_results(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What the experiment in `folder` stored; raises ValueError where that cannot be read."""
    return read_experiment(folder, "upsampling", FORMAT_VERSION)


def read_experiment(
    folder: str | os.PathLike[str], experiment: str, version: int
) -> dict[str, Any]:
    """The results of `gandetect experiment <experiment>` in `folder`.

    Raises ValueError where that cannot be read, or is of another experiment or version.
    """
    path = Path(folder) / RESULTS
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: no results to report ({error}); run gandetect experiment {experiment}"
        ) from error
    known = isinstance(results, dict) and results.get("experiment") == experiment
    if not known or results.get("format_version") != version:
        raise ValueError(
            f"{path}: want the results of gandetect experiment {experiment}, format_version "
            f"{version}; run it again"
        )
    return results


def report_page(results: Results, found: Sequence[Section], pictures: Gallery) -> str:
    """The page of the sections `found` as text, every name in it escaped."""
    return experiment_page(
        _TITLE,
        _lead(results),
        found,
        pictures,
        made_by(results),
        warnings=list(_warnings(results)),
        answers=answers(results),
    )


def experiment_page(
    title: str,
    lead: str,
    found: Sequence[Section],
    pictures: Gallery,
    made: Table,
    *,
    warnings: Sequence[str],
    answers: Sequence[Answer] | None = None,
) -> str:
    """The page of an experiment; `answers`: None where it asked nothing."""
    return page(
        "experiment.html",
        title=title,
        lead=lead,
        warnings=warnings,
        answers=answers,
        sections=found,
        pictures=pictures,
        made_by=made,
        cell=_cell,
    )


def _lead(results: Results) -> str:
    plain = names_of(results, "plain")
    named = f" ({', '.join(plain)})" if plain else ""
    return (
        f"{len(plain)} generators that differ in nothing but their up-sampling{named}, from the "
        f"same photographs, seed and schedule; preset {results.get('preset')}. Figures are of "
        "images that neither training nor choosing has seen; intervals are 95 %."
    )


def tables_markdown(results: Results) -> str:
    """Answers and every table of `results` (see `read_results`) as Markdown, for documents."""
    parts = [f"**Mind:** {as_markdown(warning)}" for warning in _warnings(results)]
    for answer in answers(results):
        parts += _answer_markdown(answer)
    for section in sections(results):
        parts += section_markdown(section)
    parts += ["## How it was made", table_markdown(made_by(results))]
    return "\n\n".join(parts) + "\n"


def _warnings(results: Results) -> Iterable[str]:
    """What would mislead a reader who did not know it."""
    if results.get("preset") == SMOKE:
        yield (
            "This is a smoke run: it shows that every stage works. It trains for minutes and tests "
            "on few images, so none of its figures says anything about up-samplers."
        )
    ended = [one["name"] for one in results.get("generators") or [] if one.get("failed")]
    leaking, failed = leaks_of(results), not_learned(results)
    if ended:
        yield f"The training of {', '.join(ended)} failed: no table has it."
    if leaking:
        yield (
            f"The files of {', '.join(leaking)} give the class away: what is detected there may be "
            "the files and not their making."
        )
    if failed:
        yield (
            f"{', '.join(failed)} learned too little to stand for a generator: detecting what has "
            "learned nothing is easy and proves nothing."
        )
    if results.get("preset") != SMOKE:
        yield from _what_figures_rest_on(results)


def _what_figures_rest_on(results: Results) -> Iterable[str]:
    if (results.get("options") or {}).get("seeds") == 1:
        yield (
            "Each up-sampling was trained once. What sets two of these generators apart may be "
            "their up-sampling, or that they are two networks: only further seeds would tell."
        )
    told_by = {name: part(results, "audit", name).get("brightness") for name in names_of(results)}
    bright = [name for name, auc in told_by.items() if auc and auc[1] > 0.5]
    if bright:
        yield (
            f"Brightness alone tells {', '.join(bright)} from photographs better than chance (see "
            "the leak audit). The spectral detectors do not see it; cnn/pixels does, and its "
            "figures are in part of that."
        )
    poor = {
        name: row["coverage"]
        for name, row in part(results, "learned", "rows").items()
        if name in names_of(results) and (row.get("coverage") or 1) < _POOR_COVERAGE
    }
    if poor:
        told = ", ".join(f"{name} ({share:.0%})" for name, share in poor.items())
        yield (
            f"Less than half of the photographs have images of {told} near them: such generators "
            "draw a part of what they were shown, or repeat a texture, and are easier to detect."
        )


def _answer_markdown(answer: Answer) -> Iterable[str]:
    yield f"## {as_markdown(answer.question)}"
    yield as_markdown(answer.text)
    if answer.findings:
        lines = [f"- {as_markdown(one.text)} ([table](#{one.section}))" for one in answer.findings]
        yield "\n".join(lines)
    if answer.rule:
        yield f"How the verdict follows: {as_markdown(answer.rule)}"
    if answer.evidence.rows:
        yield table_markdown(answer.evidence)


def section_markdown(section: Section) -> Iterable[str]:
    yield f'<a id="{section.key}"></a>'
    yield f"## {as_markdown(section.title)}"
    if section.missing:
        yield f"Not shown: {as_markdown(section.missing)}."
    if section.lead:
        yield as_markdown(section.lead)
    if section.words:
        yield "\n".join(f"- {as_markdown(words)}" for words in section.words)
    yield from (table_markdown(table) for table in section.unfolded)
    if section.folded:
        yield f"<details><summary>More tables, {len(section.folded)}</summary>"
        yield from map(table_markdown, section.folded)
        yield "</details>"


def table_markdown(table: Table) -> str:
    """The table under its title."""
    rules = ["---" if i < table.labels else "---:" for i in range(len(table.head))]
    lines = [_row(map(as_markdown, table.head)), _row(rules)]
    lines += [_row(map(as_markdown, row)) for row in table.rows]
    return f"**{as_markdown(table.title)}**\n\n" + "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*<>|&$~]|(?<!\w)_|_(?!\w)|\](?=\())", r"\\\1", visible_name(text))


def _cell(matrix: Matrix, row: str, column: str) -> dict[str, str]:
    """A cell of a heat map: value and interval, both with what they are of as title, and colors."""
    figure = matrix.cells.get((row, column))
    value = value_of(figure)
    title = f"{row}, {column}: {estimate(figure)}"
    if value is None:
        return {"value": estimate(None), "interval": "", "title": title, "style": ""}
    low, colors = _SCALES[matrix.scale]
    color = colors(min(max((value - low) / (1 - low), 0.0), 1.0))
    ink = _LIGHT_TEXT if _is_dark(color) else _DARK_TEXT
    style = f"background: {to_hex(color)}; color: {ink}"
    return {
        "value": estimate(value),
        "interval": interval(figure),
        "title": title,
        "style": style,
    }


def write_figures(pictures: Gallery, folder: Path) -> None:
    """Every figure as a PNG, under a name made of its key."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error
    files = pictures.files()
    for name, png in zip(file_names(files), files.values(), strict=True):
        write_whole(png, folder / name)


def file_names(keys: Iterable[str]) -> list[str]:
    """For each key a file name, of what is safe of it, and numbered where another has the same."""
    names: list[str] = []
    for key in keys:
        stem = re.sub(r"[^\w.-]+", "-", key).strip("-.")[:_NAME_LETTERS] or "figure"
        names.append(f"{stem}.png" if f"{stem}.png" not in names else f"{stem}-{len(names)}.png")
    return names
