"""Every rejected argument: the class of the error and that it says what was given and wanted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gandetect import ops

IMAGES = torch.zeros(2, 16, 16)


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        (np.zeros((2, 8, 8)), {}, TypeError, "ndarray; use torch.from_numpy"),
        (IMAGES.int(), {}, TypeError, "torch.int32"),
        (IMAGES.bool(), {}, TypeError, "torch.bool"),
        (IMAGES.to(torch.complex64), {}, TypeError, "complex64"),
        (IMAGES[0], {}, ValueError, r"\(16, 16\)"),
        (IMAGES[None, None], {}, ValueError, r"\(N, H, W\)"),
        (torch.zeros(2, 4, 8, 8), {}, ValueError, "1 or 3 channels, not 4"),
        (torch.zeros(2, 0, 8, 8), {}, ValueError, "1 or 3 channels, not 0"),
        (torch.zeros(2, 0, 8), {}, ValueError, "0x8"),
        (torch.zeros(1).expand(1, 2**16, 2**16), {}, ValueError, "cut it into tiles"),
        (torch.zeros(1, 2, 2), {"convention": "durall"}, ValueError, "no azimuthal bin"),
        (IMAGES, {"convention": "dural"}, ValueError, "choose one of centered, durall"),
        (IMAGES, {"projections": ()}, ValueError, "empty"),
        (IMAGES, {"projections": ("row",)}, ValueError, "azimuthal, rows, columns"),
        (IMAGES, {"projections": ("rows", "rows")}, ValueError, "twice"),
        (IMAGES, {"window": "hamming"}, ValueError, "none, hann"),
        (IMAGES, {"value": "db"}, ValueError, "power, magnitude, log"),
        (IMAGES, {"cutoff": "half"}, ValueError, "corner, nyquist"),
        (IMAGES, {"normalize": "l2"}, ValueError, "none, dc, first, minmax"),
        (IMAGES, {"resample": 0}, ValueError, "number of points"),
        (IMAGES, {"resample": 2.5}, ValueError, "number of points"),
        (IMAGES, {"convention": "power", "value": "log"}, ValueError, "not defined"),
    ],
)
def test_spectral_profile(images, options, error, message):
    with pytest.raises(error, match=message):
        ops.spectral_profile(images, **options)


@pytest.mark.parametrize(
    ("plane", "options", "error", "message"),
    [
        (IMAGES.byte(), {}, TypeError, "uint8"),
        (IMAGES[0], {}, ValueError, r"\(N, H, V\)"),
        (IMAGES, {"width": 16}, ValueError, "9 columns, not 16"),
        (IMAGES[:, :0], {}, ValueError, "at least 1"),
        (IMAGES, {"convention": "none"}, ValueError, "choose one of"),
    ],
)
def test_azimuthal_average(plane, options, error, message):
    with pytest.raises(error, match=message):
        ops.azimuthal_average(plane, **options)


def test_lengths_and_counts():
    for function in (ops.profile_length, ops.azimuthal_counts):
        with pytest.raises(ValueError, match="choose one of centered, durall"):
            function(8, 8, "dural")
        with pytest.raises(ValueError, match="corner, nyquist"):
            function(8, 8, cutoff="half")
        with pytest.raises(ValueError, match="-8x8; both sides must be at least 1"):
            function(-8, 8)


def test_azimuthal_spread():
    with pytest.raises(ValueError, match="has 3 bins; a 8x8 plane"):
        ops.azimuthal_spread(torch.zeros(1, 3), 8, 8)
    with pytest.raises(TypeError, match="list"):
        ops.azimuthal_spread([1.0], 8, 8)


def test_kernels_guard_themselves_against_direct_calls():
    """The op itself, called with tensors that do not fit together, must not read out of bounds."""
    if not ops.spectrum._register.library or not ops_compiled():
        pytest.skip("the reference fails by torch's own checks")
    maps, counts = torch.zeros(1, 4, 3, dtype=torch.int32), torch.ones(2, dtype=torch.float64)
    means = torch.ops.gandetect.spectral_means
    rest = (True, False, 1.0, 0.0, False, 0, 1.0, 0.0, True, True, True)
    for images in (torch.zeros(1, 1, 5, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4)):
        with pytest.raises(RuntimeError):
            means(images, maps, counts, *rest)
    with pytest.raises(RuntimeError, match="int32"):
        means(torch.zeros(1, 1, 4, 4), maps.long(), counts, *rest)
    with pytest.raises(RuntimeError, match="float64"):
        means(torch.zeros(1, 1, 4, 4), maps, counts.float(), *rest)
    with pytest.raises(RuntimeError, match="this size"):
        torch.ops.gandetect.azimuthal_average(torch.zeros(1, 9, 3), maps, counts, 4, True)
    for entry in (3, -2, 2**30):
        wild = torch.full((1, 4, 3), entry, dtype=torch.int32)
        with pytest.raises(RuntimeError, match="must hold -1 to 2"):
            means(torch.ones(1, 1, 4, 4), wild, counts, *rest)


def ops_compiled() -> bool:
    from gandetect.ops import _ext

    return _ext.available()
