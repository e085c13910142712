"""The figures of the up-sampling experiment, from its folder: each for the page and as a PNG.

What cannot be drawn, for want of a file or of a stage, is noted; nothing here fails for it.
"""

from __future__ import annotations

import base64
import io
import textwrap
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gandetect.gans.logs import read_log
from gandetect.gans.sampling import grid
from gandetect.report import plots
from gandetect.report.evaluation import REM_PER_INCH, _draw_learning, _heat_map
from gandetect.report.explain_show import TILE_COLORS, _quietly_drawn, around_zero
from gandetect.report.explain_words import DIRECTIONS
from gandetect.report.html import visible_name
from gandetect.report.plots import INK, SERIES_COLORS, SERIES_DASHES
from gandetect.report.upsampling_detection import learning_curves
from gandetect.report.upsampling_tables import (
    AUC,
    Matrix,
    Results,
    Section,
    estimate,
    names_of,
    part,
    value_of,
)

REAL = "real"
SHOWN, COLUMNS = 21, 7
_WIDTH = 9.4
_MAPS_PER_ROW = 5
_PANELS_PER_ROW = 3
_TITLE_LETTERS = 19
_MONITORS = {
    "samples/spectral_l1": "spectral L1 of samples to images",
    "samples/diversity": "diversity, 1 for the images'",
}
Log = list[dict[str, Any]]
Maps = dict[str, NDArray[np.float32]]
# How the line of each generator looks, the same in every figure.
Styles = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """A figure: `markup` stands in the page, at most `rem` wide, `png` under figures/."""

    key: str
    caption: str
    markup: Markup
    png: bytes
    rem: float


@dataclass
class Gallery:
    """Figures by section; as PNGs by key the `heat_maps` that the page has as tables; and `notes`:
    by section what could not be drawn."""

    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    heat_maps: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, section: str, picture: Picture) -> None:
        self.pictures.setdefault(section, []).append(picture)

    def note(self, section: str, text: str) -> None:
        self.notes.setdefault(section, []).append(text)

    def files(self) -> dict[str, bytes]:
        """Every figure as a PNG, by key."""
        drawn = {one.key: one.png for many in self.pictures.values() for one in many}
        return {**drawn, **self.heat_maps}


def gallery(results: Results, folder: Path, found: Sequence[Section]) -> Gallery:
    """Everything that can be drawn of the experiment in `folder`, whose sections are `found`."""
    made = Gallery()
    styles = _styles(names_of(results))
    _add_sheets(made, results, folder)
    _add_training(made, results, folder, styles)
    _add_maps(made, results, folder)
    _add_profiles(made, results, styles)
    if any(learning_curves(results).values()):
        made.add("learning", _learning(results))
    for matrix in (one for section in found for one in section.matrices):
        if matrix.scale == AUC and not matrix.folded:
            made.heat_maps[matrix.key] = _heat(matrix)
    return made


def inside(folder: Path, relative: str) -> Path | None:
    """A path of the results, which are to name nothing outside `folder`; None where they do."""
    root = folder.resolve()
    path = (root / relative).resolve()
    return path if path.is_relative_to(root) else None


def _styles(names: Sequence[str]) -> Styles:
    return {
        name: (SERIES_COLORS[i % len(SERIES_COLORS)], SERIES_DASHES[i % len(SERIES_DASHES)])
        for i, name in enumerate(names)
    }


def _drawn(
    key: str, caption: str, size: tuple[float, float], draw: Callable[[Figure], None]
) -> Picture:
    with matplotlib.rc_context(plots._STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        markup = Markup(plots.inline_svg(_quietly_drawn(figure, "svg")))
        # Everything has its place by now; finding it is most of the work.
        figure.set_layout_engine("none")
        return Picture(key, caption, markup, _quietly_drawn(figure, "png"), REM_PER_INCH * size[0])


# Samples


def _add_sheets(made: Gallery, results: Results, folder: Path) -> None:
    """A sheet of images of each set; what has none is noted."""
    rows = part(results, "learned", "rows")
    for name, relative in part(results, "sets", "folders").items():
        images = _read_images(inside(folder, relative))
        if images is None:
            made.note("samples", f"{name}: there are no images to show.")
        else:
            made.add("samples", _sheet(name, images, part(rows, name)))


def _read_images(folder: Path | None) -> Tensor | None:
    """Up to `SHOWN` test images (N, 3, S, S) uint8, spread over the set; None where there is none
    or they cannot be read."""
    files = sorted((folder / "test").glob("*.png")) if folder else []
    picked = np.linspace(0, len(files) - 1, min(SHOWN, len(files))).round().astype(int)
    try:
        pixels = [np.array(Image.open(files[i]).convert("RGB")) for i in picked]
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    except (OSError, ValueError):
        return None


def _sheet(name: str, images: Tensor, row: Results) -> Picture:
    buffer = io.BytesIO()
    grid(images, COLUMNS).save(buffer, "PNG")
    png = buffer.getvalue()
    source = base64.b64encode(png).decode()
    shown = visible_name(name)
    markup = Markup('<img src="data:image/png;base64,{}" alt="{}">').format(
        source, f"{len(images)} images: {shown}"
    )
    distance = row.get("distance")
    told = f", distance {estimate(distance)}" if value_of(distance) is not None else ""
    what = "Photographs" if name == REAL else shown
    return Picture(f"samples-{name}", f"{what}{told}", markup, png, 0.0)


# Training


def _add_training(made: Gallery, results: Results, folder: Path, styles: Styles) -> None:
    logs = _read_logs(results, folder)
    for name, log in logs.items():
        if not log:
            made.note("training", f"{name}: there is no log of its training.")
        warned = [line for line in log if line.get("warnings")]
        if warned:
            made.note(
                "training",
                f"{name}: {len(warned)} of {len(log)} lines of its log warn, last at step "
                f"{warned[-1]['step']}: {'; '.join(warned[-1]['warnings'])}.",
            )
    known = {name: log for name, log in logs.items() if log}
    if known:
        made.add("training", _losses(known))
        made.add("training", _monitors(known, styles))


def _read_logs(results: Results, folder: Path) -> dict[str, Log]:
    """The log of each generator's run, empty where there is none that can be read."""
    logs = {}
    for one in results.get("generators") or []:
        run = inside(folder, one.get("run") or "")
        try:
            logs[one["name"]] = read_log(run) if run else []
        except (OSError, ValueError):
            logs[one["name"]] = []
    return logs


def _losses(logs: Mapping[str, Log]) -> Picture:
    rows = -(-len(logs) // _PANELS_PER_ROW)

    def draw(figure: Figure) -> None:
        axes = figure.subplots(rows, _PANELS_PER_ROW, squeeze=False, sharex=True)
        for ax in axes.flat[len(logs) :]:
            ax.set_axis_off()
        for ax, (name, log) in zip(axes.flat, logs.items(), strict=False):
            _draw_losses(ax, name, log)
        for ax in axes.flat[max(0, len(logs) - _PANELS_PER_ROW) : len(logs)]:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("iteration")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))

    return _drawn(
        "losses",
        "The loss of each player while training. Both losses of a healthy run stay within bounds; "
        "one that runs away, or a discriminator's that falls to nothing, is a failed training.",
        (_WIDTH, 0.9 + 1.7 * rows),
        draw,
    )


def _draw_losses(ax: Axes, name: str, log: Log) -> None:
    terms = dict.fromkeys(key for line in log for key in line if key.endswith("/loss"))
    for number, key in enumerate(terms):
        label = key.removesuffix("/loss").replace("_", " ")
        ax.plot(*_term(log, key), color=SERIES_COLORS[number], lw=1.0, label=label)
    _title(ax, name)


def _title(ax: Axes, name: str) -> None:
    """The name of a generator over its panel, in lines that fit the smallest one."""
    lines = textwrap.wrap(visible_name(name).replace("+", " +"), _TITLE_LETTERS, max_lines=2)
    ax.set_title("\n".join(lines), loc="left", fontsize=9, parse_math=False)


def _monitors(logs: Mapping[str, Log], styles: Styles) -> Picture:
    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, len(_MONITORS))
        for ax, (key, title) in zip(axes, _MONITORS.items(), strict=True):
            for name, log in logs.items():
                color, dash = styles[name]
                label = plots._legend_name(name)
                ax.plot(*_term(log, key), dash, color=color, lw=1.4, label=label)
            ax.set_title(title, loc="left", fontsize=9)
            ax.set_xlabel("iteration")
            ax.set_ylim(bottom=0)
        axes[1].axhline(1, color=INK, lw=0.7, ls=(0, (4, 3)))
        _legend(figure, axes[0])

    return _drawn(
        "monitors",
        "Samples while training: how far their spectrum is from the images', and how much they "
        "differ from each other. A diversity far below the dashed line would be a collapse.",
        (_WIDTH, 3.6),
        draw,
    )


def _term(log: Log, key: str) -> tuple[list[float], list[float]]:
    """Iterations and values of one term of a log."""
    points = [(line["step"], line[key]) for line in log if key in line]
    return [step for step, _ in points], [value for _, value in points]


def _legend(figure: Figure, ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, max(1, len(labels))))


# Spectra


def _add_maps(made: Gallery, results: Results, folder: Path) -> None:
    spectra = part(results, "spectra")
    if not spectra:
        return
    stored = _read_maps(inside(folder, spectra.get("file") or ""))
    maps = {name: stored[name] for name in (REAL, *names_of(results)) if name in stored}
    if not maps:
        made.note("spectra", "The mean spectra cannot be drawn: their file cannot be read.")
        return
    made.add("spectra", _spectra(maps))
    if REAL in maps and len(maps) > 1:
        made.add("spectra", _differences(maps))


def _read_maps(path: Path | None) -> Maps:
    """Mean spectra (S, S) by name; empty where they cannot be read."""
    try:
        with np.load(path or "", allow_pickle=False) as stored:
            return {name: np.asarray(stored[name], np.float32) for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}


def _spectra(maps: Maps) -> Picture:
    every = np.stack(list(maps.values()))
    norm = Normalize(*np.percentile(every, (0.5, 99.5)))
    return _drawn(
        "spectra",
        "Mean power of each two-dimensional frequency. The middle of a map is constant brightness, "
        "its edges are the finest detail, half a cycle per pixel. Points and lines of light away "
        "from the middle are what up-sampling may leave, dark edges the detail that it may take.",
        _maps_size(maps),
        lambda figure: _draw_maps(figure, maps, "magma", norm, "dB"),
    )


def _differences(maps: Maps) -> Picture:
    differences = {name: one - maps[REAL] for name, one in maps.items() if name != REAL}
    norm = around_zero(np.stack(list(differences.values())))
    return _drawn(
        "differences",
        "The same less the photographs': orange where a generator puts more power than photographs "
        "have, blue where it puts less.",
        _maps_size(differences),
        lambda figure: _draw_maps(
            figure, differences, TILE_COLORS, norm, "generated less real, dB"
        ),
    )


def _maps_size(maps: Maps) -> tuple[float, float]:
    rows = -(-len(maps) // _MAPS_PER_ROW)
    return _WIDTH, 0.2 + 2.0 * rows


def _draw_maps(figure: Figure, maps: Maps, colors: Any, norm: Normalize, unit: str) -> None:
    rows = -(-len(maps) // _MAPS_PER_ROW)
    axes = figure.subplots(rows, _MAPS_PER_ROW, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, values) in zip(axes.flat, maps.items(), strict=False):
        shown = ax.imshow(values, cmap=colors, norm=norm, interpolation="none")
        _title(ax, name)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02, aspect=30)
    bar.set_label(unit)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _add_profiles(made: Gallery, results: Results, styles: Styles) -> None:
    profiles = part(results, "spectra", "profiles")
    if REAL not in profiles:
        return
    plain = [name for name in names_of(results, "plain") if name in profiles]
    others = [name for name in names_of(results, "spectral", "repeat") if name in profiles]
    if plain:
        made.add("spectra", _profiles("profiles", _PROFILES, plain, results, styles))
    if others:
        bases = {one["name"]: one.get("base") for one in results["generators"]}
        drawn = [*dict.fromkeys(bases[name] for name in others if bases[name] in profiles), *others]
        made.add("others", _profiles("others-profiles", _OTHERS, drawn, results, styles))


_PROFILES = (
    "Mean power by frequency, over circles, rows and columns of the spectra. Gray: nine of ten "
    "photographs. Below, the same less the photographs': the trace of up-sampling is to be looked "
    "for at 1/2 and 1/4 cycle per pixel."
)
_OTHERS = (
    "The same for generators that differ from their base in their training or their seed alone. A "
    "line nearer to zero in the lower row hides its spectrum better."
)


def _profiles(
    key: str, caption: str, names: Sequence[str], results: Results, styles: Styles
) -> Picture:
    def draw(figure: Figure) -> None:
        axes = figure.subplots(2, len(DIRECTIONS), sharex="col", sharey="row")
        for (above, below), projection in zip(axes.T, DIRECTIONS, strict=True):
            _draw_profiles(above, below, projection, names, results, styles)
        axes[0, 0].set_ylabel("mean power, dB")
        axes[1, 0].set_ylabel("less the photographs', dB")
        _legend(figure, axes[0, 0])

    return _drawn(key, caption, (_WIDTH, 5.6), draw)


def _draw_profiles(
    above: Axes,
    below: Axes,
    projection: str,
    names: Sequence[str],
    results: Results,
    styles: Styles,
) -> None:
    spectra = results["spectra"]
    frequency = np.array(spectra["frequencies"][projection])
    real = spectra["profiles"][REAL][projection]
    above.fill_between(frequency, real["low"], real["high"], color=INK, alpha=0.1, lw=0)
    above.plot(frequency, real["mean"], color=INK, lw=1.8, label="photographs")
    below.axhline(0, color=INK, lw=1.0)
    for name in names:
        color, dash = styles[name]
        values = np.array(spectra["profiles"][name][projection]["mean"])
        above.plot(frequency, values, dash, color=color, lw=1.3, label=plots._legend_name(name))
        below.plot(frequency, values - np.array(real["mean"]), dash, color=color, lw=1.3)
    above.set_title(f"{projection}: {DIRECTIONS[projection]}", loc="left", fontsize=9)
    below.set_xlabel("frequency, cycles per pixel")
    above.margins(x=0)


# Learning and heat maps


def _learning(results: Results) -> Picture:
    curves = {
        detector: {"points": {size: _three(point) for size, point in points.items()}}
        for detector, points in learning_curves(results).items()
        if points
    }
    return _drawn(
        "learning",
        "AUC by the number of training images, mean over the generators. Bars are the interval of "
        "the mean over the draws of these images; dashed is guessing.",
        (7.8, 3.2),
        lambda figure: _draw_learning(figure, {"learning_curve": curves}),
    )


def _three(point: Any) -> list[float]:
    """[value, low, high], all the same where there is no interval."""
    return list(point) if isinstance(point, Sequence) else [point] * 3


def _heat(matrix: Matrix) -> bytes:
    values = np.full((len(matrix.down), len(matrix.across)), np.nan)
    for i, row in enumerate(matrix.down):
        for j, column in enumerate(matrix.across):
            value = value_of(matrix.cells.get((row, column)))
            values[i, j] = np.nan if value is None else value

    size = (min(_WIDTH, 3.8 + 0.7 * len(matrix.across)), 1.5 + 0.32 * len(matrix.down))
    with matplotlib.rc_context(plots._STYLE):
        figure = Figure(figsize=size, layout="constrained")
        ax = _heat_map(figure, matrix.down, matrix.across, values)
        ax.set_title(visible_name(matrix.title), loc="left", fontsize=9, parse_math=False)
        return _quietly_drawn(figure, "png")
