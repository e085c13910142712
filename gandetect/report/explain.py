"""Why one picture got its verdict: what the detector saw, in numbers that add up.

`explain(path)` gives an `Explanation`: of an image, or of one frame of a video. With a linear model
the contributions of all bands and the bias sum to the logit exactly. Needs no matplotlib; the
pictures and the page are in `gandetect.report.explain_show`.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gandetect.detect import Model, Thresholds, cut_tiles, scorers
from gandetect.detect.reference import MEANINGS, UNKNOWN, Likeness, References, likeness
from gandetect.detect.tiles import MAX_TILES, usable_side
from gandetect.media import MediaError, VideoReader, read_luma, sniff
from gandetect.screen.isolation import IsolationError, isolated
from gandetect.screen.pool import Limits

CANDIDATES = 16
# The map shows more tiles than the verdict rests on; more than these would be dots.
MAP_TILES = 1024
FEW_TILES = 4
_TIME_TOLERANCE = 1e-6
# A frame may lie far into a long video, and every frame before it is decoded.
LIMITS = Limits(stall_s=900.0, total_s=900.0)

DIRECTIONS = {
    "azimuthal": "all directions",
    "rows": "vertical",
    "columns": "horizontal",
}
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
    `candidates` to choose from: (frame number, squares (T, S, S)).
    """

    media: str
    plane: NDArray[Any] | None = None
    frame: int | None = None
    time_s: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
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
    return Inputs("image", luma.as_uint8_range().contiguous().numpy(), facts=facts)


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
    it adds to the logit, None where the model is not linear. `real`: 5 %, 50 % and 95 % of real
    images, None where the model does not carry them.
    """

    projection: str
    low: float
    high: float
    value: float
    contribution: float | None
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
class Explanation:
    """Everything that `gandetect explain` shows of one picture.

    `bias` and the contributions of `bands` sum to `logit`; both None for models that are not
    linear. `spectrum` (S, S) float32: mean log power 10 ln P of the tiles, zero frequency in the
    middle. `picture` (H, W) uint8. `n_frames`: among how many frames of a video this one was
    chosen for its score, 0 where it was named.
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
    bias: float | None
    likeness: Likeness | None
    worth: dict[str, Any] | None
    caveats: list[str]
    limits: list[str]
    spectrum: NDArray[np.float32]
    picture: NDArray[np.uint8]
    n_frames: int = 0

    @property
    def n_used(self) -> int:
        return sum(tile.used for tile in self.tiles)

    @property
    def n_outside(self) -> int:
        """Bands outside the band that holds nine of ten reals."""
        return sum(band.outside is not None for band in self.bands)

    @property
    def has_references(self) -> bool:
        return self.bands[0].real is not None

    def strongest(self, count: int = 5) -> list[Band]:
        """The bands that moved the logit furthest, either way; none for models not linear."""
        known = [band for band in self.bands if band.contribution is not None]
        return sorted(known, key=lambda band: -abs(band.contribution or 0.0))[:count]

    def sums(self) -> list[dict[str, Any]]:
        """The contributions by direction and stretch of frequency; with `bias` they too sum to the
        logit."""
        totals: dict[tuple[str, str], list[Band]] = {}
        for band in self.bands:
            totals.setdefault((band.projection, band.stretch), []).append(band)
        return [
            {
                "projection": projection,
                "stretch": stretch,
                "low": bands[0].low,
                "high": bands[-1].high,
                "contribution": sum(band.contribution or 0.0 for band in bands),
                "outside": sum(band.outside is not None for band in bands),
                "bands": len(bands),
            }
            for (projection, stretch), bands in totals.items()
            if bands[0].contribution is not None
        ]

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
            "thresholds": asdict(self.thresholds),
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
            "outside": self.n_outside if self.has_references else None,
            "likeness": alike,
            "likeness_measured": self.worth,
            "caveats": self.caveats,
            "limits": self.limits,
        }


def explain(
    path: str | os.PathLike[str],
    *,
    model: Model,
    fpr: float = 0.05,
    frame: int | None = None,
    time_s: float | None = None,
) -> Explanation:
    """Explain the verdict on an image, or on one frame of a video.

    `frame` (its number, from 0) or `time_s` choose the frame; with neither it is the one with the
    highest score among CANDIDATES spread over the video. `fpr`: the largest share of real pictures
    called generated. Raises MediaError, with its reason, where the file gives nothing to explain;
    ValueError where the model cannot certify `fpr` or its bands depend on the size of the image.
    """
    if frame is not None and time_s is not None:
        raise ValueError("frame and time_s both given; choose one and leave the other None")
    path = os.fspath(path)
    axes = model.spec.axes()
    thresholds = model.thresholds(fpr)
    options = InputOptions(model.tile, model.min_side, frame, time_s)
    inputs, n_frames = _decode(path, options), 0
    if inputs.plane is None:
        n_frames = len(inputs.candidates)
        scores = [_score(model, torch.from_numpy(squares)) for _, squares in inputs.candidates]
        best = inputs.candidates[int(np.argmax(scores))][0]
        inputs = _decode(path, InputOptions(model.tile, model.min_side, best))
    assert inputs.plane is not None
    return _explained(path, inputs, n_frames, model, axes, thresholds)


def _score(model: Model, squares: Tensor) -> float:
    return float(model.logits(squares).double().mean())


def _explained(
    path: str,
    inputs: Inputs,
    n_frames: int,
    model: Model,
    axes: list[tuple[str, float, float]],
    thresholds: Thresholds,
) -> Explanation:
    assert inputs.plane is not None
    plane = torch.from_numpy(inputs.plane)
    height, width = plane.shape
    everything, used, places = _cut(plane, model)
    features = model.features(everything)
    logits = model.score_features(features)
    mean = features[used].double().mean(dim=0)
    logit = float(logits[used].double().mean())
    terms, bias = None, None
    if model.kind == "linear":
        terms = scorers.contributions(model.arrays, mean[None])[0]
        bias = model.bias
    references = References.from_model(model.arrays, model.card)
    alike = likeness(references, mean) if references and references.signatures else None
    side = int(everything.shape[-1])
    chosen = set(used)
    return Explanation(
        path=path,
        media=inputs.media,
        frame=inputs.frame,
        time_s=inputs.time_s,
        width=width,
        height=height,
        facts=inputs.facts,
        model={"name": model.name, "sha256": model.sha256, "classifier": model.classifier},
        verdict=model.verdict(logit, thresholds),
        logit=logit,
        p_generated=float(model.probability(logit)),
        thresholds=thresholds,
        side=side,
        tiles=[
            Tile(top, left, float(logits[i]), i in chosen) for i, (top, left) in enumerate(places)
        ],
        bands=_bands(axes, mean, terms, references),
        bias=bias,
        likeness=alike,
        worth=_worth(model.card) if alike else None,
        caveats=_caveats(model, inputs, n_frames, side, len(used), references, alike),
        limits=[str(limit) for limit in model.card.get("limits", ())],
        spectrum=log_spectrum(everything),
        picture=_as_bytes(plane).numpy(),
        n_frames=n_frames,
    )


def _worth(card: dict[str, Any]) -> dict[str, Any]:
    """What was measured of the names, simulated and on real generators."""
    reference = card.get("reference", {})
    return {name: reference.get(name) for name in ("held_out", "generators")}


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
    axes: list[tuple[str, float, float]],
    values: Tensor,
    terms: Tensor | None,
    references: References | None,
) -> list[Band]:
    bands = []
    for i, (projection, low, high) in enumerate(axes):
        real = None
        if references is not None:
            real = tuple(references.real[:, i].tolist())
        term = None if terms is None else float(terms[i])
        bands.append(Band(projection, low, high, float(values[i]), term, real))
    return bands


def _caveats(
    model: Model,
    inputs: Inputs,
    n_frames: int,
    side: int,
    n_used: int,
    references: References | None,
    alike: Likeness | None,
) -> list[str]:
    """What to bear in mind with this very picture."""
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
    if model.kind != "linear":
        caveats.append(
            f"The model is no linear one ({model.classifier}): its logit does not split into "
            "contributions of bands, so none are shown."
        )
    return caveats + _reference_caveats(model, references, alike)


def _reference_caveats(
    model: Model, references: References | None, alike: Likeness | None
) -> list[str]:
    if references is None:
        return [
            "This model carries no references: there is no band of real images to compare with, "
            "and no up-sampler can be named. `gandetect fit` stores them in new models."
        ]
    if alike is None:
        return [
            "This model was not fitted to enough simulated images of every kind, so no up-sampler "
            "can be named."
        ]
    card = model.card.get("reference", {})
    return [worth_in_words(alike, card.get("held_out", {})), generators_in_words(card)]


def worth_in_words(alike: Likeness, worth: dict[str, Any]) -> str:
    """What the name of an up-sampler is worth, as it was measured."""
    scope = "measured on simulated images of held-out photographs"
    right = worth.get("right_when_named", {}).get(alike.family)
    if alike.family != UNKNOWN and right is not None:
        value, low, high = right
        return (
            f"Of simulated images given the name `{alike.family}`, {value:.0%} bore it rightly "
            f"(95 % interval {low:.0%} to {high:.0%}; all families equally frequent); {scope}."
        )
    named = [values[0] for values in worth.get("named", {}).values() if values]
    if not named:
        return f"What the names are worth was not measured. It would be {scope}."
    return (
        f"Between {min(named):.0%} and {max(named):.0%} of the images of a family are clear enough "
        f"to be named; {scope}."
    )


def generators_in_words(card: dict[str, Any]) -> str:
    """What names real generators got, if that was counted."""
    given = card.get("generators")
    if not given:
        return "What names images of real generators get was not measured."
    images = sum(sum(row["named"].values()) for row in given.values())
    named = images - sum(row["named"].get(UNKNOWN, 0) for row in given.values())
    right = sum(row["named"].get(row["family"], 0) for row in given.values())
    return (
        f"Of {images} images by {len(given)} real generators {named} got a name, {right} of them "
        "rightly."
    )


def band_in_words(band: Band) -> str:
    """A band and how it stands to real images, for people."""
    where = f"{DIRECTIONS[band.projection]}, {band.low:.3f} to {band.high:.3f} cycles per pixel"
    if band.real is None:
        return where
    if band.outside is not None:
        more = "more" if band.outside == "above" else "less"
        return f"{where}: {more} power than 19 of 20 photographs have"
    side = "more" if band.value > band.real[1] else "less"
    return f"{where}: {side} power than the median photograph, within their band"
