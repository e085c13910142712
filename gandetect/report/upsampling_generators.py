"""What the generators of the up-sampling experiment are: their training, what they learned, their
spectra, their files; each as tables, and sentences made from these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gandetect.detect.metrics import FIGURES
from gandetect.report.html import _duration
from gandetect.report.upsampling_tables import (
    NOT_MEASURED,
    Fields,
    Results,
    Table,
    best_detectors,
    count,
    estimate,
    interval,
    keys_of,
    names_of,
    part,
    sentence,
    stage,
    value_of,
    values_of,
    yes_or_no,
)

_BASELINES = {"real": "other photographs", "blurred_mean": "blurred means", "noise": "noise"}
# What is known of a set of images, and what people call it.
_LEARNED = {
    "distance": "distance",
    "mmd": "MMD",
    "coverage": "coverage",
    "spectral_l1": "spectral L1",
    "cloaking": "CloakingScore",
    "diversity": "diversity",
    "learned": "learned",
}
_DIFFERENCES = {
    "high_band": "high band",
    "nyquist_rows": "rows at 1/2",
    "nyquist_columns": "columns at 1/2",
    "quarter_rows": "rows at 1/4",
    "quarter_columns": "columns at 1/4",
    "corner": "corner",
    "rms": "root mean square",
}
# Which detector judged a generator that differs from a plain one, its base.
_OTHERS = {
    "own": "trained on it",
    "of_base": "trained on the base",
    "joint": "trained on all plain ones",
    "base_by_base": "the base by its own",
}
_EVEN_START = (
    ", and in the first weights of up-samplings that learn a kernel (transposed convolution, pixel "
    "shuffle, bed of nails): they begin as interpolation, since random ones begin with a "
    "checkerboard that short trainings keep. The trace that is left was learned."
)
# Columns of a leak audit that are named.
_WORST = 4


def training(found: Sequence[Results], results: Results) -> Fields:
    seconds = part(results, "seconds", "train")
    rows = [
        (
            one["name"],
            one["up"],
            one.get("spectral") or "none",
            one.get("failed") or "to the end",
            str(one["seed"]),
            count(one.get("steps")),
            count(one.get("parameters")),
            _duration(seconds.get(one["name"])) or NOT_MEASURED,
        )
        for one in found
    ]
    head = (
        "generator", "up-sampling", "spectral training", "trained", "seed", "steps", "parameters",
        "time",
    )  # fmt: skip
    return {
        "lead": "The generators differ in nothing but what this table says"
        + (_EVEN_START if any(_starts_even(one) for one in found) else "."),
        "tables": (Table("generators", "Generators", head, tuple(rows), 4),),
    }


def _starts_even(one: Results) -> bool:
    return bool((one.get("config") or {}).get("even_start"))


def learned(found: Results, results: Results) -> Fields:
    rows, about = part(found, "rows"), part(found, "about")
    figures = {name: _figures_of(row) for name, row in rows.items()}
    head = keys_of(figures.values(), ())
    lines = [(name, *(row[key] for key in head)) for name, row in figures.items()]
    table = Table("learned-table", "Generators beside baselines", ("images", *head), tuple(lines))
    # The meaning of CloakingScore begins with its name.
    meanings = [
        sentence(f"{title}: {about[key].removeprefix(f'{title}: ')}")
        for key, title in _LEARNED.items()
        if about.get(key)
    ]
    return {
        "lead": "A generator that has learned nothing is easy to detect and proves nothing. The "
        "distance needs no weights of another network: it is no FID and cannot be compared with "
        "one.",
        "words": (*_learned_words(rows, names_of(results)), *meanings),
        "tables": (table,),
    }


def _figures_of(row: Results) -> dict[str, str]:
    """What is known of a set of images, by title."""
    cloaking = part(row, "cloaking")
    return {
        **{_LEARNED[key]: estimate(row.get(key)) for key in ("distance", "mmd", "coverage")},
        "spectral L1": estimate(row.get("spectral_l1")),
        "CloakingScore, published": estimate(cloaking.get("published")),
        "CloakingScore, held out": estimate(cloaking.get("held_out")),
        "diversity": estimate(row.get("diversity")),
        "learned": yes_or_no(row.get("learned")),
    }


def _learned_words(rows: Results, names: Sequence[str]) -> Iterable[str]:
    known = values_of({name: part(rows, name).get("distance") for name in names})
    if known:
        near, far = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        beside = values_of(
            {title: part(rows, k).get("distance") for k, title in _BASELINES.items()}
        )
        told = ", ".join(f"{title} {estimate(value)}" for title, value in beside.items())
        yield (
            f"The smallest distance from the photographs is that of {near}, "
            f"{estimate(known[near])}, the largest that of {far}, {estimate(known[far])}"
            f"{f'; for comparison: {told}' if told else ''}."
        )
    judged = {n: row["learned"] for n in names if (row := part(rows, n)).get("learned") is not None}
    failed = [name for name, learned in judged.items() if not learned]
    if judged:
        which = f"; these have not: {', '.join(failed)}" if failed else ""
        yield f"{len(judged) - len(failed)} of {len(judged)} generators have learned{which}."


def not_learned(results: Results) -> list[str]:
    """Generators of which it was found that they have learned nothing."""
    rows = part(results, "learned", "rows")
    return [name for name in names_of(results) if part(rows, name).get("learned") is False]


def spectra(found: Results, results: Results) -> Fields:
    differences = part(found, "differences")
    keys = [key for key in _DIFFERENCES if any(key in row for row in differences.values())]
    rows = [(name, *(_decibel(row.get(key)) for key in keys)) for name, row in differences.items()]
    head = ("generator", *(_DIFFERENCES[key] for key in keys))
    table = Table("differences-table", "Generated less real, dB", head, tuple(rows))
    return {
        "lead": f"Mean power by frequency, in decibels, over {count(found.get('images'))} images "
        "each. A difference is generated less real: positive where a generator puts too much.",
        "words": tuple(_spectra_words(differences)),
        "tables": (table,) if keys else (),
    }


def _spectra_words(differences: Results) -> Iterable[str]:
    known = values_of({name: row.get("rms") for name, row in differences.items()})
    if known:
        near, far = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        yield (
            f"The mean spectrum of {near} differs least from that of the photographs, by "
            f"{known[near]:.1f} dB root mean square, that of {far} most, by {known[far]:.1f} dB."
        )


def others(found: Results, results: Results) -> Fields:
    rows = part(results, "learned", "rows")
    return {
        "lead": "Generators that differ from a plain one, their base, in their training or their "
        "seed alone. Does training that hides the trace in the spectrum hide it from detectors?",
        "words": tuple(_others_words(found, rows, best_detectors(results).get("spectral", ""))),
        "tables": (
            _quality_table(found, rows, results),
            _others_table("auc", found, folded=False),
            _others_table("tpr_at_0.01", found, folded=True),
        ),
    }


def _quality_table(found: Results, rows: Results, results: Results) -> Table:
    """Each base and, below it, the generators that differ from it."""
    generators = {one["name"]: one for one in results.get("generators") or []}
    lines = []
    for base in dict.fromkeys(one["base"] for one in found.values()):
        lines.append((base, "", "", *_quality_cells(part(rows, base))))
        lines += [
            (name, _differs_by(generators.get(name, {})), *_quality_of(name, base, rows))
            for name, one in found.items()
            if one["base"] == base
        ]
    head = (
        "generator", "differs by", "spectral L1 against the base", "spectral L1", "distance", "MMD",
        "coverage",
    )  # fmt: skip
    return Table("others-quality", "What became of the images", head, tuple(lines), 3)


def _differs_by(generator: Results) -> str:
    spectral = generator.get("spectral", "none")
    return "seed" if spectral == "none" else f"spectral {spectral}"


def _quality_of(name: str, base: str, rows: Results) -> tuple[str, ...]:
    row = part(rows, name)
    change = _change(row, part(rows, base))
    return (NOT_MEASURED if change is None else f"{change:+.0f} %", *_quality_cells(row))


def _quality_cells(row: Results) -> tuple[str, ...]:
    return tuple(estimate(row.get(key)) for key in ("spectral_l1", "distance", "mmd", "coverage"))


def _change(row: Results, base: Results) -> float | None:
    """How much larger the spectral L1 of `row` is than that of `base`, in percent."""
    mine, other = value_of(row.get("spectral_l1")), value_of(base.get("spectral_l1"))
    return 100 * (mine / other - 1) if mine is not None and other else None


def _others_table(figure: str, found: Results, *, folded: bool) -> Table:
    rows = [
        (name, detector, *(estimate(part(row, key).get(figure)) for key in _OTHERS))
        for name, one in found.items()
        for detector, row in part(one, "detectors").items()
    ]
    title = f"What became of detection: {FIGURES[figure]}"
    head = ("generator", "detector", *_OTHERS.values())
    return Table(f"others-{figure}", title, head, tuple(rows), 2, folded)


def _others_words(found: Results, rows: Results, detector: str) -> Iterable[str]:
    for name, one in found.items():
        row, base, told = part(rows, name), part(rows, one["base"]), []
        change = _change(row, base)
        if change is not None:
            way = "below" if change < 0 else "above"
            told.append(f"spectral L1 {abs(change):.0f} % {way} that of {one['base']}")
        told += [
            f"{_LEARNED[key]} {_beside(row[key], base[key])}"
            for key in ("distance", "mmd")
            if row.get(key) is not None and base.get(key) is not None
        ]
        for key in ("own", "of_base"):
            auc = part(one, "detectors", detector, key).get("auc")
            if auc:
                told.append(f"AUC {estimate(auc)} of {detector} {_OTHERS[key]}")
        if told:
            yield f"{name}: {'; '.join(told)}."


def _beside(one: Any, other: Any) -> str:
    """How `one` stands to `other`, each a number or [value, low, high]."""
    values = f"{estimate(value_of(one))} against {estimate(value_of(other))}"
    if not interval(one) or not interval(other):
        return values
    if one[1] > other[2]:
        return f"{values}, larger"
    return f"{values}, smaller" if one[2] < other[1] else f"{values}, the same within the intervals"


def audit(found: Results, results: Results) -> Fields:
    head = ("generator", "audit", "what tells most", "AUC from metadata", "AUC from brightness")
    rows = [
        (
            name,
            _audit_verdict(one),
            _audit_reason(one),
            estimate(one.get("auc")),
            estimate(one.get("brightness")),
        )
        for name, one in found.items()
    ]
    leaking = leaks_of(results)
    told = f"{len(leaking)} of {len(found)} generators are given away by their files"
    return {
        "lead": "A classifier of size, format, header and bit depth alone. At chance, 0.5, the "
        "files do not give the classes away, and what the detectors find is in the pixels. Bytes "
        "of lossless files and brightness follow from the pixels: they are listed, not counted.",
        "words": (f"{told}: {', '.join(leaking)}." if leaking else f"{told}.",),
        "tables": (Table("audit-table", "Leak audit", head, tuple(rows), 3),),
    }


def _audit_verdict(one: Results) -> str:
    leaks = one.get("leaks")
    return "not audited" if leaks is None else "LEAK" if leaks else "passed"


def _audit_reason(one: Results) -> str:
    columns = sorted(part(one, "columns").items(), key=lambda column: (-column[1], column[0]))
    told = ", ".join(f"{name} {auc:.2f}" for name, auc in columns[:_WORST])
    reason = "" if one.get("leaks") is False else one.get("reason") or ""
    return "; ".join(text for text in (reason, told) if text)


def leaks_of(results: Results) -> list[str]:
    """Generators whose files alone tell them from the photographs."""
    found, _ = stage(results, "audit")
    return [name for name, one in found.items() if one.get("leaks")]


def made_by(results: Results) -> Table:
    """Data, machine, seeds, time and versions, as far as the results tell."""
    data, sets, options = (part(results, key) for key in ("data", "sets", "options"))
    rows = {
        "preset": str(results.get("preset") or ""),
        "data": str(data.get("name") or ""),
        "source": str(data.get("source") or ""),
        "licenses": str(data.get("license") or ""),
        "images at hand": count(data.get("number")),
        "digest of the data": str(data.get("sha256") or data.get("digest") or ""),
        "files left out": count(len(part(results, "failed")) or None),
        "images of a class": _pairs(part(sets, "counts")),
        "from photographs": _pairs(part(sets, "photographs")),
        "format": str(sets.get("format") or ""),
        "options": _pairs(options),
        "machine": _pairs(part(results, "machine")),
        "time": _times(part(results, "seconds")),
        "versions": _pairs(part(results, "versions")),
    }
    told = tuple((key, text) for key, text in rows.items() if text not in ("", NOT_MEASURED))
    return Table("made-by", "How it was made", ("what", "which"), told, 2)


def _times(seconds: Results) -> str:
    parts = {
        key: sum(values_of(took).values()) if isinstance(took, Mapping) else took
        for key, took in seconds.items()
        if took is not None
    }
    told = ", ".join(f"{key} {_duration(took)}" for key, took in parts.items())
    return f"{_duration(sum(parts.values()))} in all: {told}" if parts else ""


def _pairs(values: Results) -> str:
    return ", ".join(
        f"{key} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in values.items()
        if value is not None
    )


def _decibel(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:+.1f}"
