"""The page of an evaluation: one HTML file that refers to nothing outside itself.

It shows what `gandetect evaluate` measured and computes nothing. What would mislead comes first:
a failed leak audit stands above every figure.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gandetect.detect.evaluation import DELIVERIES, reencoding_control
from gandetect.detect.metrics import FIGURES, VERDICT_FIGURES
from gandetect.detect.perturbations import ORIGINAL
from gandetect.report import plots
from gandetect.report.explain_show import _quietly_drawn
from gandetect.report.html import page, write_page
from gandetect.report.plots import INK, SERIES_COLORS, SERIES_DASHES
from gandetect.screen.measure import footage_in_words

# Of these the first table, by region and delivery; the second has every figure of one region.
COLUMNS = ("auc", "tpr_at_0.05", "tpr_at_0.01", "real_accuracy", "generated_accuracy")
WORST_COLUMNS = 6
LABEL_LETTERS = 24
_DELIVERED = frozenset(one.name for one in DELIVERIES)
# False-alarm rates below this are not drawn: few evaluations have reals enough to show them.
LEAST_FPR = 1e-3
# On a page an inch of a figure is this wide, so that letters are of one size in all of them.
REM_PER_INCH = 6.6
# From guessing (or worse) to perfect.
_HEAT = LinearSegmentedColormap.from_list("auc", ["#c2572b", "#f2e3d5", "#eef2f6", "#2f74b5"])
_DARK_TEXT, _LIGHT_TEXT, _LIGHT_TEXT_BELOW = "#16191d", "#ffffff", 0.5
Row = Mapping[str, Any]
Draw = Callable[[Figure, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Picture:
    """An SVG to stand in the page, and the most that it should take of its width."""

    markup: Markup
    rem: float


def write_evaluation(result: Mapping[str, Any], out_path: str | os.PathLike[str]) -> None:
    """Write the page of `result`, what `gandetect evaluate --json` prints, to `out_path`.

    Whole or not at all; raises StoreError where the disk refuses.
    """
    write_page(evaluation_page(result), out_path)


def evaluation_page(result: Mapping[str, Any]) -> str:
    """The page as text, every name in it escaped."""
    rows = [*result["rows"], *result["pooled"]]
    return page(
        "evaluation.html",
        generators=list(dict.fromkeys(row["generator"] for row in result["rows"])),
        result=result,
        audits=_audits(result),
        control=partial(reencoding_control, result["rows"], region=result["region"]),
        main=[row for row in rows if _is_main(row, result)],
        figures=FIGURES,
        verdict_figures=VERDICT_FIGURES,
        columns={name: FIGURES[name] for name in COLUMNS},
        deliveries=_by_generator(row for row in rows if row["perturbation"] in _DELIVERED),
        others=_by_generator(row for row in rows if row["perturbation"] not in _DELIVERED),
        estimate=_estimate,
        curves=_picture(_draw_curves, result, (9.4, 3.5)) if result["curves"] else None,
        grid=_grid_picture(result),
        transfer=_transfer_picture(result),
        learning=_learning_picture(result),
        footage=footage_in_words(result["footage"]) if "footage" in result else None,
    )


def _is_main(row: Row, result: Mapping[str, Any]) -> bool:
    return row["region"] == result["region"] and row["perturbation"] == ORIGINAL.name


def _by_generator(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    groups = itertools.groupby(rows, key=lambda row: row["generator"])
    return [(name, list(group)) for name, group in groups]


def _audits(result: Mapping[str, Any]) -> list[tuple[str, Row, list[tuple[str, float]]]]:
    """Name, audit, and the columns that tell the classes apart best by themselves."""
    audits = (result["audit"] or {}).items()
    return [
        (name, audit, sorted(audit.get("columns", {}).items(), key=_by_value)[:WORST_COLUMNS])
        for name, audit in audits
    ]


def _by_value(column: tuple[str, float]) -> tuple[float, str]:
    return -column[1], column[0]


def _estimate(value: Any) -> str:
    """A figure and, where it has one, its interval."""
    if isinstance(value, list):
        return "{:.3f} [{:.2f}, {:.2f}]".format(*value)
    return f"{value:.3f}"


def _picture(draw: Draw, result: Mapping[str, Any], size: tuple[float, float]) -> Picture:
    """What `draw` makes of `result` on a figure of `size`, in inches."""
    with matplotlib.rc_context(plots._STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure, result)
        markup = Markup(plots.inline_svg(_quietly_drawn(figure, "svg")))
    return Picture(markup, REM_PER_INCH * size[0])


def _draw_curves(figure: Figure, result: Mapping[str, Any]) -> None:
    """ROC, risk by coverage and reliability, a line per generator."""
    panels = figure.subplots(1, 3)
    draws = (_draw_roc, _draw_risk, _draw_reliability)
    for ax, draw in zip(panels, draws, strict=True):
        for i, (name, one) in enumerate(result["curves"].items()):
            color = SERIES_COLORS[i % len(SERIES_COLORS)]
            dash = SERIES_DASHES[i % len(SERIES_DASHES)]
            draw(ax, one, color, dash, plots._legend_name(name))
    _frame_roc(panels[0])
    _frame_risk(panels[1])
    _frame_reliability(panels[2], result)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))


def _draw_roc(ax: Axes, one: Mapping[str, Any], color: str, dash: str, label: str) -> None:
    false, true = np.array(one["roc"]).T
    # A step: between two thresholds the rate of detection is the lower one's.
    ax.step(
        np.maximum(false, LEAST_FPR), true, where="post", ls=dash, color=color, lw=1.5, label=label
    )


def _draw_risk(ax: Axes, one: Mapping[str, Any], color: str, dash: str, label: str) -> None:
    coverage, risk = np.array(one["risk_coverage"]).T
    ax.plot(coverage, risk, dash, color=color, lw=1.5)


def _draw_reliability(ax: Axes, one: Mapping[str, Any], color: str, dash: str, label: str) -> None:
    mean, frequency, share = np.array(one["reliability"]).T
    ax.plot(mean, frequency, dash, color=color, lw=1.0, alpha=0.8)
    ax.scatter(mean, frequency, s=8 + 300 * share, color=color, alpha=0.6, lw=0)


def _frame_roc(ax: Axes) -> None:
    chance = np.geomspace(LEAST_FPR, 1, 50)
    ax.plot(chance, chance, color=INK, lw=0.7, ls=(0, (4, 3)))
    ax.set_xscale("log")
    ax.set_xlim(LEAST_FPR, 1)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("false-alarm rate")
    ax.set_ylabel("generated found")
    ax.set_title("ROC, false alarms on a logarithmic scale", loc="left", fontsize=9)


def _frame_risk(ax: Axes) -> None:
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("share decided, the surest first")
    ax.set_ylabel("share wrong of the decided")
    ax.set_title("Risk by coverage", loc="left", fontsize=9)


def _frame_reliability(ax: Axes, result: Mapping[str, Any]) -> None:
    ax.plot([0, 1], [0, 1], color=INK, lw=0.7, ls=(0, (4, 3)))
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("p(generated)")
    ax.set_ylabel("share that is generated")
    ax.set_title(f"Reliability at a prevalence of {result['prevalence']:g}", loc="left", fontsize=9)


def _grid_picture(result: Mapping[str, Any]) -> Picture | None:
    """The grid as a heat map: generators down, perturbations across; None without a grid."""
    found = {
        (row["generator"], row["perturbation"]): row["auc"][0]
        for row in result["rows"]
        if row["region"] == result["region"]
    }
    down = list(dict.fromkeys(row["generator"] for row in result["rows"]))
    across = list(dict.fromkeys(row["perturbation"] for row in result["rows"]))
    if not found or set(across) <= _DELIVERED:
        return None

    def draw(figure: Figure, _: Mapping[str, Any]) -> None:
        _heat_map(figure, down, across, _filled(down, across, found))

    return _picture(draw, result, (9.4, 1.2 + 0.3 * len(down)))


def _transfer_picture(result: Mapping[str, Any]) -> Picture | None:
    """The transfer matrix as a heat map: trained on down, tested on across."""
    transfer = result.get("transfer")
    if transfer is None:
        return None
    names = transfer["generators"]
    found = {(c["trained_on"], c["tested_on"]): c["auc"][0] for c in transfer["cells"]}
    left_out = [transfer["left_out"][name][0] for name in names]
    values = np.vstack([_filled(names, names, found), left_out])

    def draw(figure: Figure, _: Mapping[str, Any]) -> None:
        ax = _heat_map(figure, [*names, "all the others"], names, values)
        ax.set_ylabel("trained on")
        ax.set_xlabel("tested on")

    size = (min(9.4, 5.2 + 0.5 * (len(names) - 2)), 1.6 + 0.32 * len(values))
    return _picture(draw, result, size)


def _learning_picture(result: Mapping[str, Any]) -> Picture | None:
    curves = result.get("learning_curve")
    if not curves or not any(one["points"] for one in curves.values()):
        return None
    return _picture(_draw_learning, result, (7.2, 2.9))


def _draw_learning(figure: Figure, result: Mapping[str, Any]) -> None:
    ax = figure.subplots()
    for i, (name, one) in enumerate(result["learning_curve"].items()):
        color = SERIES_COLORS[i % len(SERIES_COLORS)]
        sizes = np.array([int(size) for size in one["points"]], dtype=float)
        points = np.array(list(one["points"].values())).reshape(-1, 3)
        # Side by side, or the bars of several generators would hide each other.
        place = sizes * 1.015 ** (i - (len(result["learning_curve"]) - 1) / 2)
        reach = np.abs(points[:, 1:] - points[:, :1]).T
        ax.errorbar(
            place, points[:, 0], reach, fmt="o", ls=SERIES_DASHES[i % len(SERIES_DASHES)],
            color=color, lw=1.2, ms=4, capsize=3, label=plots._legend_name(name),
        )  # fmt: skip
    ax.axhline(0.5, color=INK, lw=0.7, ls=(0, (4, 3)))
    ax.set_xscale("log")
    ticks = sorted({int(s) for one in result["learning_curve"].values() for s in one["points"]})
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("training images, half of them real")
    ax.set_ylabel("AUC on held-out sources")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _filled(
    down: Sequence[str], across: Sequence[str], found: Mapping[tuple[str, str], float]
) -> NDArray[np.float64]:
    """The values as an array, NaN where there is none."""
    return np.array([[found.get((a, b), np.nan) for b in across] for a in down], dtype=float)


def _heat_map(
    figure: Figure, down: Sequence[str], across: Sequence[str], values: NDArray[np.float64]
) -> Axes:
    """AUC from one half, as good as guessing, to one; each cell with its number."""
    ax: Axes = figure.subplots()
    shown = ax.imshow(values, cmap=_HEAT, vmin=0.5, vmax=1.0, aspect="auto")
    ax.set_xticks(
        range(len(across)), _labels(across), rotation=40, ha="right", rotation_mode="anchor"
    )
    ax.set_yticks(range(len(down)), _labels(down))
    ax.tick_params(length=0)
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            light = _is_dark(_HEAT(shown.norm(value)))
            color = _LIGHT_TEXT if light else _DARK_TEXT
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=color)
    bar = figure.colorbar(shown, ax=ax, fraction=0.05, pad=0.02, extend="min")
    bar.set_label("AUC")
    bar.outline.set_visible(False)  # type: ignore[operator]
    for side in ax.spines.values():
        side.set_visible(False)
    return ax


def _is_dark(color: Any) -> bool:
    """Whether letters on `color`, red, green and blue from 0 to 1, had better be light."""
    red, green, blue = color[:3]
    return bool(0.2126 * red + 0.7152 * green + 0.0722 * blue < _LIGHT_TEXT_BELOW)


def _labels(names: Iterable[str]) -> list[str]:
    short = (
        name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…" for name in names
    )
    return [plots._legend_name(name) for name in short]
