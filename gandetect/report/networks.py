"""A plain network on pixels and labeled images: where it errs, and what its layers answer to.

A list of errors by confidence shows what the network takes for generated. The mean answers to the
images it is surest of, generated and real, and their difference show which filters tell them apart,
and whether that depends on the place in a tile. Needs no matplotlib; the figures are in
`gandetect.report.networks_show`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gandetect.detect import Model, Thresholds, cut_tiles, scorers
from gandetect.detect.calibration import CONFIDENCE, ClassThresholds
from gandetect.detect.contributions import network_of, parts_of
from gandetect.detect.delivery import (
    calibration_class,
    compression_delivery,
    file_delivery,
    size_class,
)
from gandetect.detect.networks import PixelNetwork
from gandetect.detect.planes import cut_to_side
from gandetect.detect.softness import judged_delivery
from gandetect.media import MediaError, read_luma, sniff
from gandetect.screen.sources import Source, Unreadable, find_files
from gandetect.screen.verdict import image_thresholds, suspicious_from

LABELS = ("real", "generated")
LAYERS = ("conv1", "conv2")
# Of each class, the share of images that the network is surest of.
TOP_SHARE = 0.01
# Errors that are shown as pictures, of at most so many pixels a side.
GALLERY, PICTURE_SIDE = 12, 160

Progress = Callable[[str, int, int], None]
Maps = tuple[Tensor, Tensor]
# Thresholds of no known class, those by class, and by size the logit above which pixels are asked.
Limits = tuple[Thresholds, Mapping[str, ClassThresholds], Mapping[str, float]]


@dataclass(frozen=True)
class Judged:
    """An image of class `label` (1 = generated) and its score; `taken_for` at even odds."""

    path: str
    label: int
    logit: float
    p_generated: float
    verdict: str

    @property
    def taken_for(self) -> int:
        return int(self.p_generated > 0.5)

    @property
    def wrong(self) -> bool:
        """Whether it was taken for the other class."""
        return self.taken_for != self.label

    @property
    def confidence(self) -> float:
        """The probability of what it was taken for, 0.5 to 1."""
        return max(self.p_generated, 1 - self.p_generated)


@dataclass(frozen=True)
class NetworkReport:
    """What is shown of a network.

    `judged`: all images that could be read; `errors`: path, reason and detail of the others.
    `surest`: by class the images behind `activations`, the mean of the maps of both convolutions
    over these images, (W1, S, S) and (W2, S/2, S/2). `example`: the path and the tile (S, S) whose
    `maps` of both convolutions are shown. `gallery`: the surest errors and their small pictures.
    """

    model: dict[str, str]
    judged: list[Judged]
    errors: list[dict[str, str]]
    surest: dict[str, list[Judged]]
    activations: dict[str, Maps]
    example: tuple[str, NDArray[np.uint8]]
    maps: Maps
    gallery: list[tuple[Judged, NDArray[np.uint8]]]

    @property
    def misclassified(self) -> list[Judged]:
        """The errors, the surest first."""
        return misclassified(self.judged)

    def counts(self) -> dict[str, dict[str, int]]:
        """By class: how many images, and how many of them were taken for the other class."""
        return {
            name: {
                "images": sum(one.label == label for one in self.judged),
                "wrong": sum(one.wrong for one in self.judged if one.label == label),
            }
            for label, name in enumerate(LABELS)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; docs/explaining.md says what each means."""
        return {
            "model": self.model,
            "counts": self.counts(),
            "misclassified": [
                {**asdict(one), "confidence": one.confidence} for one in self.misclassified
            ],
            "surest": {name: [one.path for one in group] for name, group in self.surest.items()},
            "activation": {
                layer: {
                    **{
                        name: maps[number].mean(dim=(1, 2)).tolist()
                        for name, maps in self.activations.items()
                    },
                    "difference_map": difference_map(self.activations, number).tolist(),
                }
                for number, layer in enumerate(LAYERS)
            },
            "example": self.example[0],
            "errors": self.errors,
        }


def network_report(
    model: Model,
    real: str | os.PathLike[str],
    generated: str | os.PathLike[str],
    *,
    fpr: float = 0.05,
    confidence: float | None = CONFIDENCE,
    example: str | None = None,
    progress: Progress | None = None,
) -> NetworkReport:
    """Judge the images in two folders and look into the network.

    `fpr`, `confidence`: as in `explain`. `example`: the image whose feature maps are shown; None
    for the surest error, or the surest generated image where there is none. Raises ValueError where
    the model is no plain network on pixels or a folder has no image it can judge, MediaError where
    `example` cannot be read.
    """
    network = pixel_network(model)
    limits = (*_limits(model, fpr, confidence), suspicious_from(model, fpr))
    judged: list[Judged] = []
    errors: list[dict[str, str]] = []
    for label, folder in enumerate((real, generated)):
        found = _judged(model, folder, label, limits, errors, progress)
        if not found:
            raise ValueError(f"{os.fspath(folder)}: no image that {model.name} could judge")
        judged += found
    surest = {name: most_confident(judged, label) for label, name in enumerate(LABELS)}
    wrong = misclassified(judged)
    path = example or (wrong or surest["generated"])[0].path
    tile = _surest_tile(model, path)
    return NetworkReport(
        {"name": model.name, "sha256": model.sha256, "classifier": model.classifier},
        judged,
        errors,
        surest,
        {
            name: mean_activation(model, [one.path for one in group])
            for name, group in surest.items()
        },
        (path, tile.clamp(0, 255).round().byte().numpy()),
        _first(network.feature_maps(tile[None])),
        [(one, _small(one.path)) for one in wrong[:GALLERY]],
    )


def pixel_network(model: Model) -> PixelNetwork:
    """The plain network on pixels that `model` is; raises ValueError where it is none."""
    if model.kind == scorers.NETWORK:
        (part,) = parts_of(model)
        network = network_of(part)
        if isinstance(network, PixelNetwork):
            return network
    raise ValueError(
        f"{model.name} is {model.classifier}; feature maps are shown of a plain network on pixels: "
        "gandetect fit --classifier cnn"
    )


def misclassified(judged: Sequence[Judged]) -> list[Judged]:
    """The images that were taken for the other class, the surest first."""
    return sorted((one for one in judged if one.wrong), key=lambda one: -one.confidence)


def most_confident(judged: Sequence[Judged], label: int, share: float = TOP_SHARE) -> list[Judged]:
    """The `share` of the images of class `label`, at least one, that look most like that class."""
    sign = 1 if label else -1
    group = sorted((one for one in judged if one.label == label), key=lambda o: -sign * o.logit)
    return group[: max(1, math.ceil(share * len(group)))]


def mean_activation(model: Model, paths: Sequence[str]) -> Maps:
    """Mean maps of both convolutions, (W1, S, S) and (W2, S/2, S/2), over images at `paths`; each
    image counts once, however many tiles it has."""
    network = pixel_network(model)
    sums: list[Tensor] = []
    for path in paths:
        maps = [layer.mean(dim=0) for layer in network.feature_maps(_tiles(model, path))]
        sums = [total + one for total, one in zip(sums, maps, strict=True)] if sums else maps
    first, second = (total / len(paths) for total in sums)
    return first, second


def difference_map(activations: dict[str, Maps], layer: int) -> Tensor:
    """Mean over the channels of what `layer` (0 or 1) answers to generated more than to real."""
    generated, real = (activations[name][layer] for name in ("generated", "real"))
    return (generated - real).mean(dim=0)


def _judged(
    model: Model,
    folder: str | os.PathLike[str],
    label: int,
    limits: Limits,
    errors: list[dict[str, str]],
    progress: Progress | None,
) -> list[Judged]:
    """The images below `folder`; those that cannot be judged are noted in `errors`."""
    paths = _images(folder, errors)
    judged = []
    for number, path in enumerate(paths):
        if progress:
            progress(f"judging {LABELS[label]}", number, len(paths))
        try:
            tiles = _tiles(model, path)
            logit = float(model.logits(tiles).double().mean())
            thresholds = _thresholds(model, path, tiles.shape[-1], logit, limits)
        except (MediaError, ValueError, OSError) as error:
            reason = getattr(error, "reason", "unreadable")
            errors.append({"path": path, "reason": reason, "detail": str(error)})
            continue
        p = float(model.probability(logit))
        judged.append(Judged(path, label, logit, p, thresholds.verdict(logit)))
    return judged


def _limits(
    model: Model, fpr: float, confidence: float | None
) -> tuple[Thresholds, dict[str, ClassThresholds]]:
    """Those of `gandetect screen`; uncertified ones where it would refuse, since what is shown here
    is the network, and the verdicts only beside it."""
    try:
        return image_thresholds(model, fpr, confidence)
    except ValueError:
        return model.thresholds(fpr, confidence=confidence, certify=False), {}


def _thresholds(model: Model, path: str, side: int, logit: float, limits: Limits) -> Thresholds:
    """Those of the class of the image, as `gandetect screen` judges it."""
    known, classes, suspicious = limits
    if not classes:
        return known
    data = Path(path).read_bytes()
    luma = read_luma(data)
    size = size_class(side)
    judged = file_delivery(luma.container, data)
    if logit > suspicious.get(size, math.inf):
        plane = luma.as_uint8_range().numpy()
        judged = judged_delivery(model, plane, compression_delivery(luma, data))
    own = calibration_class(judged, size)
    return classes[own].thresholds if own in classes else known


def _images(folder: str | os.PathLike[str], errors: list[dict[str, str]]) -> list[str]:
    """The still images below `folder`; what cannot be opened is noted in `errors`."""
    paths = []
    for found in find_files([folder]):
        if isinstance(found, Unreadable):
            errors.append({"path": found.path, "reason": found.reason, "detail": found.detail})
        elif isinstance(found, Source) and found.wanted and sniff(found.path) == "image":
            paths.append(found.path)
    return paths


def _tiles(model: Model, path: str) -> Tensor:
    """The tiles (T, S, S) that the verdict on an image rests on, in 0..255."""
    plane = read_luma(path).as_uint8_range()
    squares = cut_tiles(plane, model.tile, min_side=model.min_side)
    return cut_to_side(squares, model.min_side).flatten(0, 1)


def _surest_tile(model: Model, path: str) -> Tensor:
    try:
        tiles = _tiles(model, path)
    except ValueError as error:
        raise MediaError("too_small", str(error)) from error
    return tiles[int(model.logits(tiles).abs().argmax())].float()


def _first(maps: Maps) -> Maps:
    return maps[0][0], maps[1][0]


def _small(path: str) -> NDArray[np.uint8]:
    plane = read_luma(path).as_uint8_range()
    pixels = plane if plane.dtype == torch.uint8 else plane.clamp(0, 255).round().byte()
    image = Image.fromarray(pixels.contiguous().numpy())
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BOX)
    return np.asarray(image)
