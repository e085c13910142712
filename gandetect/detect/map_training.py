"""From photographs to a calibrated model that marks edits or finds warps.

The networks of `networks.mask` and `networks.warp` learn from edits that are made of photographs
while they train. So there are no labeled images to cross-fit: a fifth of the photographs is kept
back, edits of these are judged, and calibrate the model. No photograph is on both sides, not as the
donor of a splice either.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from gandetect.detect import edits, scorers, warps
from gandetect.detect.classifiers import MAPS, Fitted
from gandetect.detect.inpainting import STRIDE
from gandetect.detect.maps import network_maps
from gandetect.detect.metrics import ranking
from gandetect.detect.networks import Network
from gandetect.detect.networks.streaming import Steps, train_mask, train_warp
from gandetect.detect.networks.training import Progress
from gandetect.detect.networks.warp import end_point_errors
from gandetect.detect.planes import PlaneSpec
from gandetect.detect.simulate import Photograph
from gandetect.detect.tiles import is_textured
from gandetect.detect.training import (
    Dataset,
    Fit,
    ModelParts,
    Sample,
    audited,
    calibrated,
    image_files,
    pixel_row,
)
from gandetect.media import MediaError, read_luma
from gandetect.media.manifests import sources_in

# Photographs that are kept back to judge by: this share, and never fewer than `FEWEST`.
HELD_OUT, FEWEST = 0.2, 4
# Edits or warps of them that are judged, about.
JUDGED = 400
# Held-out photographs that are edited together: a splice needs another one.
_TOGETHER = {"mask": 2, "warp": 1}


@dataclass(frozen=True)
class Source:
    """A photograph: `load` gives its luma (H, W) in 0..255, `sha256` is that of its file.

    Photographs of one `name` stem from one another and stay on one side.
    """

    name: str
    load: Photograph
    sha256: str


@dataclass(frozen=True)
class Question:
    """A held-out image (S, S) uint8 and its true mask (S, S) or flow (2, S, S); 1 = edited.

    `group` names the photographs that it stems from.
    """

    image: Tensor
    truth: Tensor
    label: int
    kind: str
    group: str
    quality: int | None


def load_photographs(
    kind: str, folder: str | Path, tile: int, progress: Progress | None = None
) -> tuple[list[Source], dict[str, str]]:
    """The photographs below `folder` that `kind` can learn from in tiles of `tile` pixels, and why
    the other files cannot be used. Raises ValueError where there are no images at all."""
    files, found, failed = image_files(folder), [], {}
    sources = sources_in(folder, files)
    needed = warps.needed_side(tile) if kind == "warp" else tile
    for number, path in enumerate(files):
        if progress:
            progress(f"reading {Path(folder).name}", number, len(files))
        try:
            data = path.read_bytes()
            height, width = read_luma(data).as_uint8_range().shape
            if min(height, width) < needed:
                raise ValueError(f"{width}x{height} pixels; {needed} a side are needed")
        except (MediaError, ValueError, OSError) as error:
            failed[str(path)] = str(error)
            continue
        digest = hashlib.sha256(data).hexdigest()
        found.append(Source(sources[path], partial(_luma, path), digest))
    return found, failed


def _luma(path: Path) -> Tensor:
    return read_luma(path).as_uint8_range()


def fit_maps(
    kind: str,
    photographs: Sequence[Source],
    *,
    name: str,
    tile: int = 128,
    seed: int = 0,
    steps: Steps | None = None,
    allow_leak: bool = False,
    progress: Progress | None = None,
) -> Fit:
    """Train the network `kind` of `MAPS` on four fifths of `photographs`, calibrate it on the rest.

    The card of the model has as `maps` what it was taught and what it found. The counts of the fit
    are of photographs that were taught, there being no generated images. Deterministic by `seed`.
    The edits that are judged are made as those that are taught, and audited for both. Raises
    LeakError where the audit fails, unless `allow_leak`; ValueError for another `kind`, for fewer
    than `FEWEST` + 2 sources, and for photographs or tiles that are too small.
    """
    if kind not in MAPS:
        raise ValueError(f"kind {kind!r} given; choose from {MAPS}")
    if tile < 32 or tile % STRIDE:
        raise ValueError(f"tiles of {tile} pixels given; want a multiple of {STRIDE} from 32 on")
    steps = steps or Steps()
    taught, kept = split_sources(photographs, seed)
    network = _TRAINERS[kind](
        [source.load for source in taught], side=tile, seed=seed, steps=steps, progress=progress
    )
    asked = list(questions(kind, kept, tile, seed=seed, progress=progress))
    tiles = torch.stack([question.image for question in asked])
    described = {"name": kind, "settings": network.settings}
    fitted = Fitted(scorers.NETWORK, dict(network.state_dict()), described)
    scores = fitted.logits(tiles)
    lessons = {
        "taught": {**_LESSONS[kind], "examples": steps.count * steps.batch},
        "found": findings(kind, asked, scores, network_maps(network, tiles)),
    }
    details = {"simulated": True, "network": described, "maps": lessons}
    spec = PlaneSpec("pixels", tile)
    parts = ModelParts(name, kind, scorers.NETWORK, spec, fitted.arrays)
    training, judged = _as_training(taught, tile), _as_dataset(asked, kept, tile)
    found = audited(judged, (spec,), seed, allow_leak)
    return calibrated(
        parts, training, scores, tile, seed, found, asdict(steps), details, judged=judged
    )


def split_sources(photographs: Sequence[Source], seed: int) -> tuple[list[Source], list[Source]]:
    """The photographs to train on and those to judge by, in random order of their names."""
    names = sorted({source.name for source in photographs})
    if len(names) < FEWEST + 2:
        raise ValueError(
            f"{len(names)} photographs can be used; want at least {FEWEST + 2}, of which {FEWEST} "
            "are kept back to judge by"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    kept = {names[i] for i in order[: max(FEWEST, round(HELD_OUT * len(names)))]}
    return (
        [source for source in photographs if source.name not in kept],
        [source for source in photographs if source.name in kept],
    )


def questions(
    kind: str,
    kept: Sequence[Source],
    tile: int,
    *,
    seed: int = 0,
    number: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Question]:
    """About `number` (`JUDGED`) edits or warps of the photographs `kept`, flat ones left out as in
    scoring."""
    count = math.ceil((number or JUDGED) / len(kept))
    groups = _groups(kept, _TOGETHER[kind])
    for number, group in enumerate(groups):
        if progress:
            progress("judging", number, len(groups))
        name = " + ".join(sorted({source.name for source in group}))
        loads = [source.load for source in group]
        # A seed for each group, or all of them would be asked alike.
        for question in _QUESTIONS[kind](loads, name, count, tile, seed + number):
            if is_textured(question.image[None].numpy()).all():
                yield question


def _groups(kept: Sequence[Source], size: int) -> list[list[Source]]:
    """The photographs of `size` names each; the last group takes what is left over."""
    names = sorted({source.name for source in kept})
    number = {name: min(i // size, len(names) // size - 1) for i, name in enumerate(names)}
    groups: list[list[Source]] = [[] for _ in range(len(names) // size)]
    for source in kept:
        groups[number[source.name]].append(source)
    return groups


def _edit_questions(
    loads: Sequence[Photograph], group: str, count: int, tile: int, seed: int
) -> Iterator[Question]:
    for edit in edits.make_edits(loads, count=count, side=tile, seed=seed):
        yield Question(edit.image, edit.mask, edit.label, edit.kind, group, edit.quality)


def _warp_questions(
    loads: Sequence[Photograph], group: str, count: int, tile: int, seed: int
) -> Iterator[Question]:
    for warp in warps.make_warps(loads, count=count, side=tile, seed=seed):
        kind = "warped" if warp.label else "untouched"
        yield Question(warp.image, warp.flow, warp.label, kind, group, warp.quality)


def _as_training(taught: Sequence[Source], tile: int) -> Dataset:
    """The photographs as samples without tiles: what was cut from them was never stored."""
    nothing = np.empty((0, tile, tile), np.uint8)
    dataset = Dataset([Sample(source.name, 0, tile, nothing) for source in taught])
    dataset.hashes[0] = [source.sha256 for source in taught]
    return dataset


def _as_dataset(questions: Sequence[Question], kept: Sequence[Source], tile: int) -> Dataset:
    dataset = Dataset(
        [
            Sample(q.group, q.label, tile, q.image[None].numpy(), _delivery(q.quality))
            for q in questions
        ],
        [pixel_row(q.image) for q in questions],
    )
    dataset.hashes[0] = [source.sha256 for source in kept]
    return dataset


def _delivery(quality: int | None) -> str:
    return "lossless" if quality is None else "JPEG"


def findings(
    kind: str, asked: Sequence[Question], scores: NDArray[np.float64], found: Tensor
) -> dict[str, Any]:
    """How well a model of `kind` answered the questions `asked`, by its `scores` of the images and
    the maps that it `found`.

    Of masks, by kind of edit: AUC against photographs; of the mask at 0.5 the mean intersection
    over union and the mean F1; `pixel_auc` of all their pixels, None where all were edited. Of
    photographs the share of the pixels that were marked. Of warped and untouched
    images: mean end-point error in pixels, and that of no flow; of the warped ones AUC against the
    others.
    """
    return _FINDINGS[kind](asked, scores, found)


def _mask_findings(
    questions: Sequence[Question], scores: NDArray[np.float64], found: Tensor
) -> dict[str, Any]:
    masks = torch.stack([question.truth for question in questions])
    marked = found > 0.5
    common, either = ((marked & masks).sum(dim=(1, 2)), (marked | masks).sum(dim=(1, 2)))
    overlap, f1 = common / either.clamp(min=1), 2 * common / (common + either).clamp(min=1)
    told: dict[str, Any] = {}
    for kind in edits.KINDS:
        chosen = _of_kind(questions, kind)
        if not chosen.any():
            continue
        told[kind] = {"images": int(chosen.sum())}
        if kind == "photograph":
            told[kind]["marked"] = float(marked[chosen].float().mean())
        else:
            told[kind]["auc"] = _auc(questions, scores, chosen | _of_kind(questions, "photograph"))
            told[kind]["iou"] = float(overlap[chosen].mean())
            told[kind]["f1"] = float(f1[chosen].mean())
            told[kind]["pixel_auc"] = _pixel_auc(masks[chosen], found[chosen])
    return told


def _pixel_auc(masks: Tensor, found: Tensor) -> float | None:
    if masks.all() or not masks.any():
        return None
    return float(roc_auc_score(masks.flatten().numpy(), found.flatten().numpy()))


def _warp_findings(
    questions: Sequence[Question], scores: NDArray[np.float64], found: Tensor
) -> dict[str, Any]:
    flows = torch.stack([question.truth for question in questions])
    errors, without = end_point_errors(found, flows), end_point_errors(0 * flows, flows)
    told: dict[str, Any] = {}
    for kind in ("warped", "untouched"):
        chosen = _of_kind(questions, kind)
        told[kind] = {
            "images": int(chosen.sum()),
            "end_point_error": float(errors[chosen].mean()),
            "end_point_error_of_no_flow": float(without[chosen].mean()),
        }
    everything = np.ones(len(questions), bool)
    told["warped"]["auc"] = _auc(questions, scores, everything)
    return told


def _of_kind(questions: Sequence[Question], kind: str) -> NDArray[np.bool_]:
    return np.array([question.kind == kind for question in questions])


def _auc(
    questions: Sequence[Question], scores: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> list[float]:
    """AUC of the chosen images with its interval over the groups."""
    among = [question for question, wanted in zip(questions, chosen, strict=True) if wanted]
    labels, groups = [q.label for q in among], np.array([q.group for q in among])
    return ranking(labels, scores[chosen], groups)["auc"].to_list()


_TRAINERS: dict[str, Callable[..., Network]] = {"mask": train_mask, "warp": train_warp}
_QUESTIONS = {"mask": _edit_questions, "warp": _warp_questions}
_FINDINGS = {"mask": _mask_findings, "warp": _warp_findings}
_LESSONS: dict[str, dict[str, Any]] = {
    "mask": {"kinds": edits.SHARES, "area": list(edits.AREA)},
    "warp": {
        "kinds": {"warped": 0.5, "untouched": 0.5},
        "area": list(warps.AREA),
        "pixels": list(warps.AMPLITUDE),
    },
}
