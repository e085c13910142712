"""Why one picture got its verdict: what the detector saw, in numbers that add up.

`explain(path)` gives an `Explanation`: of an image, or of one frame of a video. What the features
add to the logit sums to it, exactly or within a stated tolerance, whatever the classifier. Needs no
matplotlib; the pictures and the page are in `gandetect.report.explain_show`.
"""

from __future__ import annotations

import itertools
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect import Model, Thresholds, cut_tiles, load_evaluation
from gandetect.detect.calibration import CONFIDENCE, ClassThresholds
from gandetect.detect.contributions import (
    BANDS,
    GROUPS,
    PLANE,
    Breakdown,
    Contributions,
    Part,
    features_of,
    parts_of,
)
from gandetect.detect.delivery import (
    LOSSLESS,
    MIN_SIDE,
    SOFT,
    calibration_class,
    central_window,
    compression_delivery,
    delivery_in_words,
    file_delivery,
    is_soft,
    size_class,
)
from gandetect.detect.explanation import Change, WhatIf, evidence
from gandetect.detect.features import FeatureSpec
from gandetect.detect.maps import has_maps, maps
from gandetect.detect.reference import MEANINGS, Likeness, References
from gandetect.detect.softness import judged_delivery
from gandetect.detect.tiles import MAX_TILES, usable_side
from gandetect.media import MediaError, VideoReader, read_luma, sniff
from gandetect.report.explain_words import (
    changes_in_words,
    exactness,
    generators_in_words,
    worth_in_words,
)
from gandetect.screen.isolation import IsolationError, isolated
from gandetect.screen.pool import Limits
from gandetect.screen.verdict import image_thresholds, suspicious_from

CANDIDATES = 16
# The map shows more tiles than the verdict rests on; more than these would be dots.
MAP_TILES = 1024
FEW_TILES = 4
_TIME_TOLERANCE = 1e-6
# The quantization tables of a JPEG lie within these, unless what comes before them is absurd.
_HEADER_BYTES = 1 << 20
# A frame may lie far into a long video, and every frame before it is decoded.
LIMITS = Limits(stall_s=900.0, total_s=900.0)

FEATURES_UNIT = "mean log power, 10 ln P, less its mean over all bins"
# Names for stretches of frequency, by their upper ends in cycles per pixel.
STRETCHES = (
    ("coarse", 0.125),
    ("middle", 0.3),
    ("fine", 0.46),
    ("around every other pixel", 0.54),
    ("diagonal corner", 1.0),
)


@dataclass(frozen=True)
class InputOptions:
    """What to decode: squares of `tile` pixels (at least `min_side`) for the choice of a frame; of
    a video the frame number `frame`, or the first one at or after `time_s`, or neither: then up to
    CANDIDATES frames are cut into squares and no picture is kept.
    """

    tile: int
    min_side: int
    frame: int | None = None
    time_s: float | None = None


@dataclass
class Inputs:
    """What a decoder gave: `plane` (H, W) of brightness on 0..255, uint8 or float32, or None with
    `candidates` to choose from: (frame number, squares (T, S, S)). `delivery`: of an image, how it
    was compressed, where its file is lossless by its pixels; `by_file`: by the file alone.
    """

    media: str
    plane: NDArray[Any] | None = None
    frame: int | None = None
    time_s: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    delivery: str | None = None
    by_file: str | None = None
    candidates: list[tuple[int, NDArray[Any]]] = field(default_factory=list)


def explain_inputs(path: str, options: InputOptions) -> Inputs:
    """Decode one file; everything that a hostile file could break happens in here.

    Raises MediaError, with a reason, where there is nothing to explain.
    """
    try:
        status = os.stat(path)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("unreadable", "not a regular file")
        media = sniff(path)
        if media is None:
            message = "the file is empty" if size == 0 else "neither an image nor a video"
            raise MediaError("not_media" if size else "empty", message)
        inputs = (_image_inputs if media == "image" else _video_inputs)(path, options)
    except FileNotFoundError as error:
        raise MediaError("not_found", "there is no such file") from error
    except OSError as error:
        raise MediaError("unreadable", error.strerror or str(error)) from error
    inputs.facts = {"bytes": size, **inputs.facts}
    return inputs


def _answer(path: str, options: InputOptions) -> Inputs | MediaError:
    """Errors as values, so that their reason comes back from another process."""
    try:
        return explain_inputs(path, options)
    except MediaError as error:
        return error


def _decode(path: str, options: InputOptions) -> Inputs:
    """Every decoding goes through here: in a process of its own, which a file may crash."""
    try:
        answer = isolated(_answer, path, options, limits=LIMITS)
    except IsolationError as error:
        raise MediaError(error.reason, error.detail) from error
    if isinstance(answer, MediaError):
        raise answer
    return answer


def _image_inputs(path: str, options: InputOptions) -> Inputs:
    if options.frame is not None or options.time_s is not None:
        raise MediaError("no_video", "a frame was asked for, and this is an image")
    luma = read_luma(path)
    facts: dict[str, Any] = {"bits": luma.bit_depth}
    container = getattr(luma, "container", None)
    if container:
        facts = {"format": container, **facts}
    if luma.n_frames > 1:
        facts["pictures"] = luma.n_frames
    plane = luma.as_uint8_range().contiguous().numpy()
    # Smaller ones are refused where they are cut.
    known = min(plane.shape) >= max(options.min_side, MIN_SIDE)
    if not known:
        return Inputs("image", plane, facts=facts)
    with open(path, "rb") as file:
        head = file.read(_HEADER_BYTES)
    delivery, by_file = compression_delivery(luma, head), file_delivery(container, head)
    window = np.rint(central_window(plane)).clip(0, 255).astype(np.uint8)
    facts |= delivery_in_words(window, container, head)
    return Inputs("image", plane, facts=facts, delivery=delivery, by_file=by_file)


def _video_inputs(path: str, options: InputOptions) -> Inputs:
    chosen = options.frame is not None or options.time_s is not None
    reader = VideoReader(path, max_frames=None if chosen else CANDIDATES)
    inputs = Inputs("video")
    interlaced, last = False, None
    for frame in reader:
        last = frame
        if not chosen:
            interlaced |= frame.interlaced
            if not frame.interlaced:
                _add_candidate(inputs, frame.index, frame.luma.as_uint8_range(), options)
        elif _is_wanted(frame.index, frame.time_s, options):
            interlaced = frame.interlaced
            inputs.plane = frame.luma.as_uint8_range().clone().numpy()
            inputs.frame, inputs.time_s = frame.index, frame.time_s
            break
    if interlaced and not inputs.candidates:
        raise MediaError("interlaced", "interlaced: its lines imitate the trace")
    if chosen and inputs.plane is None:
        end = "" if last is None or last.time_s is None else f" at {last.time_s:.2f} s"
        raise MediaError("no_frame", f"the last of {reader.n_decoded} frames is{end} before that")
    if not chosen and not inputs.candidates:
        raise MediaError("flat", "no frame is large enough and has texture")
    inputs.facts = {"codec": reader.codec, "duration_s": reader.duration_s}
    return inputs


def _is_wanted(index: int, time_s: float | None, options: InputOptions) -> bool:
    if options.frame is not None:
        return index == options.frame
    assert options.time_s is not None
    return time_s is not None and time_s >= options.time_s - _TIME_TOLERANCE


def _add_candidate(inputs: Inputs, index: int, plane: Tensor, options: InputOptions) -> None:
    try:
        squares = cut_tiles(plane, options.tile, min_side=options.min_side)
    except ValueError:
        return
    inputs.candidates.append((index, squares.numpy()))


@dataclass(frozen=True)
class Tile:
    """A square of the picture, at `top`, `left`, and its own `logit`; `used`: the verdict rests on
    it."""

    top: int
    left: int
    logit: float
    used: bool


@dataclass(frozen=True)
class Band:
    """One feature: power in one band of frequency (`low` to `high`, cycles per pixel).

    `value`: mean log power of the picture's tiles, less the mean of all bands. `contribution`: what
    it adds to the logit. `real`: 5 %, 50 % and 95 % of real images, None where the model does not
    carry them.
    """

    projection: str
    low: float
    high: float
    value: float
    contribution: float
    real: tuple[float, float, float] | None

    @property
    def outside(self) -> str | None:
        """ "above" or "below" the band that holds nine of ten reals, else None."""
        if self.real is None or self.real[0] <= self.value <= self.real[2]:
            return None
        return "above" if self.value > self.real[2] else "below"

    @property
    def stretch(self) -> str:
        """The name of its stretch of frequency."""
        middle = (self.low + self.high) / 2
        return next(name for name, end in STRETCHES if middle < end)


@dataclass(frozen=True)
class PixelMap:
    """What a model of edits or warps says of each pixel: `values` (H, W) float32, NaN where it
    looked at no tile; `label` says of what, `highest` ends the scale of colors."""

    values: NDArray[np.float32]
    label: str
    highest: float


@dataclass(frozen=True)
class Explanation:
    """Everything that `gandetect explain` shows of one picture.

    `bands`: none where no member of the model looks at profiles. `breakdown`: what makes up the
    logit, member by member; its maps of pixels are of the tiles that are used, in their order.
    `no_likeness`: why no up-sampler can be named, where that is so.

    `spectrum` (S, S) float32: mean log power 10 ln P of the tiles, zero frequency in the
    middle. `picture` (H, W) uint8. `n_frames`: among how many frames of a video this one was
    chosen for its score, 0 where it was named. `pixel_map`: of models of edits or warps alone.
    """

    path: str
    media: str
    frame: int | None
    time_s: float | None
    width: int
    height: int
    facts: dict[str, Any]
    model: dict[str, str]
    verdict: str
    logit: float
    p_generated: float
    thresholds: Thresholds
    side: int
    tiles: list[Tile]
    bands: list[Band]
    breakdown: Breakdown
    what_if: WhatIf
    likeness: Likeness | None
    no_likeness: str | None
    worth: dict[str, Any] | None
    caveats: list[str]
    limits: list[str]
    spectrum: NDArray[np.float32]
    picture: NDArray[np.uint8]
    n_frames: int = 0
    pixel_map: PixelMap | None = None

    @property
    def bias(self) -> float | None:
        """What sums to the logit with the contributions of `bands`; None where these are not all
        that the model looks at."""
        members = self.breakdown.members
        alone = len(members) == 1 and members[0].kind == BANDS
        return members[0].bias if alone else None

    @property
    def maps(self) -> list[Contributions]:
        """The members whose contributions are no bands, but planes, pixels or other features."""
        return [member for member in self.breakdown.members if member.kind != BANDS]

    @property
    def exactness(self) -> str:
        """ "exact", or "approximate" and by how much the sums may miss."""
        return exactness(self.breakdown)

    @property
    def n_used(self) -> int:
        return sum(tile.used for tile in self.tiles)

    @property
    def n_outside(self) -> int:
        """Bands outside the band that holds nine of ten reals."""
        return sum(band.outside is not None for band in self.bands)

    @property
    def has_references(self) -> bool:
        return bool(self.bands) and self.bands[0].real is not None

    def strongest(self, count: int = 5) -> list[Band]:
        """The bands that moved the logit furthest, either way."""
        return sorted(self.bands, key=lambda band: -abs(band.contribution))[:count]

    def sums(self) -> list[dict[str, Any]]:
        """The contributions of bands by direction and stretch of frequency; with `bias`, where
        there is one, they too sum to the logit."""
        totals: dict[tuple[str, str], list[Band]] = {}
        for band in self.bands:
            totals.setdefault((band.projection, band.stretch), []).append(band)
        return [
            {
                "projection": projection,
                "stretch": stretch,
                "low": bands[0].low,
                "high": bands[-1].high,
                "contribution": sum(band.contribution for band in bands),
                "outside": sum(band.outside is not None for band in bands),
                "bands": len(bands),
            }
            for (projection, stretch), bands in totals.items()
        ]

    @property
    def limits_in_words(self) -> str:
        """Where the verdict turns."""
        sides = (("generated above", "generated"), ("real below", "real"))
        values = [(words, getattr(self.thresholds, name)) for words, name in sides]
        told = [f"{words} {value:.2f}" for words, value in values if math.isfinite(value)]
        return ", ".join(told) or "no score decides on images of its class"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; docs/explaining.md says what each means."""
        alike = None
        if self.likeness is not None:
            alike = {**asdict(self.likeness), "meaning": MEANINGS.get(self.likeness.family)}
            alike["farthest"] = None if np.isinf(alike["farthest"]) else alike["farthest"]
        return {
            "path": self.path,
            "media": self.media,
            "frame": self.frame,
            "time_s": self.time_s,
            "chosen_among": self.n_frames,
            "width": self.width,
            "height": self.height,
            "facts": self.facts,
            "model": self.model,
            "verdict": self.verdict,
            "logit": self.logit,
            "p_generated": self.p_generated,
            "thresholds": _finite(asdict(self.thresholds)),
            "tiles": {
                "side": self.side,
                "used": self.n_used,
                "map": [asdict(tile) for tile in self.tiles],
            },
            "bias": self.bias,
            "bands": [
                {**asdict(band), "outside": band.outside, "stretch": band.stretch}
                for band in self.bands
            ],
            "contributions": self.sums() or None,
            "breakdown": _breakdown_values(self.breakdown),
            "outside": self.n_outside if self.has_references else None,
            "what_if": _what_if_values(self),
            "likeness": alike,
            "no_likeness": self.no_likeness,
            "likeness_measured": self.worth,
            "caveats": self.caveats,
            "limits": self.limits,
        }


def _breakdown_values(breakdown: Breakdown) -> dict[str, Any]:
    return {
        "bias": breakdown.bias,
        "exact": breakdown.exact,
        "tolerance": breakdown.tolerance,
        "members": [
            {
                **{name: getattr(member, name) for name in _MEMBER_KEYS},
                "sums": member_sums(member) or None,
                "values": _rounded(member.values),
            }
            for member in breakdown.members
        ],
    }


_MEMBER_KEYS = (
    "classifier", "weight", "total", "kind", "extent", "exact", "tolerance", "method", "baseline",
    "bias",
)  # fmt: skip


def _rounded(values: Tensor) -> Any:
    """Nested lists of six digits, which is what these are good for, and a third of the bytes."""
    if values.ndim > 1:
        return [_rounded(row) for row in values]
    return [float(f"{value:.6g}") for value in values.tolist()]


def _what_if_values(one: Explanation) -> dict[str, Any]:
    smallest, single = one.what_if.smallest, one.what_if.single
    found: dict[str, Any] = {
        "metric": one.what_if.metric,
        "reason": one.what_if.reason,
        "smallest": None,
        "single": None,
        "words": changes_in_words(one),
    }
    if smallest is not None:
        plane = one.breakdown.members[0].values
        found["smallest"] = {
            **_change_values(smallest),
            "decibel": _rounded(smallest.decibel.reshape(plane.shape)),
        }
    if single is not None and single.band is not None:
        band = one.bands[single.band]
        found["single"] = {
            **_change_values(single),
            "projection": band.projection,
            "low": band.low,
            "high": band.high,
            "decibel": float(single.decibel[single.band]),
        }
    return found


def _change_values(change: Change) -> dict[str, Any]:
    return {"verdict": change.verdict, "logit": change.logit, "distance": change.distance}


def member_sums(member: Contributions) -> list[dict[str, Any]]:
    """The contributions of a plane by stretch of frequency, of groups by what they show; none for
    other members."""
    if member.kind == GROUPS:
        parts = member.values.split([size for _, size in member.groups])
        return [
            {"group": name, "features": size, "contribution": float(part.sum())}
            for (name, size), part in zip(member.groups, parts, strict=True)
        ]
    if member.kind != PLANE:
        return []
    assert member.extent is not None
    top, bottom, left, right = member.extent
    rows, columns = member.values.shape
    y, x = np.linspace(top, bottom, rows)[:, None], np.linspace(left, right, columns)[None, :]
    radius, values = np.hypot(y, x), member.values.numpy()
    lows = [0.0, *(end for _, end in STRETCHES)]
    sums = []
    for (name, high), low in zip(STRETCHES, lows, strict=False):
        chosen = (low <= radius) & (radius < high)
        total = float(values[chosen].sum())
        highest = min(high, float(radius.max()))
        sums.append({"stretch": name, "low": low, "high": highest, "contribution": total})
    return sums


def explain(
    path: str | os.PathLike[str],
    *,
    model: Model,
    fpr: float = 0.05,
    confidence: float | None = CONFIDENCE,
    frame: int | None = None,
    time_s: float | None = None,
) -> Explanation:
    """Explain the verdict on an image, or on one frame of a video.

    `frame` (its number, from 0) or `time_s` choose the frame; with neither it is the one with the
    highest score among CANDIDATES spread over the video. `fpr`: the largest share of real pictures
    called generated, with `confidence`, or on average where that is None. Raises MediaError, with
    its reason, where the file gives nothing to explain; ValueError where the model cannot certify
    `fpr` or its bands depend on the size of the image.
    """
    if frame is not None and time_s is not None:
        raise ValueError("frame and time_s both given; choose one and leave the other None")
    path = os.fspath(path)
    check_explainable(model)
    limits, classes = image_thresholds(model, fpr, confidence)
    options = InputOptions(model.tile, model.min_side, frame, time_s)
    inputs, n_frames = _decode(path, options), 0
    if inputs.plane is None:
        n_frames = len(inputs.candidates)
        scores = [_score(model, torch.from_numpy(squares)) for _, squares in inputs.candidates]
        best = inputs.candidates[int(np.argmax(scores))][0]
        inputs = _decode(path, InputOptions(model.tile, model.min_side, best))
    assert inputs.plane is not None
    suspicious = suspicious_from(model, fpr)
    return _explained(path, inputs, n_frames, model, limits, classes, suspicious)


def check_explainable(model: Model) -> None:
    """Raises ValueError where the bands of the model depend on the size of the image."""
    for part in parts_of(model):
        if isinstance(part.spec, FeatureSpec):
            part.spec.axes()


def _score(model: Model, squares: Tensor) -> float:
    return float(model.logits(squares).double().mean())


def _judged_by(model: Model, inputs: Inputs, is_suspicious: bool) -> str | None:
    """The delivery by which `screen` judges: pixels are asked where the score `is_suspicious`.
    Frames of a video have one where they are soft."""
    assert inputs.plane is not None
    if not is_suspicious:
        return inputs.by_file
    if inputs.delivery:
        return judged_delivery(model, inputs.plane, inputs.delivery)
    return SOFT if model.class_scores and is_soft(inputs.plane) else None


def _explained(
    path: str,
    inputs: Inputs,
    n_frames: int,
    model: Model,
    limits: Thresholds,
    classes: Mapping[str, ClassThresholds],
    suspicious: Mapping[str, float],
) -> Explanation:
    assert inputs.plane is not None
    plane = torch.from_numpy(inputs.plane)
    height, width = plane.shape
    everything, used, places = _cut(plane, model)
    logits = model.logits(everything)
    logit = float(logits[used].double().mean())
    side = int(everything.shape[-1])
    size = size_class(side)
    judged = _judged_by(model, inputs, logit > suspicious.get(size, math.inf))
    own = calibration_class(judged, size) if judged else ""
    thresholds = classes[own].thresholds if own in classes else limits
    found = evidence(model, everything[used], thresholds, lossless=inputs.delivery == LOSSLESS)
    references = model.references
    chosen = set(used)
    return Explanation(
        path=path,
        media=inputs.media,
        frame=inputs.frame,
        time_s=inputs.time_s,
        width=width,
        height=height,
        facts=inputs.facts | ({"class": own} if own in classes else {}),
        model={"name": model.name, "sha256": model.sha256, "classifier": model.classifier},
        verdict=model.verdict(logit, thresholds),
        logit=logit,
        p_generated=float(model.probability(logit)),
        thresholds=thresholds,
        side=side,
        tiles=[
            Tile(top, left, float(logits[i]), i in chosen) for i, (top, left) in enumerate(places)
        ],
        bands=_bands(model, everything[used], found.breakdown, references),
        breakdown=found.breakdown,
        what_if=found.what_if,
        likeness=found.likeness,
        no_likeness=found.no_likeness,
        worth=_worth(model) if found.likeness else None,
        caveats=[
            *_caveats(model, inputs, n_frames, side, len(used), judged == SOFT),
            *_breakdown_caveats(found.breakdown),
            *([found.no_likeness] if found.no_likeness else []),
            *(_worth_caveats(model, found.likeness) if found.likeness else []),
        ],
        limits=[str(limit) for limit in model.card.get("limits", ())],
        spectrum=log_spectrum(everything),
        picture=_as_bytes(plane).numpy(),
        n_frames=n_frames,
        pixel_map=_pixel_map(model, everything, places, (height, width)),
    )


def _pixel_map(
    model: Model, squares: Tensor, places: list[tuple[int, int]], shape: tuple[int, int]
) -> PixelMap | None:
    """The mask, or the length of the flow, of `squares` (T, S, S) at their `places`."""
    if not has_maps(model):
        return None
    found = maps(model, squares)
    is_flow = found.ndim == 4
    if is_flow:
        found = torch.linalg.vector_norm(found, dim=1)
    values, side = np.full(shape, np.nan, np.float32), squares.shape[-1]
    for (top, left), one in zip(places, found.numpy(), strict=True):
        values[top : top + side, left : left + side] = one
    if is_flow:
        return PixelMap(values, "pixels moved", max(1.0, float(found.max())))
    return PixelMap(values, "share of forged, not calibrated", 1.0)


def _worth(model: Model) -> dict[str, Any]:
    """What was measured of the names, on simulated images and, of the shipped detector, on those of
    real generators."""
    evaluation = load_evaluation()
    return {
        "held_out": model.card.get("reference", {}).get("held_out"),
        "generators": evaluation["names"] if evaluation["sha256"] == model.sha256 else None,
    }


def _as_bytes(plane: Tensor) -> Tensor:
    if plane.dtype == torch.uint8:
        return plane
    return plane.clamp(0, 255).round_().to(torch.uint8)


def _cut(plane: Tensor, model: Model) -> tuple[Tensor, list[int], list[tuple[int, int]]]:
    """Tiles (T, S, S) for the map, which of them the verdict rests on, and where (top, left) they
    stand; raises MediaError where there are none."""
    try:
        side = usable_side(plane.shape[0], plane.shape[1], model.tile, model.min_side)
    except ValueError as error:
        raise MediaError("too_small", str(error)) from error
    try:
        used = cut_tiles(plane, model.tile, min_side=model.min_side, max_tiles=MAX_TILES)
        everything = cut_tiles(plane, model.tile, min_side=model.min_side, max_tiles=MAP_TILES)
    except ValueError as error:
        raise MediaError("flat", str(error)) from error
    grid = _grid(plane, side)
    found = _positions(everything, [plane[y : y + side, x : x + side] for y, x in grid])
    try:
        numbers = _positions(used, list(everything))
    except StopIteration:
        # A picture of more than MAP_TILES tiles: its map is another choice of them.
        everything = torch.cat([used, everything])
        found = _positions(used, [plane[y : y + side, x : x + side] for y, x in grid]) + found
        numbers = list(range(len(used)))
    return everything, numbers, [grid[i] for i in found]


def _grid(plane: Tensor, side: int) -> list[tuple[int, int]]:
    """(top, left) of every square of the centered grid of `cut_tiles`."""
    height, width = plane.shape
    top, left = height % side // 2, width % side // 2
    return list(
        itertools.product(range(top, height - side + 1, side), range(left, width - side + 1, side))
    )


def _positions(squares: Tensor, among: Sequence[Tensor]) -> list[int]:
    """The places of `squares` (T, S, S) in the longer list they were chosen from, in order.

    By their content, so that the choice is made in one place only; squares of the same content have
    the same score, whichever is taken.
    """
    numbered = iter(enumerate(among))
    return [next(i for i, other in numbered if torch.equal(one, other)) for one in squares]


def log_spectrum(squares: Tensor) -> NDArray[np.float32]:
    """Mean log power, 10 ln P, of `squares` (T, S, S) under a Hann window, (S, S) float32.

    Zero frequency is at [S // 2, S // 2], vertical frequency runs down.
    """
    side = squares.shape[-1]
    window = torch.hann_window(side, periodic=False)
    total = torch.zeros(side, side)
    for block in squares.split(64):
        values = block.float()
        values = (values - values.mean(dim=(1, 2), keepdim=True)) * window * window[:, None]
        power = torch.fft.fft2(values).abs().square()
        total += 10 * torch.log(power + 1e-8).sum(dim=0)
    spectrum: NDArray[np.float32] = torch.fft.fftshift(total / len(squares)).numpy()
    return spectrum


def _bands(
    model: Model, squares: Tensor, breakdown: Breakdown, references: References | None
) -> list[Band]:
    """The bands of the members that look at the profile of the first that does."""
    members: list[tuple[Part, Contributions]] = [
        pair
        for pair in zip(parts_of(model), breakdown.members, strict=True)
        if pair[1].kind == BANDS
    ]
    if not members:
        return []
    spec = members[0][0].spec
    terms = sum(member.values for part, member in members if part.spec == spec)
    assert isinstance(terms, Tensor)
    values = features_of(spec, squares).mean(dim=0).tolist()
    reals: list[Any] = [None] * len(values)
    if references is not None:
        reals = [tuple(column) for column in references.real.T.tolist()]
    return [
        Band(*axis, value, term, real)
        for axis, value, term, real in zip(spec.axes(), values, terms.tolist(), reals, strict=True)
    ]


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """With None for a threshold that no score crosses: JSON has no infinity."""
    return {
        name: None if isinstance(value, float) and math.isinf(value) else value
        for name, value in values.items()
    }


def _caveats(
    model: Model,
    inputs: Inputs,
    n_frames: int,
    side: int,
    n_used: int,
    is_soft: bool,
) -> list[str]:
    """What to bear in mind with this very picture; `is_soft`: it is judged as a soft one."""
    caveats = []
    if inputs.media == "video":
        caveats.append(
            "This is the verdict on one frame. `gandetect screen` judges a video by the median of "
            "its frames."
        )
    if n_frames > 1:
        caveats.append(
            f"The frame is the one of {n_frames} with the highest score, so a false alarm is more "
            "likely than the rate says, which is that of a frame taken blindly."
        )
    if inputs.facts.get("pictures", 1) > 1:
        caveats.append(f"The first of the {inputs.facts['pictures']} pictures of this file.")
    if is_soft:
        caveats.append(
            "As soft as a photograph that was blurred or enlarged, which lacks the same "
            "frequencies as what smooth generators draw, or with the lines of resizing; and "
            "nothing names an up-sampler: without such photographs among those that the "
            "thresholds rest on it is called neither."
        )
    if side < model.tile:
        caveats.append(
            f"Smaller than the tiles of {model.tile} pixels that the model prefers: judged by one "
            f"square of {side}."
        )
    elif n_used < FEW_TILES:
        caveats.append(
            f"The score rests on {n_used} tile{'s' if n_used > 1 else ''} only; more would steady "
            "it."
        )
    return caveats


def _breakdown_caveats(breakdown: Breakdown) -> list[str]:
    return [
        f"What the features add to the score of {member.classifier} is {exactness(member)}: "
        f"{member.method} from {member.baseline}."
        for member in breakdown.members
        if not member.exact
    ]


def _worth_caveats(model: Model, alike: Likeness) -> list[str]:
    worth = _worth(model)
    return [
        worth_in_words(alike, worth["held_out"] or {}),
        generators_in_words(worth["generators"] or {}),
    ]
