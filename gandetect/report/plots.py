"""The pictures: mean spectra with bands, score histograms, timelines; drawn without a display.

Every function returns the picture as bytes, SVG by default. Text in an SVG stays text, and what
is black takes the color of the surrounding page, so that one picture suits light and dark.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

INK = "#010203"
VERDICT_COLORS = {
    "generated": "#c2572b",
    "inconclusive": "#8a8f98",
    "real": "#2f74b5",
    "error": "#7d4fa8",
}
VERDICT_MARKERS = {"generated": "^", "inconclusive": "s", "real": "o", "error": "x"}
SERIES_COLORS = ("#2f74b5", "#c2572b", "#3b8f5a", "#8a5fb0", "#b08a1e", "#5f6b7a")
SERIES_DASHES = ("-", "--", "-.", ":")
FORMATS = ("svg", "png")
BANDS = ("std", "percentile")
TIMELINE_POINTS = 1500
LEGEND_LETTERS = 40

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gandetect",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Series:
    """The spread of one class: `mean`, `low` and `high` over `frequency`, all (K,)."""

    name: str
    frequency: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def spread(name: str, frequency: ArrayLike, profiles: ArrayLike, band: str = "std") -> Series:
    """Mean and band of `profiles` (N, K) over `frequency` (K,).

    `band`: "std" is mean - s .. mean + s with the population deviation s, "percentile" the 5th to
    the 95th percentile. Raises ValueError for another band or where the shapes do not fit.
    """
    values = np.asarray(profiles, dtype=np.float64)
    axis = np.asarray(frequency, dtype=np.float64)
    if band not in BANDS:
        raise ValueError(f"band {band!r} given; choose from {', '.join(BANDS)}")
    if values.ndim != 2 or axis.shape != values.shape[1:] or len(values) == 0:
        raise ValueError(
            f"profiles {values.shape} over frequencies {axis.shape} given; want (N, K) with N >= 1 "
            "over (K,)"
        )
    mean = values.mean(axis=0)
    if band == "std":
        deviation = values.std(axis=0)
        return Series(name, axis, mean, mean - deviation, mean + deviation)
    low, high = np.percentile(values, [5, 95], axis=0)
    return Series(name, axis, mean, low, high)


def profile_bands(
    panels: Mapping[str, Sequence[Series]],
    *,
    ylabel: str = "mean log power, 10 ln P",
    title: str | None = None,
    image_format: str = "svg",
) -> bytes:
    """Mean spectra of classes with their bands, as Fig. 1 of Durall et al. (CVPR 2020).

    One panel per key (a projection), one line per series in it; frequency in cycles per pixel.
    Raises ValueError where there is nothing to draw or the format is unknown.
    """
    if not panels or not all(panels.values()):
        raise ValueError("no profiles given; each panel needs at least one series")
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.4 * len(panels) + 1.6, 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, (name, series) in zip(axes, panels.items(), strict=True):
            for i, one in enumerate(series):
                color = SERIES_COLORS[i % len(SERIES_COLORS)]
                dash = SERIES_DASHES[i % len(SERIES_DASHES)]
                label = _legend_name(one.name)
                ax.fill_between(one.frequency, one.low, one.high, color=color, alpha=0.18, lw=0)
                ax.plot(one.frequency, one.mean, dash, color=color, lw=1.5, label=label)
            ax.set_title(name, loc="left", fontsize=9)
            ax.set_xlabel("frequency, cycles per pixel")
            ax.margins(x=0)
        axes[0].set_ylabel(ylabel)
        axes[-1].legend(loc="upper right")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        return _drawn(figure, image_format)


def _legend_name(name: str) -> str:
    """A name as a legend can show it: short, and free of what matplotlib takes for commands."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    text = text if len(text) <= LEGEND_LETTERS else f"{text[: LEGEND_LETTERS - 1]}…"
    # Dollars enclose formulas, and labels that begin with an underscore are left out.
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def score_histogram(
    logits: Mapping[str, ArrayLike],
    threshold_real: float | None = None,
    threshold_generated: float | None = None,
    *,
    image_format: str = "svg",
) -> bytes:
    """How many files have which score, in the colors of their verdicts: `logits` by verdict.

    Where there are thresholds for all of them, over the three bands that these make.
    """
    groups = {word: np.asarray(found, dtype=np.float64) for word, found in logits.items()}
    groups = {word: found[np.isfinite(found)] for word, found in groups.items()}
    values = np.concatenate([np.empty(0), *groups.values()])
    marks = [t for t in (threshold_real, threshold_generated) if t is not None]
    low, high = _range(np.concatenate([values, marks]))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 2.9), layout="constrained")
        ax = figure.subplots()
        edges = np.linspace(low, high, 41)
        total = _stacked(ax, groups, edges)
        ax.set_xlim(low, high)
        ax.set_ylim(0, max(1.0, float(total.max(initial=0))) * 1.22)
        if threshold_real is not None and threshold_generated is not None:
            _three_bands(ax, low, threshold_real, threshold_generated, high)
        ax.set_xlabel("score (logit); larger is more like generated")
        ax.set_ylabel("files")
        ax.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        return _drawn(figure, image_format)


def _stacked(
    ax: Any, groups: Mapping[str, NDArray[np.float64]], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bars of the verdicts, one on the other, and how many files each bin has."""
    total = np.zeros(len(edges) - 1)
    for word, color in VERDICT_COLORS.items():
        found = groups.get(word, np.empty(0))
        if not len(found):
            continue
        counts, _ = np.histogram(np.clip(found, edges[0], edges[-1]), edges)
        label = f"{word} ({len(found):,})"
        look = {"align": "edge", "color": color, "alpha": 0.75, "lw": 0, "label": label}
        ax.bar(edges[:-1], counts, np.diff(edges), total, **look)
        total += counts
    if total.any():
        ax.legend(loc="upper right", fontsize=8, frameon=False)
    return total


def _three_bands(ax: Any, low: float, real: float, generated: float, high: float) -> None:
    spans = {
        "real": (low, real),
        "inconclusive": (real, generated),
        "generated": (generated, high),
    }
    top = ax.get_ylim()[1]
    for word, (left, right) in spans.items():
        if right <= left:
            continue
        ax.axvspan(left, right, color=VERDICT_COLORS[word], alpha=0.12, lw=0)
        ax.text(
            (left + right) / 2, top * 0.97, word, ha="center", va="top", clip_on=True, fontsize=8
        )
    for mark in (real, generated):
        ax.axvline(mark, color=INK, lw=0.8, ls=(0, (4, 3)))


def timeline(
    time_s: Sequence[float | None],
    p_generated: Sequence[float | None],
    verdicts: Sequence[str],
    *,
    shots: Sequence[int | None] | None = None,
    thresholds: tuple[float | None, float | None] = (None, None),
    image_format: str = "svg",
) -> bytes:
    """p(generated) of the frames of one video over time, a mark per frame shaped by its verdict.

    Frames without a time are placed by their order, frames without a score are left out. Long
    videos are thinned to TIMELINE_POINTS evenly spaced frames. Where the number of the shot (one
    per frame in `shots`) changes, a thin line stands between the two frames; `thresholds` are
    dashed lines, given as p(generated).
    """
    timed = all(t is not None for t in time_s)
    places = [t if timed and t is not None else float(i) for i, t in enumerate(time_s)]
    rows = [
        (place, p, word)
        for place, p, word in zip(places, p_generated, verdicts, strict=True)
        if p is not None
    ]
    rows = rows[:: max(1, -(-len(rows) // TIMELINE_POINTS))]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 1.9), layout="constrained")
        ax = figure.subplots()
        for cut in _cuts(places, shots or []):
            ax.axvline(cut, color=INK, alpha=0.3, lw=0.6)
        for level in thresholds:
            if level is not None:
                ax.axhline(level, color=INK, lw=0.8, ls=(0, (4, 3)))
        ax.plot([r[0] for r in rows], [r[1] for r in rows], color=INK, alpha=0.35, lw=0.8)
        for word, color in VERDICT_COLORS.items():
            chosen = [r for r in rows if r[2] == word]
            if chosen:
                ax.plot(
                    [r[0] for r in chosen],
                    [r[1] for r in chosen],
                    VERDICT_MARKERS[word],
                    color=color,
                    ms=3.5,
                    label=word,
                )
        ax.set_ylim(-0.04, 1.04)
        ax.set_xlabel("time, seconds" if timed else "frame")
        ax.set_ylabel("p(generated)")
        if rows:
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return _drawn(figure, image_format)


def _cuts(places: Sequence[float], shots: Sequence[int | None]) -> list[float]:
    """Where one shot gives way to the next: halfway between the frames that are known to differ."""
    known = [pair for pair in zip(places, shots, strict=False) if pair[1] is not None]
    return [(a + b) / 2 for (a, one), (b, other) in itertools.pairwise(known) if one != other]


def inline_svg(picture: bytes) -> str:
    """An SVG from here as markup to stand in an HTML page: without prolog, names or metadata."""
    text = picture.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r'\s(?:xmlns|xmlns:\w+)="[^"]*"', "", text)
    return re.sub(r'(<svg)((?:\s+(?:width|height)="[^"]*pt")*)', r"\1", text, count=1)


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    if len(values) == 0:
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _drawn(figure: Figure, image_format: str) -> bytes:
    if image_format not in FORMATS:
        raise ValueError(f"format {image_format!r} given; choose from {', '.join(FORMATS)}")
    buffer = io.BytesIO()
    if image_format == "png":
        figure.savefig(buffer, format="png", dpi=160, facecolor="white")
        return buffer.getvalue()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", buffer.getvalue().decode(), flags=re.S)
    return text.replace(INK, "currentColor").encode()
