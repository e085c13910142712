"""What the detectors of the up-sampling experiment found: tables and matrices, and sentences made
from these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gandetect.detect.metrics import FIGURES
from gandetect.report.html import _duration
from gandetect.report.upsampling_tables import (
    AUC,
    NOT_MEASURED,
    SHARE,
    Fields,
    Matrix,
    Results,
    Table,
    best_detectors,
    count,
    estimate,
    keys_of,
    mean,
    names_of,
    part,
    sentence,
    shown,
    values_of,
    yes_or_no,
)

ALL_OTHERS, ORIGINAL = "all the others", "none"
TRAINED = {
    "clean_trained": "trained on clean images",
    "perturbed_trained": "trained on changed images",
}
_FIGURES = {**FIGURES, "accuracy": "accuracy"}
_DETECTION = (
    "auc",
    "tpr_at_0.05",
    "tpr_at_0.01",
    "accuracy",
    "real_accuracy",
    "generated_accuracy",
)


def goals(found: Sequence[Results], _: Results) -> Fields:
    rows = [
        (
            one["generator"],
            one["goal"],
            one["detector"],
            estimate(one.get("auc")),
            estimate(one.get("tpr_at_0.01")),
            yes_or_no(one.get("reached")),
        )
        for one in found
    ]
    head = ("generator", "goal", "detector", "AUC", "TPR at 1 % FPR", "reached")
    reached = sum(bool(one.get("reached")) for one in found)
    return {
        "lead": "Set before anything was run.",
        "words": (f"{reached} of {len(found)} are reached.",),
        "tables": (Table("goals-table", "Goals", head, tuple(rows), 3),),
    }


def detection(found: Results, results: Results) -> Fields:
    names = keys_of(found.values(), names_of(results, "plain"))
    kept = shown(results, found)

    def matrix(key: str, figure: str, scale: str) -> Matrix:
        cells = {
            (d, name): row.get(figure) for d, rows in found.items() for name, row in rows.items()
        }
        title = f"{_FIGURES[figure]} on the generator of the training"
        return Matrix(key, title, "detector", tuple(found), names, cells, scale)

    tables = [
        _figures_table(f"detection-{detector}", detector, "generator", rows, detector not in kept)
        for detector, rows in found.items()
    ]
    return {
        "lead": "Each detector is trained on one generator and as many photographs, and tested on "
        "other images of both. Of the spectrum, radial takes the means over circles, projections "
        "those over rows and over columns, both the two together.",
        "words": tuple(
            lowest_in_words(
                detector, {name: row.get("auc") for name, row in found[detector].items()}
            )
            for detector in kept
        ),
        "matrices": (
            matrix("detection-auc", "auc", AUC),
            matrix("detection-tpr", "tpr_at_0.01", SHARE),
        ),
        "tables": tuple(tables),
    }


def _figures_table(key: str, title: str, first: str, rows: Results, folded: bool) -> Table:
    """Every figure of detection, a line for each of `rows`."""
    head = (first, *(_FIGURES[figure] for figure in _DETECTION))
    lines = [(name, *(estimate(row.get(key)) for key in _DETECTION)) for name, row in rows.items()]
    return Table(key, title, head, tuple(lines), folded=folded)


def lowest_in_words(detector: str, aucs: Results) -> str:
    """Mean and lowest of what a detector reaches, by generator."""
    known = values_of(aucs)
    if not known:
        return f"{detector}: not measured."
    worst = min(known, key=known.__getitem__)
    return (
        f"{detector}: mean AUC {mean(known.values()):.3f} over {len(known)} generators, lowest for "
        f"{worst}, {estimate(aucs[worst])}."
    )


def transfer(found: Results, results: Results) -> Fields:
    kept = shown(results, found)
    return {
        "lead": "Trained on the generator of the row, tested on that of the column. The last row "
        "is trained on all generators but that of the column.",
        "words": tuple(
            f"{detector}: {transfer_in_words(transfer_values(results, detector))}"
            for detector in kept
        ),
        "matrices": tuple(_transfer_matrix(d, one, d not in kept) for d, one in found.items()),
    }


def _transfer_matrix(detector: str, one: Results, folded: bool) -> Matrix:
    names, left_out = tuple(one["generators"]), part(one, "left_out")
    cells = {(c["trained_on"], c["tested_on"]): c["auc"] for c in one["cells"]}
    cells |= {(ALL_OTHERS, name): auc for name, auc in left_out.items()}
    down = (*names, ALL_OTHERS) if left_out else names
    title = f"AUC of {detector}"
    corner = "trained on / tested on"
    return Matrix(f"transfer-{detector}", title, corner, down, names, cells, folded=folded)


def transfer_values(results: Results, detector: str) -> dict[tuple[str, str], Any]:
    """AUC by (trained on, tested on) where the two differ and it was measured."""
    cells = part(results, "transfer", detector).get("cells") or []
    return {
        (c["trained_on"], c["tested_on"]): c["auc"]
        for c in cells
        if c["trained_on"] != c["tested_on"] and c["auc"]
    }


def transfer_in_words(aucs: Mapping[tuple[str, str], Any]) -> str:
    """Mean, worst and no better than guessing, of `transfer_values`."""
    known = values_of(aucs)
    if not known:
        return "transfer was not measured."
    worst = min(known, key=known.__getitem__)
    # The interval reaches one half.
    guesses = sum(auc[1] <= 0.5 for auc in aucs.values())
    return (
        f"trained on one generator and tested on another, mean AUC {mean(known.values()):.3f}; "
        f"worst trained on {worst[0]}, tested on {worst[1]}, {estimate(aucs[worst])}; {guesses} of "
        f"{len(known)} pairs no better than guessing."
    )


def left_out(found: Results, results: Results) -> Fields:
    rows = {detector: part(one, "left_out") for detector, one in found.items()}
    measured = {detector: row for detector, row in rows.items() if row}
    if not measured:
        return {"missing": "nothing was trained with a generator left out"}
    names = keys_of(measured.values(), names_of(results, "plain"))
    cells = {(d, name): auc for d, row in measured.items() for name, auc in row.items()}
    title = "AUC on the generator left out"
    matrix = Matrix("left-out-auc", title, "detector", tuple(measured), names, cells)
    return {
        "lead": "Trained on all generators but that of the column, tested on that one.",
        "words": tuple(lowest_in_words(d, measured[d]) for d in shown(results, measured)),
        "matrices": (matrix,),
    }


def joint(found: Results, results: Results) -> Fields:
    kept = shown(results, found)
    tables = []
    for detector, one in found.items():
        rows = {"all of them": part(one, "pooled"), **part(one, "generators")}
        key, folded = f"joint-{detector}", detector not in kept
        tables.append(_figures_table(key, detector, "tested on", rows, folded))
    return {
        "lead": "One detector for all generators, balanced: as many photographs as generated "
        f"images, and as many of one generator as of another. {_joint_training(found)}".strip(),
        "words": tuple(
            lowest_in_words(
                detector,
                {n: row.get("auc") for n, row in part(found, detector, "generators").items()},
            )
            for detector in kept
        ),
        "tables": tuple(tables),
    }


def _joint_training(found: Results) -> str:
    """What all of them were trained on, which is the same."""
    training = next((part(one, "training") for one in found.values()), {})
    if not training:
        return ""
    return (
        f"Trained on {count(training['real'])} photographs and {count(training['generated_each'])} "
        "images of each generator."
    )


def attribution(found: Results, _: Results) -> Fields:
    confusion, balanced = part(found, "confusion"), found.get("balanced_accuracy")
    across = keys_of(confusion.values(), tuple(found.get("classes") or ()))
    totals = {name: sum(row.values()) or 1 for name, row in confusion.items()}
    shares = {(n, to): row.get(to, 0) / totals[n] for n, row in confusion.items() for to in across}
    title = "Share of the images of the row that got the name of the column"
    matrix = Matrix(
        "attribution-shares", title, "is / named", tuple(confusion), across, shares, SHARE
    )
    chance = 1 / max(len(confusion), 1)
    words = f"Balanced accuracy {estimate(balanced)} over {len(confusion)} classes; guessing would "
    return {
        "lead": f"Which generator made an image? {sentence(found.get('method'))}".strip(),
        "words": (f"{words}reach {chance:.3f}.",) if balanced else (),
        "matrices": (matrix,) if confusion else (),
        "tables": tuple(_attribution_tables(found, confusion, across)),
    }


def _attribution_tables(
    found: Results, confusion: Results, across: tuple[str, ...]
) -> Iterable[Table]:
    if confusion:
        rows = [(n, *(count(row.get(to, 0)) for to in across)) for n, row in confusion.items()]
        title = "The same as numbers of images"
        yield Table("attribution-counts", title, ("is / named", *across), tuple(rows), folded=True)
    unknown = part(found, "unknown")
    if unknown:
        rows = [
            (name, estimate(row.get("auc")), estimate(row.get("called_unknown")))
            for name, row in unknown.items()
        ]
        title = "A generator that the training left out: is it called unknown?"
        head = ("left out", "AUC of unknown against known", "called unknown")
        yield Table("unknown", title, head, tuple(rows))


def learning(found: Results, _: Results) -> Fields:
    sizes, curves = [str(size) for size in found["sizes"]], part(found, "curves")
    rows = [
        (detector, *(estimate(_point(part(one, "points", size))) for size in sizes))
        for detector, one in curves.items()
    ]
    reasons = [
        f"{detector}, {size} images: not measured, {why}."
        for detector, one in curves.items()
        for size, why in part(one, "left_out").items()
    ]
    title = "Mean AUC by the number of training images"
    return {
        "lead": sentence(found.get("about")),
        "words": tuple(reasons),
        "tables": (Table("learning-table", title, ("detector", *sizes), tuple(rows)),),
    }


def _point(point: Results) -> Any:
    """[mean, low, high]; of a single draw the mean alone, None of none."""
    if point.get("low") is None:
        return point.get("mean")
    return [point["mean"], point["low"], point["high"]]


def learning_curves(results: Results) -> dict[str, dict[str, Any]]:
    """Mean AUC, with its interval where it has one, by detector and number of training images."""
    curves = part(results, "learning", "curves")
    return {
        detector: {size: _point(point) for size, point in part(one, "points").items() if point}
        for detector, one in curves.items()
    }


def robustness(found: Results, results: Results) -> Fields:
    open_ = {best_detectors(results).get(role) for role in ("spectral", "network")}
    tables = {
        (detector, how): _with_original(rows, part(results, "detection", detector), found)
        for kind, how in TRAINED.items()
        for detector, rows in part(found, kind).items()
    }
    closely = shown(results, dict.fromkeys(detector for detector, _ in tables))
    matrices = [
        _robustness_matrix(f"{detector}, {how}", figure, rows, results, detector not in open_)
        for (detector, how), rows in tables.items()
        if detector in closely
        for figure in ("auc", "tpr_at_0.01")
    ]
    reasons = [
        f"{detector}, {perturbation}: not measured, {why}."
        for detector, row in part(found, "not_measured").items()
        for perturbation, why in row.items()
    ]
    return {
        "lead": "Photographs and generated images are changed alike, then told apart by detectors "
        "that were trained on clean images, or on images changed in the same way.",
        "words": tuple(reasons),
        "matrices": (_robustness_summary(tables, found["perturbations"]), *matrices),
    }


def _with_original(rows: Results, detection: Results, found: Results) -> Results:
    """Figures by perturbation and generator, with those of images as they are where these belong
    among the perturbations."""
    belongs = ORIGINAL in found["perturbations"] and ORIGINAL not in rows and detection
    every = {ORIGINAL: detection, **rows} if belongs else rows
    return {one: every[one] for one in found["perturbations"] if one in every}


def _robustness_summary(
    tables: Mapping[tuple[str, str], Results], perturbations: Sequence[str]
) -> Matrix:
    cells: dict[tuple[str, str], float] = {}
    for (detector, how), rows in tables.items():
        for perturbation, row in rows.items():
            known = values_of({name: one.get("auc") for name, one in row.items()})
            if known:
                cells[f"{detector}, {how}", perturbation] = mean(known.values())
    down, title = tuple(dict.fromkeys(row for row, _ in cells)), "Mean AUC over the generators"
    return Matrix("robustness-mean", title, "detector", down, tuple(perturbations), cells)


def _robustness_matrix(
    title: str, figure: str, rows: Results, results: Results, folded: bool
) -> Matrix:
    names = keys_of(rows.values(), names_of(results, "plain"))
    cells = {(p, name): one.get(figure) for p, row in rows.items() for name, one in row.items()}
    is_auc = figure == "auc"
    return Matrix(
        f"robustness-{title}-{figure}", f"{_FIGURES[figure]} of {title}", "changed by",
        tuple(rows), names, cells, AUC if is_auc else SHARE, folded or not is_auc,
    )  # fmt: skip


def robustness_values(results: Results, detector: str) -> dict[tuple[str, str], Any]:
    """AUC by (perturbation, generator) of a detector trained on clean images."""
    rows = part(results, "robustness", "clean_trained", detector)
    return {
        (perturbation, name): one["auc"]
        for perturbation, row in rows.items()
        for name, one in row.items()
        if perturbation != ORIGINAL and one.get("auc")
    }


def settings(found: Sequence[Results], results: Results) -> Fields:
    seconds = part(results, "seconds", "scores")
    roles: dict[str, list[str]] = {}
    for role, detector in best_detectors(results).items():
        roles.setdefault(detector, []).append(role)
    rows = [
        (
            one["id"],
            _settings_of(one.get("chosen")),
            ", ".join(roles.get(one["id"], ())),
            estimate(one.get("validation")),
            _duration(seconds.get(one["id"], one.get("seconds"))) or NOT_MEASURED,
        )
        for one in found
    ]
    head = ("detector", "settings", "best of", "mean AUC on validation", "time")
    rule = sentence(part(results, "choice").get("rule"))
    return {
        "lead": f"One setting of each detector for all generators. {rule}".strip(),
        "tables": (
            Table("settings-table", "Settings chosen", head, tuple(rows), 3),
            _grid_table(found, names_of(results, "plain")),
        ),
    }


def _grid_table(found: Sequence[Results], names: Sequence[str]) -> Table:
    rows = []
    for one in found:
        for point in one.get("grid") or ():
            validation = part(point, "validation")
            figures = (point.get("mean"), *(validation.get(name) for name in names))
            rows.append((one["id"], _settings_of(point["settings"]), *map(estimate, figures)))
    title = "Everything that was tried: AUC on validation images"
    return Table("grid", title, ("detector", "settings", "mean", *names), tuple(rows), 2, True)


def _settings_of(chosen: Results | None) -> str:
    told = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in (chosen or {}).items()
    ]
    return ", ".join(told) or "nothing to set"
