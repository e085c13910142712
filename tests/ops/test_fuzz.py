"""Random calls of the public function against the pure-torch reference in double.

Shapes, layouts, types and every option meet at random; what follows the means (resampling and
normalizing) is computed by other libraries here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from gandetect import ops
from gandetect.ops import _ext, reference
from gandetect.ops.conventions import (
    CONVENTIONS,
    CUTOFFS,
    NORMALIZATIONS,
    PROJECTIONS,
    VALUES,
    make_plan,
)

CASES = 2500 if _ext.available() else 500
DTYPES = (torch.uint8, torch.float32, torch.float64, torch.float16, torch.bfloat16)
# Of the largest mean of an image. Logs and magnitudes are only asked for where no coefficient is
# fainter than FAINT times their root mean square: one that cancels to nothing is all rounding.
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10}
FAINT = {torch.float32: 1e-3, torch.float64: 1e-5}


@dataclass(frozen=True)
class Call:
    images: torch.Tensor
    convention: str
    options: dict

    def __str__(self) -> str:
        x = self.images
        return f"{tuple(x.shape)} {x.dtype} {x.stride()} {self.convention} {self.options}"


def pick(random: np.random.Generator, *choices):
    return choices[random.integers(len(choices))]


def random_side(random: np.random.Generator) -> int:
    return int(random.integers(1, pick(random, 12, 40, 90)))


def relaid(images: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """The same shape with strides that are anything torch can give."""
    n, channels, height, width = images.shape
    layout = random.integers(8)
    if layout == 0:
        wide = torch.zeros(n, channels, height + 3, 2 * width + 5, dtype=images.dtype)
        view = wide[:, :, 2 : 2 + height, 1 : 1 + 2 * width : 2]
        view.copy_(images)
        return view
    if layout == 1:
        return images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    if layout == 2:
        return images.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    if layout == 3:
        return images[:, :, :1].expand(-1, -1, height, -1)
    if layout == 4:
        return images[:1, :1].expand(n, channels, -1, -1)
    if layout == 5 and images.numel() > 1:
        strides = [int(s) for s in random.integers(0, 3, 4)]
        reach = sum(s * (side - 1) for s, side in zip(strides, images.shape, strict=True))
        if reach < images.numel():
            return images.as_strided(images.shape, strides)
    return images


def random_images(random: np.random.Generator) -> torch.Tensor:
    shape = (random.integers(0, 4), pick(random, 1, 3), random_side(random), random_side(random))
    dtype = pick(random, *DTYPES)
    levels = random.integers(0, 256, shape)
    if dtype == torch.uint8:
        images = torch.from_numpy(levels).to(dtype)
    else:
        images = torch.from_numpy(levels + random.random(shape)).to(dtype)
    images = relaid(images, random)
    return images[:, 0] if images.shape[1] == 1 and random.integers(2) else images


def random_call(random: np.random.Generator) -> Call:
    convention = pick(random, *CONVENTIONS)
    asked = [p for k in (1, 2, 3) for p in itertools.permutations(PROJECTIONS, k)]
    return Call(
        random_images(random),
        convention,
        {
            "projections": pick(random, *asked),
            "window": pick(random, None, "hann"),
            "value": pick(random, None, *VALUES),
            "cutoff": pick(random, None, *CUTOFFS),
            "normalize": pick(random, None, *NORMALIZATIONS),
            "resample": pick(random, None, None, int(random.integers(1, 50))),
        },
    )


def is_meaningful(call: Call) -> bool:
    height, width = call.images.shape[-2:]
    has_bins = ops.profile_length(height, width, call.convention, call.options["cutoff"] or "") > 0
    return has_bins and not (CONVENTIONS[call.convention].ortho and call.options["value"] == "log")


def result_type(call: Call) -> torch.dtype:
    return torch.float64 if call.images.dtype == torch.float64 else torch.float32


@dataclass(frozen=True)
class Means:
    """By projection, before resampling and normalizing; f at DC; and the power of as much noise
    as a hundred-thousandth of the image's, so that there is a scale where all of it cancels."""

    profiles: dict[str, np.ndarray]
    at_dc: np.ndarray
    least: float
    has_faint_coefficients: bool


def means_in_double(call: Call) -> Means:
    chosen = CONVENTIONS[call.convention]
    options, images = call.options, call.images
    images = images if images.dim() == 4 else images[:, None]
    height, width = images.shape[-2:]
    gray = reference.gray_planes(images, chosen.round_gray, torch.float64)[:, None]
    if images.dtype == torch.uint8:
        gray = gray * chosen.input_gain + chosen.input_offset
    scalar = VALUES[options["value"]] if options["value"] else chosen.value
    hann = options["window"] == "hann"
    spectrum = reference.half_spectrum(gray, False, 1.0, 0.0, hann)
    if chosen.ortho:
        spectrum = spectrum / (height * width) ** 0.5
    values = reference.value_of(spectrum, scalar.mode, scalar.gain, scalar.eps)
    plan = make_plan(height, width, call.convention, options["cutoff"] or chosen.cutoff)
    profiles = {
        "azimuthal": reference.azimuthal_average(
            values, plan.maps, plan.inverse_counts, width, plan.folded
        ),
        "rows": reference.row_means(values, width),
        "columns": reference.column_means(values),
    }
    size = spectrum.abs()
    rms = size.square().mean((-2, -1), keepdim=True).sqrt()
    return Means(
        {name: profile.numpy() for name, profile in profiles.items()},
        values[:, 0, 0].numpy(),
        1e-5 * float(gray.square().sum()) / (height * width if chosen.ortho else 1),
        scalar.mode != VALUES["power"].mode
        and bool((size <= FAINT[result_type(call)] * rms).any()),
    )


def resampled(profile: np.ndarray, points: int | None) -> np.ndarray:
    length = profile.shape[-1]
    if points is None:
        return profile
    positions = np.arange(points) * ((length - 1) / max(points - 1, 1))
    if length == 1:
        return np.repeat(profile, points, -1)
    return CubicSpline(np.arange(length), profile, axis=-1)(positions)


def check(call: Call, name: str, actual: np.ndarray, means: Means) -> int:
    """Compares each image; returns how many of them could be."""
    wanted = resampled(means.profiles[name], call.options["resample"])
    assert actual.shape == wanted.shape, f"{name} of {call}"
    normalization = call.options["normalize"] or CONVENTIONS[call.convention].normalize
    compared = 0
    for image, expected, at_dc in zip(actual, wanted, means.at_dc, strict=True):
        everything = [np.abs(p).max(initial=0) for p in (expected, at_dc, *means.profiles.values())]
        # Between its knots a spline magnifies the errors at them.
        allowed = 4 * TOLERANCE[result_type(call)] * max(*everything, means.least)
        low = expected.min() if normalization == "minmax" else 0.0
        divisor = {
            "none": 1.0,
            "dc": at_dc,
            "first": expected[0],
            "minmax": expected.max() - low,
        }[normalization]
        if abs(divisor) <= 100 * allowed and normalization != "none":
            continue  # a quotient of rounding errors
        quotient = (expected - low) / divisor
        slack = 2 * allowed / abs(divisor) * (1 + np.abs(quotient).max())
        error = np.abs(image - quotient).max()
        assert error <= slack, f"{name} of {call}: off by {error:.3g}, allowed {slack:.3g}"
        compared += 1
    return compared


def test_public_function_on_random_calls():
    random = np.random.default_rng(20)
    calls = compared = 0
    while calls < CASES:
        call = random_call(random)
        if not is_meaningful(call):
            continue
        calls += 1
        result = ops.spectral_profile(call.images, call.convention, **call.options)
        names = call.options["projections"]
        profiles = (result,) if len(names) == 1 else result
        means = means_in_double(call)
        for name, profile in zip(names, profiles, strict=True):
            assert profile.dtype == result_type(call), f"{name} of {call}"
            if not means.has_faint_coefficients:
                compared += check(call, name, profile.double().numpy(), means)
    assert compared > CASES
