"""The atlas of `gandetect experiment families`: one page that refers to nothing outside itself, its
figures as files, and its tables for the documents.

Every family stands in the first table. After it each world, the families of one size and kind of
image, has the sections that the up-sampling experiment has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gandetect.report.html import _duration, write_page
from gandetect.report.upsampling import (
    FIGURES,
    PAGE,
    SMOKE,
    as_markdown,
    experiment_page,
    read_experiment,
    section_markdown,
    table_markdown,
    write_figures,
)
from gandetect.report.upsampling_detection import (
    attribution,
    detection,
    joint,
    left_out,
    settings,
    transfer,
)
from gandetect.report.upsampling_figures import Gallery, gallery
from gandetect.report.upsampling_generators import audit, leaks_of, learned, made_by, spectra
from gandetect.report.upsampling_sections import Builder, built
from gandetect.report.upsampling_tables import (
    NOT_MEASURED,
    Fields,
    Results,
    Section,
    Table,
    best_detectors,
    count,
    estimate,
    names_of,
    part,
    yes_or_no,
)

FORMAT_VERSION = 1
_TITLE = "Which family leaves which trace?"


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write FOLDER/report.html and FOLDER/figures/*.png of the atlas in `folder`.

    Returns the page's path. Raises ValueError where the folder holds no results that this version
    can read, StoreError where the disk refuses.
    """
    folder = Path(folder)
    results = read_results(folder)
    pictures = _pictures(results, folder)
    write_figures(pictures, folder / FIGURES)
    text = experiment_page(
        _TITLE,
        _lead(results),
        sections(results),
        pictures,
        _made_by(results),
        warnings=list(_warnings(results)),
    )
    write_page(text, folder / PAGE)
    return folder / PAGE


def read_results(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What the atlas in `folder` stored; raises ValueError where that cannot be read."""
    return read_experiment(folder, "families", FORMAT_VERSION)


def tables_markdown(results: Results) -> str:
    """Every table of `results` (see `read_results`) as Markdown, for documents."""
    parts = [f"**Mind:** {as_markdown(warning)}" for warning in _warnings(results)]
    for section in sections(results):
        parts += section_markdown(section)
    parts += ["## How it was made", table_markdown(_made_by(results))]
    return "\n\n".join(parts) + "\n"


def sections(results: Results) -> list[Section]:
    """The atlas, and after it the sections of each world."""
    found = [Section("atlas", "The atlas", **_atlas(results))]
    worlds = part(results, "worlds")
    for name, world in worlds.items():
        for section in (built(world, *one) for one in _SECTIONS):
            title = section.title if len(worlds) == 1 else f"{section.title}, {name}"
            found.append(replace(section, key=f"{name}-{section.key}", title=title))
    return found


def _training(found: Sequence[Results], world: Results) -> Fields:
    seconds = part(world, "seconds", "train")
    rows = [
        (
            one["name"],
            one["up"],
            one.get("failed") or _how(one.get("loaded")),
            count(one.get("steps")),
            count(one.get("parameters")),
            _duration(seconds.get(one["name"])) or NOT_MEASURED,
            one.get("source") or "",
        )
        for one in found
    ]
    head = ("family", "up-sampling", "trained", "steps", "parameters", "time", "after")
    return {
        "lead": "Each family has the schedule of its own preset. Parameters are of what draws.",
        "tables": (Table("families", "Families", head, tuple(rows), 3),),
    }


def _how(loaded: Mapping[str, Any] | None) -> str:
    if not loaded:
        return "to the end"
    return "loaded" if loaded.get("same_photographs") else "loaded, of other photographs"


# Key, title, where a world has it, and what makes the section's fields of that.
_SECTIONS: tuple[tuple[str, str, str, Builder], ...] = (
    ("training", "Training", "generators", _training),
    ("learned", "Did they learn anything?", "learned", learned),
    ("spectra", "Mean spectra", "spectra", spectra),
    ("detection", "Detection", "detection", detection),
    ("transfer", "Transfer", "transfer", transfer),
    ("left-out", "One family left out", "transfer", left_out),
    ("joint", "One detector for all", "joint", joint),
    ("attribution", "Attribution", "attribution", attribution),
    ("audit", "Leak audit", "audit", audit),
    ("settings", "Settings", "detectors", settings),
)


def _atlas(results: Results) -> Fields:
    rows: list[tuple[str, ...]] = []
    for name, world in part(results, "worlds").items():
        rows += [_line(name, one, world) for one in world.get("generators") or []]
    head = (
        "family", "images", "up-sampling", "learned", "distance", "spectral L1", "CloakingScore",
        "AUC", "TPR at 1 % FPR", "AUC when unseen", "called unknown", "ms per image",
    )  # fmt: skip
    return {
        "lead": "Distance and spectral L1 are to photographs that nothing has seen. AUC and TPR "
        "are of the best detector, trained on the family; unseen, on all others of its world. "
        "Called unknown: share of its images where attribution knew the others only. Times are of "
        f"drawing, the families by turns{_drawn_on(results)}.",
        "tables": (Table("atlas-table", "Every family", head, tuple(rows), 4),),
    }


def _drawn_on(results: Results) -> str:
    machine = part(results, "drawn_on") or part(results, "machine")
    return f", on {machine.get('cpu')}, threads: {machine.get('threads')}" if machine else ""


def _line(where: str, one: Results, world: Results) -> tuple[str, ...]:
    name = one["name"]
    row = part(world, "learned", "rows", name)
    best = best_detectors(world).get("spectral", "")
    found = part(world, "detection", best, name)
    seconds = one.get("seconds_per_image")
    return (
        name,
        where,
        one["up"],
        yes_or_no(row.get("learned")),
        estimate(row.get("distance")),
        estimate(row.get("spectral_l1")),
        estimate(part(row, "cloaking").get("held_out")),
        estimate(found.get("auc")),
        estimate(found.get("tpr_at_0.01")),
        estimate(part(world, "transfer", best, "left_out").get(name)),
        estimate(part(world, "attribution", "unknown", name).get("called_unknown")),
        NOT_MEASURED if seconds is None else f"{1000 * seconds:.3g}",
    )


def _pictures(results: Results, folder: Path) -> Gallery:
    """The figures of all worlds."""
    found = Gallery()
    for name, world in part(results, "worlds").items():
        parts = [built(world, *one) for one in _SECTIONS]
        made = gallery(world, folder / name, parts)
        for key, pictures in made.pictures.items():
            for one in pictures:
                found.add(_place(name, key), replace(one, key=f"{name}-{one.key}"))
        for key, notes in made.notes.items():
            for note in notes:
                found.note(_place(name, key), note)
        found.heat_maps |= {f"{name}-{key}": png for key, png in made.heat_maps.items()}
    return found


def _place(world: str, key: str) -> str:
    """The section of a figure: sheets of samples stand together."""
    return key if key == "samples" else f"{world}-{key}"


def _lead(results: Results) -> str:
    worlds = part(results, "worlds")
    families = sum(len(names_of(world)) for world in worlds.values())
    return (
        f"{families} families of generators, each by its own preset, from the same photographs; "
        f"preset {results.get('preset')}. Figures are of images that neither training nor choosing "
        "has seen; intervals are 95 %."
    )


def _warnings(results: Results) -> Iterable[str]:
    """What would mislead a reader who did not know it."""
    if results.get("preset") == SMOKE:
        yield (
            "This is a smoke run: it shows that every stage works. It trains for minutes and tests "
            "on few images, so none of its figures says anything about the families."
        )
    yield (
        f"Each family was trained once, with seed {part(results, 'options').get('seed')}. A single "
        "training leaves a fingerprint of its own: what tells families apart here may be that of "
        "the training and not of the family, and no interval covers other trainings."
    )
    for world in part(results, "worlds").values():
        ended = [one["name"] for one in world.get("generators") or [] if one.get("failed")]
        if ended:
            yield f"The training of {', '.join(ended)} failed: no table has it."
        if leaking := leaks_of(world):
            yield (
                f"The files of {', '.join(leaking)} give the class away: what is detected there "
                "may be the files and not their making."
            )
        if nothing := world.get("left_out"):
            yield (
                f"{', '.join(nothing)} learned too little to stand for a family, and no table of "
                "detection has it."
            )


def _made_by(results: Results) -> Table:
    """Of the first world, with the times of all."""
    worlds = list(part(results, "worlds").values())
    if not worlds:
        return made_by(results)
    seconds: dict[str, Any] = {}
    for world in worlds:
        for stage, took in part(world, "seconds").items():
            total = sum(took.values()) if isinstance(took, dict) else took
            seconds[stage] = seconds.get(stage, 0.0) + total
    return made_by({**worlds[0], **results, "seconds": seconds})
