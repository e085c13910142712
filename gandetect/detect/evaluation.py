"""Measuring a model on labeled images: per generator, by region size and after perturbations.

A figure can flatter in many ways: classes that differ in size or in the codec, images of one source
counted as independent, generators pooled so that an easy one hides a hard one, one threshold that
was chosen on the test. What is here is arranged against each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandetect.detect.audit import Audit, audit, describe
from gandetect.detect.calibration import ClassThresholds, Thresholds
from gandetect.detect.delivery import calibration_class, compression_delivery, size_class
from gandetect.detect.loading import in_order
from gandetect.detect.metrics import REPLICATES, curves, summarize
from gandetect.detect.model import Model
from gandetect.detect.perturbations import ORIGINAL, Perturbation, named
from gandetect.detect.softness import judged_delivery
from gandetect.detect.tiles import cut_tiles, largest_even_square
from gandetect.detect.training import Progress, image_files
from gandetect.media import MediaError, read_luma
from gandetect.media.manifests import sources_in

# None is the whole image: its central square.
REGIONS: tuple[int | None, ...] = (64, 128, None)
WHOLE = "whole"
# As the files are and as they are delivered; the whole grid is `perturbations.GRID`.
REENCODED = "jpeg-90"
DELIVERIES = named(ORIGINAL.name, REENCODED, "jpeg-75")
POOLED = "all generators"
# A region, and the name of a perturbation.
Cell = tuple[int | None, str]


@dataclass(frozen=True)
class Item:
    """An image to be scored; `source` names what it stems from, `label` is 1 for generated."""

    path: Path
    label: int
    source: str


@dataclass(frozen=True)
class Scored:
    """Logit and calibrated probability for each cell that the image is large enough for.

    None where a perturbation left no texture to judge. `metadata`: the audit row of the file.
    `classes`: of each cell, by whose thresholds it is judged; none where the model has no classes.
    """

    item: Item
    cells: dict[Cell, tuple[float, float] | None]
    metadata: dict[str, float]
    classes: dict[Cell, str] = field(default_factory=dict)


def folder_items(folder: str | Path, label: int, beside: Sequence[str | Path] = ()) -> list[Item]:
    """The images below `folder`, with the sources of `manifests.sources_in`; `beside`: the folders
    that they are compared with."""
    return [
        Item(path, label, source)
        for path, source in sources_in(folder, image_files(folder), beside).items()
    ]


def score_items(
    items: Sequence[Item],
    model_of: Callable[[Item], Model],
    *,
    regions: Iterable[int | None] = REGIONS,
    perturbations: Iterable[Perturbation] = DELIVERIES,
    progress: Progress | None = None,
    workers: int = 0,
) -> tuple[list[Scored], dict[str, str]]:
    """Score each item in every region and perturbation; also why the files that failed did.

    A file is decoded once, and each perturbation made of it once for all regions. `workers`:
    processes that share the files, see `loading.in_order`.
    """
    score = partial(_scored_or_why, model_of, tuple(regions), tuple(perturbations))
    scored, failed = [], {}
    outcomes = in_order(score, items, workers)
    for number, (item, found) in enumerate(zip(items, outcomes, strict=True)):
        if progress:
            progress(f"scoring {item.path.parent.name}", number, len(items))
        if isinstance(found, str):
            failed[str(item.path)] = found
        else:
            scored.append(found)
    return scored, failed


def _scored_or_why(
    model_of: Callable[[Item], Model],
    regions: Sequence[int | None],
    perturbations: Sequence[Perturbation],
    item: Item,
) -> Scored | str:
    try:
        return _scored(item, model_of(item), regions, perturbations)
    except (MediaError, ValueError, OSError) as error:
        return str(error)


def tabulate(
    real: Sequence[Scored],
    generated: Mapping[str, Sequence[Scored]],
    thresholds: Thresholds | None,
    *,
    classes: Mapping[str, ClassThresholds] | None = None,
    prevalence: float = 0.5,
    replicates: int = REPLICATES,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """One row of `metrics.summarize` per generator, region and perturbation that both classes have.

    `classes`: thresholds by class of images (`Model.class_thresholds`), used for those whose class
    is known in place of `thresholds`. A region is left out where an image of either class is
    smaller than it, since the classes must not differ in it; and the whole image where it is no
    larger than a region.
    """
    places = [
        (name, [*real, *scores], cell)
        for name, scores in generated.items()
        for cell in _common_cells([*real, *scores])
    ]
    rows = []
    for number, (name, both, cell) in enumerate(places):
        if progress:
            progress(f"resampling {name}", number, len(places))
        kept, figures = _columns(both, cell)
        summary = summarize(
            *figures,
            clusters=[one.item.source for one in kept],
            thresholds=_thresholds_of(kept, cell, thresholds, classes or {}),
            prevalence=prevalence,
            replicates=replicates,
        )
        region, perturbation = cell
        where = {"generator": name, "region": region or WHOLE, "perturbation": perturbation}
        rows.append(where | summary)
    return rows


def pooled(generated: Mapping[str, Sequence[Scored]]) -> dict[str, list[Scored]]:
    """All generators as one, to be tabulated beside them and never instead: an easy one would hide
    a hard one."""
    return {POOLED: [one for scores in generated.values() for one in scores]}


def main_region(rows: Sequence[Mapping[str, Any]], tile: int) -> int | str | None:
    """The region to be drawn: tiles of the model's size, else the whole image, else the largest.

    Only one that every generator has as it is in the files; None where there is none.
    """
    original = [row for row in rows if row["perturbation"] == ORIGINAL.name]
    found = [
        {row["region"] for row in original if row["generator"] == name}
        for name in {row["generator"] for row in rows}
    ]
    common = set.intersection(*found) if found else set()
    for wanted in (tile, WHOLE):
        if wanted in common:
            return wanted
    return max(common, default=None)


def drawn_curves(
    real: Sequence[Scored],
    generated: Mapping[str, Sequence[Scored]],
    region: int | str,
    *,
    prevalence: float = 0.5,
) -> dict[str, dict[str, Any]]:
    """`metrics.curves` of each generator in one `region` of the images as they are."""
    cell = (None if region == WHOLE else int(region), ORIGINAL.name)
    return {
        name: curves(*_columns([*real, *scores], cell)[1], prevalence=prevalence)
        for name, scores in generated.items()
    }


def audit_files(
    real: Sequence[Scored], generated: Sequence[Scored], *, brightness_counts: bool
) -> Audit:
    """The leak audit of the scored files; see `audit.audit`, also for what it raises."""
    both = [*real, *generated]
    return audit(
        [one.metadata for one in both],
        [one.item.label for one in both],
        [one.item.source for one in both],
        brightness_counts=brightness_counts,
    )


def reencoding_control(
    rows: Sequence[Mapping[str, Any]], generator: str, region: int | str | None
) -> str:
    """For people: what is left of the AUC of a `generator` whose files leak once both classes were
    re-encoded alike; empty where that was not measured.

    A drop to chance speaks against the files, though a fragile trace is lost as well.
    """
    found = {
        row["perturbation"]: row["auc"]
        for row in rows
        if (row["generator"], row["region"]) == (generator, region)
    }
    if not {ORIGINAL.name, REENCODED} <= set(found):
        return ""
    files, alike = found[ORIGINAL.name], found[REENCODED]
    before, after = ("{:.2f} [{:.2f}, {:.2f}]".format(*auc) for auc in (files, alike))
    told = f"Both classes re-encoded alike ({REENCODED}), its AUC is {after}, for {before}"
    is_lost = files[1] > 0.5 >= alike[1]
    return told + (": all of it may have been the files." if is_lost else ".")


def _columns(
    scored: Sequence[Scored], cell: Cell
) -> tuple[list[Scored], tuple[list[int], list[float], list[float]]]:
    """Those judged in `cell`; their labels, logits and probabilities."""
    found = [(one, value) for one in scored if (value := one.cells[cell]) is not None]
    labels = [one.item.label for one, _ in found]
    logits, probabilities = ([value[i] for _, value in found] for i in (0, 1))
    return [one for one, _ in found], (labels, logits, probabilities)


def _thresholds_of(
    kept: Sequence[Scored],
    cell: Cell,
    thresholds: Thresholds | None,
    classes: Mapping[str, ClassThresholds],
) -> Thresholds | Sequence[Thresholds] | None:
    """Those of the class of each of `kept` in `cell`; the same for all without classes."""
    if thresholds is None or not classes:
        return thresholds
    known = [classes.get(one.classes.get(cell, "")) for one in kept]
    return [thresholds if found is None else found.thresholds for found in known]


def _common_cells(scored: Sequence[Scored]) -> list[Cell]:
    common = [cell for cell in scored[0].cells if all(cell in one.cells for one in scored)]
    judged = [cell for cell in common if len(set(_columns(scored, cell)[1][0])) == 2]
    return [cell for cell in judged if not _repeats(cell, judged, scored)]


def _repeats(cell: Cell, common: Sequence[Cell], scored: Sequence[Scored]) -> bool:
    """Whether the whole image is the same as a region already listed, for every image."""
    region, perturbation = cell
    others = [other for other in common if other[0] is not None and other[1] == perturbation]
    return region is None and any(
        all(one.cells[cell] == one.cells[other] for one in scored) for other in others
    )


def _scored(
    item: Item, model: Model, regions: Sequence[int | None], perturbations: Sequence[Perturbation]
) -> Scored:
    data = item.path.read_bytes()
    luma = read_luma(data)
    pixels = luma.as_uint8_range()
    # Raises where the image as it is cannot be judged: then its perturbed forms say nothing either.
    cut_tiles(pixels, model.tile, min_side=model.min_side)
    eight_bit = pixels.float().clamp(0, 255).round().to(torch.uint8)
    cells: dict[Cell, tuple[float, float] | None] = {}
    classes: dict[Cell, str] = {}
    for one in perturbations:
        delivered = pixels if one.name == ORIGINAL.name else one.apply(eight_bit)
        side = largest_even_square(*delivered.shape)
        for region in regions:
            if model.min_side <= (region or side) <= side:
                cells[region, one.name] = _judged(delivered, region or side, model)
        sides = {cell: cell[0] or side for cell in cells if cell[1] == one.name}
        if sides and model.class_scores:
            is_file = one.name == ORIGINAL.name
            known = compression_delivery(luma, data) if is_file else one.delivery_of(delivered)
            delivery = judged_delivery(model, delivered.numpy(), known)
            for cell, length in sides.items():
                classes[cell] = calibration_class(delivery, size_class(length))
    return Scored(item, cells, describe(data, pixels), classes)


def _judged(plane: Tensor, side: int, model: Model) -> tuple[float, float] | None:
    """Logit and probability of `plane` in tiles of `side`; None where it is flat all over."""
    try:
        tiles = cut_tiles(plane, side, min_side=side)
    except ValueError:
        return None
    logit = model.logits(tiles).mean()
    return float(logit), float(model.probability(logit))
