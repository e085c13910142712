"""A `NetworkReport` as one figure (PNG), and as one HTML page that refers to nothing outside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from gandetect.report import plots
from gandetect.report.explain_show import TILE_COLORS, _quietly_drawn, around_zero
from gandetect.report.html import page, visible_name
from gandetect.report.networks import LABELS, LAYERS, NetworkReport, difference_map

LISTED = 500
_COLUMNS = 16
_GALLERY_COLUMNS = 6
_WIDTH = 12.4
_LETTERS = 22


def network_png(report: NetworkReport) -> bytes:
    """Everything but the whole list of errors on one figure, as a PNG."""
    panels = _panels(report)
    heights = [height for _, height in panels]
    with matplotlib.rc_context(plots._STYLE):
        figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        places: Any = figure.subfigures(len(panels), 1, height_ratios=heights, squeeze=False)
        for (draw, _), place in zip(panels, places[:, 0], strict=True):
            draw(place, report)
        return _quietly_drawn(figure, "png")


def network_page(report: NetworkReport) -> str:
    """The page as text."""
    return page(
        "network.html",
        one=report,
        labels=LABELS,
        listed=LISTED,
        gallery=_svg(draw_gallery, report, _gallery_height(report)) if report.gallery else None,
        activations=_svg(draw_activations, report, 7.2),
        maps=_svg(draw_feature_maps, report, _maps_height(report)),
        example=os.path.basename(report.example[0]),
    )


def draw_gallery(figure: Any, report: NetworkReport) -> None:
    """The surest errors as pictures."""
    rows = -(-len(report.gallery) // _GALLERY_COLUMNS)
    axes = figure.subplots(rows, _GALLERY_COLUMNS, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (one, picture) in zip(axes, report.gallery, strict=False):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        name = visible_name(os.path.basename(one.path))
        name = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
        ax.set_title(
            f"{name}\n{LABELS[one.label]}, taken for {LABELS[one.taken_for]}, "
            f"p {one.confidence:.2f}",
            fontsize=7, parse_math=False,
        )  # fmt: skip
    figure.suptitle("Errors the network is surest of", x=0.01, ha="left", fontsize=10)


def draw_activations(figure: Any, report: NetworkReport) -> None:
    """Mean answers to the surest images of either class, their difference, and it by channel."""
    axes = figure.subplots(len(LAYERS), 4, width_ratios=(1, 1, 1, 1.3))
    sizes = {name: len(group) for name, group in report.surest.items()}
    for number, layer in enumerate(LAYERS):
        means = [report.activations[name][number].mean(dim=0) for name in ("generated", "real")]
        top = max(float(mean.max()) for mean in means)
        for ax, mean, name in zip(axes[number], means, ("generated", "real"), strict=False):
            shown = ax.imshow(mean.numpy(), cmap="magma", vmin=0, vmax=top or 1.0)
            images = f"{sizes[name]} image{'s' if sizes[name] > 1 else ''}"
            ax.set_title(f"{layer}: surest {name} ({images})", loc="left", fontsize=8)
            _bar(figure, shown, ax)
        difference = difference_map(report.activations, number).numpy()
        shown = axes[number, 2].imshow(
            difference, cmap=TILE_COLORS, norm=around_zero(difference), interpolation="nearest"
        )
        axes[number, 2].set_title(f"{layer}: generated less real", loc="left", fontsize=8)
        _bar(figure, shown, axes[number, 2])
        for ax in axes[number, :3]:
            ax.set_axis_off()
        _draw_channels(axes[number, 3], report, number)
    figure.suptitle(
        "Mean activation over the most confident groups", x=0.01, ha="left", fontsize=10
    )


def _draw_channels(ax: Any, report: NetworkReport, number: int) -> None:
    generated, real = (
        report.activations[name][number].mean(dim=(1, 2)).numpy() for name in ("generated", "real")
    )
    values = generated - real
    colors = [plots.VERDICT_COLORS["generated" if value > 0 else "real"] for value in values]
    ax.bar(np.arange(len(values)), values, color=colors)
    ax.axhline(0, color=plots.INK, lw=0.6)
    ax.set_xlabel("channel", fontsize=8)
    ax.set_title(f"{LAYERS[number]}: generated less real, by channel", loc="left", fontsize=8)


def draw_feature_maps(figure: Any, report: NetworkReport) -> None:
    """The tile, and every feature map of both convolutions."""
    path, tile = report.example
    left, right = figure.subfigures(1, 2, width_ratios=(1, 5))
    ax = left.subplots()
    ax.imshow(tile, cmap="gray", vmin=0, vmax=255)
    ax.set_axis_off()
    name = visible_name(os.path.basename(path))[:_LETTERS]
    ax.set_title(f"Tile of {name}", loc="left", fontsize=8, parse_math=False)
    rows = [_rows(maps) for maps in report.maps]
    axes = right.subplots(2, 1, height_ratios=rows)
    for ax, layer, maps in zip(axes, LAYERS, report.maps, strict=True):
        shown = ax.imshow(_mosaic(maps), cmap="magma", vmin=0, interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(f"{layer}: {len(maps)} feature maps after ReLU", loc="left", fontsize=8)
        _bar(right, shown, ax)


def _bar(figure: Any, shown: Any, ax: Any) -> None:
    bar = figure.colorbar(shown, ax=ax, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7)


def _rows(maps: Tensor) -> int:
    return -(-len(maps) // _COLUMNS)


def _mosaic(maps: Tensor) -> NDArray[np.floating]:
    """Maps (W, S, S) beside each other, `_COLUMNS` in a row, with gaps of NaN."""
    count, side, _ = maps.shape
    columns = min(count, _COLUMNS)
    step = side + max(1, side // 32)
    mosaic = np.full((_rows(maps) * step, columns * step), np.nan, np.float32)
    for number, one in enumerate(maps.numpy()):
        row, column = divmod(number, columns)
        mosaic[row * step : row * step + side, column * step : column * step + side] = one
    return mosaic


def _panels(report: NetworkReport) -> list[tuple[Callable[[Any, NetworkReport], None], float]]:
    panels: list[tuple[Callable[[Any, NetworkReport], None], float]] = []
    if report.gallery:
        panels.append((draw_gallery, _gallery_height(report)))
    panels.append((draw_activations, 7.2))
    panels.append((draw_feature_maps, _maps_height(report)))
    return panels


def _gallery_height(report: NetworkReport) -> float:
    return 0.4 + 2.4 * -(-len(report.gallery) // _GALLERY_COLUMNS)


def _maps_height(report: NetworkReport) -> float:
    return max(2.4, 0.9 + 0.65 * sum(map(_rows, report.maps)))


def _svg(draw: Any, report: NetworkReport, height: float) -> Markup:
    with matplotlib.rc_context(plots._STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure, report)
        return Markup(plots.inline_svg(_quietly_drawn(figure, "svg")))
