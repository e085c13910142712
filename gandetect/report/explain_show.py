"""An `Explanation` as one figure (PNG), and as one HTML page that refers to nothing outside it."""

from __future__ import annotations

import math
import os
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from gandetect.detect import Thresholds
from gandetect.detect.contributions import BANDS, GROUPS, PIXELS, PLANE, Contributions
from gandetect.detect.reference import MEANINGS, NAMED_FROM, REAL, UNKNOWN
from gandetect.report import plots
from gandetect.report.explain import FEATURES_UNIT, Band, Explanation, member_sums
from gandetect.report.explain_words import (
    DIRECTIONS,
    band_in_words,
    changes_in_words,
    exactness,
)
from gandetect.report.html import page, visible_name
from gandetect.report.plots import INK, VERDICT_COLORS

PICTURE_SIDE = 720
# So many tiles at most carry their logit as a number; more would hide the picture.
NUMBERED_TILES = 30
_TOWARDS_REAL, _TOWARDS_GENERATED = VERDICT_COLORS["real"], VERDICT_COLORS["generated"]
_BAND_COLOR = "#8a8f98"
TILE_COLORS = LinearSegmentedColormap.from_list(
    "verdict", [_TOWARDS_REAL, "#f2f2f2", _TOWARDS_GENERATED]
)
# Tiles of a map of pixels beside each other, and pixels that are drawn as one.
_MOSAIC_COLUMNS, _BLOCK = 8, 4
_TITLES = {
    "azimuthal": "All directions (circles)",
    "rows": "Vertical frequency (rows of the spectrum)",
    "columns": "Horizontal frequency (columns of the spectrum)",
}


def explanation_png(explanation: Explanation) -> bytes:
    """Everything on one figure, as a PNG."""
    with matplotlib.rc_context(plots._STYLE):
        below = _panels_below(explanation)
        heights = [height for _, height in below]
        figure = Figure(figsize=(13.0, 0.4 + 5.1 * (1 + sum(heights))), layout="constrained")
        rows: Any = figure.subfigures(2 + len(below), 1, height_ratios=(0.07, 1.0, *heights))
        title, top, *bottom = rows
        title.text(
            0.012, 0.5, headline(explanation), va="center", fontsize=13, fontweight="bold",
            color=VERDICT_COLORS[explanation.verdict], parse_math=False,
        )  # fmt: skip
        left, right = top.subfigures(1, 2, width_ratios=(2.3, 1.0))
        picture, spectrum = left.subplots(1, 2, width_ratios=(1.2, 1.0))
        _draw_picture(picture, explanation)
        _draw_spectrum(spectrum, explanation)
        _draw_summary(right, explanation)
        for (draw, _), place in zip(below, bottom, strict=True):
            draw(place, explanation)
        return _quietly_drawn(figure, "png")


def _panels_below(
    explanation: Explanation,
) -> list[tuple[Callable[[Any, Explanation], None], float]]:
    """What is drawn below picture and spectrum, and how high."""
    panels: list[tuple[Callable[[Any, Explanation], None], float]] = []
    if explanation.bands:
        panels.append((_draw_bands, 1.2))
    if explanation.pixel_map:
        panels.append((_draw_pixel_map, 0.9))
    if explanation.maps:
        panels.append((_draw_maps, 0.9))
    return panels


def explanation_page(explanation: Explanation) -> str:
    """The page as text."""
    return page(
        "explain.html",
        one=explanation,
        towards=_towards,
        words=band_in_words,
        directions=DIRECTIONS,
        meanings=MEANINGS,
        real=REAL,
        unknown=UNKNOWN,
        named_from=NAMED_FROM,
        unit=FEATURES_UNIT,
        name=os.path.basename(explanation.path) or explanation.path,
        p=explanation.p_generated,
        picture=_svg(_draw_picture, explanation, (6.6, 4.9)),
        spectrum=_svg(_draw_spectrum, explanation, (5.3, 4.9)),
        bands=_wide_svg(_draw_bands, explanation, 5.6) if explanation.bands else None,
        pixel_map=_wide_svg(_draw_pixel_map, explanation, 4.4) if explanation.pixel_map else None,
        maps=_wide_svg(_draw_maps, explanation, 4.4) if explanation.maps else None,
        maps_title=_maps_title(explanation),
        member_sums=member_sums,
        exactness=exactness,
        changes=changes_in_words(explanation),
    )


def headline(explanation: Explanation) -> str:
    """One line: the file, its frame and its verdict."""
    name = visible_name(os.path.basename(explanation.path) or explanation.path)
    name = textwrap.shorten(name, 70) if len(name) > 70 and " " in name else name[:70]
    where = "" if explanation.frame is None else f", frame {explanation.frame}"
    if explanation.time_s is not None:
        where += f" at {explanation.time_s:.2f} s"
    p = explanation.p_generated
    rounded = "< 0.01" if p < 0.01 else "> 0.99" if p > 0.99 else f"{p:.2f}"
    return f"{name}{where}: {explanation.verdict}, p(generated) {rounded}"


def _sure(limits: Thresholds) -> str:
    """How the rate of `limits` holds, to be added to it."""
    if not limits.certified:
        return ", not certified"
    return ", certified" if limits.confidence is not None else " on average over calibrations"


def _svg(draw: Any, explanation: Explanation, size: tuple[float, float]) -> Markup:
    with matplotlib.rc_context(plots._STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(), explanation)
        return Markup(plots.inline_svg(_quietly_drawn(figure, "svg")))


def _wide_svg(draw: Any, explanation: Explanation, height: float) -> Markup:
    with matplotlib.rc_context(plots._STYLE):
        figure = Figure(figsize=(12.4, height), layout="constrained")
        draw(figure, explanation)
        return Markup(plots.inline_svg(_quietly_drawn(figure, "svg")))


def _quietly_drawn(figure: Figure, image_format: str) -> bytes:
    with warnings.catch_warnings():
        # A file name may hold letters that the font lacks; boxes stand for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        return plots._drawn(figure, image_format)


def _draw_picture(ax: Axes, explanation: Explanation) -> None:
    """The picture and, over it, the logit of each tile; the verdict rests on the framed ones."""
    height, width = explanation.picture.shape
    # Corners of pixels at whole numbers, as the tiles count them.
    ax.imshow(
        _reduced(explanation.picture), cmap="gray", vmin=0, vmax=255,
        extent=(0, width, height, 0), interpolation="antialiased",
    )  # fmt: skip
    norm = _tile_norm(explanation)
    numbered = len(explanation.tiles) <= NUMBERED_TILES
    for tile in explanation.tiles:
        color = TILE_COLORS(norm(tile.logit))
        ax.add_patch(
            Rectangle(
                (tile.left, tile.top), explanation.side, explanation.side, facecolor=color,
                edgecolor="none", alpha=0.3,
            )
        )  # fmt: skip
        if tile.used:
            ax.add_patch(
                Rectangle(
                    (tile.left, tile.top), explanation.side, explanation.side, fill=False,
                    edgecolor="white", linewidth=1.2,
                )
            )  # fmt: skip
        if numbered:
            ax.text(
                tile.left + explanation.side / 2, tile.top + explanation.side / 2,
                f"{tile.logit:+.1f}", ha="center", va="center", fontsize=8, color="white",
                bbox={"facecolor": "#202428", "alpha": 0.55, "pad": 1.5, "linewidth": 0},
            )  # fmt: skip
    scale = matplotlib.cm.ScalarMappable(norm, TILE_COLORS)
    bar = ax.figure.colorbar(scale, ax=ax, orientation="horizontal", pad=0.02, fraction=0.05)
    bar.set_label("logit of a tile; larger is more like generated", fontsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    frames = "" if explanation.n_used == len(explanation.tiles) else ", framed"
    ax.set_title(
        f"Picture: {explanation.n_used} of {len(explanation.tiles)} tiles judged{frames}",
        loc="left", fontsize=9.5,
    )  # fmt: skip
    ax.set_axis_off()


def _tile_norm(explanation: Explanation) -> Normalize:
    """Neutral half-way between the thresholds; full color at least three units from it."""
    limits = explanation.thresholds
    middle, half = (limits.generated + limits.real) / 2, (limits.generated - limits.real) / 2
    if not math.isfinite(half):
        middle, half = 0.0, 0.0
    farthest = max(abs(tile.logit - middle) for tile in explanation.tiles)
    reach = max(3.0, farthest, half)
    return Normalize(middle - reach, middle + reach)


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`picture` with at most PICTURE_SIDE pixels a side."""
    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def _draw_spectrum(ax: Axes, explanation: Explanation) -> None:
    spectrum = explanation.spectrum
    low, high = np.percentile(spectrum, [0.5, 99.8])
    # Zero frequency is the middle of a cell, so the cells reach half a bin further.
    edge = 0.5 / len(spectrum)
    reach = (-0.5 - edge, 0.5 - edge)
    shown = ax.imshow(
        spectrum, cmap="magma", vmin=low, vmax=high, extent=(*reach, reach[1], reach[0]),
        interpolation="nearest",
    )  # fmt: skip
    bar = ax.figure.colorbar(shown, ax=ax, orientation="horizontal", pad=0.02, fraction=0.05)
    bar.set_label("mean log power of the tiles, 10 ln P", fontsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    ticks = [-0.5, -0.25, 0, 0.25]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xlabel("horizontal, cycles per pixel", fontsize=8)
    ax.set_ylabel("vertical, cycles per pixel", fontsize=8)
    ax.set_title("Log power spectrum", loc="left", fontsize=9.5)


def _draw_summary(figure: Any, explanation: Explanation) -> None:
    """The shares of the up-samplers as bars, and what the figure cannot draw in words."""
    words = figure
    if explanation.likeness is not None:
        bars, words = figure.subfigures(2, 1, height_ratios=(0.3, 0.7))
        _draw_likeness(bars.subplots(), explanation)
    limits = explanation.thresholds
    lines = [
        f"score {explanation.logit:.2f} (logit): {explanation.limits_in_words}; at most "
        f"{100 * limits.fpr:.3g} % false alarms" + _sure(limits),
        *_outside_lines(explanation),
        *_likeness_lines(explanation),
        *changes_in_words(explanation),
        *explanation.caveats,
    ]
    text = "\n\n".join(textwrap.fill(line, 64) for line in lines)
    words.text(0.04, 0.98, text, va="top", fontsize=7.8, parse_math=False)


def _outside_lines(explanation: Explanation) -> list[str]:
    if not explanation.has_references:
        return []
    count = len(explanation.bands)
    return [
        f"{explanation.n_outside} of {count} bands lie outside the band that holds nine of ten "
        f"photographs; of a photograph it is {round(count / 10)} on average"
    ]


def _likeness_lines(explanation: Explanation) -> list[str]:
    alike = explanation.likeness
    if alike is None:
        return []
    if alike.family == UNKNOWN:
        return [f"up-sampler unknown: {alike.reason}"]
    return [f"{alike.family} is {MEANINGS.get(alike.family, alike.family)}"]


def _draw_likeness(ax: Axes, explanation: Explanation) -> None:
    alike = explanation.likeness
    assert alike is not None
    names = list(alike.shares)
    for place, name in enumerate(names):
        share = alike.shares[name]
        color = _BAND_COLOR if name == REAL else _TOWARDS_GENERATED
        ax.barh(place, share, color=color, alpha=1.0 if name == alike.family else 0.5, height=0.7)
        ax.text(share + 0.02, place, f"{share:.2f}", va="center", fontsize=8)
    ax.set_yticks(range(len(names)), ["as photographs" if n == REAL else n for n in names])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.15)
    ax.set_xticks([0, NAMED_FROM, 1])
    ax.axvline(NAMED_FROM, color=INK, lw=0.7, ls=(0, (4, 3)))
    ax.set_title(f"Up-sampler: {alike.family}", loc="left", fontsize=9.5)


def _draw_bands(figure: Any, explanation: Explanation) -> None:
    """The profile against the band of the reals and, below it, the contribution of each bin."""
    projections = list(dict.fromkeys(band.projection for band in explanation.bands))
    axes = figure.subplots(2, len(projections), squeeze=False, sharex="col", sharey="row")
    for column, projection in enumerate(projections):
        bands = [band for band in explanation.bands if band.projection == projection]
        _draw_profile(axes[0, column], bands, explanation)
        axes[0, column].set_title(_TITLES[projection], loc="left", fontsize=9.5)
        _draw_contributions(axes[1, column], bands)
        axes[1, column].set_xlabel("frequency, cycles per pixel")
    axes[0, 0].set_ylabel(
        "log power, less the median photograph" if explanation.has_references else FEATURES_UNIT
    )
    axes[0, 0].legend(loc="best", fontsize=8)
    kinds = {m.exact: exactness(m) for m in explanation.breakdown.members if m.kind == BANDS}
    label = kinds.get(False, "exact")
    axes[1, 0].set_ylabel(f"adds to the logit ({label})")


def _draw_profile(ax: Axes, bands: list[Band], explanation: Explanation) -> None:
    x = np.array([(band.low + band.high) / 2 for band in bands])
    y = np.array([band.value for band in bands])
    if explanation.has_references:
        low, median, high = np.array([band.real for band in bands]).T
        y, low, high = y - median, low - median, high - median
        ax.fill_between(
            x, low, high, color=_BAND_COLOR, alpha=0.3, lw=0, label="9 of 10 photographs"
        )
        ax.axhline(0, color=INK, lw=0.7, ls=(0, (4, 3)))
        out = np.array([band.outside is not None for band in bands])
        ax.plot(x[out], y[out], "o", ms=3.5, color=VERDICT_COLORS["error"], label="outside")
    ax.plot(x, y, color=INK, lw=1.4, label="this picture")
    ax.margins(x=0.01)


def _draw_contributions(ax: Axes, bands: list[Band]) -> None:
    values = np.array([band.contribution for band in bands], dtype=np.float64)
    low = np.array([band.low for band in bands])
    width = np.array([band.high for band in bands]) - low
    for positive, color in ((True, _TOWARDS_GENERATED), (False, _TOWARDS_REAL)):
        chosen = (values > 0) == positive
        label = "towards generated" if positive else "towards real"
        ax.bar(low[chosen], values[chosen], width[chosen] * 0.9, align="edge", color=color,
               label=label)  # fmt: skip
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_title(f"sum {values.sum():+.2f}", loc="right", fontsize=9)
    ax.margins(x=0.01)


def _draw_pixel_map(figure: Any, explanation: Explanation) -> None:
    """The picture beside itself under the mask or the length of the flow."""
    found = explanation.pixel_map
    assert found is not None
    plain, covered = figure.subplots(1, 2)
    height, width = explanation.picture.shape
    for ax in (plain, covered):
        ax.imshow(_reduced(explanation.picture), cmap="gray", vmin=0, vmax=255,
                  extent=(0, width, height, 0), interpolation="antialiased")  # fmt: skip
        ax.set_axis_off()
    shown = covered.imshow(found.values, cmap="magma", vmin=0, vmax=found.highest, alpha=0.6,
                           extent=(0, width, height, 0), interpolation="antialiased")  # fmt: skip
    bar = covered.figure.colorbar(shown, ax=covered, pad=0.02, fraction=0.05)
    bar.set_label(found.label, fontsize=8)
    bar.outline.set_visible(False)
    covered.set_title("What the network says of each pixel", loc="left", fontsize=9.5)


def _maps_title(explanation: Explanation) -> str:
    names = {PLANE: "frequency", PIXELS: "pixel", GROUPS: "feature"}
    kinds = {member.kind for member in explanation.maps}
    return f"What each {' or '.join(names[kind] for kind in names if kind in kinds)} adds"


def _draw_maps(figure: Any, explanation: Explanation) -> None:
    """What each frequency, pixel or feature adds, of the members that look at no bands."""
    maps = explanation.maps
    axes = figure.subplots(1, max(2, len(maps)))
    for ax in axes[len(maps) :]:
        ax.set_axis_off()
    for ax, member in zip(axes, maps, strict=False):
        shown = _DRAWN[member.kind](ax, member)
        if shown is not None:
            bar = ax.figure.colorbar(shown, ax=ax, pad=0.02, fraction=0.05)
            bar.set_label(f"adds to the logit ({exactness(member)})", fontsize=8)
            bar.outline.set_visible(False)
        ax.set_title(
            f"{member.classifier}: bias {member.bias:+.2f}, sum {float(member.values.sum()):+.2f}",
            loc="left", fontsize=9.5,
        )  # fmt: skip


def _draw_plane(ax: Axes, member: Contributions) -> Any:
    assert member.extent is not None
    top, bottom, left, right = member.extent
    rows, columns = member.values.shape
    # Coefficients are the middles of cells.
    y, x = (bottom - top) / (rows - 1) / 2, (right - left) / (columns - 1) / 2
    values = member.values.numpy()
    ax.set_xlabel("horizontal, cycles per pixel", fontsize=8)
    ax.set_ylabel("vertical, cycles per pixel", fontsize=8)
    return ax.imshow(
        values, cmap=TILE_COLORS, norm=around_zero(values), interpolation="nearest",
        extent=(left - x, right + x, bottom + y, top - y),
    )  # fmt: skip


def _draw_pixels(ax: Axes, member: Contributions) -> Any:
    """The tiles beside each other; what blocks of pixels add, for single ones are noise."""
    n, side, _ = member.values.shape
    cut = side // _BLOCK * _BLOCK
    blocks = member.values[:, :cut, :cut].reshape(n, cut // _BLOCK, _BLOCK, cut // _BLOCK, _BLOCK)
    tiles = blocks.sum(dim=(2, 4)).numpy()
    columns = min(n, _MOSAIC_COLUMNS)
    mosaic = np.full(
        (-(-n // columns) * (tiles.shape[1] + 1), columns * (tiles.shape[1] + 1)), np.nan
    )
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        y, x = row * (len(tile) + 1), column * (len(tile) + 1)
        mosaic[y : y + len(tile), x : x + len(tile)] = tile
    ax.set_axis_off()
    return ax.imshow(mosaic, cmap=TILE_COLORS, norm=around_zero(tiles), interpolation="nearest")


def _draw_groups(ax: Axes, member: Contributions) -> None:
    """A bar for each feature, those that show the same beside each other."""
    values, start = member.values.numpy(), 0
    places = np.arange(len(values))
    ax.bar(places, values, 1.0, color=np.where(values > 0, _TOWARDS_GENERATED, _TOWARDS_REAL))
    for row in member_sums(member):
        if start:
            ax.axvline(start - 0.5, color=INK, lw=0.6, ls=(0, (4, 3)))
        ax.annotate(f"{row['group']}\n{row['contribution']:+.2f}", (start, 1), xytext=(3, -3),
                    xycoords=("data", "axes fraction"), textcoords="offset points",
                    fontsize=8, va="top")  # fmt: skip
        start += row["features"]
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_xlabel("feature", fontsize=8)
    ax.set_ylabel(f"adds to the logit ({exactness(member)})", fontsize=8)
    ax.margins(x=0.01, y=0.15)


_DRAWN: dict[str, Callable[[Axes, Contributions], Any]] = {
    PLANE: _draw_plane,
    PIXELS: _draw_pixels,
    GROUPS: _draw_groups,
}


def around_zero(values: NDArray[np.floating]) -> Normalize:
    """Neutral at 0; the few strongest values share the full color."""
    reach = float(np.percentile(np.abs(values), 99.5)) or 1.0
    return Normalize(-reach, reach)


def _towards(value: float) -> str:
    """The verdict that a contribution speaks for."""
    return "generated" if value > 0 else "real"
