"""Measuring a model on labelled images: per generator, by region size and by compression."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gandetect.detect.metrics import summarize
from gandetect.detect.model import Model
from gandetect.detect.simulate import compress
from gandetect.detect.tiles import cut_tiles, largest_even_square
from gandetect.detect.training import Progress, image_files, source_of
from gandetect.media import MediaError, read_luma

# None is the whole image: its central square.
REGIONS: tuple[int | None, ...] = (64, 128, None)
# None is as it is in the file.
QUALITIES: tuple[int | None, ...] = (None, 90, 75)
Cell = tuple[int | None, int | None]


@dataclass(frozen=True)
class Item:
    """An image to be scored; `source` names what it stems from, `label` is 1 for generated."""

    path: Path
    label: int
    source: str


@dataclass(frozen=True)
class Scored:
    """Logit and calibrated probability for each (region, quality) the image is large enough for."""

    item: Item
    cells: dict[Cell, tuple[float, float]]


def folder_items(folder: str | Path, label: int) -> list[Item]:
    """The images below `folder`.

    Their sources come from `manifest.json`, a list of objects with `file` and `source`, where the
    folder has one; else the source is the file's name without its suffix.
    """
    folder = Path(folder)
    manifest = folder / "manifest.json"
    named = json.loads(manifest.read_text()) if manifest.exists() else []
    sources = {Path(entry["file"]).name: entry["source"] for entry in named}
    return [
        Item(path, label, sources.get(path.name) or source_of(path, folder))
        for path in image_files(folder)
    ]


def score_items(
    items: Sequence[Item],
    model_of: Callable[[Item], Model],
    *,
    regions: Iterable[int | None] = REGIONS,
    qualities: Iterable[int | None] = QUALITIES,
    progress: Progress | None = None,
) -> tuple[list[Scored], dict[str, str]]:
    """Score each item in every region and compression; also why the files that failed did."""
    cells = [(region, quality) for quality in qualities for region in regions]
    scored, failed = [], {}
    for number, item in enumerate(items):
        if progress:
            progress("scoring", number, len(items))
        try:
            scored.append(Scored(item, _score(item, model_of(item), cells)))
        except (MediaError, ValueError) as error:
            failed[str(item.path)] = str(error)
    return scored, failed


def tabulate(
    real: Sequence[Scored],
    generated: Mapping[str, Sequence[Scored]],
    threshold: float | None,
    *,
    replicates: int = 2000,
) -> list[dict[str, Any]]:
    """One row of `metrics.summarize` per generator, region and quality that both classes have.

    A region is left out where an image of either class is smaller than it, since the classes must
    not differ in it; and the whole image where it is no larger than a region.
    """
    rows = []
    for name, scores in generated.items():
        both = [*real, *scores]
        for cell in _common_cells(both):
            region, quality = cell
            values = [one.cells[cell] for one in both]
            figures = summarize(
                [one.item.label for one in both],
                [logit for logit, _ in values],
                [probability for _, probability in values],
                clusters=[one.item.source for one in both],
                threshold=threshold,
                replicates=replicates,
            )
            where = {"generator": name, "region": region or "whole", "quality": quality or "none"}
            rows.append(where | figures)
    return rows


def _common_cells(scored: Sequence[Scored]) -> list[Cell]:
    common = [cell for cell in scored[0].cells if all(cell in one.cells for one in scored)]
    return [cell for cell in common if not _repeats(cell, common, scored)]


def _repeats(cell: Cell, common: Sequence[Cell], scored: Sequence[Scored]) -> bool:
    """Whether the whole image is the same as a region already listed, for every image."""
    region, quality = cell
    others = [other for other in common if other[0] is not None and other[1] == quality]
    return region is None and any(
        all(one.cells[cell] == one.cells[other] for one in scored) for other in others
    )


def _score(item: Item, model: Model, cells: Sequence[Cell]) -> dict[Cell, tuple[float, float]]:
    pixels = read_luma(item.path).as_uint8_range()
    eight_bit = pixels.float().clamp(0, 255).round().to(torch.uint8)
    side = largest_even_square(*pixels.shape)
    found = {}
    for quality in dict.fromkeys(quality for _, quality in cells):
        delivered = pixels if quality is None else compress(eight_bit, quality)
        for region in (region for region, q in cells if q == quality):
            if region is not None and region > side:
                continue
            logit = model.logits(cut_tiles(delivered, region or side)).mean()
            found[region, quality] = (float(logit), float(model.probability(logit)))
    return found
